//! Certificate profiles that the settings change or add: `[profiles.NAME]` with `extends` or `usages`, `life`, `longest`,
//! `key_types` and `names`; of the authority's own, `ocsp` and `intermediate`, `life` and `key_types`.
//!
//! The tables come in any order, so they are kept as they are written until all are there; then each becomes a
//! [`Profile`], or the settings are refused.

use std::collections::BTreeMap;
use std::time::Duration;

use sealock_authority::{KeyType, NameKind, OWN_PROFILES, OwnProfiles, Profile, Usages};
use sealock_core::span::{format_span, parse_span};

use super::file::Value;
use super::shape::{self, ANY, Field, Shape};
use super::suggest;

/// Built-in profiles for the same as another one: tables of that one hold for them, too.
const TWINS: [(&str, &str); 2] = [("short", "server"), ("mutual", "both")];
/// What a table can have.
pub(super) const FIELDS: &[Field] = &[
    Field::new(
        "usages",
        Shape::Words(&USAGES),
        "what certificates are for, of `server`, `client`, `code` and `email`; `code` only alone, `email` not with `server`",
    ),
    Field::new(
        "extends",
        Shape::Text(ANY),
        "another profile, whose bounds hold where there are none here; this or `usages` there must be",
    ),
    Field::new("life", Shape::Span, "a span from a minute on, where an order names none"),
    Field::new("longest", Shape::Span, "a span; `authority.longest_life` holds besides"),
    Field::new("key_types", Shape::Words(&KEY_TYPES), "of `p256`, `p384`, `ed25519` and `rsa3072`"),
    Field::new("names", Shape::Words(&NAMES), "of `dns`, `ip`, `uri`, `email` and `identity`"),
];
/// What the authority's own have.
pub(super) const OWN: &[Field] = &[
    Field::new(
        "life",
        Shape::Span,
        "a span, from when the next one is made: of `ocsp` 30d to 398d, of `intermediate` 270d to 3650d",
    ),
    Field::new(
        "key_types",
        Shape::Words(&KEY_TYPES),
        "the one kind of key that the next one has, of `p256`, `p384`, `ed25519` and `rsa3072`",
    ),
];
/// Of those that are built in there can only be bounds.
pub(super) const BOUNDS: &[&str] = &["life", "longest", "key_types", "names"];
const USAGES: [&str; 4] = ["server", "client", "code", "email"];
const KEY_TYPES: [&str; 4] = ["p256", "p384", "ed25519", "rsa3072"];
const NAMES: [&str; 5] = ["dns", "ip", "uri", "email", "identity"];
/// The shortest life that a profile can give.
const SHORTEST: Duration = Duration::from_secs(60);

/// The profiles, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profiles {
    all: BTreeMap<String, Profile>,
    tables: BTreeMap<String, Table>,
    own: OwnProfiles,
}

/// A table as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    extends: Option<String>,
    usages: Option<Usages>,
    life: Option<Duration>,
    longest: Option<Duration>,
    key_types: Option<Vec<KeyType>>,
    names: Option<Vec<NameKind>>,
}

impl Default for Profiles {
    fn default() -> Self {
        let all = Profile::built_in().into_iter().map(|(name, it)| (name.to_owned(), it));
        Self { all: all.collect(), tables: BTreeMap::new(), own: OwnProfiles::default() }
    }
}

impl Profiles {
    /// A profile that can be ordered.
    pub fn get(&self, name: &str) -> Option<&Profile> {
        self.all.get(name)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Those that nobody orders: of the authority itself.
    pub const fn own(&self) -> OwnProfiles {
        self.own
    }

    /// The name that was probably meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<String> {
        suggest::nearest(name, self.names())
    }

