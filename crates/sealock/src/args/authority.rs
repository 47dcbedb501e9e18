//! Arguments of `init`, `ca` and `cert`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sealock_core::span::parse_span;

use super::PublishArgs;
use super::export::ExportArgs;
use super::inventory::{ListArgs, ReportArgs};
use super::{ImportedArgs, RequestArgs};

/// Algorithm of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// ECDSA on NIST P-256
    P256,
    /// ECDSA on NIST P-384
    P384,
    /// Ed25519
    Ed25519,
    /// RSA with 3,072 bits
    Rsa3072,
}

/// How the CA's keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyProtection {
    /// A key file that only root can read (0600); whoever copies the state folder has the CA
    File,
    /// Encrypted under a passphrase (Argon2id)
    Passphrase,
}

/// `sealock init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Name under which all identities live [default: HOSTNAME.sealock]
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) trust_domain: Option<String>,
    /// Algorithm of the CA's keys
    #[arg(long, value_enum, default_value = "p256")]
    pub(crate) key_type: KeyType,
    /// How the CA's keys are kept
    #[arg(long, value_enum, default_value = "file")]
    pub(crate) key_protection: KeyProtection,
    /// Let the CA issue only below this name: dns:corp.example, ip:10.0.0.0/8, email:corp.example,
    /// uri:corp.example (repeatable)
    #[arg(long, value_name = "KIND:NAME")]
    pub(crate) permit: Vec<String>,
    /// Never let the CA issue below this name (repeatable)
    #[arg(long, value_name = "KIND:NAME")]
    pub(crate) exclude: Vec<String>,
    /// Where clients find the revocation list; written into every certificate
    #[arg(long, value_name = "URL")]
    pub(crate) crl_url: Option<String>,
    /// Where the root's key is made [default: setting authority.keys]
    #[arg(long, value_enum, value_name = "PLACE")]
    pub(crate) root_key: Option<KeyHome>,
    /// Where the intermediate's key is made [default: setting authority.keys]
    #[arg(long, value_enum, value_name = "PLACE")]
    pub(crate) intermediate_key: Option<KeyHome>,
}

/// Where a key of the CA is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyHome {
    /// Encrypted in the state folder
    Store,
    /// In the HSM that the settings name (hsm.module)
    Hsm,
}

/// What is replaced by `ca rotate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RotateWhat {
    /// The issuing intermediate; clients notice nothing
    Intermediate,
    /// The root; the trust bundle carries old and new until the last old certificate has expired
    Root,
}

/// `sealock ca …`
#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Show root, intermediate, key protection and what they are good for until
    Show {
        /// Print the certificates as PEM too
        #[arg(long)]
        pem: bool,
    },
    /// Print the trust bundle: every root of ours that is to be trusted now, and those of `sealock trust`
    Bundle {
        /// Ours only: by these, daemon, broker and Gatekeepers are known
        #[arg(long)]
        own: bool,
        /// Write it to a file (0444) instead
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a new intermediate or root, with an overlap
    Rotate {
        /// What to replace
        #[arg(value_enum, default_value = "intermediate")]
        what: RotateWhat,
        /// The root's private key, where it has left this host
        #[arg(long, value_name = "FILE")]
        root_key: Option<PathBuf>,
        /// File with the passphrase under which the root's key was exported
        #[arg(long, value_name = "FILE", requires = "root_key")]
        root_key_passphrase_file: Option<PathBuf>,
    },
    /// Revoke an intermediate and all that it has signed; of the active one the successor is made first
    Revoke {
        /// Its id or serial number, as `sealock ca show` has them
        ca: String,
        /// Why
        #[arg(long, value_enum, default_value = "unspecified")]
        reason: ReasonArg,
        /// The root's private key, where it has left this host
        #[arg(long, value_name = "FILE")]
        root_key: Option<PathBuf>,
        /// File with the passphrase under which the root's key was exported
        #[arg(long, value_name = "FILE", requires = "root_key")]
        root_key_passphrase_file: Option<PathBuf>,
    },
    /// Print the certificate revocation lists as PEM: one for each issuer, the root's among them
    Crl {
        /// Write them to a file: PEM; or DER when its name ends in .crl or .der, which holds one list only
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Copy the root's private key off this host
    ExportRootKey {
        /// Where to (a new file, 0400)
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Encrypt it under the passphrase in this file (PKCS#8, PBES2)
        #[arg(long, value_name = "FILE")]
        encrypt_with: Option<PathBuf>,
        /// Remove it here; from then on only a new intermediate needs it
        #[arg(long)]
        remove: bool,
    },
    /// List the issuing CAs: our own, and those under roots of others
    List,
    /// Make a key and a CSR for an issuing CA under the company's root; again: for its successor
    Request(CaRequestArgs),
    /// Take the certificate of such a CA, with those above it
    Import {
        /// For which issuer
        name: String,
        /// The certificate and its chain in any order: PEM, DER, .p7b
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Have an issuing CA chosen no more; its revocation lists are kept up
    Disable {
        /// Which
        name: String,
    },
    /// Have it chosen again
    Enable {
        /// Which
        name: String,
    },
    /// Move a key into the HSM, or back; the certificate stays the same
    MigrateKey {
        /// Whose key, of our own
        #[arg(value_enum, required_unless_present = "issuer")]
        what: Option<RotateWhat>,
        /// Or that of an issuing CA under the company's root
        #[arg(long, value_name = "NAME", conflicts_with = "what")]
        issuer: Option<String>,
        /// Where to
        #[arg(long, value_enum, value_name = "PLACE")]
        to: KeyHome,
        /// Let the HSM give it out again, encrypted: only then there is a way back
        #[arg(long)]
        extractable: bool,
    },
    /// Put the CA's keys under a passphrase, under another one, or under none; certificates stay the same
    Protect {
        /// How they are kept from now on
        #[arg(long, value_enum)]
        key_protection: KeyProtection,
        /// File with the new passphrase [default: that of --passphrase-file where there was none before, else a prompt]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Try the HSM's PIN once more, where it was refused or a login came to no end
    RetryPin,
}

/// `sealock ca request`
#[derive(Debug, Args)]
pub(crate) struct CaRequestArgs {
    /// What the issuer is called here, in labels and in rules
    pub(crate) name: String,
    /// The CA's subject, such as CN=Docker Issuing CA,O=Corp (RFC 4514) [default: that of before]
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// Algorithm of its key [default: that of before, or p256]
    #[arg(long, value_enum)]
    pub(crate) key_type: Option<KeyType>,
    /// Where its key is made [default: where that of before is, or store]
    #[arg(long, value_enum, value_name = "PLACE")]
    pub(crate) key: Option<KeyHome>,
    /// Write the CSR to a file [default: it goes to stdout]
    #[arg(long, value_name = "FILE")]
    pub(crate) csr: Option<PathBuf>,
    /// Make a new key and CSR where there is a request already
    #[arg(long)]
    pub(crate) replace: bool,
    /// Print the CSR that waits
    #[arg(long, conflicts_with_all = ["replace", "cancel", "subject", "key_type", "key"])]
    pub(crate) show: bool,
    /// Drop the request that waits, and its key
    #[arg(long, conflicts_with_all = ["replace", "subject", "key_type", "key", "csr"])]
    pub(crate) cancel: bool,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageArg {
    /// TLS server (serverAuth)
    Server,
    /// TLS client (clientAuth)
    Client,
    /// Signatures on code (codeSigning); alone
    Code,
    /// S/MIME (emailProtection); not with server
    Email,
}

/// Names and life, as `issue` and `sign` take them.
#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// DNS names
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) dns: Vec<String>,
    /// IP addresses
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) ip: Vec<IpAddr>,
    /// URIs
    #[arg(long, value_name = "URI", value_delimiter = ',')]
    pub(crate) uri: Vec<String>,
    /// E-mail addresses
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(crate) email: Vec<String>,
    /// Uses [default: server,client]
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "profile")]
    pub(crate) usage: Vec<UsageArg>,
    /// Certificate profile: server, client, both, code, email, short, mutual, or one of the settings
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// How long it lives (90s, 15m, 24h, 7d) [default: as the profile says, or 24h]
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) ttl: Option<Duration>,
}

