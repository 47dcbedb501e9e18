//! A context of Docker's command line client: where a daemon is, and with which files to reach it.
//!
//! Written is what `docker context create` writes: `contexts/meta/<id>/meta.json` and
//! `contexts/tls/<id>/docker/{ca,cert,key}.pem` under the client's folder, where the id is the SHA-256 of
//! the name. The files come before the entry that names them, so that a kill leaves no context without
//! its certificates. A context that leads elsewhere is never overwritten.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use thiserror::Error;

use super::TcpHost;
use super::atomic::{Unnamed, sync_folder};
use super::files::{ClientFiles, FilesError, Modes};

/// As the client makes them; it opens the key for writing when it updates a context.
const MODES: Modes = Modes { key: 0o600, certificate: 0o600 };
const META_MODE: u32 = 0o644;

/// Why there is no context.
#[derive(Debug, Error)]
pub enum ContextError {
    /// Not a name that Docker takes.
    #[error(
        "`{0}` is not a context's name (2 to 128 of a-z A-Z 0-9 _ . + -, a letter or digit first, and \
         not `default`)"
    )]
    Name(String),
    /// There is one of this name that leads elsewhere.
    #[error("the context `{name}` is there already, for {host}")]
    Taken {
        /// Its name.
        name: ContextName,
        /// Where it leads.
        host: String,
    },
    /// What is there cannot be understood, and so is not overwritten.
    #[error("{} is not a context's description", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Where it is not JSON.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The description cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Meta {
        /// `read` or `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be written.
    #[error("cannot write the context's certificates")]
    Files(#[from] FilesError),
}

/// A name that Docker's client takes for a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextName(String);

impl FromStr for ContextName {
    type Err = ContextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = (2..=128).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c))
            && text != "default";
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(ContextError::Name(text.escape_debug().take(80).collect()))
        }
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is new.
    Created,
    /// It was there for the same host, and has new certificates.
    Refreshed,
}

/// Makes or refreshes the context `name` in the client's folder `config` (usually `~/.docker`).
pub fn write(
    config: &Path,
    name: &ContextName,
    host: &TcpHost,
    files: &ClientFiles,
) -> Result<Written, ContextError> {
    let id = HEXLOWER.encode(digest::digest(&digest::SHA256, name.0.as_bytes()).as_ref());
    let meta = config.join("contexts/meta").join(&id);
    let path = meta.join("meta.json");
    let there = existing(&path, name, host)?;
    files.write_as(&config.join("contexts/tls").join(&id).join("docker"), MODES)?;
    let (written, description) = match there {
        Some(description) => (Written::Refreshed, description),
        None => (Written::Created, json!({ "Name": name.0, "Metadata": {}, "Endpoints": {} })),
    };
    let changed = pointed(description.clone(), host);
    if written == Written::Created || changed != description {
        let failed = |source| ContextError::Meta { doing: "write", path: path.clone(), source };
        fs::create_dir_all(&meta).map_err(failed)?;
        Unnamed::write(&path, changed.to_string().as_bytes(), META_MODE, None)
            .and_then(|unnamed| unnamed.rename(&path))
            .and_then(|()| sync_folder(&meta))
            .map_err(failed)?;
    }
    Ok(written)
}

/// The description with `host` as its endpoint, which is always verified.
fn pointed(mut description: Value, host: &TcpHost) -> Value {
    if let Some(endpoints) = description.get_mut("Endpoints").and_then(Value::as_object_mut) {
        let endpoint = endpoints.entry("docker").or_insert_with(|| json!({}));
        if let Some(endpoint) = endpoint.as_object_mut() {
            endpoint.insert("Host".to_owned(), Value::String(host.to_string()));
            endpoint.insert("SkipTLSVerify".to_owned(), Value::Bool(false));
        }
    }
    description
}

/// The description of a context of this name and host; `None` where there is none.
fn existing(
    path: &Path,
    name: &ContextName,
    host: &TcpHost,
) -> Result<Option<Value>, ContextError> {
    let unreadable = |source| ContextError::Unreadable { path: path.to_owned(), source };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(ContextError::Meta { doing: "read", path: path.to_owned(), source });
        }
    };
    let description: Value =
        serde_json::from_slice(&text).map_err(|error| unreadable(Some(error)))?;
    let there = description.pointer("/Endpoints/docker/Host").and_then(Value::as_str);
    let there = there.ok_or_else(|| unreadable(None))?;
    if description.get("Name").and_then(Value::as_str) != Some(name.0.as_str()) {
        return Err(unreadable(None));
    }
    if there != host.to_string() {
        let host = there.escape_debug().take(200).collect();
        return Err(ContextError::Taken { name: name.clone(), host });
    }
    Ok(Some(description))
}