    /// Sets `NAME.life` and so on.
    pub(super) fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let (name, field) = key.rsplit_once('.').unwrap_or_default();
        if !Profile::is_name(name) {
            return Err(format!(
                "is no profile: its name has a-z, 0-9, `-` and `_`, and it has {}",
                shape::known(FIELDS)
            ));
        }
        if OWN_PROFILES.iter().any(|(own, _)| *own == name) {
            return self.set_own(name, field, value);
        }
        let is_built_in = Profile::built_in().iter().any(|(known, _)| *known == name);
        let mut table = self.tables.get(name).cloned().unwrap_or_default();
        match field {
            "extends" | "usages" if is_built_in => {
                return Err(format!(
                    "cannot be said of `{name}`, which is built in: give a profile of your own another name"
                ));
            }
            "extends" => table.extends = Some(value.text()?.to_owned()),
            "usages" => table.usages = Some(usages(value)?),
            "life" => table.life = Some(span(value)?),
            "longest" => table.longest = Some(span(value)?),
            "key_types" => {
                let read = |word: &str| word.parse::<KeyType>().map_err(|error| error.to_string());
                table.key_types = Some(words(value, &KEY_TYPES, read)?);
            }
            "names" => table.names = Some(words(value, &NAMES, str::parse::<NameKind>)?),
            other => {
                let known: Vec<&'static str> = FIELDS.iter().map(|field| field.name).collect();
                return Err(unknown(other, &known, "ends in"));
            }
        }
        self.tables.insert(name.to_owned(), table);
        Ok(())
    }

    /// Sets `life` or `key_types` of one that the authority makes for itself.
    fn set_own(&mut self, name: &str, field: &str, value: &Value) -> Result<(), String> {
        let (own, lives) = match name {
            "ocsp" => (&mut self.own.ocsp, OwnProfiles::OCSP_LIVES),
            _ => (&mut self.own.intermediate, OwnProfiles::INTERMEDIATE_LIVES),
        };
        match field {
            "life" => {
                let life = span(value)?;
                if !lives.contains(&life) {
                    let (least, most) = (format_span(*lives.start()), format_span(*lives.end()));
                    return Err(format!("must be {least} to {most}"));
                }
                own.life = life;
            }
            "key_types" => {
                let read = |word: &str| word.parse::<KeyType>().map_err(|error| error.to_string());
                let [kind] = words(value, &KEY_TYPES, read)?[..] else {
                    return Err("must be one: that of the next key".to_owned());
                };
                own.key_type = Some(kind);
            }
            _ => {
                return Err(format!(
                    "cannot be said of `{name}`, which the authority makes for itself; there are {}",
                    shape::known(OWN)
                ));
            }
        }
        Ok(())
    }

    /// Makes profiles of the tables, now that all are there.
    pub(super) fn resolve(&mut self) -> Result<(), String> {
        let mut all = Self::default().all;
        let twins = TWINS.iter().map(|(name, _)| *name);
        for name in self.tables.keys().map(String::as_str).chain(twins) {
            let profile = self.resolved(name, &mut Vec::new())?;
            check(&profile).map_err(|why| format!("{name}: {why}"))?;
            all.insert(name.to_owned(), profile);
        }
        self.all = all;
        Ok(())
    }

    fn resolved(&self, name: &str, below: &mut Vec<String>) -> Result<Profile, String> {
        if below.iter().any(|seen| seen == name) {
            return Err(format!("{name}: it extends itself, by way of {}", below.join(", ")));
        }
        let built_in = Profile::built_in().into_iter().find(|(known, _)| *known == name);
        let built_in = built_in.map(|(_, profile)| profile);
        let twin = TWINS.iter().find(|(twin, of)| *twin == name && self.tables.contains_key(*of));
        let built_in = match (twin, built_in) {
            // What bounds the one bounds the other.
            (Some((_, of)), Some(own)) => {
                below.push(name.to_owned());
                let base = self.resolved(of, below)?;
                let life = own.life.or(base.life);
                let life = life.map(|life| base.longest.map_or(life, |most| life.min(most)));
                Some(Profile { life, ..base })
            }
            (_, built_in) => built_in,
        };
        let Some(table) = self.tables.get(name) else {
            return built_in.ok_or_else(|| {
                let from = below.last().map(String::as_str).unwrap_or_default();
                let known = self.all.keys().chain(self.tables.keys()).map(String::as_str);
                let meant = suggest::nearest(name, known);
                let meant = meant.map(|it| format!("; did you mean `{it}`?")).unwrap_or_default();
                format!("{from}: it extends `{name}`, which there is not{meant}")
            });
        };
        let base = match (&table.extends, built_in) {
            (Some(base), _) => {
                below.push(name.to_owned());
                Some(self.resolved(base, below)?)
            }
            (None, built_in) => built_in,
        };
        let profile = match (base, table.usages) {
            (Some(base), usages) => Profile { usages: usages.unwrap_or(base.usages), ..base },
            (None, Some(usages)) => Profile::of(usages),
            (None, None) => return Err(format!("{name}: it has neither usages nor extends")),
        };
        Ok(Profile {
            usages: profile.usages,
            life: table.life.or(profile.life),
            longest: table.longest.or(profile.longest),
            key_types: table.key_types.clone().unwrap_or(profile.key_types),
            names: table.names.clone().unwrap_or(profile.names),
        })
    }
}

