//! CAs of others that are asked by protocol: `[upstream.corp]` with `kind` (`acme` or `est`), `url`, and who we are there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sealock_upstream::acme::Hook;
use sealock_upstream::{Origin, Place, est};

use super::directories::is_name;
use super::file::Value;
use super::shape::{self, ANY, Field, HTTPS, Shape};

/// Upstreams by their names.
pub type Upstreams = BTreeMap<String, UpstreamSettings>;

/// What a CA speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamKind {
    /// ACME (RFC 8555).
    Acme,
    /// EST (RFC 7030).
    Est,
}

impl UpstreamKind {
    /// As the settings have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Est => "est",
        }
    }
}

/// A CA that is asked by protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// What it speaks.
    pub kind: Option<UpstreamKind>,
    /// Its directory (ACME), or its server (EST).
    pub url: Option<Place>,
    /// The roots that its server is known by; otherwise those of `trust add`.
    pub ca_file: Option<PathBuf>,
    /// Other hosts that its URLs may lead to.
    pub hosts: Vec<Origin>,
    /// ACME: by which URLs the account's owner is reached.
    pub contact: Vec<String>,
    /// ACME: whether the server's terms are agreed to.
    pub terms_agreed: bool,
    /// ACME: the id of what vouches for the account.
    pub eab_kid: Option<String>,
    /// ACME: the file with its key (base64url).
    pub eab_key_file: Option<PathBuf>,
    /// ACME: the kind of certificates.
    pub profile: Option<String>,
    /// ACME: where to listen for http-01 while something is to be proved.
    pub http01: Option<SocketAddr>,
    /// ACME: the program that proves names by the DNS.
    pub dns_hook: Option<Hook>,
    /// EST: which of the server's CAs.
    pub label: Option<String>,
    /// EST: who we are.
    pub user: Option<String>,
    /// EST: the file with the password.
    pub password_file: Option<PathBuf>,
    /// EST: the folder with a certificate (`tls.crt`, `tls.key`) that says who we are.
    pub certificate: Option<PathBuf>,
}

/// What a table has, whatever its kind.
pub(super) const FIELDS: &[Field] = &[
    Field::new("kind", Shape::Word(&["acme", "est"]), "what it speaks: `acme` or `est`"),
    Field::new("url", Shape::Text(HTTPS), "`https://…`: the directory of ACME, the server of EST"),
    Field::new(
        "ca_file",
        Shape::Text(ANY),
        "the roots that its server is known by; otherwise those of `sealock trust add`",
    ),
    Field::new("hosts", Shape::List(0, ANY), "others that its URLs may lead to, HOST or HOST:PORT"),
];
/// What one of ACME has besides.
pub(super) const OF_ACME: &[Field] = &[
    Field::new("contact", Shape::List(1, "^mailto:"), "whom the account belongs to, `mailto:…`"),
    Field::new("terms_agreed", Shape::Truth, "whether the server's terms are agreed to"),
    Field::new("eab_kid", Shape::Text(ANY), "the id of what vouches for the account"),
    Field::new("eab_key_file", Shape::Text(ANY), "the file with its key, in base64url"),
    Field::new("profile", Shape::Text(ANY), "which of the server's profiles"),
    Field::new(
        "http01",
        Shape::Text(":[0-9]{1,5}$"),
        "ADDRESS:PORT to listen at while something is to be proved",
    ),
    Field::new(
        "dns_hook",
        Shape::List(1, ANY),
        "a program and its first arguments; called with `present` or `cleanup`, name and value of a TXT record",
    ),
];
/// What one of EST has besides.
pub(super) const OF_EST: &[Field] = &[
    Field::new("label", Shape::Text("^[A-Za-z0-9._-]+$"), "which of the server's CAs"),
    Field::new("user", Shape::Text("^[^:]+$"), "who we are there; with `password_file`"),
    Field::new("password_file", Shape::Text(ANY), "the file with the password"),
    Field::new(
        "certificate",
        Shape::Text(ANY),
        "a folder with `tls.crt` and `tls.key`, which says who we are",
    ),
];

