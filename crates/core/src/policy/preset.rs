//! Policies that are built in, for the clients that people have: written into the policy folder by `policy use`.
//!
//! A preset is the text of a Cedar file in `policies/docker`. Each of its rules is for one group, and is rewritten for
//! whoever is to have it. What is written names the digest of its own rules, so that a file which somebody has changed
//! is told from one that is only older.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::text::{literal, plain};
use crate::identity::IdentityKind;

/// A policy that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Such as `ci-runner`.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// The group that it is written for.
    pub group: &'static str,
    /// The Cedar text.
    pub text: &'static str,
}

macro_rules! presets {
    ($($name:literal for $group:literal: $summary:literal,)*) => {
        /// Every preset there is.
        pub const PRESETS: &[Preset] = &[$(Preset {
            name: $name,
            summary: $summary,
            group: $group,
            text: include_str!(concat!("../../../../policies/docker/", $name, ".cedar")),
        },)*];
    };
}

presets! {
    "admin" for "docker-admin": "everything that the engine does: root on the host",
    "read-only" for "docker-readers": "see everything; no file, no input, no values of the environment",
    "traefik" for "docker-traefik": "containers, their labels and what changes",
    "watchtower" for "docker-watchtower": "make labelled containers anew from a newer image",
    "diun" for "docker-diun": "containers and the images they use",
    "dozzle" for "docker-dozzle": "containers, their output and their figures",
    "portainer" for "docker-portainer": "administer all but plugins, a swarm and BuildKit: root on the host",
    "ci-runner" for "docker-ci": "make and use plain containers of one's own",
    "gitlab-runner" for "docker-gitlab-runner": "GitLab Runner's Docker executor: plain containers of its own",
}

/// Which line of a preset is about its group only.
const ABOUT_THE_GROUP: &str = "// Members are named in the settings:";
/// What stands before the digest in a file that [`Preset::written_for`] has made.
const DIGEST: &str = "// sha256 of the lines below: ";

impl Preset {
    /// The one of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// The file in the policy folder.
    pub fn file_for(&self, grantee: &Grantee) -> String {
        match grantee {
            Grantee::Group(group) => format!("docker-{}-for-group-{group}.cedar", self.name),
            Grantee::Identity(kind, name) => {
                format!("docker-{}-for-{}-{name}.cedar", self.name, kind.segment())
            }
        }
    }

    /// Its rules for somebody, as they stand in [`Preset::file_for`].
    pub fn written_for(&self, grantee: &Grantee) -> String {
        let group = format!("principal in Sealock::Group::{}", literal(self.group));
        let lines = self.text.lines().filter(|line| !line.starts_with(ABOUT_THE_GROUP));
        let lines = lines.map(|line| line.replace(&group, &grantee.constraint()) + "\n");
        let rules: String = lines.collect();
        format!(
            "// Written by `sealock policy use {} --for {grantee}`, which does not touch it again once it was changed.\n\
             {DIGEST}{}\n{rules}",
            self.name,
            digest(&rules)
        )
    }
}

/// Whether a file still is what [`Preset::written_for`] of this or an older version has written.
pub fn is_as_written(text: &str) -> bool {
    let named = text.split_once('\n').and_then(|(_, rest)| rest.strip_prefix(DIGEST));
    named
        .and_then(|rest| rest.split_once('\n'))
        .is_some_and(|(named, rules)| named == digest(rules))
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// Who gets a preset: a group, or somebody as `human/alice`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grantee {
    /// A group.
    Group(String),
    /// Kind and name.
    Identity(IdentityKind, String),
}

/// A text that names nobody.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is neither a group nor such as human/alice, service/web or host/build-1")]
pub struct UnknownGrantee(String);

impl Grantee {
    /// The scope of a rule that is for them.
    fn constraint(&self) -> String {
        match self {
            Self::Group(group) => format!("principal in Sealock::Group::{}", literal(group)),
            Self::Identity(kind, name) => {
                let kind = match kind {
                    IdentityKind::Human => "Human",
                    IdentityKind::Service => "Service",
                    IdentityKind::Host => "Host",
                };
                format!("principal == Sealock::{kind}::{}", literal(name))
            }
        }
    }
}

impl FromStr for Grantee {
    type Err = UnknownGrantee;

