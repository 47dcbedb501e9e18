//! Who the caller is. Nobody is told of others here, so nothing is decided.

use super::status::DaemonView;
use crate::caller::{Caller, Door};
use crate::command::{Reply, WhichContainer, Whoami};

pub(super) fn whoami(caller: &Caller, daemon: Option<&DaemonView>) -> Reply {
    let principal = &caller.principal;
    let container = principal.container.as_ref().map(|facts| WhichContainer {
        id: facts.id.clone(),
        name: facts.name.clone(),
        image: facts.image.clone(),
    });
    Reply::Whoami(Box::new(Whoami {
        identity: principal.identity.to_string(),
        groups: principal.groups.clone(),
        via: caller.door.as_str().to_owned(),
        proof: proof(caller).to_owned(),
        container,
        ports: daemon.map(ports).unwrap_or_default(),
    }))
}

/// Whoever can reach a port finds out that it is there.
fn ports(daemon: &DaemonView) -> Vec<u16> {
    let port = |at: &String| at.rsplit_once(':')?.1.parse().ok();
    daemon.api.iter().chain(&daemon.gateway).filter_map(port).collect()
}

const fn proof(caller: &Caller) -> &'static str {
    match caller.door {
        Door::Socket => "the kernel says which user is at the other end of the admin socket",
        Door::Process => "the user may read and write the state folder",
        Door::Api | Door::Gateway => {
            "the client certificate is in the inventory, in force and not revoked"
        }
        Door::Workload => {
            "the kernel says which process connected (SO_PEERPIDFD), its control group which container it claims to be in, \
             and that container's first process has the same mount namespace; the engine says its name"
        }
        Door::Label => "the labels of a running container",
        Door::Client => "the secret of a client was shown",
        Door::Gatekeeper => "a token of ours was shown at a Gatekeeper",
        Door::Acme => "the request is signed with the key of an ACME account",
    }
}
