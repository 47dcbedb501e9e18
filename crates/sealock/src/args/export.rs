//! Arguments of `cert export`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use sealock_core::span::parse_span;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Certificate, intermediates, key (HAProxy, Postfix, most others)
    Pem,
    /// Key, certificate, intermediates
    PemKeyFirst,
    /// The certificate alone, binary
    Der,
    /// Certificate and intermediates as PKCS#7 (Windows, Tomcat)
    P7b,
    /// Key and chain as PKCS#12, under a password (Java 8u301 and later, Windows, NSS)
    Pkcs12,
    /// The same for old programs: Triple DES and SHA-1
    Pkcs12Legacy,
    /// Key and chain as Java's old key store; its protection is weak
    Jks,
    /// The roots as PKCS#12, as Java wants them
    TruststoreP12,
    /// The roots as Java's old key store
    TruststoreJks,
}

/// `sealock cert export`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("how").required(true).args(["format", "export_with"])))]
pub(crate) struct ExportArgs {
    /// Folder with tls.crt, tls.key and ca.crt, as `cert issue` writes it
    pub(crate) folder: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    pub(crate) format: Option<ExportFormat>,
    /// The file to write; it is left alone when it would be the same
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Put the root into the chain, too
    #[arg(long)]
    pub(crate) with_root: bool,
    /// PEM: the chain from the root down
    #[arg(long)]
    pub(crate) root_first: bool,
    /// PEM: without the private key
    #[arg(long)]
    pub(crate) no_key: bool,
    /// Name of the entry in a key or trust store [default: the folder's name, or `ca`]
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Option<String>,
    /// A file with the password of PKCS#12 and JKS (`-`: stdin)
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Let another program write it (repeatable: one after the other). No shell runs it. It finds what it needs by
    /// {key} {cert} {chain} {bundle} {ca} {pkcs12} {password-file}, and writes {out}
    #[arg(long, value_name = "CMD", conflicts_with_all = ["format", "root_first", "no_key"])]
    pub(crate) export_with: Vec<String>,
    /// How long these programs may take together
    #[arg(long, value_name = "SPAN", value_parser = parse_span, default_value = "60s", requires = "export_with")]
    pub(crate) deadline: Duration,
}
