use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use proptest::prelude::*;

use super::*;

fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

fn rewrite(keys: &Path, change: impl Fn(&str) -> String) {
    let path = keys.join("wrapping.key");
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(&text);
    assert_ne!(changed, text, "the test changed nothing");
    fs::write(&path, changed).unwrap();
}

#[test]
fn seals_under_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let keyring = Keyring::create(&keys, &NewProtection::File).unwrap();
    let sealed = keyring.seal("a", b"hunter2").unwrap();
    assert_eq!(sealed.len(), 7 + 29);
    assert_ne!(sealed, keyring.seal("a", b"hunter2").unwrap());
    let keyring = Keyring::open(&keys, None).unwrap();
    assert_eq!(keyring.open_sealed("a", &sealed).unwrap().expose(), b"hunter2");
    assert!(matches!(keyring.open_sealed("b", &sealed), Err(KeyringError::Unsealable { .. })));
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(keyring.open_sealed("a", &changed).is_err());
        assert!(keyring.open_sealed("a", &sealed[..index]).is_err());
    }
    let other = Keyring::create(&folder.path().join("other"), &NewProtection::File).unwrap();
    assert!(other.open_sealed("a", &sealed).is_err());
    assert_eq!(format!("{keyring:?}"), "Keyring { protection: File, .. }");
}

#[test]
fn a_passphrase_is_needed_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path();
    let right = secret("correct horse");
    let keyring = Keyring::create(keys, &NewProtection::Passphrase(&right)).unwrap();
    let sealed = keyring.seal("a", b"x").unwrap();
    let wrong = secret("correct horse ");
    assert!(matches!(Keyring::open(keys, None), Err(KeyringError::PassphraseNeeded)));
    assert!(matches!(Keyring::open(keys, Some(&wrong)), Err(KeyringError::WrongPassphrase)));
    let again = Keyring::create(keys, &NewProtection::Passphrase(&right)).unwrap();
    assert_eq!(again.open_sealed("a", &sealed).unwrap().expose(), b"x");
    assert_eq!(Keyring::protection_in(keys).unwrap(), Some(Protection::Passphrase));
    let text = fs::read_to_string(keys.join("wrapping.key")).unwrap();
    assert!(text.contains("argon2id memory-kib=65536 passes=3 lanes=4"));
    // The parameters are bound to the seal: another cost is another key.
    rewrite(keys, |text| text.replace("passes=3", "passes=2"));
    assert!(matches!(Keyring::open(keys, Some(&right)), Err(KeyringError::WrongPassphrase)));
}

#[test]
fn an_empty_passphrase_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = Keyring::create(folder.path(), &NewProtection::Passphrase(&secret("")));
    assert!(matches!(outcome, Err(KeyringError::EmptyPassphrase)), "{outcome:?}");
    assert_eq!(Keyring::protection_in(folder.path()).unwrap(), None);
}

/// None of these may reach the key derivation: 4 TiB would end the process.
#[test]
fn costs_out_of_bounds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let right = secret("x");
    Keyring::create(folder.path(), &NewProtection::Passphrase(&right)).unwrap();
    let good = fs::read(folder.path().join("wrapping.key")).unwrap();
    for (field, values) in [
        ("memory-kib=65536", ["memory-kib=4294967295", "memory-kib=8", "memory-kib=1048577"]),
        ("passes=3", ["passes=0", "passes=17", "passes=99999999999"]),
        ("lanes=4", ["lanes=0", "lanes=17", "lanes=+4"]),
        ("argon2id", ["argon2d", "argon2", "pbkdf2"]),
        ("lanes=4", ["lanes=4 lanes=4", "lanes=", "lanes=4 "]),
    ] {
        for value in values {
            fs::write(folder.path().join("wrapping.key"), &good).unwrap();
            rewrite(folder.path(), |text| text.replace(field, value));
            let outcome = Keyring::open(folder.path(), Some(&right));
            assert!(
                matches!(outcome, Err(KeyringError::Unreadable { .. })),
                "{value}: {outcome:?}"
            );
        }
    }
}

#[test]
fn the_file_is_its_owners_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    Keyring::create(&keys, &NewProtection::File).unwrap();
    let path = keys.join("wrapping.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&keys), mode(&path)), (0o700, 0o600));
    for open in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let error = Keyring::open(&keys, None).unwrap_err();
        assert!(matches!(error, KeyringError::OpenToOthers { mode, .. } if mode == open));
        assert_eq!(error.hint().unwrap(), format!("chmod 600 {}", path.display()));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    Keyring::open(&keys, None).unwrap();
}

