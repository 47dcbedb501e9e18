//! `sealock docker client`

use sealock_control::command::Command;
use sealock_core::{Identity, IdentityKind, TrustDomain};
use sealock_docker::daemon::files::Side;
use serde_json::json;

use super::files::{Authority, Found, Set, SetReport};
use super::{absolute, session};
use crate::args::{DockerClientArgs, Global, KindArg};
use crate::printer::{Failure, Printer};

/// Makes the files, and the membership.
pub(super) fn run(
    arguments: &DockerClientArgs,
    global: &Global,
    printer: Printer,
) -> Result<(), Failure> {
    let kind = match arguments.kind {
        KindArg::Human => IdentityKind::Human,
        KindArg::Host => IdentityKind::Host,
        KindArg::Service => IdentityKind::Service,
    };
    // Before anything is opened: a passphrase should not be asked for in vain.
    identity(&TrustDomain::for_host("any"), kind, &arguments.name)?;
    let folder = absolute(arguments.dir.clone())?;
    let session = session(global)?;
    let (identity, report) = session.wait(async {
        let authority = Authority::of(&session).await?;
        let identity = identity(&authority.trust_domain, kind, &arguments.name)?;
        let set = Set {
            side: Side::Client,
            folder: &folder,
            identity: identity.clone(),
            names: Vec::new(),
            life: arguments.ttl,
        };
        let reason = match authority.look(&set).await? {
            Found::Good(existing) => {
                join(&authority, kind, arguments).await?;
                return Ok::<_, Failure>((identity, SetReport::kept(&set, &existing)));
            }
            Found::Unfit(reason) => Some(reason),
            Found::Nothing => None,
        };
        let made = authority.issue(&set).await?;
        if let Err(failure) = join(&authority, kind, arguments).await {
            authority.withdraw(&made).await;
            return Err(failure);
        }
        let report = authority.write(&set, &made, reason).await?;
        Ok((identity, report))
    })?;
    let value = json!({ "identity": identity, "group": arguments.group, "client": report });
    printer.either(&value, |_| {
        let mut text = format!("{identity}\n{}", report.line("Client files"));
        if let Some(group) = &arguments.group {
            text.push_str(&format!("\nIn the group {group}."));
        }
        text
    })
}

fn identity(
    trust_domain: &TrustDomain,
    kind: IdentityKind,
    name: &str,
) -> Result<Identity, Failure> {
    Identity::new(trust_domain, kind, name).map_err(|error| {
        Failure::usage(error.to_string())
            .hint("a name is the last part of the identity, such as alice or build-7")
    })
}

async fn join(
    authority: &Authority<'_>,
    kind: IdentityKind,
    arguments: &DockerClientArgs,
) -> Result<(), Failure> {
    let Some(group) = arguments.group.clone() else { return Ok(()) };
    let name = arguments.name.clone();
    authority.session.ask_and_keep(Command::GroupAdd { kind, name, group }).await.map(drop)
}