/// `sealock cert issue`
#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// Name of the service; also its DNS name when no other name is given
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) names: NamesArgs,
    /// Algorithm of the certificate's key
    #[arg(long, value_enum, default_value = "p256")]
    pub(crate) key_type: KeyType,
    /// Who signs it, of `sealock ca list` [default: the first of authority.issuers that policy permits]
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: Option<String>,
    /// Folder for tls.crt, tls.key, ca.crt and bundle.pem [default: ./NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `sealock cert sign`
#[derive(Debug, Args)]
pub(crate) struct CsrSign {
    /// Name for the inventory [default: the CSR's common name or first DNS name]
    pub(crate) name: Option<String>,
    /// The request, PEM or DER (`-`: stdin); its key is used, its names are asked of policy
    #[arg(long, value_name = "FILE")]
    pub(crate) csr: PathBuf,
    #[command(flatten)]
    pub(crate) names: NamesArgs,
    /// Who signs it, of `sealock ca list` [default: the first of authority.issuers that policy permits]
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: Option<String>,
    /// Folder for tls.crt and ca.crt [default: the certificate goes to stdout]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Reasons of RFC 5280 §5.3.1 that a person can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReasonArg {
    /// No reason given
    Unspecified,
    /// The private key is known to somebody else
    KeyCompromise,
    /// The subject's name or affiliation changed
    AffiliationChanged,
    /// Replaced by another certificate
    Superseded,
    /// No longer needed
    CessationOfOperation,
    /// The privilege it stood for was withdrawn
    PrivilegeWithdrawn,
}

/// `sealock cert …`
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Issue a certificate with a new key
    Issue(IssueArgs),
    /// Issue a certificate for the key of a certificate signing request
    Sign(CsrSign),
    /// Make a key and a CSR for another authority, such as the company's CA
    Request(Box<RequestArgs>),
    /// List what other authorities sign, and what to do about it
    Requests,
    /// Take what another authority has signed
    Import(ImportedArgs),
    /// Write tls.crt, tls.key, ca.crt and bundle.pem of an imported certificate
    Files {
        /// Its name, as `sealock cert requests` lists it
        name: String,
        /// Folder for the files [default: ./NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// List certificates, those that expire first on top
    List(ListArgs),
    /// Report on all of them: totals, keys, issuers, and what has to be done
    Report(ReportArgs),
    /// Show one certificate
    Show {
        /// Name (its newest certificate) or serial number
        certificate: String,
        /// Print it as PEM too
        #[arg(long)]
        pem: bool,
    },
    /// Issue its successor: new key, same names
    Renew {
        /// Name (its newest certificate) or serial number
        certificate: String,
        /// Folder for the files [default: ./NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// How long the new one lives [default: as long as the old one]
        #[arg(long, value_name = "SPAN", value_parser = parse_span)]
        ttl: Option<Duration>,
    },
    /// Write an issued certificate as one file, in the format that a program wants
    Export(ExportArgs),
    /// Revoke a certificate
    Revoke {
        /// Serial number
        serial: String,
        /// Why
        #[arg(long, value_enum, default_value = "unspecified")]
        reason: ReasonArg,
    },
    /// Publish a certificate in an LDAP directory, and take out those of its name that are no longer good
    Publish(Box<PublishArgs>),
}
