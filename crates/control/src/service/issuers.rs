//! `ca request`, `ca import`, `ca list`, `ca disable`: issuing CAs under roots of others; and what a person has to do about
//! them.

use std::fmt::Write as _;
use std::path::Path;

use sealock_authority::imported::{MOST_CERTIFICATES, Subject};
use sealock_authority::{
    CaInfo, IssuerError, IssuerHeld, IssuerKind, IssuerStanding, IssuerWaiting, IssuerWishes,
    KeyWhere, NameConstraints,
};
use sealock_core::audit::Actor;
use sealock_core::policy::{Action, Resource};
use sealock_core::span::format_span;
use sealock_core::{IssuerName, Timestamp};

use super::{Service, convert};
use crate::caller::Caller;
use crate::command::{
    CaImport, CaRequest, IssuerChange, IssuerImportReport, IssuingHeld, IssuingReport,
    IssuingWaiting, Reply, Todo,
};
use crate::error::{ErrorCode, ServiceError};

impl Service {
    pub(super) fn ca_request(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &CaRequest,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(&wanted.name)?;
        let subject = wanted.subject.as_ref().map(|text| text.parse::<Subject>()).transpose();
        let subject = subject
            .map_err(|error| ServiceError::of(ErrorCode::Usage, &error).maybe_hint(error.hint()))?;
        let (key_type, home) = (wanted.key_type, wanted.key);
        let wishes = IssuerWishes {
            subject,
            key_type: key_type.map(convert::key_type),
            home: home.map(convert::key_home),
        };
        let actor = self.manage_issuer(caller, request, "request-issuer")?;
        let made = self
            .authority()?
            .request_issuer(&name, &wishes, wanted.replace, &actor)
            .map_err(|error| issuer_error(&error))?;
        if made.new {
            self.tidy_issuer_requests()?;
            self.changed();
        }
        Ok(Reply::Issuer(Box::new(self.issuing(&made.standing))))
    }

    pub(super) fn ca_import(
        &self,
        caller: &Caller,
        request: &str,
        wanted: &CaImport,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(&wanted.name)?;
        if wanted.certificates.len() > MOST_CERTIFICATES * 16 {
            return Err(ServiceError::new(ErrorCode::Usage, "these are too many certificates"));
        }
        let decode = |text: &String| {
            data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| {
                ServiceError::new(ErrorCode::Usage, "a certificate is not DER in base64")
            })
        };
        let pile: Vec<Vec<u8>> =
            wanted.certificates.iter().map(decode).collect::<Result<_, _>>()?;
        let actor = self.manage_issuer(caller, request, "import-issuer")?;
        let taken = self
            .authority()?
            .import_issuer(&name, &pile, &actor)
            .map_err(|error| issuer_error(&error))?;
        if taken.new {
            self.tidy_issuer_requests()?;
            self.changed();
        }
        Ok(Reply::IssuerImported(Box::new(IssuerImportReport {
            issuer: self.issuing(&taken.standing),
            chain: taken.chain,
            new: taken.new,
            asked: taken.asked,
        })))
    }

    /// All of them, our own first.
    pub(super) fn ca_issuers(&self, caller: &Caller, request: &str) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::CaRead, Resource::Authority, &[])?;
        let authority = self.authority()?;
        let others = authority.issuers();
        let others = others.iter().map(|standing| self.issuing(standing));
        Ok(Reply::Issuers(own(&authority.ca_info()).into_iter().chain(others).collect()))
    }

    pub(super) fn ca_issuer_change(
        &self,
        caller: &Caller,
        request: &str,
        name: &str,
        change: IssuerChange,
    ) -> Result<Reply, ServiceError> {
        let name = parse_name(name)?;
        let operation = match change {
            IssuerChange::Cancel => "cancel-issuer",
            IssuerChange::Disable => "disable-issuer",
            IssuerChange::Enable => "enable-issuer",
        };
        let actor = self.manage_issuer(caller, request, operation)?;
        let authority = self.authority()?;
        let standing = match change {
            IssuerChange::Cancel => authority.cancel_issuer(&name, &actor),
            IssuerChange::Disable => authority.disable_issuer(&name, true, &actor),
            IssuerChange::Enable => authority.disable_issuer(&name, false, &actor),
        };
        let standing = standing.map_err(|error| issuer_error(&error))?;
        self.tidy_issuer_requests()?;
        self.changed();
        Ok(Reply::Issuer(Box::new(self.issuing(&standing))))
    }

    fn manage_issuer(
        &self,
        caller: &Caller,
        request: &str,
        operation: &str,
    ) -> Result<Actor, ServiceError> {
        let context = [("operation", operation.into())];
        self.authorize(caller, request, Action::CaManage, Resource::Authority, &context)
            .map(|granted| granted.actor)
    }

    fn issuing(&self, standing: &IssuerStanding) -> IssuingReport {
        let now = self.journal.clock().now();
        let waiting = |waiting: &IssuerWaiting| IssuingWaiting {
            since: waiting.since,
            key_sha256: waiting.key.clone(),
            key: convert::key_where(&waiting.key_where),
            csr: waiting.csr.clone(),
            text: request_text(standing, waiting),
        };
        let held = standing.held.as_ref();
        IssuingReport {
            name: standing.name.to_string(),
            state: state(standing, now).to_owned(),
            subject: held.map_or_else(|| standing.subject.clone(), |held| held.subject.clone()),
            key_type: standing.key_type.to_string(),
            todo: self.issuer_todo(standing, now).map(|it| format!("{}: {}", it.text, it.hint)),
            waiting: standing.waiting.as_ref().map(waiting),
            anew: standing.anew.as_ref().map(waiting),
            held: held.map(report),
            retired: standing.retired.iter().map(|(id, _)| id.to_string()).collect(),
        }
    }

    /// What a person has to do about issuers.
    pub(super) fn issuer_todos(&self) -> Result<Vec<Todo>, ServiceError> {
        let now = self.journal.clock().now();
        let all = self.authority()?.issuers();
        Ok(all.iter().filter_map(|standing| self.issuer_todo(standing, now)).collect())
    }

    fn issuer_todo(&self, standing: &IssuerStanding, now: Timestamp) -> Option<Todo> {
        todo(standing, &self.issuer_request_file(&standing.name, "csr"), now)
    }
}

