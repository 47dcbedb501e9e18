//! From texts to names, and which of them is the identity.

use sealock_authority::{Authority, Profile};
use sealock_core::{DnsName, Identity, IdentityKind, IssuerName, SubjectName};

use crate::command::Names;
use crate::error::{ErrorCode, ServiceError};

/// The names of an order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ordered {
    pub(super) identity: Option<Identity>,
    pub(super) names: Vec<SubjectName>,
    /// Whether nobody has asked for the identity.
    pub(super) automatic: bool,
}

impl Ordered {
    /// The identity and all names, where this issuer (none: our own) signs them: then the identity is first among the names.
    pub(super) fn signed_by(
        self,
        issuer: Option<&IssuerName>,
    ) -> (Option<Identity>, Vec<SubjectName>, Vec<SubjectName>) {
        let identity = self.identity.filter(|_| issuer.is_none());
        let first = identity.iter().map(|id| SubjectName::Uri(id.to_string()));
        let all = first.chain(self.names.iter().cloned()).collect();
        (identity, self.names, all)
    }
}

/// Reads the names of a command.
pub(super) fn parse(names: &Names) -> Result<Vec<SubjectName>, ServiceError> {
    let dns = names.dns.iter().map(|text| SubjectName::dns(text));
    let ip = names.ip.iter().map(|text| SubjectName::ip(text));
    let uri = names.uri.iter().map(|text| SubjectName::uri(text));
    let email = names.email.iter().map(|text| SubjectName::email(text));
    let mut parsed = Vec::new();
    for name in dns.chain(ip).chain(uri).chain(email) {
        let name = name.map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
        if !parsed.contains(&name) {
            parsed.push(name);
        }
    }
    Ok(parsed)
}

/// Takes the SPIFFE ID out of the names: it can only be in a certificate as its identity, and only one.
pub(super) fn with_identity(names: Vec<SubjectName>) -> Result<Ordered, ServiceError> {
    let mut ordered = Ordered::default();
    for name in names {
        let SubjectName::Uri(text) = &name else {
            ordered.names.push(name);
            continue;
        };
        let is_spiffe = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("spiffe:"));
        if !is_spiffe {
            ordered.names.push(name);
            continue;
        }
        let identity: Identity =
            text.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?;
        if ordered.identity.replace(identity).is_some() {
            return Err(ServiceError::new(ErrorCode::Usage, "a certificate has one identity only"));
        }
    }
    Ok(ordered)
}

/// The names of `cert issue NAME`: NAME itself is the DNS name when no other is given, and
/// `service/NAME` the identity when none is given, where NAME can be that, the authority's own
/// constraints let it through, and certificates of the profile are for services.
pub(super) fn for_issue(
    authority: &Authority,
    name: &str,
    names: &Names,
    profile: &Profile,
) -> Result<Ordered, ServiceError> {
    let mut ordered = with_identity(parse(names)?)?;
    let is_service = profile.has_identity() && !profile.usages.email;
    // Code is signed in somebody's name, and that is no host's.
    if names.is_empty() && !(profile.usages.code && is_service) {
        let own: DnsName = name.parse().map_err(|error| {
            ServiceError::of(ErrorCode::Usage, &error).hint("give names with --dns, --ip or --uri")
        })?;
        ordered.names.push(SubjectName::Dns(own));
    }
    if ordered.identity.is_none() && is_service {
        let identity = Identity::new(&authority.trust_domain(), IdentityKind::Service, name).ok();
        ordered.automatic = true;
        ordered.identity = identity.filter(|identity| {
            authority.check_name(&SubjectName::Uri(identity.to_string())).is_ok()
        });
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_taken_out_of_the_names() {
        let names = Names {
            dns: vec!["a.example".into(), "A.example".into()],
            uri: vec!["spiffe://t/human/jo".into(), "https://a.example/".into()],
            ..Names::default()
        };
        let ordered = with_identity(parse(&names).unwrap()).unwrap();
        assert_eq!(ordered.identity.unwrap().to_string(), "spiffe://t/human/jo");
        assert_eq!(ordered.names.len(), 2, "{:?}", ordered.names);
    }

    #[test]
    fn bad_names_are_usage_errors() {
        let uris = |uris: &[&str]| {
            let names = Names {
                uri: uris.iter().map(|uri| (*uri).to_owned()).collect(),
                ..Names::default()
            };
            parse(&names).and_then(with_identity).unwrap_err().code
        };
        assert_eq!(uris(&["spiffe://t/human/jo", "spiffe://t/human/al"]), ErrorCode::Usage);
        assert_eq!(uris(&["SPIFFE://t/human/jo"]), ErrorCode::Usage);
        assert_eq!(uris(&["no uri"]), ErrorCode::Usage);
    }
}
