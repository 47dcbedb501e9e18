//! `sealock acme …`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sealock_core::IdentityKind;
use sealock_core::span::parse_span;

use super::host::member;

/// `sealock acme …`
#[derive(Debug, Subcommand)]
pub(crate) enum AcmeCommand {
    /// External account bindings: keys that vouch for accounts
    #[command(subcommand)]
    Eab(EabCommand),
    /// Accounts
    #[command(subcommand)]
    Account(AcmeAccountCommand),
}

/// `sealock acme eab …`
#[derive(Debug, Subcommand)]
pub(crate) enum EabCommand {
    /// Make a key with which an ACME client makes its account
    Add(EabAddArgs),
    /// Which there are, and which account was made with each
    List,
    /// Make a key worth nothing; accounts that were made with it stay
    Remove {
        /// Its name
        name: String,
    },
    /// In a container: make one for the container itself
    #[command(name = "self")]
    Own(EabSelfArgs),
}

/// `sealock acme eab add`
#[derive(Debug, Args)]
#[command(after_help = "\
An account that is made with the key orders as the identity, and policy decides on its orders as on those of that
identity (Cert::Issue, with context.via \"acme\"). Names that a rule about Cert::Unproved gives it need no challenge.

Examples:
  sealock acme eab add web --key-out web.eab
  certbot certonly --server https://HOST:8443/acme/directory --eab-kid web --eab-hmac-key \"$(cat web.eab)\" …")]
pub(crate) struct EabAddArgs {
    /// Its name, which is the key id (kid)
    pub(crate) name: String,
    /// As whom its account orders: service/NAME, human/NAME, host/NAME [default: service/ and its name]
    #[arg(long, value_name = "WHO", value_parser = member)]
    pub(crate) identity: Option<(IdentityKind, String)>,
    /// For how long an account can be made with it [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = life)]
    pub(crate) life: Option<Duration>,
    /// More than one account can be made with it
    #[arg(long)]
    pub(crate) reusable: bool,
    /// Write the key to this file (0600; - for stdout)
    #[arg(long, value_name = "FILE")]
    pub(crate) key_out: PathBuf,
}

/// `sealock acme eab self`
#[derive(Debug, Args)]
#[command(after_help = "\
The container needs the workload socket, and the label sealock.acme.names with the names that it may order without a
challenge, where policy gives it those (Cert::Issue, with context.via \"acme\"). One account can be made with it, within
the hour. Without --out it prints lines that a shell reads.

Examples:
  sealock acme eab self --out /run/acme
  lego --eab --kid \"$(cat /run/acme/kid)\" --hmac \"$(cat /run/acme/hmac)\" --server \"$(cat /run/acme/directory)\" …
  eval \"$(sealock acme eab self)\" && certbot --eab-kid \"$ACME_EAB_KID\" --eab-hmac-key \"$ACME_EAB_HMAC\" …")]
pub(crate) struct EabSelfArgs {
    /// Write the files kid, hmac, directory and ca.crt to this folder (0600)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `sealock acme account …`
#[derive(Debug, Subcommand)]
pub(crate) enum AcmeAccountCommand {
    /// Which there are: as whom they order, and how to reach who runs them
    List,
    /// End an account: its key signs for nothing any more. Its certificates stay
    Revoke {
        /// Its id, as `acme account list` has it, or its URL
        // It is base64url, and may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        account: String,
    },
}

fn life(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}
