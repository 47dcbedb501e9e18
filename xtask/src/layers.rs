//! `cargo xtask layers`: which crate may import which. ARCHITECTURE.md shows the same table.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run;

/// A crate and what it may use in production. Who is not in the table may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sealock-core", &[]),
    ("sealock-engine", &[]),
    // Inside the receiver, so it must stay small: not even core.
    ("sealock-transfer", &[]),
    ("sealock-receiver", &["sealock-transfer"]),
    // For build scripts alone.
    ("sealock-nested-build", &[]),
    // Only that program's bytes; its build script builds it.
    ("sealock-receiver-image", &["sealock-nested-build"]),
    // The module of an HSM runs in a process of its own, and what both sides say is read as a stranger's bytes.
    ("sealock-hsm-wire", &[]),
    ("sealock-hsm-helper", &["sealock-hsm-wire"]),
    ("sealock-hsm-image", &["sealock-nested-build"]),
    ("sealock-hsm", &["sealock-core", "sealock-hsm-wire", "sealock-hsm-image"]),
    ("sealock-store", &["sealock-core"]),
    ("sealock-net", &["sealock-core"]),
    // The planes. None imports another.
    ("sealock-authority", &["sealock-core", "sealock-store"]),
    (
        "sealock-delivery",
        &[
            "sealock-core",
            "sealock-store",
            "sealock-net",
            "sealock-engine",
            "sealock-transfer",
            "sealock-receiver-image",
        ],
    ),
    ("sealock-docker", &["sealock-core", "sealock-net", "sealock-engine"]),
    ("sealock-secrets", &["sealock-core", "sealock-store"]),
    ("sealock-traffic", &["sealock-core", "sealock-store", "sealock-net"]),
    ("sealock-acme", &["sealock-core", "sealock-store"]),
    // Hostile files: nothing but what reads them.
    ("sealock-formats", &["sealock-core"]),
    // Its state is in the directory itself.
    ("sealock-directory", &["sealock-core", "sealock-net"]),
    // Its state comes in as values, and what it is sent goes out as bytes.
    ("sealock-upstream", &["sealock-core", "sealock-net"]),
    // Starts commands and is PID 1 in containers: no store, no runtime.
    ("sealock-injector", &["sealock-core"]),
    (
        "sealock-control",
        &[
            "sealock-core",
            "sealock-store",
            "sealock-net",
            "sealock-engine",
            "sealock-transfer",
            "sealock-authority",
            "sealock-delivery",
            "sealock-docker",
            "sealock-secrets",
            "sealock-traffic",
            "sealock-acme",
            "sealock-formats",
            "sealock-directory",
            "sealock-upstream",
            "sealock-hsm",
            "sealock-receiver",
        ],
    ),
    (
        "sealock",
        &[
            "sealock-core",
            "sealock-store",
            "sealock-net",
            "sealock-engine",
            "sealock-transfer",
            "sealock-authority",
            "sealock-delivery",
            "sealock-docker",
            "sealock-secrets",
            "sealock-traffic",
            "sealock-injector",
            "sealock-formats",
            "sealock-control",
            "sealock-receiver",
        ],
    ),
    // Uses nothing of ours, so that every crate's tests can use it.
    ("sealock-testkit", &[]),
    // A tool, like the tests: it may use what it measures.
    (
        "sealock-bench",
        &[
            "sealock-core",
            "sealock-store",
            "sealock-net",
            "sealock-traffic",
            "sealock-engine",
            "sealock-transfer",
            "sealock-authority",
            "sealock-delivery",
            "sealock-testkit",
        ],
    ),
    ("xtask", &[]),
];

/// What only tests may use.
const TESTS_ONLY: &str = "sealock-testkit";

/// What only the tests of one crate may use: the other end of what it speaks.
const PEERS_IN_TESTS: &[(&str, &str)] = &[("sealock-delivery", "sealock-receiver")];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` is an ordinary dependency.
    kind: Option<String>,
    /// Only dependencies inside this repository have one.
    path: Option<String>,
}

pub(crate) fn run() -> Result<()> {
    let output = run::cargo_command()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let found = violations(&metadata, ALLOWED);
    if !found.is_empty() {
        bail!("the layers are broken:\n  {}", found.join("\n  "));
    }
    println!("layers: {} crates, every arrow points the allowed way", metadata.packages.len());
    Ok(())
}

/// Each arrow that the table does not have, in words.
fn violations(metadata: &Metadata, table: &[(&str, &[&str])]) -> Vec<String> {
    let table: BTreeMap<_, _> = table.iter().copied().collect();
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some(allowed) = table.get(package.name.as_str()) else {
            found.push(format!("{}: not in the table of xtask/src/layers.rs", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some())
        {
            let in_tests = dependency.kind.as_deref() == Some("dev");
            let name = dependency.name.as_str();
            let own = name == package.name;
            let peer = PEERS_IN_TESTS.contains(&(package.name.as_str(), name));
            if !(allowed.contains(&name) || in_tests && (own || peer || name == TESTS_ONLY)) {
                let kind = if in_tests { " (in tests)" } else { "" };
                found.push(format!("{} → {name}{kind}: not allowed", package.name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(package: &str, dependency: &str, kind: Option<&str>) -> Metadata {
        Metadata {
            packages: vec![Package {
                name: package.into(),
                dependencies: vec![Dependency {
                    name: dependency.into(),
                    kind: kind.map(str::to_owned),
                    path: Some("/somewhere".into()),
                }],
            }],
        }
    }

    #[test]
    fn an_arrow_between_planes_is_found() {
        let found = violations(&metadata("sealock-delivery", "sealock-authority", None), ALLOWED);
        assert_eq!(found, ["sealock-delivery → sealock-authority: not allowed"]);
        let found =
            violations(&metadata("sealock-delivery", "sealock-authority", Some("dev")), ALLOWED);
        assert_eq!(found, ["sealock-delivery → sealock-authority (in tests): not allowed"]);
    }

    #[test]
    fn the_receiver_stays_free_of_core() {
        for package in ["sealock-receiver", "sealock-transfer"] {
            assert_eq!(violations(&metadata(package, "sealock-core", None), ALLOWED).len(), 1);
        }
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        for kind in [None, Some("build")] {
            let found = violations(&metadata("sealock-store", TESTS_ONLY, kind), ALLOWED);
            assert_eq!(found, ["sealock-store → sealock-testkit: not allowed"]);
        }
        assert!(
            violations(&metadata("sealock-store", TESTS_ONLY, Some("dev")), ALLOWED).is_empty()
        );
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_found() {
        let found = violations(&metadata("sealock-new", "sealock-core", None), ALLOWED);
        assert_eq!(found, ["sealock-new: not in the table of xtask/src/layers.rs"]);
    }

    #[test]
    fn crates_from_outside_are_not_its_business() {
        let mut outside = metadata("sealock-core", "serde", None);
        for dependency in outside.packages.iter_mut().flat_map(|package| &mut package.dependencies)
        {
            dependency.path = None;
        }
        assert!(violations(&outside, ALLOWED).is_empty());
    }

    /// What a lower crate is allowed, a higher one must be allowed too; a cycle would break this.
    #[test]
    fn the_table_has_no_cycle() {
        let mut placed: Vec<&str> = Vec::new();
        while placed.len() < ALLOWED.len() {
            let next = ALLOWED.iter().find(|(name, uses)| {
                !placed.contains(name) && uses.iter().all(|used| placed.contains(used))
            });
            placed.push(next.expect("the table has a cycle or an unknown crate").0);
        }
    }
}
