//! What an `sdf.yml` is here.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::read::{App, Forward, Guarded};
use super::{Sdf, SdfError, shown};
use crate::registry::Address;

/// The longest name of a service.
const LONGEST_NAME: usize = 63;
/// What an app without a name is taken for.
const WEB: &str = "webservice";

/// What comes of an `sdf.yml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// For `sealock.toml` of the broker's host; empty when nothing belongs there.
    pub settings: String,
    /// For the policy folder.
    pub policy: String,
    /// The arguments of `sealock gatekeeper`.
    pub gatekeeper: Option<Vec<String>>,
    /// The arguments of `sealock forwarder`.
    pub forwarder: Option<Vec<String>>,
    /// Both beside the app, for compose.
    pub compose: String,
    /// What has no counterpart, and what is left to do.
    pub notes: Vec<String>,
}

impl Sdf {
    /// What it is here. `name` is the app's own, where it is to have another than its resource says.
    ///
    /// # Errors
    /// Whose forwards they are is not known, or nobody can be called so.
    pub fn carry(&self, name: Option<&str>) -> Result<Carried, SdfError> {
        let mut carried = Carried { notes: self.notes.clone(), ..Carried::default() };
        let own = match (name, &self.gatekeeper) {
            (Some(name), _) if is_name(name) => name.to_owned(),
            (Some(name), _) => return Err(SdfError::Name(shown(name))),
            (None, Some(Guarded { resource: Some(resource), .. })) => {
                carried.name_of(resource, "conjur_resource")
            }
            (None, _) => return Err(SdfError::NoName),
        };
        if let Some(guarded) = &self.gatekeeper {
            carried.guard(&own, guarded);
        }
        // A container is who its name says, and there is one of a name.
        let caller = match carried.gatekeeper {
            Some(_) if !self.forwards.is_empty() => format!("{own}-forwarder"),
            _ => own.clone(),
        };
        if caller != own {
            carried.notes.push(format!(
                "Gatekeeper and Forwarder are two containers, and a container is who its name says: {own} is called, and calls as {caller}"
            ));
        }
        carried.forward(&caller, &self.forwards);
        carried.compose = compose(&own, &caller, &carried);
        Ok(carried)
    }
}

impl Carried {
    fn guard(&mut self, own: &str, guarded: &Guarded) {
        let Some(app) = &guarded.app else { return };
        let upstream = match app {
            App::Tcp(at) => format!("http://{at}"),
            App::Unix(path) => format!("unix:{path}"),
        };
        let port = guarded.port;
        self.gatekeeper = Some(words(&[
            "--service",
            own,
            "--listen",
            &format!("0.0.0.0:{port}"),
            "--upstream",
            &upstream,
            "--identity",
            &folder(own),
        ]));
        let _ = write!(self.policy, "{}", guarding(own));
        self.notes.push(format!(
            "calls arrived at port {port} over plain HTTP; they arrive there over TLS now, from Forwarders with a certificate of {own} before them"
        ));
        self.notes.push(format!(
            "who had Conjur's privileges read, create and update is not in the file: put them into the groups {own}-read, {own}-create and {own}-update, such as `sealock group add {own}-read service/NAME`"
        ));
    }

    fn forward(&mut self, own: &str, forwards: &[Forward]) {
        let (mut arguments, mut names, mut listening) =
            (Vec::new(), HashSet::new(), HashSet::new());
        for forward in forwards {
            let to = self.name_of(&forward.id, "forward.id");
            let id = shown(&forward.id);
            if !names.insert(to.clone()) {
                self.notes.push(format!(
                    "forward {id}: another one leads to {to} already; this one is left out"
                ));
                continue;
            }
            if to == own || own.strip_suffix("-forwarder") == Some(&to) {
                self.notes.push(format!("forward {id}: {own} would call itself; it is left out"));
                continue;
            }
            match forward.listen {
                Some(at) if !listening.insert(at) => {
                    self.notes.push(format!(
                        "forward {id}: another one listens at {at}; give it a --route of its own"
                    ));
                }
                Some(at) => arguments.extend(["--route".to_owned(), format!("{at}={to}")]),
                None => {}
            }
            let _ = write!(self.policy, "{}", calling(own, &to));
            self.notes.push(format!(
                "what {own} may do at {to} is decided where {to} is: `sealock group add {to}-read service/{own}` for GET, HEAD and OPTIONS, {to}-create for POST, {to}-update for all else"
            ));
            let Some(remote) = &forward.to else { continue };
            match Address::read(&remote.at.to_string(), false) {
                Ok(address) => {
                    let _ = writeln!(
                        self.settings,
                        "[services.\"{to}\"]\naddresses = [\"{address}\"]\n"
                    );
                }
                Err(error) => {
                    let why = std::error::Error::source(&error).map(ToString::to_string);
                    let why = why.unwrap_or_default();
                    self.notes.push(format!(
                        "forward {id}: the address {} is left out: {error}, {why}",
                        remote.at
                    ));
                    continue;
                }
            }
            if !remote.tls {
                self.notes.push(format!(
                    "forward {id}: {} was reached over plain HTTP; its Gatekeeper speaks TLS there now", remote.at
                ));
            }
        }
        if !arguments.is_empty() {
            arguments.extend(["--identity".to_owned(), folder(own)]);
            self.forwarder = Some(arguments);
        }
    }

