//! Lists by path and page.

use sealock_core::Timestamp;
use sealock_secrets::VersionState;

use crate::common::{Scratch, named};

fn names(vault: &Scratch, path: Option<&str>, page: usize) -> Vec<String> {
    let path = path.map(named);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = vault.vault.list(path.as_ref(), after.as_ref(), page).unwrap();
        assert!(found.secrets.len() <= page);
        all.extend(found.secrets.into_iter().map(|secret| secret.name.to_string()));
        after = found.next;
        if after.is_none() {
            return all;
        }
    }
}

#[test]
fn a_path_holds_itself_and_what_is_below() {
    let vault = Scratch::new();
    let all = ["dev/db", "prod", "prod+", "prod-x/a", "prod/api", "prod/db/password", "production"];
    for name in all.iter().rev() {
        vault.set(name, "x");
    }
    vault.set("gone", "x");
    vault.purge("gone", None);
    for page in [1, 2, 3, 7, 100] {
        assert_eq!(names(&vault, None, page), all);
        assert_eq!(
            names(&vault, Some("prod"), page),
            ["prod", "prod/api", "prod/db/password"],
            "page of {page}"
        );
        assert_eq!(names(&vault, Some("prod/db"), page), ["prod/db/password"]);
        assert_eq!(names(&vault, Some("pro"), page), [""; 0]);
    }
    // Going on after a name that is not below the path does not leave the path.
    let list = |path: &str, after: &str| {
        let found = vault.vault.list(Some(&named(path)), Some(&named(after)), 10).unwrap();
        found.secrets.into_iter().map(|secret| secret.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("prod", "dev"), ["prod", "prod/api", "prod/db/password"]);
    assert_eq!(list("prod", "prod+"), ["prod/api", "prod/db/password"]);
    assert_eq!(list("prod", "zebra"), [""; 0]);
}

#[test]
fn the_newest_version_is_shown_as_it_is() {
    let vault = Scratch::new();
    vault.set("deleted", "x");
    vault.set("deleted", "x");
    vault.delete("deleted", None);
    vault.set("expired", "x");
    vault.place.clock.set(Timestamp::from_secs(1_700_000_100));
    vault.set_for("expired", "x", 60);
    vault.set("live", "x");
    vault.set("purged", "x");
    vault.set("purged", "x");
    vault.purge("purged", Some(2));
    vault.place.clock.set(Timestamp::from_secs(1_700_000_200));
    let page = vault.vault.list(None, None, 10).unwrap();
    let seen: Vec<_> = page
        .secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.version, secret.state, secret.versions))
        .collect();
    assert_eq!(
        seen,
        [
            ("deleted", 2, VersionState::Deleted, 2),
            ("expired", 2, VersionState::Expired, 2),
            ("live", 1, VersionState::Live, 1),
            ("purged", 2, VersionState::Purged, 1),
        ]
    );
    let expired = &page.secrets[1];
    assert_eq!(expired.created, Timestamp::from_secs(1_700_000_100));
    assert_eq!(expired.expires, Some(Timestamp::from_secs(1_700_000_160)));
    assert_eq!(page.next, None);
}
