//! Who somebody is to policy, whom another authorization server knows.

use std::str::FromStr;

use sealock_core::{Identity, IdentityKind, TrustDomain};
use thiserror::Error;

use crate::token::Introspected;

/// The pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no pattern of an identity, such as human/{{username}}, service/corp-{{client_id}} or human/{{sub}}"
)]
pub struct PatternError(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Username,
    Subject,
    Client,
}

/// `KIND/BEFORE{FIELD}AFTER`: the kind is fixed, and so is what stands around the name. What the other server calls
/// somebody becomes a part of a name, or nobody: a name with other characters than ours have is not repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityPattern {
    kind: IdentityKind,
    before: String,
    field: Field,
    after: String,
}

impl FromStr for IdentityPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError(text.chars().take(200).collect());
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        let kind = match kind {
            "human" => IdentityKind::Human,
            "service" => IdentityKind::Service,
            "host" => IdentityKind::Host,
            _ => return Err(wrong()),
        };
        let (before, rest) = name.split_once('{').ok_or_else(wrong)?;
        let (field, after) = rest.split_once('}').ok_or_else(wrong)?;
        let field = match field {
            "username" => Field::Username,
            "sub" => Field::Subject,
            "client_id" => Field::Client,
            _ => return Err(wrong()),
        };
        let pattern = Self { kind, before: before.to_owned(), field, after: after.to_owned() };
        // With any name in it, it must be one of ours.
        let domain = TrustDomain::for_host("checked");
        pattern.named(&domain, "x").ok_or_else(wrong)?;
        Ok(pattern)
    }
}

impl IdentityPattern {
    /// Who that is; none if the answer lacks the field, or what is in it cannot be a part of a name.
    fn of(&self, domain: &TrustDomain, said: &Introspected) -> Option<Identity> {
        self.named(domain, self.value(said)?)
    }

    fn value<'a>(&self, said: &'a Introspected) -> Option<&'a str> {
        match self.field {
            Field::Username => said.username.as_deref(),
            Field::Subject => said.subject.as_deref(),
            Field::Client => said.client.as_deref(),
        }
    }

    fn named(&self, domain: &TrustDomain, value: &str) -> Option<Identity> {
        // An empty one would make one name of all who have none.
        if value.is_empty() {
            return None;
        }
        let name = format!("{}{value}{}", self.before, self.after);
        Identity::new(domain, self.kind, &name).ok()
    }
}

/// By the first pattern whose field is there. One that is there and does not fit is not passed over.
pub(super) fn mapped(
    patterns: &[IdentityPattern],
    domain: &TrustDomain,
    said: &Introspected,
) -> Option<Identity> {
    patterns.iter().find(|pattern| pattern.value(said).is_some())?.of(domain, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(username: Option<&str>, client: Option<&str>) -> Introspected {
        let text = |value: Option<&str>| value.map(str::to_owned);
        Introspected { username: text(username), client: text(client), ..Introspected::default() }
    }

    #[test]
    fn a_name_becomes_a_part_of_a_name_or_nobody() {
        let domain: TrustDomain = "t.sealock".parse().unwrap();
        let patterns: Vec<IdentityPattern> =
            ["human/corp-{username}", "service/{client_id}"].map(|it| it.parse().unwrap()).into();
        let of = |username, client| {
            mapped(&patterns, &domain, &said(username, client)).map(|it| it.to_string())
        };
        let human = "spiffe://t.sealock/human/corp-alice";
        assert_eq!(of(Some("alice"), Some("web")).as_deref(), Some(human));
        assert_eq!(of(None, Some("web")).as_deref(), Some("spiffe://t.sealock/service/web"));
        assert_eq!(of(None, None), None);
        let long = "a".repeat(128);
        for name in ["", "a/b", "../service/root", "a b", "a@b", "ä", "a%2fb", "a\n", &long] {
            // Nor by the pattern that follows.
            assert_eq!(of(Some(name), Some("web")), None, "{name:?}");
        }
        for text in [
            "",
            "human",
            "human/alice",
            "{sub}",
            "{username}/x",
            "human/{name}",
            "human/{username}{sub}",
            "human/{username",
            "human/a/{username}",
            "admin/{username}",
            "human/a b{username}",
            "spiffe://t/human/{username}",
        ] {
            assert!(text.parse::<IdentityPattern>().is_err(), "{text:?}");
        }
    }
}