    fn from_str(text: &str) -> Result<Self, UnknownGrantee> {
        // The characters of identities, so that they can stand in a file's name.
        let is_name = |name: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            !matches!(name, "" | "." | "..") && name.len() <= 128 && name.chars().all(allowed)
        };
        let unknown = || UnknownGrantee(plain(&text.chars().take(80).collect::<String>()));
        let (kind, name) = match text.split_once('/') {
            None if is_name(text) => return Ok(Self::Group(text.to_owned())),
            None => return Err(unknown()),
            Some(("human", name)) => (IdentityKind::Human, name),
            Some(("service", name)) => (IdentityKind::Service, name),
            Some(("host", name)) => (IdentityKind::Host, name),
            Some(_) => return Err(unknown()),
        };
        if !is_name(name) {
            return Err(unknown());
        }
        Ok(Self::Identity(kind, name.to_owned()))
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => formatter.write_str(group),
            Self::Identity(kind, name) => write!(formatter, "{}/{name}", kind.segment()),
        }
    }
}

impl TryFrom<String> for Grantee {
    type Error = UnknownGrantee;

    fn try_from(text: String) -> Result<Self, UnknownGrantee> {
        text.parse()
    }
}

impl From<Grantee> for String {
    fn from(grantee: Grantee) -> Self {
        grantee.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_POLICY, PolicySet};
    use super::*;

    #[test]
    fn every_rule_of_a_preset_is_for_its_group_and_says_why() {
        for preset in PRESETS {
            let rules =
                preset.text.matches("permit (").count() + preset.text.matches("forbid (").count();
            let group = format!("principal in Sealock::Group::\"{}\",", preset.group);
            assert!(rules > 0, "{}", preset.name);
            for mark in [group.as_str(), "\n@id(\"docker-", "\n@reason(\""] {
                assert_eq!(preset.text.matches(mark).count(), rules, "{}: {mark}", preset.name);
            }
            assert_eq!(preset.text.matches(ABOUT_THE_GROUP).count(), 1, "{}", preset.name);
            assert!(!preset.text.contains("principal,"), "{}", preset.name);
        }
    }

    #[test]
    fn all_of_them_can_be_used_for_several_at_once() {
        let grantees = ["docker-ci", "human/alice", "service/alice", "human-alice", "host/a.b_c-d"];
        let mut sources = vec![("default.cedar".to_owned(), DEFAULT_POLICY.to_owned())];
        for grantee in grantees {
            let grantee: Grantee = grantee.parse().unwrap();
            for preset in PRESETS {
                let text = preset.written_for(&grantee);
                assert!(text.contains(&grantee.constraint()), "{text}");
                let foreign = preset.group != grantee.to_string();
                assert_ne!(
                    text.contains(&format!("Group::\"{}\"", preset.group)),
                    foreign,
                    "{text}"
                );
                sources.push((preset.file_for(&grantee), text));
            }
        }
        let mut files: Vec<_> = sources.iter().map(|(file, _)| file.clone()).collect();
        files.sort();
        files.dedup();
        assert_eq!(files.len(), 1 + grantees.len() * PRESETS.len());
        let set = PolicySet::load(&sources, 1).unwrap();
        assert!(set.warnings().is_empty(), "{:?}", set.warnings());
    }

    #[test]
    fn a_changed_file_is_told_from_an_older_one() {
        let alice: Grantee = "human/alice".parse().unwrap();
        let text = Preset::find("diun").unwrap().written_for(&alice);
        assert!(is_as_written(&text));
        assert!(!is_as_written(&text.replace("Docker::SystemPing", "Docker::SystemInfo")));
        assert!(!is_as_written(&format!("{text}\n")));
        assert!(!is_as_written("permit (principal, action, resource);"));
        let older = format!(
            "// Written by another version\n{DIGEST}{}\n// nothing\n",
            digest("// nothing\n")
        );
        assert!(is_as_written(&older));
    }

    #[test]
    fn only_names_name_somebody() {
        for bad in
            ["", "human/", "human/a/b", "robot/a", "../x", "human/..", "a b", "a\"", "human/a\n"]
        {
            assert!(bad.parse::<Grantee>().is_err(), "{bad:?}");
        }
    }
}