/// Whether anything can be ordered by it.
fn check(profile: &Profile) -> Result<(), String> {
    profile.usages.check().map_err(|error| error.to_string())?;
    let has = |kinds: &[NameKind]| kinds.iter().any(|kind| profile.names.contains(kind));
    use NameKind as N;
    if profile.usages.email && !has(&[N::Email]) {
        return Err("certificates for e-mail need email among their names".to_owned());
    }
    if profile.usages.server && !has(&[N::Dns, N::Ip, N::Uri, N::Identity]) {
        return Err("servers need dns, ip, uri or identity among their names".to_owned());
    }
    if profile.usages.code && !has(&[N::Dns, N::Email, N::Identity]) {
        return Err(
            "certificates for code need dns, email or identity among their names".to_owned()
        );
    }
    match (profile.life, profile.longest) {
        (Some(life), Some(longest)) if life > longest => {
            Err("its life is longer than its longest".to_owned())
        }
        _ => Ok(()),
    }
}

/// Some of `server`, `client`, `code` and `email`, that one certificate may have together.
fn usages(value: &Value) -> Result<Usages, String> {
    let read = |word: &str| match word {
        "server" => Ok(Usages::SERVER),
        "client" => Ok(Usages::CLIENT),
        "code" => Ok(Usages::CODE),
        _ => Ok(Usages::EMAIL),
    };
    let all = words(value, &USAGES, read)?;
    let usages = all.into_iter().fold(Usages::NONE, |all, one| Usages {
        server: all.server || one.server,
        client: all.client || one.client,
        code: all.code || one.code,
        email: all.email || one.email,
    });
    usages.check().map_err(|error| format!("cannot be: {error}"))?;
    Ok(usages)
}

fn span(value: &Value) -> Result<Duration, String> {
    let span = parse_span(value.text()?).map_err(|error| format!("must be a span: {error}"))?;
    match span < SHORTEST {
        true => Err("must be a minute or more".to_owned()),
        false => Ok(span),
    }
}

