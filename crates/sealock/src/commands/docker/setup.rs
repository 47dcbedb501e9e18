//! `sealock docker setup`

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sealock_control::ADMIN;
use sealock_core::clock::{Clock, SystemClock};
use sealock_core::{Identity, IdentityKind, SubjectName, TrustDomain};
use sealock_docker::daemon::daemon_json::{
    Applied, ApplyError, MergeError, Settings, Validation, apply, merge,
};
use sealock_docker::daemon::files::Side;
use sealock_docker::daemon::unit::{Conflict, DROP_IN_PATH};
use sealock_docker::daemon::{TcpHost, env_lines};
use serde_json::{Value, json};

use super::files::{Authority, Found, Set, SetReport};
use super::unit::conflict_on;
use super::{absolute, client_folder, session, tcp_host};
use crate::args::{DockerSetupArgs, Global};
use crate::commands::session::Session;
use crate::printer::{Failure, Printer};

/// Under which names clients reach the daemon.
struct Reach {
    names: Vec<SubjectName>,
    first: TcpHost,
}

/// What was done, and what is to be said of it.
struct Done {
    server: SetReport,
    client: SetReport,
    settings: String,
    daemon_json: PathBuf,
    applied: Option<Applied>,
    conflict: Option<Conflict>,
    host: TcpHost,
    exports: String,
}

/// Makes or renews both sets of files, and merges daemon.json when asked.
pub(super) fn run(
    arguments: &DockerSetupArgs,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    let reach = reach(arguments)?;
    let server = absolute(arguments.dir.clone())?;
    let client = client_folder(arguments.client_dir.clone())?;
    if server == client {
        return Err(Failure::usage("daemon and client cannot have the same folder")
            .hint("both have a ca.pem; name another by --dir or --client-dir"));
    }
    let settings = Settings::new(&server, Vec::new())
        .map_err(|error| Failure::usage(error.to_string()).hint("name another by --dir"))?;
    let exports = env_lines(&reach.first, &client)
        .map_err(|error| Failure::usage(error.to_string()).hint("name another by --client-dir"))?;
    // What would be refused in the end is refused before anything is made.
    if arguments.apply {
        mergeable(&arguments.daemon_json, &settings)?;
    }
    let session = session(global)?;
    let (server, client, applied) = session.wait(async {
        let (server, client) = sets(&session, arguments, &reach, &server, &client).await?;
        session.let_go().await;
        let applied = match arguments.apply {
            true => Some(applied(&arguments.daemon_json, &settings).await?),
            false => None,
        };
        Ok::<_, Failure>((server, client, applied))
    })?;
    let done = Done {
        server,
        client,
        settings: settings.lines(),
        daemon_json: arguments.daemon_json.clone(),
        applied,
        conflict: conflict_on(Path::new("/")),
        host: reach.first,
        exports,
    };
    printer.either(&done.value(), |_| done.text())
}

fn reach(arguments: &DockerSetupArgs) -> Result<Reach, Failure> {
    let mut names = Vec::new();
    let mut first = None;
    let hosts = arguments.host.iter().map(String::as_str);
    let addresses = arguments.ip.iter().map(IpAddr::to_string);
    for text in hosts.map(str::to_owned).chain(addresses) {
        let name = match text.parse::<IpAddr>() {
            Ok(address) => SubjectName::Ip(address),
            Err(_) => SubjectName::dns(&text).map_err(|error| {
                Failure::usage(error.to_string())
                    .hint("--host takes names such as docker.example, --ip addresses")
            })?,
        };
        let dialled = !matches!(&name, SubjectName::Dns(name) if name.is_wildcard());
        if first.is_none() && dialled {
            first = Some(tcp_host(&name.to_string())?);
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let first = first.ok_or_else(|| {
        Failure::usage("no client can dial a wildcard").hint("give a whole name by --host too")
    })?;
    Ok(Reach { names, first })
}

/// Looks at both sets before the first certificate is issued, so that a folder that cannot be written
/// to leaves everything as it was.
async fn sets(
    session: &Session,
    arguments: &DockerSetupArgs,
    reach: &Reach,
    server: &Path,
    client: &Path,
) -> Result<(SetReport, SetReport), Failure> {
    let authority = Authority::of(session).await?;
    let admin = Identity::new(&authority.trust_domain, IdentityKind::Human, ADMIN);
    let sets = [
        Set {
            side: Side::Server,
            folder: server,
            identity: daemon_identity(&authority.trust_domain, &reach.first)?,
            names: reach.names.clone(),
            life: arguments.ttl,
        },
        Set {
            side: Side::Client,
            folder: client,
            identity: admin.map_err(|error| Failure::from_error(&error))?,
            names: Vec::new(),
            life: arguments.ttl,
        },
    ];
    let [server, client] = &sets;
    let found = (authority.look(server).await?, authority.look(client).await?);
    let server = brought(&authority, server, found.0).await?;
    Ok((server, brought(&authority, client, found.1).await?))
}

async fn brought(
    authority: &Authority<'_>,
    set: &Set<'_>,
    found: Found,
) -> Result<SetReport, Failure> {
    let reason = match found {
        Found::Good(existing) => return Ok(SetReport::kept(set, &existing)),
        Found::Unfit(reason) => Some(reason),
        Found::Nothing => None,
    };
    let made = authority.issue(set).await?;
    authority.write(set, &made, reason).await
}

/// The machine of that name; an IPv6 address cannot be one.
fn daemon_identity(trust_domain: &TrustDomain, host: &TcpHost) -> Result<Identity, Failure> {
    Identity::new(trust_domain, IdentityKind::Host, &host.name())
        .or_else(|_| Identity::new(trust_domain, IdentityKind::Host, "docker"))
        .map_err(|error| Failure::from_error(&error))
}

fn mergeable(path: &Path, settings: &Settings) -> Result<(), Failure> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|source| {
            not_applied(&ApplyError::File { doing: "read", path: path.to_owned(), source })
        })?,
    };
    merge(&text, settings)
        .map(drop)
        .map_err(|source| not_applied(&ApplyError::Merge { path: path.to_owned(), source }))
}

