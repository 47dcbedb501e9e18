//! Who the caller is. Nobody is told of others here, so nothing is decided.

use crate::caller::{Caller, Door};
use crate::command::{Reply, WhichContainer, Whoami};

pub(super) fn whoami(caller: &Caller) -> Reply {
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
    }))
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
    }
}