pub(super) fn parse_name(name: &str) -> Result<IssuerName, ServiceError> {
    name.parse().map_err(|error| ServiceError::of(ErrorCode::Usage, &error))
}

pub(super) fn issuer_error(error: &IssuerError) -> ServiceError {
    use IssuerError as E;
    let code = match error {
        E::Own | E::OwnStays | E::NoSubject | E::OwnSubject(_) => ErrorCode::Usage,
        E::OtherWishes(_) | E::Changed(_) => ErrorCode::Conflict,
        E::Unknown(_) | E::NotWaiting(_) => ErrorCode::NotFound,
        E::TooMany => ErrorCode::Busy,
        E::Import { .. } => ErrorCode::Failed,
        E::Authority(error) => return convert::authority_error(error),
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}

fn state(standing: &IssuerStanding, now: Timestamp) -> &'static str {
    match (&standing.held, &standing.waiting) {
        _ if standing.disabled => "disabled",
        (Some(held), _) if now > held.not_after => "expired",
        (Some(_), Some(_)) => "in use, successor waits for signature",
        (Some(_), None) if standing.anew.is_some() => "in use, to be signed anew",
        (Some(_), None) => "in use",
        (None, _) => "waiting for signature",
    }
}

/// What waits for somebody, or ends without anybody having seen to it.
fn todo(standing: &IssuerStanding, csr: &Path, now: Timestamp) -> Option<Todo> {
    let name = &standing.name;
    let about = |kind: &str, text: String, since: Timestamp, hint: String| Todo {
        kind: kind.to_owned(),
        name: format!("issuer {name}"),
        text,
        since,
        hint,
    };
    let ends = |held: &IssuerHeld| match now > held.not_after {
        true => format!("expired at {}", held.not_after),
        false => format!("expires in {}", format_span(held.not_after.since(now))),
    };
    let import = format!("sealock ca import {name} FILE…");
    match (&standing.waiting, &standing.held) {
        (Some(waiting), None) => {
            let text = "the CSR of this issuing CA waits for a signature".to_owned();
            Some(about("issuer-signature", text, waiting.since, import))
        }
        (Some(waiting), Some(held)) => {
            let text = format!("{}; the CSR of its successor waits for a signature", ends(held));
            Some(about("issuer-renewal", text, waiting.since, import))
        }
        (None, Some(held)) if now >= held.renewal_due() && !standing.disabled => {
            let hint = format!(
                "have it signed anew and `sealock ca import {name} FILE…`, or `sealock ca request {name}` for a new key"
            );
            let text = match &standing.anew {
                Some(_) => {
                    format!("{}; a CSR for the same key lies at {}", ends(held), csr.display())
                }
                None => format!("{}, and no CSR is out", ends(held)),
            };
            Some(about("issuer-expiry", text, held.renewal_due(), hint))
        }
        _ => None,
    }
}

