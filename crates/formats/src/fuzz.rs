//! The entry for fuzzing.

use sealock_core::SecretBytes;

use crate::password::Password;
use crate::read::{Collector, MAXIMUM_CERTIFICATES, MAXIMUM_KEYS, read_within};
use crate::trust_store::{MAXIMUM_STORE_ENTRIES, TrustStore};
use crate::{key, pkcs12};

/// What the files of the corpus open under.
const PASSWORD: &[u8] = b"changeit";

/// Fewer than a real file may have, so that an input takes no seconds.
const ROUNDS: u32 = 20_000;

/// Reads any bytes as a file, with a password and without. What comes out must be within the limits, and be readable
/// again.
///
/// # Panics
///
/// When a promise of this crate is broken.
pub fn fuzz(data: &[u8]) {
    let password = SecretBytes::new(PASSWORD.to_vec());
    if let Some(password) = Password::new(&password) {
        // A changed file has a wrong MAC, behind which nothing would ever be reached.
        let _ = pkcs12::read_content(data, &password, &mut Collector::new(ROUNDS, true));
    }
    for password in [None, Some(&password)] {
        let Ok(contents) = read_within(data, password, ROUNDS) else { continue };
        assert!(contents.certificates.len() <= MAXIMUM_CERTIFICATES);
        assert!(contents.keys.len() <= MAXIMUM_KEYS);
        for certificate in &contents.certificates {
            let again = read_within(certificate, None, 0);
            assert!(again.is_ok_and(|again| again.certificates == [certificate.clone()]));
        }
        for found in &contents.keys {
            assert!(key::from_pkcs8(found.expose()).is_ok_and(|again| again == *found));
        }
    }
}

/// Reads any bytes as a trust store, and as what is in one of Java's own as if its hash had been right. Taken out and put
/// in again, entries must be there, all others unchanged, and the file readable.
///
/// # Panics
///
/// When a promise of this crate is broken.
pub fn fuzz_trust_store(data: &[u8]) {
    let password = SecretBytes::new(PASSWORD.to_vec());
    for read in [TrustStore::read_within(data, &password, ROUNDS), TrustStore::read_content(data)] {
        let Ok(mut store) = read else { continue };
        assert!(store.entries() <= MAXIMUM_STORE_ENTRIES);
        let before = owned(&store);
        let Ok(written) = store.write(&password) else { continue };
        let again = TrustStore::read(written.expose(), &password);
        assert!(again.is_ok_and(|again| owned(&again) == before));
        let Some((alias, der)) = before.first().cloned() else { continue };
        store.remove(&alias);
        let mut without = before;
        without.retain(|(other, _)| *other != alias);
        assert_eq!(owned(&store), without);
        if store.add(&alias, &der).is_err() {
            continue;
        }
        without.push((alias, der));
        let again = store.write(&password).is_ok_and(|file| {
            TrustStore::read(file.expose(), &password).is_ok_and(|file| owned(&file) == without)
        });
        assert!(again);
    }
}

fn owned(store: &TrustStore) -> Vec<(String, Vec<u8>)> {
    let all = store.trusted().into_iter();
    all.map(|(alias, der)| (alias.to_owned(), der.to_vec())).collect()
}
