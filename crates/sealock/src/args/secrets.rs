//! Arguments of `secret` and `workload`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sealock_core::span::parse_span;

/// `sealock secret …`
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Give a secret a new value: from a file, from stdin, or typed without being shown
    Set(SecretSetArgs),
    /// Print a secret's value
    Get(SecretGetArgs),
    /// The secrets, without their values
    List {
        /// Only those below this path
        path: Option<String>,
    },
    /// All versions of a secret, without their values
    History {
        /// Its name
        name: String,
    },
    /// Delete a secret's current version; `undelete` takes that back
    Delete(SecretVersionArgs),
    /// Take a deletion back
    Undelete(SecretVersionArgs),
    /// Destroy a secret, or one version of it, for good
    Purge(SecretPurgeArgs),
    /// Make a new key for the vault and put everything under it
    RotateKey,
    /// Write a backup of the whole vault that only the recipients can open
    Export(SecretExportArgs),
    /// Take in the secrets of a backup
    Import(SecretImportArgs),
}

/// `sealock secret set`
#[derive(Debug, Args)]
#[command(after_help = "\
A value is at most 1 MiB of any bytes. What comes from a file or from stdin is taken as it is; one line end at the
very end is left out, unless --keep-newline is given.

Examples:
  sealock secret set prod/db/password
  sealock secret set prod/db/password --generate 32
  sealock secret set prod/tls/key --file key.pem --keep-newline
  pwgen 32 1 | sealock secret set prod/api/token --ttl 30d")]
pub(crate) struct SecretSetArgs {
    /// Its name, a path such as prod/db/password
    pub(crate) name: String,
    /// Read the value from this file (- for stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub(crate) file: Option<PathBuf>,
    /// Make a value of so many random letters and digits, which nobody is shown
    #[arg(long, value_name = "LENGTH", num_args = 0..=1, default_missing_value = "32")]
    pub(crate) generate: Option<u32>,
    /// The value cannot be read any more after this span (30m, 12h, 30d)
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) ttl: Option<Duration>,
    /// Keep the line end at the very end
    #[arg(long, conflicts_with = "generate")]
    pub(crate) keep_newline: bool,
}

/// `sealock secret get`
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct SecretGetArgs {
    /// Its name
    pub(crate) name: String,
    /// This version [default: the current one]
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// Write it to a file (0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// One version of a secret.
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct SecretVersionArgs {
    /// Its name
    pub(crate) name: String,
    /// This version [default: the current one]
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
}

/// `sealock secret purge`
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(crate) struct SecretPurgeArgs {
    /// Its name
    pub(crate) name: String,
    /// This version only
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `sealock secret export`
#[derive(Debug, Args)]
#[command(after_help = "\
The backup is an age v1 file: `sealock secret import -i IDENTITY FILE` takes it in on another host.

Examples:
  sealock secret export --to age1… -o vault.age
  sealock secret export --to-file ~/.ssh/id_ed25519.pub -o vault.age")]
pub(crate) struct SecretExportArgs {
    /// Only the secrets below this path
    pub(crate) path: Option<String>,
    /// Recipient: age1… or an SSH public key (repeatable)
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) to: Vec<String>,
    /// File of recipients, one a line (repeatable)
    #[arg(long, value_name = "FILE")]
    pub(crate) to_file: Vec<PathBuf>,
    /// Where to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `sealock secret import`
#[derive(Debug, Args)]
pub(crate) struct SecretImportArgs {
    /// The backup
    pub(crate) backup: PathBuf,
    /// File with an age identity or an SSH private key (repeatable)
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(crate) identity: Vec<PathBuf>,
    /// What to do with secrets that are there already
    #[arg(long, value_enum, default_value_t = OnExistingArg::Fail)]
    pub(crate) on_existing: OnExistingArg,
}

/// What to do with secrets that are there already.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum OnExistingArg {
    /// Take nothing in at all
    Fail,
    /// Leave them as they are
    Skip,
    /// The backup's value becomes a new version
    Replace,
}

/// `sealock workload …`
#[derive(Debug, Subcommand)]
pub(crate) enum WorkloadCommand {
    /// Who this program is to Sealock, and how that was found out
    Whoami,
}
