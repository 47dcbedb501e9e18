//! Arguments of `send`, `offer` and `receive`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealock_core::span::parse_span;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CarrierArg {
    /// The first of the others that works here
    Auto,
    /// Through the container's mount view; needs the local engine and root
    Direct,
    /// Sealed, through `docker exec`; works with remote engines
    Exec,
    /// Sealed, by one TLS request from the container to this host
    Url,
}

/// `sealock send`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sealock send app.conf web:/etc/app/app.conf
  sealock send certs/ web:/run/certs --owner 101:101 --signal HUP
  pg_dump shop | sealock send - db:/restore/shop.sql --mode 0400

A folder, or several sources, arrive as one version: readers see all of the old files or all of the
new ones. A single file replaces its predecessor by rename.")]
pub(crate) struct SendArgs {
    /// Files or folders, `-` for stdin; then CONTAINER:/PATH
    #[arg(required = true, num_args = 2.., value_names = ["SRC", "CONTAINER:/PATH"])]
    pub(crate) paths: Vec<String>,
    /// How the bytes travel
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) carrier: CarrierArg,
    /// Owner in the container: UID:GID, UID, or names from its /etc/passwd
    #[arg(long, value_name = "UID:GID|NAME")]
    pub(crate) owner: Option<String>,
    /// Permissions of the files, octal [default: those of the sources; 0400 for stdin]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    pub(crate) mode: Option<u32>,
    /// Signal to send to the container's main process afterwards
    #[arg(long, value_name = "SIGNAL", conflicts_with = "exec")]
    pub(crate) signal: Option<String>,
    /// Command to run in the container afterwards (split into words; no shell)
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
}

/// `sealock offer`
#[derive(Debug, Args)]
#[command(after_help = "\
The ticket is a secret: whoever holds it can take the files once. No container is bound to it.

Example, for an image build:
  sealock offer id.key --ticket-out /run/user/0/ticket &
  docker build --secret id=ticket,src=/run/user/0/ticket .
  (Dockerfile)  RUN --mount=type=secret,id=ticket sealock receive --ticket /run/secrets/ticket --to /app")]
pub(crate) struct OfferArgs {
    /// Files or folders
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How long the offer stands
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = parse_span)]
    pub(crate) ttl: Duration,
    /// Where to write the ticket (a new file, 0600)
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket_out: PathBuf,
    /// Address and port to listen on [default: a free port on the Docker bridge, else on loopback]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address that readers are told, where it is another than the one listened on
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) advertise: Option<IpAddr>,
    /// Leave as soon as it was taken, without answering second readers until the end of its time
    #[arg(long)]
    pub(crate) no_linger: bool,
}

/// `sealock receive`
#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// The ticket file
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket: PathBuf,
    /// Folder to put the files into
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
}

/// Permissions in octal, at most 0777.
fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("permissions are three octal digits, such as 0400 or 0640".to_owned()),
    }
}
