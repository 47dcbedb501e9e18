//! `trust add`, `trust list`, `trust remove`.

use sealock_authority::imported::Anchor;
use sealock_core::policy::{Action, Resource};

use super::{anchor_error, decode, parse_name};
use crate::caller::Caller;
use crate::command::{AnchorReport, Reply, TrustAdd};
use crate::error::ServiceError;
use crate::service::Service;

impl Service {
    pub(in crate::service) fn trust_add(
        &self,
        caller: &Caller,
        request: &str,
        add: &TrustAdd,
    ) -> Result<Reply, ServiceError> {
        let context = [("operation", "add".into())];
        let granted =
            self.authorize(caller, request, Action::TrustManage, Resource::Authority, &context)?;
        let der = decode(&add.certificate)?;
        let name = add.name.as_deref().map(parse_name).transpose()?;
        let (anchor, new) = self
            .authority()?
            .add_anchor(&der, name, add.intermediate, &granted.actor)
            .map_err(|error| anchor_error(&error))?;
        if new {
            self.changed();
        }
        Ok(Reply::Anchors(vec![report(&anchor)]))
    }

    pub(in crate::service) fn trust_list(
        &self,
        caller: &Caller,
        request: &str,
    ) -> Result<Reply, ServiceError> {
        self.authorize(caller, request, Action::CaRead, Resource::Authority, &[])?;
        Ok(Reply::Anchors(self.authority()?.anchors().iter().map(report).collect()))
    }

    pub(in crate::service) fn trust_remove(
        &self,
        caller: &Caller,
        request: &str,
        root: &str,
        force: bool,
    ) -> Result<Reply, ServiceError> {
        let context = [("operation", "remove".into())];
        let granted =
            self.authorize(caller, request, Action::TrustManage, Resource::Authority, &context)?;
        self.authority()?
            .remove_anchor(root, force, &granted.actor)
            .map_err(|error| anchor_error(&error))?;
        self.changed();
        Ok(Reply::Done)
    }
}

fn report(anchor: &Anchor) -> AnchorReport {
    AnchorReport {
        name: anchor.name.to_string(),
        subject: anchor.subject.clone(),
        fingerprint: anchor.fingerprint.clone(),
        not_after: anchor.not_after,
        added: anchor.added,
        self_signed: anchor.self_signed,
        pem: anchor.pem(),
    }
}