async fn applied(path: &Path, settings: &Settings) -> Result<Applied, Failure> {
    let applied = apply(path, settings, SystemClock.now(), OsStr::new("dockerd")).await;
    applied.map_err(|error| not_applied(&error))
}

fn not_applied(error: &ApplyError) -> Failure {
    let failure = Failure::from_error(error);
    match error {
        ApplyError::Merge { source: MergeError::Contradiction { .. }, .. } => {
            failure.hint("that is somebody's decision: change it there, then run this again")
        }
        ApplyError::Merge { .. } => failure.hint("mend it first; it was not changed"),
        ApplyError::File { .. } => {
            failure.hint("run this as root, or name the file by --daemon-json")
        }
        ApplyError::Changed(_) => failure.hint("run this again"),
        ApplyError::Refused { .. } | ApplyError::Validate(_) => {
            failure.hint("daemon.json is as it was")
        }
    }
}

impl Done {
    fn value(&self) -> Value {
        let settings: Value = serde_json::from_str(&self.settings).unwrap_or_default();
        let applied = self.applied.as_ref().map(|applied| {
            json!({
                "changed": applied.changed, "backup": applied.backup, "notes": applied.notes,
                "validation": validation(applied.validation),
            })
        });
        let conflict = self.conflict.as_ref().map(|found| {
            json!({
                "flags": found.flags, "hosts": found.hosts, "variables": found.variables,
                "drop_in_path": DROP_IN_PATH, "drop_in": found.drop_in,
            })
        });
        json!({
            "server": self.server, "client": self.client,
            "daemon_json": { "path": self.daemon_json, "settings": settings, "applied": applied },
            "unit_conflict": conflict,
            "env": {
                "DOCKER_HOST": self.host.to_string(), "DOCKER_TLS_VERIFY": "1",
                "DOCKER_CERT_PATH": self.client.folder,
            },
            "restart_needed": self.restart_needed(),
        })
    }

    fn restart_needed(&self) -> bool {
        self.server.changed || self.applied.as_ref().is_some_and(|applied| applied.changed)
    }

    fn text(&self) -> String {
        let server = self.server.line("Server files");
        let mut text = format!("{server}\n{}\n", self.client.line("Client files"));
        let path = self.daemon_json.display();
        match &self.applied {
            None => {
                let _ = write!(text, "\nFor {path} (--apply merges them):\n{}", self.settings);
            }
            Some(applied) if !applied.changed => {
                let _ = writeln!(text, "\n{path} says all that already.");
            }
            Some(applied) => {
                let _ = write!(text, "\nMerged into {path}");
                if let Some(backup) = &applied.backup {
                    let _ = write!(text, "; the old one is {}", backup.display());
                }
                let _ = write!(text, ".\nValidation: {}.\n", validation(applied.validation));
                text.push_str(&self.settings);
            }
        }
        for note in self.applied.iter().flat_map(|applied| &applied.notes) {
            let _ = writeln!(text, "Note: {note}");
        }
        let _ = write!(text, "\nFor clients:\n{}", self.exports);
        self.next(&mut text);
        text
    }

    fn next(&self, text: &mut String) {
        if let Some(conflict) = &self.conflict {
            let _ = write!(
                text,
                "\nThe daemon's systemd unit says `{}`, and the daemon does not start while daemon.json \
                 says it too.\nWrite this to {DROP_IN_PATH}, then: systemctl daemon-reload\n{}",
                conflict.flags.join(" "),
                conflict.drop_in,
            );
            for host in &conflict.hosts {
                let _ = writeln!(text, "`hosts` in daemon.json then has to name {host}.");
            }
            for variable in &conflict.variables {
                let _ = writeln!(text, "See what {variable} holds: it may conflict too.");
            }
        }
        if self.restart_needed() {
            let _ = write!(text, "\nNext: systemctl restart docker\n");
            let _ = writeln!(text, "then: sealock docker check {}", self.host);
        }
    }
}

fn validation(validation: Validation) -> &'static str {
    match validation {
        Validation::NotNeeded => "nothing was to be validated",
        Validation::Passed => "dockerd takes it",
        Validation::NoDockerd => "there is no dockerd here to ask",
        Validation::NotOffered => "this dockerd cannot be asked (older than 23.0)",
    }
}
