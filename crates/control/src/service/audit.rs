//! `audit …`.

use sealock_core::policy::{Action, Resource, plain};
use sealock_store::journal::VerifyError;

use super::{Service, convert, new_request_id};
use crate::caller::Caller;
use crate::command::{AuditPage, AuditReport, Reply};
use crate::error::{ErrorCode, ServiceError};

/// What one page has at most.
const LONGEST_PAGE: usize = 5000;

impl Service {
    /// Whether this caller may do this, for doors that answer something else than commands.
    pub(crate) fn may(
        &self,
        caller: &Caller,
        action: Action,
        resource: Resource,
    ) -> Result<(), ServiceError> {
        self.authorize(caller, &new_request_id()?, action, resource, &[]).map(|_| ())
    }

    pub(crate) fn may_read_audit(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<(), ServiceError> {
        self.authorize(caller, request, Action::AuditRead, Resource::Audit, &[]).map(|_| ())
    }

    pub(super) fn audit_tail(
        &self,
        caller: &Caller,
        request: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Reply, ServiceError> {
        self.may_read_audit(caller, request)?;
        let limit = limit.clamp(1, LONGEST_PAGE);
        let newest = self.journal.last_seq().saturating_sub(limit as u64);
        self.page(after.unwrap_or(newest), limit)
    }

    pub(super) fn audit_export(
        &self,
        caller: &Caller,
        request: &str,
        from: u64,
        limit: usize,
    ) -> Result<Reply, ServiceError> {
        self.may_read_audit(caller, request)?;
        self.page(from.saturating_sub(1), limit.clamp(1, LONGEST_PAGE))
    }

    fn page(&self, after: u64, limit: usize) -> Result<Reply, ServiceError> {
        let records =
            self.journal.tail(after, limit).map_err(|error| convert::journal_error(&error))?;
        let next = records.last().map(|record| record.seq + 1);
        let next = next.filter(|next| records.len() == limit && *next <= self.journal.last_seq());
        // A record is written as it is read: `core::audit` tests that.
        let lines = records.iter().map(serde_json::to_string).collect::<Result<_, _>>();
        let lines = lines.map_err(|error| ServiceError::of(ErrorCode::Fault, &error))?;
        Ok(Reply::Audit(AuditPage { lines, next }))
    }

    pub(super) fn audit_verify(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.may_read_audit(caller, request)?;
        // Without an authority there is nobody who could have signed a checkpoint.
        let authority = if self.is_initialised()? { Some(self.authority()?) } else { None };
        let check = |certificate: &str, message: &[u8], signature: &[u8]| match &authority {
            Some(authority) => authority.check_checkpoint(certificate, message, signature),
            None => Err("there is no authority that could have signed it".to_owned()),
        };
        let report = match self.journal.verify(&check, None) {
            Ok(report) => AuditReport {
                intact: true,
                records: report.records,
                checkpoints: report.checkpoints,
                covered: report.signed_through,
                problem: None,
            },
            Err(VerifyError::Read(error)) => return Err(convert::journal_error(&error)),
            Err(error) => AuditReport {
                intact: false,
                records: self.journal.last_seq(),
                checkpoints: 0,
                covered: 0,
                problem: Some(problem(&error)),
            },
        };
        Ok(Reply::AuditVerified(report))
    }
}

fn problem(error: &VerifyError) -> String {
    let mut text = plain(&error.to_string());
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {}", plain(&cause.to_string()));
        next = cause.source();
    }
    text
}
