//! Arguments of `token`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sealock_core::Timestamp;
use sealock_core::span::parse_span;

/// `sealock token`
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
A token says who calls, for five minutes, and to one service only. Policy decides who gets one (Token::Issue).
In a container with the workload socket it is the container's own.

Examples:
  curl -H \"Authorization: Bearer $(sealock token --audience orders)\" https://orders.internal/v1/orders
  sealock token --audience orders --bind tls.crt -o token
  sealock token show < token
  sealock token revoke --identity service/shop
  sealock token revoke --all --before 2026-01-31T08:00:00Z"
)]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TokenCommand>,
    /// The service that is to be called: its name or SPIFFE ID
    #[arg(long, value_name = "SERVICE")]
    pub(crate) audience: Option<String>,
    /// How long it is good, at most 5m [default: 5m]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) ttl: Option<Duration>,
    /// Make it worth nothing without this certificate (PEM or DER)
    #[arg(long, value_name = "FILE")]
    pub(crate) bind: Option<PathBuf>,
    /// Make a JWT-SVID in place of an access token (RFC 9068)
    #[arg(long)]
    pub(crate) jwt_svid: bool,
    /// Write it to a file (0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Ask the server of this login (`sealock login`), as who you are there
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
}

/// `sealock token …`
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// What a token says, and whether it is good
    Show {
        /// The file with the token [default: stdin]
        file: Option<PathBuf>,
    },
    /// Make tokens worth nothing at once
    Revoke(TokenRevokeArgs),
    /// The keys that sign tokens
    Keys {
        /// Print the key set (JWKS) for verifiers
        #[arg(long)]
        jwks: bool,
    },
    /// Make a new key; it signs in ten minutes, when all verifiers can know it
    RotateKey,
}

/// `sealock token revoke`
#[derive(Debug, Args)]
pub(crate) struct TokenRevokeArgs {
    #[command(flatten)]
    pub(crate) which: RevokedArgs,
    /// Only those that were issued before this time, such as 2026-01-31T08:00:00Z; with --all or --identity
    #[arg(
        long,
        value_name = "TIME",
        value_parser = moment,
        conflicts_with_all = ["file", "id", "client", "key"],
    )]
    pub(crate) before: Option<Timestamp>,
}

/// Which tokens.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RevokedArgs {
    /// The token in this file (- for stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The token with this id, as `token show` and the audit log have it
    // It is base64url, and may begin with a hyphen.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) id: Option<String>,
    /// All tokens of this identity: service/NAME, human/NAME or a SPIFFE ID
    #[arg(long, value_name = "WHO")]
    pub(crate) identity: Option<String>,
    /// All tokens that this client has asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// All tokens that this key has signed, and the key
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// All tokens that were issued until now, or before a time
    #[arg(long)]
    pub(crate) all: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::from_rfc3339(text)
        .ok_or_else(|| "must be a time of RFC 3339, such as 2026-01-31T08:00:00Z".to_owned())
}
