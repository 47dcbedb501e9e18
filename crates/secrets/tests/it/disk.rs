//! What lies on disk.

use std::path::Path;

use crate::common::{Scratch, actor, named};

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn no_value_is_ever_in_the_store_as_it_is() {
    const SHORT: &str = "correct horse battery staple";
    let long = "tr0ub4dor&3 ".repeat(2000);
    let vault = Scratch::new();
    vault.set("prod/db/password", SHORT);
    vault.set("prod/long", &long);
    vault.set_for("prod/short", SHORT, 60);
    vault.delete("prod/short", None);
    vault.read("prod/db/password").unwrap();
    vault.vault.rotate_key(&actor()).unwrap();
    let mut archive = Vec::new();
    vault.vault.export(None, &["age1…".to_owned()], &actor(), &mut archive).unwrap();
    vault.purge("prod/long", None);
    let archive = sealock_secrets::backup::Archive::read(&archive).unwrap();
    vault.vault.import(&archive, sealock_secrets::OnExisting::Replace, &actor()).unwrap();
    assert!(vault.read("prod/long").unwrap() == long);
    let look = |vault: &Scratch| {
        let files = files(vault.place.path());
        let store: Vec<_> = files.iter().filter(|(path, _)| path.contains("state.db")).collect();
        assert!(
            store.iter().any(|(_, bytes)| holds(bytes, b"prod/db/password")),
            "it is the store"
        );
        for (path, bytes) in &files {
            for value in [SHORT, "tr0ub4dor&3 tr0ub4dor&3"] {
                assert!(!holds(bytes, value.as_bytes()), "{path}");
                let base64 = data_encoding::BASE64.encode(value.as_bytes());
                assert!(!holds(bytes, &base64.as_bytes()[..20]), "{path}");
            }
        }
        store.len()
    };
    assert!(look(&vault) >= 2, "the file and its log");
    let vault = vault.reopen();
    look(&vault);
    assert!(vault.vault.history(&named("prod/long")).is_ok());
}
