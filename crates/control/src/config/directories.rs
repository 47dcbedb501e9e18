//! LDAP directories that the settings name: `[directory.corp]` with `url`, `dn` and as whom to bind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealock_directory::{Create, Dn, DnTemplate, Location};

use super::file::Value;
use super::shape::{self, ANY, Field, Shape};

/// Directories by their names.
pub type Directories = BTreeMap<String, DirectorySettings>;

/// Where certificates are published, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirectorySettings {
    /// Where it is.
    pub url: Option<Location>,
    /// The entry of a certificate, by its name.
    pub dn: Option<DnTemplate>,
    /// Whether an `ldap://` one begins TLS.
    pub start_tls: bool,
    /// Whether it may be asked without TLS over a network.
    pub dangerous_plain: bool,
    /// The roots to trust; otherwise our own.
    pub ca_file: Option<PathBuf>,
    /// As whom to bind.
    pub bind_dn: Option<Dn>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
    /// The folder with the certificate (`tls.crt`, `tls.key`) by which to bind.
    pub certificate: Option<PathBuf>,
    /// As what a missing entry is made.
    pub create: Option<Create>,
}

/// What a table has.
pub(super) const FIELDS: &[Field] = &[
    Field::new("url", Shape::Text("^ldap[si]?://"), "`ldaps://`, `ldap://` or `ldapi://`"),
    Field::new("dn", Shape::Text(ANY), "the entry, with `{name}` for the certificate's name"),
    Field::new("bind_dn", Shape::Text(ANY), "as whom to bind; with `password_file`"),
    Field::new("password_file", Shape::Text(ANY), "the file with its password"),
    Field::new(
        "certificate",
        Shape::Text(ANY),
        "a folder with `tls.crt` and `tls.key`, by which to bind instead",
    ),
    Field::new(
        "ca_file",
        Shape::Text(ANY),
        "the roots that its server is known by; otherwise ours",
    ),
    Field::new("start_tls", Shape::Truth, "whether an `ldap://` one begins TLS"),
    Field::new("dangerous_plain", Shape::Truth, "whether it may be without TLS over a network"),
    Field::new(
        "create",
        Shape::Word(&["person", "device"]),
        "as what an entry that is missing is made: `person` or `device`",
    ),
];

impl DirectorySettings {
    /// Paths in the file are relative to it.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let paths = [&mut self.ca_file, &mut self.password_file, &mut self.certificate];
        for path in paths.into_iter().flatten().filter(|path| path.is_relative()) {
            *path = folder.join(&path);
        }
    }
}

/// Whether this can be a directory's name, in a label too.
pub(super) fn is_name(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| alphanumeric(c) || "-_".contains(c))
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
}

/// Sets `NAME.url`, `NAME.dn` and so on.
pub(super) fn set(directories: &mut Directories, key: &str, value: &Value) -> Result<(), String> {
    let (name, field) = key.rsplit_once('.').unwrap_or_default();
    if !is_name(name) {
        return Err(
            "is no directory: its name has a-z, 0-9, `-` and `_`, and it has url and dn".to_owned()
        );
    }
    let mut directory = directories.get(name).cloned().unwrap_or_default();
    let refused = |error: &dyn std::fmt::Display| format!("cannot be used: {error}");
    match field {
        "url" => {
            directory.url = Some(value.text()?.parse().map_err(|error| refused(&error))?);
        }
        "dn" => directory.dn = Some(value.text()?.parse().map_err(|error| refused(&error))?),
        "bind_dn" => {
            directory.bind_dn = Some(value.text()?.parse().map_err(|error| refused(&error))?);
        }
        "password_file" => directory.password_file = Some(value.text()?.into()),
        "certificate" => directory.certificate = Some(value.text()?.into()),
        "ca_file" => directory.ca_file = Some(value.text()?.into()),
        "start_tls" => directory.start_tls = value.truth()?,
        "dangerous_plain" => directory.dangerous_plain = value.truth()?,
        "create" => directory.create = Some(value.text()?.parse()?),
        _ => {
            return Err(format!("ends in `{field}`; there are {}", shape::known(FIELDS)));
        }
    }
    directories.insert(name.to_owned(), directory);
    Ok(())
}