impl UpstreamSettings {
    /// Paths in the file are relative to it.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let paths = [
            &mut self.ca_file,
            &mut self.eab_key_file,
            &mut self.password_file,
            &mut self.certificate,
        ];
        for path in paths.into_iter().flatten().filter(|path| path.is_relative()) {
            *path = folder.join(&path);
        }
    }
}

/// Sets `NAME.kind`, `NAME.url` and so on.
pub(super) fn set(upstreams: &mut Upstreams, key: &str, value: &Value) -> Result<(), String> {
    let (name, field) = key.rsplit_once('.').unwrap_or_default();
    if !is_name(name) {
        return Err("is no upstream: its name has a-z, 0-9, `-` and `_`, and it has kind and url"
            .to_owned());
    }
    let mut upstream = upstreams.get(name).cloned().unwrap_or_default();
    let refused = |error: &dyn std::fmt::Display| format!("cannot be used: {error}");
    let path = || value.text().map(|text| Some(PathBuf::from(text)));
    let text = || value.text().map(|text| Some(text.to_owned()));
    match field {
        "kind" => {
            upstream.kind = Some(match value.text()? {
                "acme" => UpstreamKind::Acme,
                "est" => UpstreamKind::Est,
                _ => return Err("must be acme or est".to_owned()),
            });
        }
        "url" => upstream.url = Some(value.text()?.parse().map_err(|error| refused(&error))?),
        "ca_file" => upstream.ca_file = path()?,
        "hosts" => {
            let hosts = value.list()?;
            let read = hosts.iter().map(|host| {
                host.parse().map_err(|_| format!("has `{host}`, which is not HOST or HOST:PORT"))
            });
            upstream.hosts = read.collect::<Result<_, _>>()?;
        }
        "contact" => {
            let contact = value.list()?;
            if contact.is_empty() {
                return Err("must name somebody".to_owned());
            }
            if let Some(bad) = contact.iter().find(|one| !one.starts_with("mailto:")) {
                return Err(format!("has `{bad}`, which is not mailto:SOMEBODY"));
            }
            upstream.contact = contact;
        }
        "terms_agreed" => upstream.terms_agreed = value.truth()?,
        "eab_kid" => upstream.eab_kid = text()?,
        "eab_key_file" => upstream.eab_key_file = path()?,
        "profile" => upstream.profile = text()?,
        "http01" => {
            let address = value.text()?.parse();
            upstream.http01 =
                Some(address.map_err(|_| "must be ADDRESS:PORT, such as 0.0.0.0:80".to_owned())?);
        }
        "dns_hook" => {
            let hook = Hook::new(value.list()?);
            upstream.dns_hook = Some(hook.ok_or_else(|| {
                "must be a list that begins with the absolute path of a program".to_owned()
            })?);
        }
        "label" => {
            let label = value.text()?;
            if !est::is_label(label) {
                return Err("must be a label of EST: letters, digits, `-`, `_` and `.`".to_owned());
            }
            upstream.label = Some(label.to_owned());
        }
        "user" => {
            let user = value.text()?;
            if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
                return Err("must be a name without a colon".to_owned());
            }
            upstream.user = Some(user.to_owned());
        }
        "password_file" => upstream.password_file = path()?,
        "certificate" => upstream.certificate = path()?,
        _ => {
            return Err(format!(
                "ends in `{field}`; there are {}; of ACME {}; of EST {}",
                shape::known(FIELDS),
                shape::known(OF_ACME),
                shape::known(OF_EST)
            ));
        }
    }
    upstreams.insert(name.to_owned(), upstream);
    Ok(())
}

