//! The file with the keys by which an app checks who calls.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sealock_traffic::token::{KeySet, PublicKey};
use serde_json::{Value, json};

use crate::daemon::blocking;
use crate::error::{ErrorCode, ServiceError};

/// No key set of ours is longer.
const LONGEST: u64 = 64 * 1024;

/// Writes the key, and behind it the one that was first before: the process that signs with that may still be finishing
/// what it has. The file is replaced as a whole.
pub(super) async fn publish(path: PathBuf, own: KeySet) -> Result<(), ServiceError> {
    blocking(move || {
        write(&path, &own).map_err(|error| {
            let text = format!("cannot write the keys to {}", path.display());
            ServiceError::new(ErrorCode::Failed, text).caused_by(&error)
        })
    })
    .await
}

fn write(path: &Path, own: &KeySet) -> io::Result<()> {
    let mut keys: Vec<Value> = own.iter().filter_map(value).collect();
    if let Some(before) = first(path).filter(|before| own.get(before.kid()).is_none()) {
        keys.extend(value(&before));
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut options = fs::OpenOptions::new();
    // A link or file that somebody has put there is not written through.
    let mut file = options.write(true).create_new(true).mode(0o644).open(&beside)?;
    let written = file
        .write_all(format!("{}\n", json!({ "keys": keys })).as_bytes())
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn value(key: &PublicKey) -> Option<Value> {
    serde_json::from_str(&key.to_jwk()).ok()
}

/// The first key of a file that is there.
fn first(path: &Path) -> Option<PublicKey> {
    if fs::metadata(path).ok()?.len() > LONGEST {
        return None;
    }
    let set: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    PublicKey::from_jwk(set.get("keys")?.get(0)?.to_string().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use sealock_core::Identity;
    use sealock_traffic::gatekeeper::Signer;

    use super::*;

    #[test]
    fn the_last_two_keys_are_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        fs::write(&path, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}").unwrap();
        let service: Identity = "spiffe://t.sealock/service/orders".parse().unwrap();
        let signers: Vec<Signer> = (0..3).map(|_| Signer::new(&service).unwrap()).collect();
        for (number, signer) in signers.iter().enumerate() {
            write(&path, &signer.keys()).unwrap();
            write(&path, &signer.keys()).unwrap();
            let set = KeySet::from_json(&fs::read(&path).unwrap()).unwrap();
            let kid = |signer: &Signer| signer.keys().iter().next().unwrap().kid().to_owned();
            assert!(set.get(&kid(signer)).is_some());
            // Of two times by the same process, the second leaves only its own.
            assert!(set.len() <= 2, "{number}");
        }
        write(&path, &signers[0].keys()).unwrap();
        let set = KeySet::from_json(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(set.len(), 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
