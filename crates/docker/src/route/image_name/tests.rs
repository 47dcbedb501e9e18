use proptest::prelude::*;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn long(text: &str) -> Result<String, ImageNameError> {
    ImageName::parse(text).map(|name| name.or_latest().to_string())
}

#[test]
fn names_are_written_in_their_long_form() {
    for (text, expected) in [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx:A_b.c-d", "docker.io/library/nginx:A_b.c-d"),
        ("team/app", "docker.io/team/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        // No slash, so no registry.
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("host.example/a/b/c__d--e.f:1", "host.example/a/b/c__d--e.f:1"),
        ("registry-1.docker.io/library/nginx", "registry-1.docker.io/library/nginx:latest"),
        ("sha256:latest", "docker.io/library/sha256:latest"),
    ] {
        assert_eq!(long(text).as_deref(), Ok(expected), "{text}");
        assert_eq!(long(expected).as_deref(), Ok(expected), "{text}");
    }
    let digested = format!("nginx:1@sha256:{HEX}");
    assert_eq!(long(&digested), Ok(format!("docker.io/library/{digested}")));
    let only = format!("nginx@sha256:{HEX}");
    assert_eq!(long(&only), Ok(format!("docker.io/library/{only}")));
}

#[test]
fn ids_are_no_names() {
    for id in ["c", "cafe", "0123456789ab", HEX, &format!("sha256:{HEX}"), "sha256:0123"] {
        let name = ImageName::parse(id).unwrap().or_latest();
        assert!(name.is_id(), "{id}");
        let facts = name.facts();
        assert_eq!((facts.reference.as_str(), facts.repository.as_str()), (id, ""));
        assert_eq!((facts.tag, facts.digest), (None, None));
    }
    assert_eq!(ImageName::parse_named(HEX), Err(ImageNameError::Id));
    assert!(!ImageName::parse_named("cafe").unwrap().is_id());
    assert!(!ImageName::parse(&format!("{HEX}0")).unwrap().is_id());
}

#[test]
fn a_policy_is_shown_the_parts() {
    let name = ImageName::parse(&format!("host:5000/team/app:1@sha256:{HEX}")).unwrap();
    let facts = name.facts();
    assert_eq!(facts.repository, "host:5000/team/app");
    assert_eq!(facts.tag.as_deref(), Some("1"));
    assert_eq!(facts.digest, Some(format!("sha256:{HEX}")));
    assert_eq!(facts.reference, name.to_string());
}

#[test]
fn what_engines_would_read_differently_is_refused() {
    use ImageNameError::{Digest, Empty, Path, Registry, Tag, TooLong};
    let long_path = "a".repeat(250);
    let long_tag = format!("a:{}", "t".repeat(129));
    let short_digest = "a@sha256:0123".to_owned();
    let upper_digest = format!("a@sha256:{}", HEX.to_uppercase());
    for (text, error) in [
        ("", Empty),
        ("Nginx", Path),
        ("Team/app", Path),
        ("host.example/App", Path),
        ("Docker.io/nginx", Registry),
        ("EVIL.example/a", Registry),
        ("[::1]:5000/a", Registry),
        ("-a.example/a", Registry),
        ("a..example/a", Registry),
        ("example./a", Registry),
        ("host:0443/a", Registry),
        ("host:/a", Registry),
        ("host:99999/a", Registry),
        ("host:5000:1/a", Registry),
        ("user@host.example/a", Registry),
        ("http://host.example/a", Registry),
        ("/nginx", Path),
        ("a//b", Path),
        ("a/", Path),
        ("host.example/", Path),
        ("host.example/../a", Path),
        ("../a", Registry),
        ("./a", Registry),
        ("a/./b", Path),
        ("a..b", Path),
        ("a___b", Path),
        ("a._b", Path),
        ("a-", Path),
        ("-a", Path),
        ("a/_b", Path),
        ("näme", Path),
        ("a b", Path),
        ("a%2fb", Path),
        ("nginx:", Tag),
        ("nginx:-a", Tag),
        ("nginx:.a", Tag),
        ("nginx:a/b", Registry),
        ("team/nginx:a/b", Tag),
        ("nginx:a:b", Tag),
        ("nginx:ä", Tag),
        (&long_tag, Tag),
        ("nginx@", Digest),
        ("nginx@latest", Digest),
        (&short_digest, Digest),
        (&upper_digest, Digest),
        ("nginx@md5:0123456789abcdef0123456789abcdef", Digest),
        ("nginx@sha256:abc@sha256:abc", Digest),
        (&long_path, TooLong),
    ] {
        assert_eq!(ImageName::parse(text), Err(error), "{text}");
    }
}

#[test]
fn a_tag_is_given_once() {
    let name = |text: &str| ImageName::parse_named(text).unwrap();
    assert_eq!(name("a").with_tag("1").unwrap().to_string(), "docker.io/library/a:1");
    assert_eq!(name("a:1").with_tag("2"), Err(ImageNameError::TagTwice));
    assert_eq!(name("a").with_tag("x/y"), Err(ImageNameError::Tag));
    assert_eq!(name("a").with_tag("sha256:12"), Err(ImageNameError::Digest));
    let digested = name("a:1").by_digest_alone().with_tag("1");
    assert_eq!(digested, Err(ImageNameError::TagTwice));
    let digest = name(&format!("a:1@sha256:{HEX}"));
    assert_eq!(digest.clone().without_digest(), Err(ImageNameError::DigestedName));
    assert_eq!(digest.by_digest_alone().tag(), None);
}

proptest! {
    #[test]
    fn the_long_form_is_read_to_the_same(text in "[a-zA-Z0-9:@/._-]{0,40}") {
        if let Ok(name) = ImageName::parse(&text) {
            prop_assert_eq!(ImageName::parse(&name.to_string()), Ok(name.clone()));
            let latest = name.or_latest();
            prop_assert_eq!(ImageName::parse(&latest.to_string()), Ok(latest));
        }
    }
}