    /// The last part of a resource's or forward's id, as a service can be called.
    fn name_of(&mut self, id: &str, key: &str) -> String {
        let last = id.rsplit('/').find(|part| !part.trim().is_empty()).unwrap_or(WEB).trim();
        let mut name: String =
            last.chars()
                .take(LONGEST_NAME)
                .map(|c| {
                    if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' }
                })
                .collect();
        while name.contains("..") {
            name = name.replace("..", ".");
        }
        name = name
            .split('.')
            .map(|label| label.trim_matches('-'))
            .filter(|it| !it.is_empty())
            .collect::<Vec<_>>()
            .join(".");
        if !is_name(&name) {
            WEB.clone_into(&mut name);
        }
        if name != id {
            self.notes.push(format!(
                "`{}` of `{key}` is the service {name} here: a name is one word. Where that is another's too, say --name, or change it in all files", shown(id)
            ));
        }
        name
    }
}

/// Whether a service can be called so, in URLs as well as in rules.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= LONGEST_NAME
        && name.split('.').all(label)
        // `127.1` is an address to a resolver.
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.split('.').next_back().is_some_and(|last| last.starts_with("0x"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Where a certificate by label is.
fn folder(name: &str) -> String {
    format!("/run/sealock/certs/{name}")
}

fn guarding(own: &str) -> String {
    let mut text =
        format!("// {own}: Conjur's privileges, as groups. Who is in one may have tokens.\n");
    for (privilege, methods) in [
        ("read", r#"["GET", "HEAD", "OPTIONS"].contains(context.method)"#),
        ("create", r#"context.method == "POST""#),
        ("update", r#"!["GET", "HEAD", "OPTIONS", "POST"].contains(context.method)"#),
    ] {
        let _ = write!(
            text,
            "permit (\n  principal in Sealock::Group::\"{own}-{privilege}\",\n  action == Sealock::Action::\"Token::Issue\",\n  resource == Sealock::Service::\"{own}\"\n);\n\
             permit (\n  principal in Sealock::Group::\"{own}-{privilege}\",\n  action == Sealock::Action::\"Http::Call\",\n  resource == Sealock::Service::\"{own}\"\n)\nwhen {{ {methods} }};\n"
        );
    }
    text
}

fn calling(own: &str, to: &str) -> String {
    format!(
        "// {own} calls {to}.\npermit (\n  principal == Sealock::Service::\"{own}\",\n  action == Sealock::Action::\"Token::Issue\",\n  resource == Sealock::Service::\"{to}\"\n);\n"
    )
}

fn compose(own: &str, caller: &str, carried: &Carried) -> String {
    let helpers =
        [("gatekeeper", own, &carried.gatekeeper), ("forwarder", caller, &carried.forwarder)];
    if helpers.iter().all(|(.., arguments)| arguments.is_none()) {
        return String::new();
    }
    let mut text = String::from(
        "# Beside the app, which is the service `app` of its compose file under another container name than these.\n\
         # Certificates come by label, and Docker starts again what was there before its certificate.\nservices:\n",
    );
    for (command, name, arguments) in helpers {
        let Some(arguments) = arguments else { continue };
        let list: Vec<String> = arguments.iter().map(|word| format!("\"{word}\"")).collect();
        let _ = write!(
            text,
            "  {command}:\n    container_name: \"{name}\"\n    image: busybox\n    network_mode: \"service:app\"\n    restart: unless-stopped\n    entrypoint: [\"sealock\", \"{command}\"]\n    command: [{}]\n    labels:\n      \"sealock.cert.{name}.ttl\": \"24h\"\n    tmpfs: [\"/run\"]\n    volumes:\n      - /usr/local/bin/sealock:/bin/sealock:ro\n      - /run/sealock/workload:/run/sealock/workload:ro\n",
            list.join(", ")
        );
    }
    text
}
