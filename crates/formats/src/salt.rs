//! Salts and initialisation vectors that follow from what is encrypted.

use aws_lc_rs::digest::{self, Context};

/// Hashes what goes into a file. Each part is preceded by its length, so that no two contents look alike.
pub(crate) struct Seed(digest::Digest);

const DOMAIN: &[u8] = b"sealock formats 1: salts";

impl Seed {
    /// Of these parts, in this kind of file.
    pub(crate) fn new<'a>(kind: &'a str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&digest::SHA256);
        for part in [DOMAIN, kind.as_bytes()].into_iter().chain(parts) {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Self(context.finish())
    }

    /// What is used in one place only.
    pub(crate) fn bytes<const N: usize>(&self, place: &str) -> [u8; N] {
        const { assert!(N <= digest::SHA256_OUTPUT_LEN, "one hash is all there is") };
        let mut context = Context::new(&digest::SHA256);
        context.update(self.0.as_ref());
        context.update(place.as_bytes());
        let all = context.finish();
        let mut taken = [0; N];
        for (to, from) in taken.iter_mut().zip(all.as_ref()) {
            *to = *from;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_and_each_place_has_its_own() {
        let of = |kind: &str, parts: &[&[u8]], place: &str| {
            Seed::new(kind, parts.iter().copied()).bytes::<16>(place)
        };
        let one = of("p12", &[b"ab", b"c"], "key");
        assert_eq!(one, of("p12", &[b"ab", b"c"], "key"));
        for other in [
            of("p12", &[b"a", b"bc"], "key"),
            of("p12", &[b"ab", b"c", b""], "key"),
            of("jks", &[b"ab", b"c"], "key"),
            of("p12", &[b"ab", b"c"], "iv"),
        ] {
            assert_ne!(one, other);
        }
    }
}
