//! The daemon's settings (`/etc/docker/daemon.json`), with mutual TLS merged in.
//!
//! **Invariants.** Every byte of the text that is there stays: settings that are unknown to us, their
//! order, numbers as they were written; new ones are inserted behind them, and of `hosts` only new
//! elements. What would contradict is refused and named, never overwritten: whoever wrote it had a
//! reason. Merging what was merged changes nothing.
//!
//! [`merge`] is a pure function over a text; [`apply`] does it to a file.

mod apply;
mod fuzz;
mod scan;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use super::TcpHost;
use super::files::Side;
pub use apply::{Applied, ApplyError, Validation, apply};
pub use fuzz::fuzz;
use scan::{Object, scan};

/// Where the daemon listens when nothing else is said.
const LOCAL: &str = "unix:///var/run/docker.sock";
/// What new settings are indented with, where there is nothing to copy from.
const INDENT: &str = "\n  ";

/// What is to stand in daemon.json.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    folder: String,
    hosts: Vec<TcpHost>,
}

/// Why settings cannot be merged.
#[derive(Debug, Error)]
pub enum MergeError {
    /// The folder of the certificates is not an absolute path in UTF-8.
    #[error("the folder `{}` of the certificates is not an absolute path in UTF-8", .0.display())]
    Folder(PathBuf),
    /// Comments are not JSON, and dockerd does not take them either.
    #[error("daemon.json has a comment at line {line}, column {column}, and JSON has none")]
    Comment {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// The text is not JSON.
    #[error("daemon.json is not JSON at line {line}, column {column}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What was expected.
        #[source]
        source: serde_json::Error,
    },
    /// It is JSON, but not an object.
    #[error("daemon.json is not an object")]
    NotAnObject,
    /// A setting stands there twice, and programs differ in which they take.
    #[error("daemon.json says `{0}` twice")]
    Twice(String),
    /// A setting says the opposite of what mutual TLS needs.
    #[error("daemon.json says `{key}: {there}`, which contradicts {wanted}")]
    Contradiction {
        /// Which setting.
        key: String,
        /// Its value there.
        there: String,
        /// What is to stand there.
        wanted: String,
    },
}

/// A text that the settings were merged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The new text.
    pub text: String,
    /// Whether it differs from the old.
    pub changed: bool,
    /// What the administrator should know, a sentence each.
    pub notes: Vec<String>,
}

impl Settings {
    /// Mutual TLS with the files of [`ServerFiles`](super::files::ServerFiles) in `folder`, listening at
    /// `hosts`; without any, at `tcp://0.0.0.0:2376`.
    pub fn new(folder: &Path, hosts: Vec<TcpHost>) -> Result<Self, MergeError> {
        let refused = || MergeError::Folder(folder.to_owned());
        let text = folder.to_str().filter(|_| folder.is_absolute()).ok_or_else(refused)?;
        let hosts = if hosts.is_empty() {
            // The text is a constant and parses; were it not to, there would be no host, not another one.
            "tcp://0.0.0.0:2376".parse().into_iter().collect()
        } else {
            hosts
        };
        Ok(Self { folder: text.trim_end_matches('/').to_owned(), hosts })
    }

    /// The settings as daemon.json has them, for people to copy.
    pub fn lines(&self) -> String {
        let mut lines = String::from("{");
        for (number, (key, value)) in self.fixed().into_iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            lines.push_str(&format!("{comma}{INDENT}\"{key}\": {value}"));
        }
        lines.push_str(&format!(",{INDENT}\"hosts\": {}\n}}\n", list(&self.all_hosts())));
        lines
    }

    fn fixed(&self) -> [(&'static str, Value); 4] {
        let file = |name: &str| Value::String(format!("{}/{name}", self.folder));
        [
            ("tlsverify", Value::Bool(true)),
            ("tlscacert", file(Side::Server.ca())),
            ("tlscert", file(Side::Server.certificate())),
            ("tlskey", file(Side::Server.key())),
        ]
    }

    fn all_hosts(&self) -> Vec<String> {
        let own = self.hosts.iter().map(ToString::to_string);
        std::iter::once(LOCAL.to_owned()).chain(own).collect()
    }
}

