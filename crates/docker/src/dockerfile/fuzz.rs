//! What must hold of every Dockerfile.

use super::{BuildArguments, Dockerfile, is_id};

/// An id as the engine gives it.
const ID: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The entry for fuzzing: any bytes will do; checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let given = BuildArguments::from([("A".to_owned(), Some("value".to_owned()))]);
    let Ok(mut read) = Dockerfile::parse(data) else { return };
    let written = read.emit();
    let again = Dockerfile::parse(written.as_bytes());
    assert!(again.is_ok_and(|again| again.is_same(&read)), "what is written reads otherwise");
    let Ok(wants) = read.wants(&given) else { return };
    for wanted in &wants.images {
        read.pin(wanted, ID);
    }
    let pinned = Dockerfile::parse(read.emit().as_bytes());
    let again = pinned.and_then(|pinned| pinned.wants(&BuildArguments::new()));
    assert!(again.is_ok(), "what is written is not understood: {again:?}");
    let again = again.unwrap_or_default();
    assert!(again.images.iter().all(|wanted| is_id(&wanted.name)), "a name that is no id");
    assert_eq!(again.images.len(), wants.images.len(), "the images");
    assert_eq!((&again.risks, &again.label_keys), (&wants.risks, &wants.label_keys));
}

impl Dockerfile {
    /// But for where it stood.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.instructions.len() == other.instructions.len()
            && self.instructions.iter().zip(&other.instructions).all(|(one, other)| {
                (one.keyword, &one.flags, &one.rest) == (other.keyword, &other.flags, &other.rest)
            })
    }
}
