//! Arguments of `service`.

use clap::Subcommand;

/// `sealock service …`
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Which services there are, where, and who has joined them
    List,
}