/// What is in a CSR, for whoever is to sign it.
pub(super) fn request_text(standing: &IssuerStanding, waiting: &IssuerWaiting) -> String {
    let mut text = String::new();
    let mut field = |heading: &str, value: &str| {
        let _ = writeln!(text, "{heading:<13} {value}");
    };
    field("Issuer", standing.name.as_str());
    let anew = standing.anew.as_ref() == Some(waiting);
    let held = standing.held.as_ref();
    let subject = held.filter(|_| anew).map_or(&standing.subject, |held| &held.subject);
    field("Subject", subject);
    field("Asked for", "a CA with path length 0, for certificates and revocation lists");
    let kind = held.filter(|_| anew).map_or(standing.key_type, |held| held.key_type);
    let place = match &waiting.key_where {
        KeyWhere::Device(_) => ", in the HSM",
        KeyWhere::Store | KeyWhere::Elsewhere => "",
    };
    field("Key", &format!("{kind}{place}"));
    field("Key SHA-256", &waiting.key);
    field("Made", &waiting.since.to_string());
    if let Some(held) = held {
        field(
            if anew { "Renews" } else { "Follows" },
            &format!("{} (until {})", held.serial, held.not_after),
        );
    }
    text
}

fn report(held: &IssuerHeld) -> IssuingHeld {
    let ocsp = held.ocsp.then(|| "ocsp".to_owned());
    let permits = convert::usage_names(held.usages).into_iter().chain(ocsp);
    let constraints = held.constraints.iter().flat_map(|(subject, constraints)| {
        subtrees(constraints).into_iter().map(move |subtree| format!("{subtree} ({subject})"))
    });
    IssuingHeld {
        id: held.id.to_string(),
        serial: held.serial.clone(),
        key: convert::key_where(&held.key_where),
        root: held.root.clone(),
        not_before: held.not_before,
        not_after: held.not_after,
        path_length: held.path_length,
        permits: permits.collect(),
        constraints: constraints.collect(),
        fingerprint: held.fingerprint.clone(),
        chain: held.chain.clone(),
        root_pem: held.root_pem.clone(),
    }
}

fn subtrees(constraints: &NameConstraints) -> Vec<String> {
    let permitted = constraints.permitted.iter().map(|subtree| format!("permit {subtree}"));
    let excluded = constraints.excluded.iter().map(|subtree| format!("exclude {subtree}"));
    permitted.chain(excluded).collect()
}

/// Our own intermediate, as the others are told of.
fn own(info: &CaInfo) -> Option<IssuingReport> {
    let active = |kind| info.issuers.iter().find(move |one| one.active && one.kind == kind);
    let (signs, root) = (active(IssuerKind::Intermediate)?, active(IssuerKind::Root)?);
    let retired = info.issuers.iter().filter(|one| !one.active && one.kind == signs.kind);
    let subject = convert::issuer_subject(info, signs);
    let both = subtrees(&info.name_constraints).into_iter();
    Some(IssuingReport {
        name: IssuerName::own().to_string(),
        state: "in use".to_owned(),
        key_type: signs.key_type.to_string(),
        todo: None,
        waiting: None,
        anew: None,
        held: Some(IssuingHeld {
            id: signs.id.to_string(),
            serial: signs.serial.to_string(),
            key: convert::key_where(&signs.key_where),
            root: convert::issuer_subject(info, root),
            not_before: signs.not_before,
            not_after: signs.not_after,
            path_length: Some(0),
            permits: ["server", "client", "code", "email", "ocsp"].map(ToOwned::to_owned).to_vec(),
            constraints: both.map(|subtree| format!("{subtree} ({subject})")).collect(),
            fingerprint: signs.fingerprint.clone(),
            chain: signs.pem.clone(),
            root_pem: root.pem.clone(),
        }),
        retired: retired.map(|one| one.id.to_string()).collect(),
        subject,
    })
}
