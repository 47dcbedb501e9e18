//! What the labels of a container come to, with what they leave open filled in.

use std::time::Duration;

use sealock_core::{DnsName, SubjectName};

use super::ports::Place;
use crate::labels::{CertificateRequest, ContainerPath, Endpoint, Layout, PREFIX, Reload};

/// What is wanted, and what shows whether that is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) request: CertificateRequest,
    /// The subject names; never empty.
    pub(super) names: Vec<SubjectName>,
    /// Of all that makes another delivery necessary.
    pub(super) digest: String,
}

impl Wanted {
    /// `None` when there is no name at all.
    pub(super) fn certificate(request: CertificateRequest, own: &[DnsName]) -> Option<Self> {
        let dns = request.dns.as_deref().unwrap_or(own).iter().cloned().map(SubjectName::Dns);
        let names: Vec<SubjectName> =
            dns.chain(request.ip.iter().copied().map(SubjectName::Ip)).collect();
        if names.is_empty() {
            return None;
        }
        let mut text = format!(
            "{names:?} {:?} {:?} {} {:?} {:o} {}",
            request.usages,
            request.ttl,
            request.path,
            request.owner,
            request.mode,
            request.key_type,
        );
        // What was delivered before there were layouts is still what is wanted.
        if request.layout != Layout::Tls {
            text.push_str(&format!(" {:?}", request.layout));
        }
        Some(Self { digest: digest(&text), request, names })
    }

    /// Where it is to be.
    pub(super) fn path(&self) -> &ContainerPath {
        &self.request.path
    }

    /// Where it is looked for.
    pub(super) fn place(&self) -> Place {
        let CertificateRequest { path, layout, .. } = &self.request;
        Place::Certificate { path: path.clone(), layout: *layout }
    }

    /// How the service is told.
    pub(super) fn reload(&self) -> Option<&Reload> {
        self.request.reload.as_ref()
    }

    /// Where the service is looked at.
    pub(super) fn verify(&self) -> Option<&Endpoint> {
        self.request.verify.as_ref()
    }

    /// How long what is delivered lives: nothing about it waits for more than a share of that.
    pub(super) fn life(&self) -> Duration {
        self.request.ttl
    }

    /// The label that policy decides on, for notices about it.
    pub(super) fn decided_label(&self) -> String {
        let setting = match (&self.request.dns, self.request.ip.is_empty()) {
            (Some(_), _) => ".dns",
            (None, false) => ".ip",
            (None, true) => "",
        };
        format!("{PREFIX}{}{setting}", self.request.name)
    }
}

fn digest(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    data_encoding::HEXLOWER.encode(digest.as_ref())
}
