//! Arguments of `seal` and `open`.

use std::path::PathBuf;

use clap::Args;

/// `sealock seal`
#[derive(Debug, Args)]
#[command(after_help = "\
Recipients: age1… (X25519), `ssh-ed25519 …`, `ssh-rsa …`. The output is an age v1 file; `age -d` reads it.

Examples:
  sealock seal -r age1… backup.tar -o backup.tar.age
  sealock seal -R ~/.ssh/authorized_keys < dump.sql > dump.sql.age")]
pub(crate) struct SealArgs {
    /// Recipient (repeatable)
    #[arg(short, long, value_name = "RECIPIENT")]
    pub(crate) recipient: Vec<String>,
    /// File of recipients, one a line; authorized_keys works (repeatable)
    #[arg(short = 'R', long, value_name = "FILE")]
    pub(crate) recipients_file: Vec<PathBuf>,
    /// Write PEM-like text
    #[arg(short, long)]
    pub(crate) armor: bool,
    /// Where to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// What to encrypt [default: stdin]
    #[arg(value_name = "IN")]
    pub(crate) input: Option<PathBuf>,
}

/// `sealock open`
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// File with an age identity or an SSH private key (repeatable)
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(crate) identity: Vec<PathBuf>,
    /// Where to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// What to decrypt [default: stdin]
    #[arg(value_name = "IN")]
    pub(crate) input: Option<PathBuf>,
}
