//! Names that are not everybody's: those by which clients know this daemon's doors, and the hosts by which the settings know a
//! service. Whoever has a certificate for one can stand in its place before every client that looks at the name alone, such
//! as Docker's; so a right to certificates is not yet one to these (ADR 0042).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use sealock_core::SubjectName;
use sealock_core::audit::DecisionNote;
use sealock_core::policy::{Action, Resource};
use serde_json::Value;

use super::Service;
use super::authorize::{Asking, Granted};
use crate::caller::Door;
use crate::config::{Listen, Settings};
use crate::error::{ErrorCode, ServiceError};

/// Whose a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reserved {
    /// This daemon's own: the API with the broker, the gateway.
    Doors,
    /// A service's, by `services.NAME.tls`.
    Service(String),
}

impl fmt::Display for Reserved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doors => formatter.write_str("the broker and the gateway of this host"),
            Self::Service(name) => write!(formatter, "the service {name} of the settings"),
        }
    }
}

impl Service {
    /// The names that the certificate of a door is for: the host's name, loopback, the address that is listened on, and what
    /// the settings add.
    pub(crate) fn door_names(&self, address: IpAddr, more: &[String]) -> Vec<SubjectName> {
        let mut names = Vec::new();
        let mut add = |name: Option<SubjectName>| {
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                names.push(name);
            }
        };
        add(SubjectName::dns(&self.opening().hostname).ok());
        add(SubjectName::dns("localhost").ok());
        add(Some(SubjectName::Ip(Ipv4Addr::LOCALHOST.into())));
        add(Some(SubjectName::Ip(address)).filter(|_| !address.is_unspecified()));
        more.iter().for_each(|text| add(host_name(text)));
        names
    }

    /// One of the actions on certificates, for all these names. What is reserved among them is another question, and the
    /// first one: a rule that gives names of all kinds was hardly meant to give the broker's.
    pub(super) fn decide_names(
        &self,
        asking: &Asking<'_>,
        action: Action,
        names: &[SubjectName],
        context: &[(&str, Value)],
    ) -> Result<Granted, ServiceError> {
        let mut note = self.decide_purpose(asking, names, context)?;
        for (name, whose) in self.reserved(names) {
            let resources = vec![Resource::Name(name.clone())];
            let granted = self.decide(asking, Action::CertReserved, resources, context);
            let granted = granted.map_err(|error| refused(error, asking, name, &whose))?;
            note = joined(note, granted.actor.decision);
        }
        let resources = names.iter().cloned().map(Resource::Name).collect();
        let mut granted = self.decide(asking, action, resources, context)?;
        granted.actor.decision = joined(granted.actor.decision.take(), note);
        Ok(granted)
    }

    /// Whether certificates with these names may be for what the context says, where that is more than TLS; whoever signs
    /// them.
    pub(super) fn decide_purpose(
        &self,
        asking: &Asking<'_>,
        names: &[SubjectName],
        context: &[(&str, Value)],
    ) -> Result<Option<DecisionNote>, ServiceError> {
        if !beyond_tls(context) {
            return Ok(None);
        }
        let resources = names.iter().cloned().map(Resource::Name).collect();
        let granted = self.decide(asking, Action::CertPurpose, resources, context);
        let granted = granted.map_err(|error| not_for_that(error, asking))?;
        Ok(granted.actor.decision)
    }

    /// What of these is not everybody's.
    pub(super) fn reserved_among(&self, names: &[SubjectName]) -> Vec<SubjectName> {
        self.reserved(names).into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// What of these is not everybody's, and whose it is. It does not matter whether a door is open now: certificates outlive
    /// settings.
    fn reserved<'a>(&self, names: &'a [SubjectName]) -> Vec<(&'a SubjectName, Reserved)> {
        let all = self.reservations(&self.config().settings);
        let found = names.iter().filter_map(|name| {
            let (_, whose) = all.iter().find(|(reserved, _)| reserved.overlaps(name))?;
            Some((name, whose.clone()))
        });
        found.collect()
    }

    fn reservations(&self, settings: &Settings) -> Vec<(SubjectName, Reserved)> {
        let doors = [
            (settings.api.listen, &settings.api.names),
            (settings.gateway.listen, &settings.gateway.names),
            (settings.acme.listen, &settings.acme.names),
        ];
        let address = |listen| match listen {
            Listen::At(address) => address.ip(),
            Listen::Off => Ipv4Addr::UNSPECIFIED.into(),
        };
        let of_doors =
            doors.into_iter().flat_map(|(listen, more)| self.door_names(address(listen), more));
        let of_doors = of_doors.chain(issuer_host(&self.token_issuer()));
        let of_services = settings.services.iter().filter_map(|(name, service)| {
            Some((host_name(service.tls.as_deref()?)?, Reserved::Service(name.clone())))
        });
        of_doors.map(|name| (name, Reserved::Doors)).chain(of_services).collect()
    }
}

