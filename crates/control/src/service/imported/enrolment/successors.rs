//! Successors of what comes by protocol: when they are due, and their CSRs.

use sealock_core::audit::Actor;
use sealock_core::{ImportedName, Timestamp};

use crate::error::{ErrorCode, ServiceError};
use crate::service::Service;

impl Service {
    /// Makes the CSRs of successors that are due.
    pub(crate) fn keep_successors(&self) -> Result<(), ServiceError> {
        let now = self.journal().clock().now();
        match self.next_successor()? {
            Some(at) if at <= now => self.keep_imported(),
            _ => Ok(()),
        }
    }

    /// When the next successor of what comes by protocol is due.
    pub(crate) fn next_successor(&self) -> Result<Option<Timestamp>, ServiceError> {
        let all = self.authority()?.requests();
        let due = all.iter().filter(|one| one.wishes.upstream.is_some() && one.waiting.is_none());
        Ok(due.filter_map(|one| one.held.as_ref().map(|held| held.renewal_due())).min())
    }

    /// Makes the CSR of a successor now.
    pub(crate) fn renew_early(&self, name: &ImportedName) -> Result<bool, ServiceError> {
        let actor = Actor::daemon("upstream");
        let made = self.authority()?.request_renewal(name, &actor);
        let made = made.map_err(|error| ServiceError::of(ErrorCode::Failed, &error))?;
        if made {
            self.keep_imported()?;
        }
        Ok(made)
    }
}
