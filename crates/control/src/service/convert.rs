//! Errors of the planes as service errors, and their values as replies.

use sealock_authority::{
    AuthorityError, CaInfo, CertDetail, CertState, CertSummary, Issued, IssuerInfo, IssuerKind,
    KeyWhere,
};
use sealock_core::SubjectName;
use sealock_secrets::VaultError;
use sealock_store::{JournalError, KeyringError, StoreError};

use crate::command::{
    CaCertificate, CaReport, CertificateReport, CertificateState, Files, KeyHome, KeyType,
    RevocationReason, SecretText, Usages,
};
use crate::error::{ErrorCode, ServiceError};

pub(super) fn store_error(error: &StoreError) -> ServiceError {
    ServiceError::of(ErrorCode::State, error).maybe_hint(error.hint())
}

pub(super) fn journal_error(error: &JournalError) -> ServiceError {
    ServiceError::of(ErrorCode::State, error).maybe_hint(error.hint())
}

pub(super) fn keyring_error(error: &KeyringError) -> ServiceError {
    ServiceError::of(ErrorCode::State, error).maybe_hint(error.hint())
}

pub(super) fn vault_error(error: &VaultError) -> ServiceError {
    use VaultError as E;
    let code = match error {
        E::NotFound(_) | E::VersionNotFound { .. } | E::Purged { .. } => ErrorCode::NotFound,
        E::Deleted { .. } | E::Expired { .. } => ErrorCode::NotFound,
        E::TooBig { .. } | E::Archive(_) => ErrorCode::Usage,
        E::Conflict(_) | E::Exists(_) => ErrorCode::Conflict,
        E::Changed { .. } | E::KeyMissing | E::Locked { .. } => ErrorCode::State,
        E::Read(_) | E::Commit { .. } => ErrorCode::State,
        E::Seal | E::SealKey { .. } | E::Random => ErrorCode::Fault,
        _ => ErrorCode::Failed,
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}

pub(super) fn authority_error(error: &AuthorityError) -> ServiceError {
    use AuthorityError as E;
    let code = match error {
        E::Missing => ErrorCode::NotInitialised,
        E::Unknown(_) | E::UnknownCa(_) | E::UnknownIssuer(_) | E::NoSuchIssuer { .. } => {
            ErrorCode::NotFound
        }
        E::OtherTrustDomain { .. } | E::Contended => ErrorCode::Conflict,
        E::CrlUrl(_) | E::Order(_) | E::Constraint(_) | E::Csr(_) => ErrorCode::Usage,
        E::Read(_) | E::Commit { .. } | E::Corrupt { .. } | E::Unseal { .. } => ErrorCode::State,
        E::Device(error) => return device_error(error),
        E::ListBehind { .. } => ErrorCode::Unavailable,
        E::Encode(_) | E::Random | E::Build { .. } | E::Encrypt | E::Seal { .. } => {
            ErrorCode::Fault
        }
        _ => ErrorCode::Failed,
    };
    ServiceError::of(code, error).maybe_hint(error.hint())
}

/// Of what the HSM has not done.
pub(super) fn device_error(error: &sealock_authority::DeviceError) -> ServiceError {
    let code = if error.may_pass { ErrorCode::Unavailable } else { ErrorCode::Failed };
    ServiceError::of(code, error).hint(error.hint.clone())
}

pub(super) const fn key_home(home: KeyHome) -> sealock_authority::KeyHome {
    match home {
        KeyHome::Store => sealock_authority::KeyHome::Store,
        KeyHome::Hsm => sealock_authority::KeyHome::Device,
    }
}

pub(super) const fn key_type(kind: KeyType) -> sealock_authority::KeyType {
    match kind {
        KeyType::P256 => sealock_authority::KeyType::P256,
        KeyType::P384 => sealock_authority::KeyType::P384,
        KeyType::Ed25519 => sealock_authority::KeyType::Ed25519,
        KeyType::Rsa3072 => sealock_authority::KeyType::Rsa3072,
    }
}

pub(super) const fn usages(usages: Usages) -> sealock_authority::Usages {
    let Usages { server, client, code, email } = usages;
    sealock_authority::Usages { server, client, code, email }
}

pub(super) fn usage_names(usages: sealock_authority::Usages) -> Vec<String> {
    usages.names().into_iter().map(str::to_owned).collect()
}

pub(super) const fn reason(reason: RevocationReason) -> sealock_authority::Reason {
    match reason {
        RevocationReason::Unspecified => sealock_authority::Reason::Unspecified,
        RevocationReason::KeyCompromise => sealock_authority::Reason::KeyCompromise,
        RevocationReason::AffiliationChanged => sealock_authority::Reason::AffiliationChanged,
        RevocationReason::Superseded => sealock_authority::Reason::Superseded,
        RevocationReason::CessationOfOperation => sealock_authority::Reason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn => sealock_authority::Reason::PrivilegeWithdrawn,
    }
}

pub(super) fn ca_report(info: &CaInfo) -> CaReport {
    let of = |kind: IssuerKind| -> Vec<CaCertificate> {
        let issuers = info.issuers.iter().filter(|issuer| issuer.kind == kind);
        issuers.map(|issuer| ca_certificate(info, issuer)).collect()
    };
    let active_root =
        info.issuers.iter().find(|issuer| issuer.active && issuer.kind == IssuerKind::Root);
    let constraints = &info.name_constraints;
    let permitted = constraints.permitted.iter().map(|subtree| format!("permit {subtree}"));
    let excluded = constraints.excluded.iter().map(|subtree| format!("exclude {subtree}"));
    CaReport {
        trust_domain: info.trust_domain.to_string(),
        key_type: active_root.map(|root| root.key_type.to_string()).unwrap_or_default(),
        protection: info.key_protection.to_string(),
        root_key_present: active_root.is_some_and(|root| root.key_here),
        roots: of(IssuerKind::Root),
        intermediates: of(IssuerKind::Intermediate),
        crl_url: info.crl_url.clone(),
        constraints: permitted.chain(excluded).collect(),
    }
}

/// The subject of a CA certificate, readable.
pub(super) fn issuer_subject(info: &CaInfo, issuer: &IssuerInfo) -> String {
    format!("{} {} {}", info.trust_domain, issuer_kind(issuer.kind), issuer.number)
}

pub(super) const fn issuer_kind(kind: IssuerKind) -> &'static str {
    match kind {
        IssuerKind::Root => "root",
        IssuerKind::Intermediate => "intermediate",
    }
}

