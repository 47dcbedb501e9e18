//! Who asks, as the door found out.

use sealock_core::policy::{ADMIN_GROUP, Principal};
use sealock_core::{Identity, IdentityKind, TrustDomain};

/// The door that a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// `admin.sock`.
    Socket,
    /// HTTPS with a client certificate.
    Api,
    /// The Docker gateway.
    Gateway,
    /// The workload socket.
    Workload,
    /// In the process itself.
    Process,
    /// A container's label.
    Label,
    /// The token endpoint or the directory, with a client's secret.
    Client,
    /// A service, behind its Gatekeeper.
    Gatekeeper,
    /// The ACME server, with an account's key.
    Acme,
}

impl Door {
    /// As the policy's context has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Api => "api",
            Self::Gateway => "gateway",
            Self::Workload => "workload",
            Self::Process => "process",
            Self::Label => "label",
            Self::Client => "client",
            Self::Gatekeeper => "gatekeeper",
            Self::Acme => "acme",
        }
    }
}

/// Who asks. Made by a door from what the kernel or the TLS handshake says, never from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who, as the audit log has it: an identity or `uid:0`.
    pub who: String,
    /// Who, as policy has it.
    pub principal: Principal,
    /// Through which door.
    pub door: Door,
    /// SHA-256 of the certificate by which it proved that.
    pub certificate: Option<[u8; 32]>,
}

/// The name of the local administrator's identity.
pub const ADMIN: &str = "admin";

impl Caller {
    /// A local user who may use this installation: the owner of the state folder, or root. The door has
    /// checked that; such a user can read the state folder anyway.
    pub fn local(uid: u32, door: Door, trust_domain: &TrustDomain) -> Option<Self> {
        let identity = Identity::new(trust_domain, IdentityKind::Human, ADMIN).ok()?;
        let principal = Principal::new(identity).in_group(ADMIN_GROUP);
        Some(Self { who: format!("uid:{uid}"), principal, door, certificate: None })
    }

    /// Whoever proved this identity by a certificate of ours; `groups` come from the service.
    pub fn identified(identity: Identity, groups: Vec<String>) -> Self {
        let who = identity.to_string();
        let mut principal = Principal::new(identity);
        // The certificate in identities/admin is made by `init` for this very purpose.
        let admin =
            principal.identity.kind() == IdentityKind::Human && principal.identity.name() == ADMIN;
        principal.groups = groups;
        if admin && !principal.groups.iter().any(|group| group == ADMIN_GROUP) {
            principal.groups.push(ADMIN_GROUP.to_owned());
        }
        Self { who, principal, door: Door::Api, certificate: None }
    }

    /// Whoever has shown the secret of a client with this identity.
    pub fn with_secret(identity: Identity, groups: Vec<String>) -> Self {
        let who = identity.to_string();
        let mut principal = Principal::new(identity);
        principal.groups = groups;
        Self { who, principal, door: Door::Client, certificate: None }
    }
}