/// A list of known words, each once and at least one.
fn words<T>(
    value: &Value,
    known: &[&'static str],
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let all = value.list()?;
    if all.is_empty() {
        return Err(format!("must have some of {}", known.join(", ")));
    }
    let mut read_already: Vec<&String> = Vec::new();
    let mut found = Vec::new();
    for word in &all {
        if !known.contains(&word.as_str()) {
            return Err(unknown(word, known, "has"));
        }
        if read_already.contains(&word) {
            return Err(format!("has `{word}` twice"));
        }
        read_already.push(word);
        found.push(read(word)?);
    }
    Ok(found)
}

fn unknown(word: &str, known: &[&'static str], verb: &str) -> String {
    let meant = suggest::nearest(word, known.iter().copied());
    let meant = meant.map(|it| format!("did you mean `{it}`? ")).unwrap_or_default();
    let word: String = word.chars().take(64).collect();
    format!("{verb} `{word}`; {meant}there are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[(&str, &str)]) -> Result<Profiles, String> {
        let mut profiles = Profiles::default();
        for (key, value) in settings {
            profiles.set(key, &Value::Text((*value).to_owned()))?;
        }
        profiles.resolve()?;
        Ok(profiles)
    }

    #[test]
    fn profiles_are_changed_added_and_extended_in_any_order() {
        let profiles = with(&[
            ("vpn-short.extends", "vpn"),
            ("vpn-short.life", "1h"),
            ("vpn.usages", "client"),
            ("vpn.key_types", "p384, ed25519"),
            ("vpn.longest", "30d"),
            ("vpn.names", "identity,dns"),
            ("server.longest", "90d"),
            ("smartcard.usages", "client,email"),
        ])
        .unwrap();
        let short = profiles.get("vpn-short").unwrap();
        assert_eq!(short.usages, Usages::CLIENT);
        assert_eq!(short.life, Some(Duration::from_secs(3600)));
        assert_eq!(short.longest, Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(short.key_types, [KeyType::P384, KeyType::Ed25519]);
        assert_eq!(short.names, [NameKind::Identity, NameKind::Dns]);
        assert_eq!(profiles.get("vpn").unwrap().life, None);
        let server = profiles.get("server").unwrap();
        assert_eq!((server.usages, server.longest.is_some()), (Usages::SERVER, true));
        let card = profiles.get("smartcard").unwrap();
        assert!(card.usages.client && card.usages.email && !card.usages.server);
        assert_eq!(profiles.get("code").unwrap().usages, Usages::CODE);
        assert!(profiles.get("ocsp").is_none() && profiles.get("intermediate").is_none());
        assert_eq!(profiles.own(), OwnProfiles::default());
    }

    #[test]
    fn the_authoritys_own_have_a_life_and_a_kind_of_key() {
        let profiles = with(&[
            ("intermediate.life", "2y"),
            ("intermediate.key_types", "p384"),
            ("ocsp.life", "30d"),
        ])
        .unwrap();
        let own = profiles.own();
        assert_eq!(own.intermediate.life, Duration::from_secs(730 * 86_400));
        assert_eq!(own.intermediate.key_type, Some(KeyType::P384));
        assert_eq!((own.ocsp.life, own.ocsp.key_type), (Duration::from_secs(30 * 86_400), None));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_what_was_meant() {
        let table: &[(&[(&str, &str)], &str)] = &[
            (&[("vpn.life", "1d")], "neither usages nor extends"),
            (&[("vpn.lief", "1d")], "did you mean `life`"),
            (&[("vpn.usages", "sever")], "did you mean `server`"),
            (&[("vpn.usages", "")], "must have some of"),
            (&[("vpn.usages", "server,server")], "twice"),
            (&[("vpn.usages", "server,code")], "code and something else"),
            (&[("vpn.usages", "server,email")], "e-mail and a server"),
            (&[("vpn.usages", "client"), ("vpn.key_types", "p265")], "did you mean `p256`"),
            (&[("vpn.usages", "client"), ("vpn.names", "emial")], "did you mean `email`"),
            (&[("vpn.life", "1s")], "a minute or more"),
            (&[("vpn.life", "soon")], "must be a span"),
            (&[("vpn.extends", "sever")], "did you mean `server`"),
            (&[("a.extends", "b"), ("b.extends", "a")], "extends itself"),
            (&[("a.extends", "a")], "extends itself"),
            (&[("server.usages", "client")], "is built in"),
            (&[("code.extends", "server")], "is built in"),
            (&[("ocsp.life", "1d")], "must be 30d to"),
            (&[("ocsp.life", "2y")], "must be 30d to"),
            (&[("intermediate.life", "89d")], "must be 270d to"),
            (
                &[("intermediate.usages", "server")],
                "makes for itself; there are life and key_types",
            ),
            (&[("ocsp.longest", "90d")], "makes for itself"),
            (&[("ocsp.key_types", "p256,p384")], "must be one"),
            (&[("ocsp.key_types", "dsa")], "there are p256"),
            (&[("mine.extends", "ocsp")], "which there is not"),
            (&[("Vpn.life", "1d")], "is no profile"),
            (&[("life", "1d")], "is no profile"),
            (&[("m.usages", "email"), ("m.names", "identity")], "need email among"),
            (&[("c.usages", "code"), ("c.names", "uri")], "need dns, email or identity"),
            (&[("s.usages", "server"), ("s.names", "email")], "servers need"),
            (&[("s.usages", "server"), ("s.life", "2d"), ("s.longest", "1d")], "longer than"),
            (
                &[("c.extends", "email"), ("c.usages", "server"), ("c.names", "email")],
                "servers need",
            ),
        ];
        for (settings, why) in table {
            let error = with(settings).unwrap_err();
            assert!(error.contains(why), "{settings:?}: {error}");
        }
    }
}