#[test]
fn another_protection_holds_at_once_and_the_old_one_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path();
    let keyring = Keyring::create(keys, &NewProtection::File).unwrap();
    let sealed = keyring.seal("a", b"x").unwrap();
    let (one, two) = (secret("passphrase one"), secret("passphrase two"));
    let path = keys.join("wrapping.key");
    let old = fs::File::open(&path).unwrap();
    let plain = fs::read(&path).unwrap();
    let opens = |passphrase: Option<&SecretBytes>| {
        let opened = Keyring::open(keys, passphrase)?;
        assert_eq!(opened.open_sealed("a", &sealed).unwrap().expose(), b"x");
        Ok::<_, KeyringError>(opened.protection())
    };
    keyring.protect(keys, None, &NewProtection::Passphrase(&one)).unwrap().put().unwrap();
    assert_eq!(keyring.protection(), Protection::Passphrase);
    assert_eq!(opens(Some(&one)).unwrap(), Protection::Passphrase);
    assert!(matches!(opens(None), Err(KeyringError::PassphraseNeeded)));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // What the old file held is overwritten.
    use std::io::Read as _;
    let mut held = Vec::new();
    (&old).read_to_end(&mut held).unwrap();
    assert_eq!(held, vec![0; plain.len()]);

    // Neither without the passphrase nor with a wrong one, and then nothing has changed.
    let before = fs::read(&path).unwrap();
    for given in [None, Some(&two)] {
        for new in [NewProtection::File, NewProtection::Passphrase(&two)] {
            let error = keyring.protect(keys, given, &new).unwrap_err();
            assert!(
                matches!(error, KeyringError::PassphraseNeeded | KeyringError::WrongPassphrase),
                "{error:?}"
            );
        }
    }
    let empty = keyring.protect(keys, Some(&one), &NewProtection::Passphrase(&secret("")));
    assert!(matches!(empty, Err(KeyringError::EmptyPassphrase)));
    assert_eq!(fs::read(&path).unwrap(), before);

    keyring.protect(keys, Some(&one), &NewProtection::Passphrase(&two)).unwrap().put().unwrap();
    assert!(matches!(opens(Some(&one)), Err(KeyringError::WrongPassphrase)));
    opens(Some(&two)).unwrap();
    keyring.protect(keys, Some(&two), &NewProtection::File).unwrap().put().unwrap();
    assert_eq!(opens(None).unwrap(), Protection::File);
    assert_eq!(fs::read(&path).unwrap(), plain, "the key is the same");
    assert_eq!(fs::read_dir(keys).unwrap().count(), 1);
}

#[test]
fn what_is_not_put_in_place_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path();
    let keyring = Keyring::create(keys, &NewProtection::File).unwrap();
    let before = fs::read(keys.join("wrapping.key")).unwrap();
    let one = secret("passphrase one");
    drop(keyring.protect(keys, None, &NewProtection::Passphrase(&one)).unwrap());
    assert_eq!(fs::read_dir(keys).unwrap().count(), 1);
    // As if killed: what stands beside it goes with the next opening.
    std::mem::forget(keyring.protect(keys, None, &NewProtection::Passphrase(&one)).unwrap());
    assert_eq!(fs::read_dir(keys).unwrap().count(), 2);
    assert_eq!(Keyring::open(keys, None).unwrap().protection(), Protection::File);
    assert_eq!(fs::read_dir(keys).unwrap().count(), 1);
    assert_eq!(fs::read(keys.join("wrapping.key")).unwrap(), before);
    assert_eq!(keyring.protection(), Protection::File);
}

/// Under another name the old protection would stay; of another key, nothing would open.
#[test]
fn a_key_with_other_names_or_of_another_keyring_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let keyring = Keyring::create(&keys, &NewProtection::File).unwrap();
    let one = secret("passphrase one");
    let (path, other) = (keys.join("wrapping.key"), folder.path().join("other"));
    let refused = || keyring.protect(&keys, None, &NewProtection::Passphrase(&one)).unwrap_err();
    fs::hard_link(&path, &other).unwrap();
    assert!(matches!(refused(), KeyringError::OtherNames { .. }));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    assert!(matches!(refused(), KeyringError::OtherNames { .. }));
    fs::remove_file(&path).unwrap();
    Keyring::create(&keys, &NewProtection::File).unwrap();
    assert!(matches!(refused(), KeyringError::OtherKey { .. }));
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1);
}

#[test]
fn protection_does_not_change_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    Keyring::create(folder.path(), &NewProtection::File).unwrap();
    let outcome = Keyring::create(folder.path(), &NewProtection::Passphrase(&secret("x")));
    assert!(matches!(
        outcome,
        Err(KeyringError::OtherProtection {
            found: Protection::File,
            asked: Protection::Passphrase
        })
    ));
}

#[test]
fn many_creators_agree_on_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let keyrings: Vec<Keyring> = thread::scope(|scope| {
        let create = || Keyring::create(&keys, &NewProtection::File).unwrap();
        let creators: Vec<_> = (0..16).map(|_| scope.spawn(create)).collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    let sealed = keyrings[0].seal("a", b"x").unwrap();
    for keyring in keyrings {
        keyring.open_sealed("a", &sealed).unwrap();
    }
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1, "nothing is left beside the key");
}

#[test]
fn what_a_killed_creator_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".wrapping.key.0123"), "half a k").unwrap();
    Keyring::create(folder.path(), &NewProtection::File).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Keyring::open(folder.path(), None).unwrap_err();
    assert!(matches!(missing, KeyringError::Missing { .. }), "{missing:?}");
    Keyring::create(folder.path(), &NewProtection::File).unwrap();
    let path = folder.path().join("wrapping.key");
    let good = fs::read(&path).unwrap();
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        let error = Keyring::open(folder.path(), None).unwrap_err();
        assert!(matches!(error, KeyringError::Unreadable { .. }), "{length}: {error:?}");
        // Creating again must not replace a key under which things are sealed.
        Keyring::create(folder.path(), &NewProtection::File).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), &good[..length]);
    }
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    assert!(matches!(
        Keyring::open(folder.path(), None),
        Err(KeyringError::Unreadable { detail: "it is too long", .. })
    ));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(KeyFile::parse(&text).is_err());
    }

    /// What is read is exactly what would be written: no second spelling of a file.
    #[test]
    fn changed_files_are_refused_or_mean_what_they_say(index in 0_usize..400, byte in any::<u8>()) {
        let text = format!(
            "sealock wrapping key 1\nprotection passphrase\n\
             kdf argon2id memory-kib=65536 passes=3 lanes=4\nsalt {}\nsealed {}\n",
            "ab".repeat(32),
            "cd".repeat(61)
        );
        let mut changed = text.into_bytes();
        let index = index % changed.len();
        changed[index] = byte;
        if let Ok(file) = KeyFile::parse(&changed) {
            prop_assert_eq!(&*file.render(), &changed);
        }
    }
}
