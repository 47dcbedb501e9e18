//! `sealock upstream …`

use clap::Subcommand;

/// `sealock upstream …`
#[derive(Debug, Subcommand)]
pub(crate) enum UpstreamCommand {
    /// Which there are, the accounts there, and what comes from them
    List,
    /// Ask one who it is: makes no account, and orders nothing
    Try {
        /// As the settings call it
        name: String,
    },
}