/// Whether each of them is complete, and nothing in it contradicts another.
pub(super) fn check(directories: &Directories) -> Result<(), String> {
    for (name, directory) in directories {
        let wrong = |why: &str| Err(format!("{name}: {why}"));
        let Some(url) = &directory.url else { return wrong("it has no url") };
        if directory.dn.is_none() {
            return wrong("it has no dn, such as cn={name},ou=devices,dc=corp,dc=example");
        }
        if directory.start_tls && !matches!(url, Location::Ldap { .. }) {
            return wrong("start_tls is for an ldap:// url");
        }
        let tls = directory.start_tls || matches!(url, Location::Ldaps { .. });
        if !tls && !url.is_local() && !directory.dangerous_plain {
            return wrong("its url is without TLS: write ldaps://, or set start_tls");
        }
        if directory.bind_dn.is_some() != directory.password_file.is_some() {
            return wrong("bind_dn and password_file go together");
        }
        if directory.certificate.is_some() && (directory.bind_dn.is_some() || !tls) {
            return wrong("a certificate binds over TLS, and without bind_dn");
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

    fn with(settings: &[(&str, &str)]) -> Result<Directories, String> {
        let mut directories = Directories::new();
        for (key, value) in settings {
            set(&mut directories, &format!("corp.{key}"), &text(value))?;
        }
        check(&directories)?;
        Ok(directories)
    }

    const URL: (&str, &str) = ("url", "ldaps://dir.corp.example");
    const DN: (&str, &str) = ("dn", "cn={name},ou=devices,dc=corp");

    #[test]
    fn a_directory_has_a_url_and_a_template() {
        let made = with(&[URL, DN, ("bind_dn", "cn=p,dc=corp"), ("password_file", "pw")]).unwrap();
        let mut corp = made["corp"].clone();
        assert_eq!(corp.url.as_ref().unwrap().to_string(), "ldaps://dir.corp.example:636");
        corp.resolve_paths(Path::new("/etc/sealock"));
        assert_eq!(corp.password_file, Some("/etc/sealock/pw".into()));
        assert!(with(&[("url", "ldap://127.0.0.1"), DN]).is_ok());
        assert!(with(&[("url", "ldap://dir"), DN, ("start_tls", "true")]).is_ok());
        assert!(with(&[("url", "ldap://dir"), DN, ("dangerous_plain", "on")]).is_ok());
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[DN], "has no url"),
            (&[URL], "has no dn"),
            (&[("url", "https://dir"), DN], "begins with ldaps://"),
            (&[URL, ("dn", "cn=all,dc=corp")], "{name}"),
            (&[URL, ("dn", "nothing")], "TYPE=VALUE"),
            (&[("url", "ldap://dir"), DN], "without TLS"),
            (&[URL, DN, ("start_tls", "true")], "start_tls is for"),
            (&[URL, DN, ("bind_dn", "cn=p")], "go together"),
            (&[URL, DN, ("password_file", "pw")], "go together"),
            (&[("url", "ldap://localhost"), DN, ("certificate", "tls")], "binds over TLS"),
            (&[URL, DN, ("create", "printer")], "person or device"),
            (&[URL, DN, ("password", "hunter2")], "there are url, dn"),
        ];
        for (settings, why) in table {
            let error = with(settings).unwrap_err();
            assert!(error.contains(why), "{settings:?}: {error}");
            assert!(!error.contains("hunter2"));
        }
        for name in ["", "Corp", "a.b", "-a", "a b"] {
            let key = format!("{name}.url");
            assert!(set(&mut Directories::new(), &key, &text(URL.1)).is_err(), "{name}");
        }
    }
}
