//! What an applicant is told when the authority signs nothing.

use sealock_acme::problem::{AcmeProblem, ErrorKind};
use sealock_acme::state::Order;
use sealock_authority::{AuthorityError, OrderError};
use sealock_core::audit::{Actor, Fact};
use sealock_store::Change;

use super::super::authorize::Asking;
use super::super::{Service, convert};
use super::service_problem;

impl Service {
    /// Records that the HSM has not signed what was ordered. The client comes again and again until it does, so this has the
    /// room that denials have.
    pub(super) fn acme_record_unsigned(
        &self,
        asking: &Asking<'_>,
        actor: Actor,
        order: &Order,
        error: &AuthorityError,
    ) {
        let AuthorityError::Device(device) = error else { return };
        let Some(unrecorded) = self.room_for_denial(asking) else { return };
        let names: Vec<String> = order.identifiers.iter().map(ToString::to_string).collect();
        let what = format!("certificate for {}", names.join(", "));
        let mut error = device.to_string();
        if unrecorded > 0 {
            error.push_str(&format!(" ({unrecorded} more were not recorded)"));
        }
        let fact = Fact::Failed { what, error };
        let event = actor.event(self.journal.clock().now(), fact);
        // The client is told the same in any case.
        if let Err(error) = self.journal.commit_blocking(Change::event(event)) {
            tracing::warn!(%error, "what was not signed is not recorded");
        }
    }
}

pub(super) fn refused_by_authority(error: &AuthorityError) -> AcmeProblem {
    match error {
        AuthorityError::Order(OrderError::OwnKey) => {
            AcmeProblem::new(ErrorKind::BadPublicKey, error.to_string())
        }
        AuthorityError::Order(_) | AuthorityError::Csr(_) => {
            AcmeProblem::new(ErrorKind::BadCsr, error.to_string())
        }
        AuthorityError::NotPermitted { .. } => {
            AcmeProblem::new(ErrorKind::RejectedIdentifier, error.to_string())
        }
        AuthorityError::PredatesIssuer { .. } => AcmeProblem::malformed(error.to_string()),
        other => service_problem(&convert::authority_error(other)),
    }
}

#[cfg(test)]
mod tests {
    use sealock_authority::DeviceError;

    use super::*;

    fn told(may_pass: bool) -> AcmeProblem {
        let (message, hint) = ("token 4711 of slot 3 is gone".to_owned(), "look at it".to_owned());
        refused_by_authority(&AuthorityError::Device(DeviceError { message, hint, may_pass }))
    }

    #[test]
    fn an_hsm_that_is_away_is_no_fault_of_the_client_and_it_is_told_to_come_again() {
        let away = told(true);
        assert_eq!((away.status, away.kind), (503, ErrorKind::ServerInternal));
        assert!(away.retry_after.is_some_and(|after| !after.is_zero()));
        assert!(!away.detail.contains("4711"), "{}", away.detail);
        // One that only a person can mend is not asked for again and again.
        let broken = told(false);
        assert_eq!((broken.status, broken.retry_after), (500, None));
    }
}