/// Merges the settings into a text; an empty one is an empty object.
pub fn merge(text: &str, settings: &Settings) -> Result<Merged, MergeError> {
    let base = if text.trim().is_empty() { "{}\n" } else { text };
    let value: Value = serde_json::from_str(base).map_err(|error| syntax(base, error))?;
    let there = value.as_object().ok_or(MergeError::NotAnObject)?;
    let object = scan(base).ok_or(MergeError::NotAnObject)?;
    for (index, member) in object.members.iter().enumerate() {
        if object.members.iter().take(index).any(|before| before.key == member.key) {
            return Err(MergeError::Twice(member.key.clone()));
        }
        other_case(&member.key)?;
    }
    if let Some(tls) = there.get("tls")
        && *tls != Value::Bool(true)
    {
        return Err(contradiction("tls", tls, "tlsverify".to_owned()));
    }
    let mut new = Vec::new();
    for (key, wanted) in settings.fixed() {
        match there.get(key) {
            None => new.push((key, wanted.to_string())),
            Some(value) if *value == wanted => {}
            Some(value) => return Err(contradiction(key, value, format!("`{key}: {wanted}`"))),
        }
    }
    let mut notes = Vec::new();
    let mut merged = base.to_owned();
    // From behind to the front, so that places in the text that are still to be used stay right.
    let hosts = there.get("hosts").map(|value| added_hosts(value, settings, &mut notes));
    let hosts = hosts.transpose()?;
    if hosts.is_none() {
        new.push(("hosts", list(&settings.all_hosts())));
    }
    insert_members(&mut merged, &object, &new);
    if let Some(hosts) = hosts.filter(|hosts| !hosts.is_empty()) {
        insert_hosts(&mut merged, &object, &hosts);
    }
    Ok(Merged { changed: merged != text, text: merged, notes })
}

fn insert_members(text: &mut String, object: &Object, new: &[(&str, String)]) {
    if new.is_empty() {
        return;
    }
    let indent = object.indent.clone().unwrap_or_else(|| INDENT.to_owned());
    let mut inserted = String::new();
    for (index, (key, value)) in new.iter().enumerate() {
        let comma = if index == 0 && object.members.is_empty() { "" } else { "," };
        let space = if comma.is_empty() || !indent.is_empty() { indent.as_str() } else { " " };
        inserted.push_str(&format!("{comma}{space}\"{key}\": {value}"));
    }
    if object.members.is_empty() {
        inserted.push('\n');
    }
    text.insert_str(object.end_of_last, &inserted);
}

fn insert_hosts(text: &mut String, object: &Object, hosts: &[String]) {
    let Some(member) = object.members.iter().find(|member| member.key == "hosts") else {
        return;
    };
    let Some(array) = text.get(member.value.clone()) else { return };
    let inner = array.trim_end_matches(']').trim_end();
    let at = member.value.start + inner.len();
    let quoted: Vec<_> = hosts.iter().map(|host| Value::String(host.clone()).to_string()).collect();
    let comma = if inner == "[" { "" } else { ", " };
    text.insert_str(at, &format!("{comma}{}", quoted.join(", ")));
}

/// The hosts that are not among those that are there.
fn added_hosts(
    there: &Value,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<Vec<String>, MergeError> {
    let wanted = || "a list of sockets".to_owned();
    let there_list = there.as_array().ok_or_else(|| contradiction("hosts", there, wanted()))?;
    let mut present = Vec::new();
    for host in there_list {
        present.push(host.as_str().ok_or_else(|| contradiction("hosts", there, wanted()))?);
    }
    // An empty list means the local socket, and would no longer with ours in it.
    let mut added = if present.is_empty() { vec![LOCAL.to_owned()] } else { Vec::new() };
    for host in &settings.hosts {
        let text = host.to_string();
        if present.contains(&text.as_str()) {
            continue;
        }
        for other in &present {
            if other.parse::<TcpHost>().is_ok_and(|other| other.overlaps(host)) {
                return Err(contradiction("hosts", there, format!("`{text}`: the port is taken")));
            }
        }
        added.push(text);
    }
    let tcp = present.iter().filter(|host| host.starts_with("tcp://"));
    for host in tcp.filter(|host| !settings.hosts.iter().any(|own| own.to_string() == ***host)) {
        notes.push(format!("{} demands a client certificate too", host.escape_debug()));
    }
    Ok(added)
}

fn contradiction(key: &str, there: &Value, wanted: String) -> MergeError {
    let there = there.to_string().chars().take(200).collect();
    MergeError::Contradiction { key: key.to_owned(), there, wanted }
}

/// A setting of ours in other letters: dockerd knows it not, and would not start.
fn other_case(key: &str) -> Result<(), MergeError> {
    let ours = ["tls", "tlsverify", "tlscacert", "tlscert", "tlskey", "hosts"];
    match ours.iter().find(|ours| key.eq_ignore_ascii_case(ours) && key != **ours) {
        Some(ours) => Err(MergeError::Contradiction {
            key: key.to_owned(),
            there: "…".to_owned(),
            wanted: format!("`{ours}`, as the setting is called"),
        }),
        None => Ok(()),
    }
}

fn syntax(text: &str, source: serde_json::Error) -> MergeError {
    let (line, column) = (source.line(), source.column());
    let rest: String = text
        .lines()
        .nth(line.saturating_sub(1))
        .map(|text| text.chars().skip(column.saturating_sub(1)).take(2).collect())
        .unwrap_or_default();
    if rest.starts_with('#') || rest == "//" || rest == "/*" {
        return MergeError::Comment { line, column };
    }
    MergeError::Syntax { line, column, source }
}

fn list(hosts: &[String]) -> String {
    let quoted: Vec<_> = hosts.iter().map(|host| Value::String(host.clone()).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}
