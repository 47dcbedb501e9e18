//! Arguments of `service`, `broker` and `import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `sealock service …`
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Which services there are, where, and who has joined them
    List,
}

/// `sealock broker`
#[derive(Debug, Args)]
#[command(after_help = "\
The same state folder and settings as `up`, with nothing but tokens: the OAuth endpoints, the feeds of Gatekeepers and
the directory of services, over HTTPS and at the workload socket. No labels, no Docker gateway, no certificates and
secrets for others; the administrator of this host has all commands.

Examples:
  sealock broker --listen 0.0.0.0:8443
  SEALOCK_WORKLOAD_SOCKET=off sealock broker --listen 10.0.0.2:8443     # on a host without an engine")]
pub(crate) struct BrokerArgs {
    /// HTTPS address (mutual TLS) [default: 127.0.0.1:8443] [env: SEALOCK_API]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
}

/// `sealock import`
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the sdf.yml of Conjur's Software-Defined Firewall, and makes settings, rules, command lines and a compose file of it,
with a note for each thing that has no counterpart. Nothing is put in force.

Examples:
  sealock import sdf.yml
  sealock import sdf.yml --name shop --out sealock/")]
pub(crate) struct ImportArgs {
    /// The file
    pub(crate) file: PathBuf,
    /// The service whose file it is [default: the last part of its conjur_resource]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Write the files into this folder, over nothing that is there [default: print them]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