fn host_name(text: &str) -> Option<SubjectName> {
    SubjectName::ip(text).or_else(|_| SubjectName::dns(text)).ok()
}

/// Where verifiers of others fetch the keys of tokens.
fn issuer_host(issuer: &str) -> Option<SubjectName> {
    let url: hyper::Uri = issuer.parse().ok()?;
    host_name(url.host()?.trim_start_matches('[').trim_end_matches(']'))
}

/// Whether a certificate is for code or e-mail. Who may have one for TLS by the same names is asked whether they may have this,
/// too (ADR 0055).
fn beyond_tls(context: &[(&str, Value)]) -> bool {
    let usages = context.iter().filter(|(name, _)| *name == "usages");
    let mut usages = usages.filter_map(|(_, value)| value.as_array()).flatten();
    usages.any(|usage| !matches!(usage.as_str(), Some("server" | "client")))
}

fn not_for_that(error: ServiceError, asking: &Asking<'_>) -> ServiceError {
    if error.code != ErrorCode::Denied || error.request.is_none() {
        return error;
    }
    let mut worded = ServiceError::new(
        ErrorCode::Denied,
        "a certificate for code or e-mail is another matter than one for TLS",
    )
    .in_request(asking.request);
    worded.causes = error.causes;
    worded.hint(format!(
        "a rule about Cert::Purpose would allow it, beside the one about the names; `sealock policy explain {}` says more",
        asking.request
    ))
}

fn joined(one: Option<DecisionNote>, other: Option<DecisionNote>) -> Option<DecisionNote> {
    one.into_iter().chain(other).reduce(DecisionNote::and)
}

/// Words the refusal of a name that is not everybody's. The rule that would give it is not printed: it is rarely what is
/// wanted.
fn refused(
    error: ServiceError,
    asking: &Asking<'_>,
    name: &SubjectName,
    whose: &Reserved,
) -> ServiceError {
    // One that is not recorded says why in its own words.
    if error.code != ErrorCode::Denied || error.request.is_none() {
        return error;
    }
    let mut worded = ServiceError::new(
        ErrorCode::Denied,
        format!("{name} is a name of {whose}: it is reserved"),
    )
    .in_request(asking.request);
    worded.causes = error.causes;
    let other = match asking.via == Door::Label.as_str() {
        true => {
            "give the container another name, host name or alias, or the certificate other names by its `dns` label"
        }
        false => "leave it out, or have an administrator issue the certificate",
    };
    worded.hint(format!(
        "who has a certificate for it can pass for {whose}: {other}; \
         `sealock policy explain {}` says more",
        asking.request
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_beyond_tls() {
        let of = |usages: &[&str]| beyond_tls(&[("name", "x".into()), ("usages", usages.into())]);
        assert!(!of(&["server"]) && !of(&["server", "client"]));
        assert!(of(&["code"]) && of(&["client", "email"]) && of(&["server", "whatever"]));
    }

    #[test]
    fn the_host_of_an_issuer_is_found() {
        let found = |issuer: &str| issuer_host(issuer).map(|name| name.to_string());
        assert_eq!(
            found("https://Broker.corp.example:8443/sealock").unwrap(),
            "broker.corp.example"
        );
        assert_eq!(found("https://10.0.0.5").unwrap(), "10.0.0.5");
        assert_eq!(found("https://[fd12::1]:8443").unwrap(), "fd12::1");
        assert_eq!(found("https://:8443"), None);
    }
}
