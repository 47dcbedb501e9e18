//! Certificates of the ACME server: handed out, revoked, and when to renew them.

use std::time::Duration;

use sealock_acme::ari::CertificateId;
use sealock_acme::identifier::Identifier;
use sealock_acme::jwk::Jwk;
use sealock_acme::problem::{AcmeProblem, ErrorKind};
use sealock_acme::state::{Account, Replaces};
use sealock_authority::{AuthorityError, CertDetail, CertState, Reason, Serial};
use sealock_core::Timestamp;
use sealock_core::audit::Actor;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::super::{Service, convert};
use super::{service_problem, state_problem};

/// A certificate with its chain, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Download(pub(crate) String);

/// When a certificate is best renewed (RFC 9773 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenewalWindow {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

/// Who asks for a revocation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Revoker<'a> {
    Account(&'a Account),
    /// Whoever has the certificate's own key.
    Key(&'a Jwk),
}

impl Service {
    /// A certificate that was issued to this account.
    pub(crate) fn acme_certificate(
        &self,
        account: &Account,
        serial: &str,
    ) -> Result<Download, AcmeProblem> {
        let unknown = || {
            AcmeProblem::new(ErrorKind::Malformed, "there is no such certificate").with_status(404)
        };
        let serial: Serial = serial.parse().map_err(|_| unknown())?;
        let owned = self.opened()?.certificate(&serial.to_string());
        let owned = owned.map_err(|error| state_problem(&error))?.ok_or_else(unknown)?;
        if owned.account != account.id {
            return Err(unknown());
        }
        let found = self.acme_found(serial)?.ok_or_else(unknown)?;
        Ok(Download(format!("{}{}", found.pem, found.chain_pem)))
    }

    fn acme_found(&self, serial: Serial) -> Result<Option<CertDetail>, AcmeProblem> {
        let authority = self.authority().map_err(|error| service_problem(&error))?;
        match authority.show_serial(serial) {
            Ok(found) => Ok(Some(found)),
            Err(AuthorityError::Unknown(_)) => Ok(None),
            Err(error) => Err(service_problem(&convert::authority_error(&error))),
        }
    }

    /// The certificate that another order is to replace, if that is this account's and was not replaced yet.
    pub(super) fn acme_replaced(
        &self,
        account: &Account,
        id: &CertificateId,
        identifiers: &[Identifier],
    ) -> Result<Replaces, AcmeProblem> {
        let refused = |text: &str| AcmeProblem::new(ErrorKind::Malformed, text);
        let unknown = || refused("the certificate that is to be replaced is not known here");
        let serial = data_encoding::HEXLOWER.encode(id.serial());
        let serial: Serial = serial.parse().map_err(|_| unknown())?;
        let (acme, text) = (self.opened()?, serial.to_string());
        let owned = acme.certificate(&text).map_err(|error| state_problem(&error))?;
        // A server need not say whose it is (RFC 9773 §5).
        let owned = owned.filter(|owned| owned.account == account.id).ok_or_else(unknown)?;
        if !owned.identifiers.iter().any(|it| identifiers.contains(it)) {
            return Err(refused("the order has no name of the certificate that is to be replaced"));
        }
        if acme.is_replaced(&text).map_err(|error| state_problem(&error))? {
            let text = "that certificate was replaced already";
            return Err(AcmeProblem::new(ErrorKind::AlreadyReplaced, text));
        }
        let found = self.acme_found(serial)?.ok_or_else(unknown)?;
        if issuer_of(&found.der).as_deref() != Some(id.key_identifier()) {
            return Err(unknown());
        }
        Ok(Replaces { id: id.clone(), serial: text, ends: found.summary.not_after })
    }

    /// When to renew a certificate of ours, whoever asks.
    pub(crate) fn acme_renewal(
        &self,
        key_identifier: &[u8],
        serial: &[u8],
    ) -> Result<RenewalWindow, AcmeProblem> {
        let unknown = || {
            AcmeProblem::new(ErrorKind::Malformed, "there is no such certificate").with_status(404)
        };
        let text = data_encoding::HEXLOWER.encode(serial);
        let serial: Serial = text.parse().map_err(|_| unknown())?;
        let found = self.acme_found(serial)?.ok_or_else(unknown)?;
        if issuer_of(&found.der).as_deref() != Some(key_identifier) {
            return Err(unknown());
        }
        Ok(self.window(&found))
    }

    fn window(&self, found: &CertDetail) -> RenewalWindow {
        let (begins, ends) = (found.summary.not_before, found.summary.not_after);
        let life = ends.since(begins);
        if found.summary.state == CertState::Revoked {
            // In the past: at once.
            let now = self.journal.clock().now();
            return RenewalWindow {
                start: now.minus(Duration::from_secs(7200)),
                end: now.minus(Duration::from_secs(3600)),
            };
        }
        // From two thirds of its life on; whoever comes at the end of the window has a fifth left.
        RenewalWindow { start: begins.plus(life * 2 / 3), end: begins.plus(life * 4 / 5) }
    }

    /// Revokes a certificate: by the account that it was issued to, by one that has proved all its names, or by its own key
    /// (RFC 8555 §7.6). That right is theirs, whatever the rules say.
    pub(crate) fn acme_revoke(
        &self,
        request: &str,
        der: &[u8],
        reason: Reason,
        revoker: Revoker<'_>,
    ) -> Result<(), AcmeProblem> {
        let unknown = || {
            AcmeProblem::new(ErrorKind::Malformed, "the certificate is not one of this server")
                .with_status(404)
        };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| unknown())?;
        let serial = data_encoding::HEXLOWER.encode(certificate.raw_serial());
        let serial: Serial = serial.trim_start_matches("00").parse().map_err(|_| unknown())?;
        let found =
            self.acme_found(serial)?.filter(|found| found.der == der).ok_or_else(unknown)?;
        let who = match revoker {
            Revoker::Key(key) => {
                if !key.same_as_spki(certificate.public_key().raw) {
                    return Err(unauthorized());
                }
                format!("key:{}", key.thumbprint())
            }
            Revoker::Account(account) => {
                self.acme_may_revoke(account, &found)?;
                self.acme_caller(account).map_err(|error| service_problem(&error))?.who
            }
        };
        if found.summary.state == CertState::Revoked {
            return Err(AcmeProblem::new(ErrorKind::AlreadyRevoked, "it is revoked already"));
        }
        let actor = Actor { who, request: request.to_owned(), decision: None };
        let authority = self.authority().map_err(|error| service_problem(&error))?;
        self.revoke_bound(&found, &actor);
        let outcome = authority
            .revoke(serial, reason, &actor)
            .map_err(|error| service_problem(&convert::authority_error(&error)))?;
        self.after_revocation(&serial.to_string(), outcome.already);
        if outcome.already {
            return Err(AcmeProblem::new(ErrorKind::AlreadyRevoked, "it is revoked already"));
        }
        Ok(())
    }

    fn acme_may_revoke(&self, account: &Account, found: &CertDetail) -> Result<(), AcmeProblem> {
        let acme = self.opened()?;
        let owned = acme.certificate(&found.summary.serial.to_string());
        let owned = owned.map_err(|error| state_problem(&error))?;
        if owned.is_some_and(|owned| owned.account == account.id) {
            return Ok(());
        }
        // One without names would be everybody's.
        if found.summary.names.is_empty() {
            return Err(unauthorized());
        }
        for name in &found.summary.names {
            let proved =
                acme.has_proved(&account.id, name).map_err(|error| state_problem(&error))?;
            if !proved {
                return Err(unauthorized());
            }
        }
        Ok(())
    }
}

fn unauthorized() -> AcmeProblem {
    AcmeProblem::new(
        ErrorKind::Unauthorized,
        "a certificate is revoked by the account that it was issued to, by one that has proved all its names, or by its own key",
    )
}

/// The key identifier of who issued it.
fn issuer_of(der: &[u8]) -> Option<Vec<u8>> {
    use x509_parser::extensions::ParsedExtension;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(it) => {
            it.key_identifier.as_ref().map(|id| id.0.to_vec())
        }
        _ => None,
    })
}