/// Whether each of them is complete, and nothing in it contradicts another.
pub(super) fn check(upstreams: &Upstreams) -> Result<(), String> {
    for (name, upstream) in upstreams {
        let wrong = |why: &str| Err(format!("{name}: {why}"));
        let Some(kind) = upstream.kind else { return wrong("it has no kind: acme or est") };
        let Some(url) = &upstream.url else { return wrong("it has no url") };
        let UpstreamSettings { contact, terms_agreed, eab_kid, eab_key_file, .. } = upstream;
        let UpstreamSettings { profile, http01, dns_hook, .. } = upstream;
        let UpstreamSettings { label, user, password_file, certificate, .. } = upstream;
        let of_acme = !contact.is_empty()
            || *terms_agreed
            || eab_kid.is_some()
            || eab_key_file.is_some()
            || profile.is_some()
            || http01.is_some()
            || dns_hook.is_some();
        let of_est =
            label.is_some() || user.is_some() || password_file.is_some() || certificate.is_some();
        match kind {
            UpstreamKind::Acme if of_est => {
                return wrong("label, user, password_file and certificate are for kind = \"est\"");
            }
            UpstreamKind::Est if of_acme => {
                return wrong("accounts and challenges are for kind = \"acme\"");
            }
            UpstreamKind::Est if !url.is_root() => {
                return wrong(
                    "its url is that of a server, such as https://est.corp.example; what comes behind /.well-known/est/ \
                     is its label",
                );
            }
            _ => {}
        }
        if eab_kid.is_some() != eab_key_file.is_some() {
            return wrong("eab_kid and eab_key_file go together");
        }
        if user.is_some() != password_file.is_some() {
            return wrong("user and password_file go together");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn with(settings: &[(&str, &str)]) -> Result<Upstreams, String> {
        let mut upstreams = Upstreams::new();
        for (key, value) in settings {
            set(&mut upstreams, &format!("corp.{key}"), &text(value))?;
        }
        check(&upstreams)?;
        Ok(upstreams)
    }

    const ACME: (&str, &str) = ("kind", "acme");
    const EST: (&str, &str) = ("kind", "est");
    const URL: (&str, &str) = ("url", "https://ca.corp.example");

    #[test]
    fn an_upstream_has_a_kind_and_a_url() {
        let made = with(&[
            ACME,
            ("url", "https://ca.corp.example/dir"),
            ("eab_kid", "k"),
            ("eab_key_file", "key"),
            ("http01", "0.0.0.0:80"),
            ("dns_hook", "/usr/bin/hook, --zone"),
            ("hosts", "ca2.corp.example"),
        ]);
        let mut corp = made.unwrap()["corp"].clone();
        corp.resolve_paths(Path::new("/etc/sealock"));
        assert_eq!(corp.eab_key_file, Some("/etc/sealock/key".into()));
        assert_eq!(corp.hosts[0].to_string(), "ca2.corp.example:443");
        assert!(with(&[EST, URL, ("label", "web"), ("user", "u"), ("password_file", "p")]).is_ok());
        assert!(with(&[EST, URL, ("certificate", "tls")]).is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[URL], "has no kind"),
            (&[ACME], "has no url"),
            (&[("kind", "scep"), URL], "acme or est"),
            (&[ACME, ("url", "http://ca.corp.example")], "https://"),
            (&[ACME, ("url", "https://u:hunter2@ca")], "a password in it"),
            (&[EST, ("url", "https://ca/.well-known/est/web")], "its label"),
            (&[EST, URL, ("label", "a/b")], "label of EST"),
            (&[EST, URL, ("user", "u")], "go together"),
            (&[EST, URL, ("user", "a:b")], "without a colon"),
            (&[ACME, URL, ("eab_kid", "k")], "go together"),
            (&[ACME, URL, ("user", "u"), ("password_file", "p")], "for kind = \"est\""),
            (&[EST, URL, ("http01", "0.0.0.0:80")], "for kind = \"acme\""),
            (&[ACME, URL, ("http01", "80")], "ADDRESS:PORT"),
            (&[ACME, URL, ("dns_hook", "hook")], "absolute path"),
            (&[ACME, URL, ("hosts", "https://x/")], "HOST:PORT"),
            (&[ACME, URL, ("contact", "pki@corp")], "mailto:"),
            (&[EST, URL, ("password", "hunter2")], "there are kind, url"),
        ];
        for (settings, why) in table {
            let error = with(settings).unwrap_err();
            assert!(error.contains(why), "{settings:?}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for name in ["", "Corp", "a.b", "-a", "a b"] {
            let key = format!("{name}.url");
            assert!(set(&mut Upstreams::new(), &key, &text(URL.1)).is_err(), "{name}");
        }
    }
}