fn ca_certificate(info: &CaInfo, issuer: &IssuerInfo) -> CaCertificate {
    CaCertificate {
        id: issuer.id.to_string(),
        subject: issuer_subject(info, issuer),
        serial: issuer.serial.to_string(),
        not_before: issuer.not_before,
        not_after: issuer.not_after,
        fingerprint: issuer.fingerprint.clone(),
        pem: issuer.pem.clone(),
        key: key_where(&issuer.key_where),
        revoked_at: issuer.revoked.map(|(at, _)| at),
        reason: issuer.revoked.map(|(_, reason)| reason.to_string()),
    }
}

/// Where a key is.
pub(super) fn key_where(place: &KeyWhere) -> String {
    match place {
        KeyWhere::Store => "store".to_owned(),
        KeyWhere::Elsewhere => "elsewhere".to_owned(),
        KeyWhere::Device(at) => sealock_core::policy::plain(&format!("hsm {} {}", at.token, at.id)),
    }
}

pub(super) const fn state(state: CertificateState) -> CertState {
    match state {
        CertificateState::Valid => CertState::Valid,
        CertificateState::Replaced => CertState::Replaced,
        CertificateState::Revoked => CertState::Revoked,
        CertificateState::Expired => CertState::Expired,
    }
}

pub(super) const fn state_name(state: CertState) -> &'static str {
    match state {
        CertState::Valid => "valid",
        CertState::Replaced => "replaced",
        CertState::Revoked => "revoked",
        CertState::Expired => "expired",
    }
}

pub(super) fn certificate(summary: &CertSummary) -> CertificateReport {
    CertificateReport {
        serial: summary.serial.to_string(),
        name: summary.name.clone(),
        identity: summary.identity.as_ref().map(ToString::to_string),
        names: summary.names.clone(),
        common_name: summary.common_name.clone(),
        issuer: summary.issuer.to_string(),
        usages: usage_names(summary.usages),
        profile: summary.profile.clone(),
        key: summary.key.to_string(),
        issued: summary.issued,
        not_before: summary.not_before,
        not_after: summary.not_after,
        by: summary.by.clone(),
        state: state_name(summary.state).to_owned(),
        replaces: summary.replaces.as_ref().map(ToString::to_string),
        replaced_by: summary.replaced_by.as_ref().map(ToString::to_string),
        revoked_at: summary.revoked_at,
        reason: summary.reason.map(|reason| reason.to_string()),
        fingerprint: None,
        pem: None,
        published: Vec::new(),
        imported: None,
    }
}

pub(super) fn detail(detail: &CertDetail) -> CertificateReport {
    CertificateReport {
        fingerprint: Some(detail.fingerprint.clone()),
        pem: Some(format!("{}{}", detail.pem, detail.chain_pem)),
        ..certificate(&detail.summary)
    }
}

pub(super) fn files(
    issued: &Issued,
    names: Vec<SubjectName>,
    replaces: Option<String>,
    request: &str,
) -> Files {
    let key = issued.tls_key().cloned().and_then(SecretText::new);
    let bundle = key.is_some().then(|| issued.bundle_pem()).and_then(SecretText::new);
    Files {
        serial: issued.serial.to_string(),
        name: issued.name.clone(),
        names,
        not_before: issued.not_before,
        not_after: issued.not_after,
        replaces,
        tls_crt: issued.tls_crt(),
        tls_key: key,
        ca_crt: issued.ca_crt(),
        bundle_pem: bundle,
        request: request.to_owned(),
    }
}
