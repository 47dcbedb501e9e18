//! `sealock cert request`, `requests`, `import`, `files` and `sealock trust …`

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{InstallArgs, KeyType, UsageArg};

/// `sealock cert request`
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// What the certificate is called here, and in labels
    pub(crate) name: String,
    /// Its subject, such as CN=www.corp.example,O=Corp (RFC 4514) [default: the first DNS name; for code and email otherwise
    /// the first address]
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// DNS names
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) dns: Vec<String>,
    /// IP addresses
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) ip: Vec<IpAddr>,
    /// E-mail addresses
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) email: Vec<String>,
    /// URIs
    #[arg(long, value_name = "URI", value_delimiter = ',')]
    pub(crate) uri: Vec<String>,
    /// Uses
    #[arg(long, value_enum, value_delimiter = ',', default_value = "server,client")]
    pub(crate) usage: Vec<UsageArg>,
    /// Algorithm of its key
    #[arg(long, value_enum, default_value = "p256")]
    pub(crate) key_type: KeyType,
    /// Have `sealock up` get it, and its successors, from this CA of the settings (`[upstream.NAME]`)
    #[arg(long, value_name = "UPSTREAM")]
    pub(crate) upstream: Option<String>,
    /// Folder for NAME.csr and NAME.txt [default: they are in the folder `requests` of the state folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Make a new key and CSR where there is a request already
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print the CSR that waits
    #[arg(long, conflicts_with_all = ["replace", "cancel", "forget"])]
    pub(crate) show: bool,
    /// Drop the request that waits, and its key
    #[arg(long, conflicts_with_all = ["replace", "forget"])]
    pub(crate) cancel: bool,
    /// Drop the certificate that is served as well, and its key
    #[arg(long, conflicts_with = "replace")]
    pub(crate) forget: bool,
    /// Forget it also where a running container's label names it
    #[arg(long, requires = "forget")]
    pub(crate) force: bool,
}

/// `sealock cert import`
#[derive(Debug, Args)]
pub(crate) struct ImportedArgs {
    /// For which request, as `sealock cert requests` lists them
    #[arg(required_unless_present = "scan", conflicts_with = "scan")]
    pub(crate) name: Option<String>,
    /// The certificate and its chain in any order: PEM, DER, .p7b, .pfx
    #[arg(required_unless_present = "scan", conflicts_with = "scan", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Take all files of a folder, for every request that they fit
    #[arg(long, value_name = "DIR")]
    pub(crate) scan: Option<PathBuf>,
    /// File with the password of .pfx files
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Also with names that were not asked for
    #[arg(long)]
    pub(crate) accept_names: bool,
    /// Also one that ends earlier than what is served
    #[arg(long)]
    pub(crate) accept_shorter: bool,
}

/// `sealock trust …`
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Know a root of another authority: chains may end at it, and it is handed out beside ours
    Add {
        /// The root: PEM, DER or .p7b
        file: PathBuf,
        /// What it is called here [default: the beginning of its SHA-256]
        #[arg(long)]
        name: Option<String>,
        /// Also one that is not signed by itself
        #[arg(long)]
        intermediate: bool,
    },
    /// List the roots of other authorities
    List {
        /// Print them as PEM too
        #[arg(long)]
        pem: bool,
    },
    /// Know one of them no more
    Remove {
        /// Its name or its SHA-256
        root: String,
        /// Also where a certificate in use ends at it
        #[arg(long)]
        force: bool,
    },
    /// Put all roots that are handed out where this system's programs look for them (Firefox and Chromium have stores of
    /// their own, NSS, which are left alone)
    Install(InstallArgs),
    /// Take them out of there again
    Uninstall(InstallArgs),
}
