//! Arguments of `up`, `gateway`, `status`, `audit`, `policy`, `group`, `config` and `demo`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealock_core::IdentityKind;

/// `sealock up`
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// HTTPS address of the API (mutual TLS), or `off` [default: 127.0.0.1:8443]
    /// [env: SEALOCK_API]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) api: Option<String>,
    /// Address of the Docker gateway (mutual TLS), or `off` [default: 127.0.0.1:4242]
    /// [env: SEALOCK_GATEWAY]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) gateway: Option<String>,
    /// Where revocation lists and OCSP are served over HTTP without TLS, or `off` [default: off]
    /// [env: SEALOCK_REVOCATION]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) revocation: Option<String>,
}

/// `sealock gateway`
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Address of the gateway (mutual TLS) [default: 127.0.0.1:4242] [env: SEALOCK_GATEWAY]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Folder with ca.pem, cert.pem and key.pem for a tcp:// engine [default: DOCKER_CERT_PATH
    /// where DOCKER_TLS_VERIFY is set] [env: SEALOCK_DOCKER_TLS]
    #[arg(long, value_name = "DIR")]
    pub(crate) docker_tls: Option<PathBuf>,
    /// HTTPS address of the API too (mutual TLS)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) api: Option<String>,
}

/// `sealock group …`
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Put somebody into a group of the policy
    Add(MemberArgs),
    /// Take somebody out of a group; their connections to the gateway are ended
    Remove(MemberArgs),
    /// Who is in which group
    List {
        /// Of this group only
        group: Option<String>,
    },
}

/// One membership.
#[derive(Debug, Args)]
pub(crate) struct MemberArgs {
    /// The group
    pub(crate) group: String,
    /// Who: human/NAME, service/NAME or host/NAME
    #[arg(value_parser = member)]
    pub(crate) member: (IdentityKind, String),
}

pub(super) fn member(text: &str) -> Result<(IdentityKind, String), String> {
    let (kind, name) = text.split_once('/').unwrap_or_default();
    let kinds = [IdentityKind::Human, IdentityKind::Service, IdentityKind::Host];
    match kinds.into_iter().find(|known| known.segment() == kind) {
        Some(kind) if !name.is_empty() => Ok((kind, name.to_owned())),
        _ => Err("give it as human/NAME, service/NAME or host/NAME".to_owned()),
    }
}

/// `sealock status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Exit with 1 when there is an alarm, or daemon or engine do not run
    #[arg(long)]
    pub(crate) check: bool,
}

/// `sealock audit …`
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Show the newest events
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
        /// Go on showing events as they happen (needs the daemon)
        #[arg(short, long)]
        follow: bool,
    },
    /// Check the whole chain and its signed checkpoints
    Verify,
    /// Print the records as JSON lines, byte for byte as they are chained
    Export {
        /// Start with this record
        #[arg(long, value_name = "SEQ", default_value_t = 1)]
        from: u64,
        /// Write to a file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// `sealock policy …`
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a folder or files of Cedar rules against the schema
    Check {
        /// Files or folders [default: the loaded policy folder]
        paths: Vec<PathBuf>,
    },
    /// Print the Cedar schema
    Schema,
    /// Say why a request was decided as it was, and what would allow it
    Explain {
        /// Request id, as shown in the refusal and in the audit log
        request: String,
    },
    /// Load the policy folder again
    Reload,
    /// List the policies that are built in, or print one of them
    Presets {
        /// The one to print
        name: Option<String>,
    },
    /// Put a built-in policy into the policy folder, for somebody
    Use {
        /// Its name, as `policy presets` lists it
        preset: String,
        /// Who gets it: human/alice, service/web, host/build-1, or the name of a group
        #[arg(long = "for", value_name = "IDENTITY|GROUP")]
        grantee: String,
        /// Also over a file that was changed since it was written
        #[arg(long)]
        force: bool,
    },
    /// Try requests that stand in files against the policy; exit 1 when one is not as expected
    Test {
        /// Files of cases (TOML)
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Rules to test, files or folders [default: those that the file of cases names, else
        /// the policy folder]
        #[arg(long, value_name = "PATH")]
        policy: Vec<PathBuf>,
    },
    /// Write the smallest policy that permits what somebody was seen to do in the mode `learn`
    Learn {
        /// Where it was seen: `audit`, or a file that `audit export` wrote
        #[arg(long, value_name = "audit|FILE", default_value = "audit")]
        from: PathBuf,
        /// Who was seen, such as human/alice
        #[arg(long = "for", value_name = "IDENTITY")]
        identity: String,
        /// Write to a file instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// `sealock config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the settings and print what is in force
    Check,
    /// Print the JSON Schema of the settings file, for editors and linters
    Schema,
}

/// `sealock demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything in place at the end, and print how to remove it
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The TLS server inside the demo's containers.
#[derive(Debug, Args)]
pub(crate) struct DemoServerArgs {
    /// Folder with tls.crt and tls.key
    #[arg(long, value_name = "DIR")]
    pub(crate) certs: PathBuf,
    /// Port
    #[arg(long, default_value_t = 8443)]
    pub(crate) port: u16,
    /// Go on serving the first certificate whatever happens
    #[arg(long)]
    pub(crate) ignore_reload: bool,
}

/// Writes the generated reference.
#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// Folder for the pages
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Folder for man pages
    #[arg(long, value_name = "DIR")]
    pub(crate) man: Option<PathBuf>,
}
