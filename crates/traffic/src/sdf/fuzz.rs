//! The entry for fuzzing: any bytes as an `sdf.yml`.

use sealock_core::policy::PolicySet;

use super::{Carried, Sdf};

/// Reads the bytes, and checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let sdf = match Sdf::read(data) {
        Ok(sdf) => sdf,
        Err(error) => {
            let text = format!("{error}{}", error.hint());
            assert!(!text.chars().any(char::is_control), "{text:?}");
            return;
        }
    };
    for name in [None, Some("shop")] {
        if let Ok(carried) = sdf.carry(name) {
            check(&carried);
        }
    }
}

fn check(carried: &Carried) {
    for note in &carried.notes {
        assert!(!note.chars().any(char::is_control), "{note:?}");
    }
    let sources = [("sdf.cedar".to_owned(), carried.policy.clone())];
    assert!(
        PolicySet::load(&sources, 1).is_ok(),
        "rules that cannot be loaded:\n{}",
        carried.policy
    );
    for text in [&carried.settings, &carried.policy, &carried.compose] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    let arguments = [&carried.gatekeeper, &carried.forwarder].into_iter().flatten().flatten();
    for word in arguments {
        let is_plain = word.chars().all(|c| c.is_ascii_graphic() && !"\"'\\`$".contains(c));
        assert!(is_plain && !word.is_empty(), "{word:?}");
    }
}
