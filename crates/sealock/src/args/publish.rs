//! Arguments of `cert publish`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

/// As what a missing entry is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CreateArg {
    /// inetOrgPerson; the DN begins with cn or uid
    Person,
    /// device with pkiUser; the DN begins with cn
    Device,
}

/// `sealock cert publish`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["directory", "ldap"])))]
pub(crate) struct PublishArgs {
    /// Name (its newest certificate) or serial number
    pub(crate) certificate: String,
    /// It is the name of one that another authority has signed (`cert request`, `cert import`)
    #[arg(long)]
    pub(crate) imported: bool,
    /// A directory of the settings: [directory.NAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) directory: Option<String>,
    /// The entry that gets the certificate [default with --directory: what its `dn` says]
    #[arg(long, value_name = "DN")]
    pub(crate) dn: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// An LDAP server that is not in the settings.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The LDAP server: ldaps://HOST[:PORT], ldap://HOST[:PORT] or ldapi://%2Fpath%2Fto%2Fsocket
    #[arg(long, value_name = "URL", requires = "dn", conflicts_with = "directory")]
    pub(crate) ldap: Option<String>,
    /// Begin TLS on an ldap:// connection
    #[arg(long, requires = "ldap", conflicts_with = "directory")]
    pub(crate) start_tls: bool,
    /// Trust the CA certificates in this file (PEM) [default: those of `sealock ca bundle`]
    #[arg(long, value_name = "FILE", requires = "ldap", conflicts_with = "directory")]
    pub(crate) ca: Option<PathBuf>,
    /// Bind with this name
    #[arg(
        long,
        value_name = "DN",
        requires = "password_file",
        requires = "ldap",
        conflicts_with = "directory"
    )]
    pub(crate) bind_dn: Option<String>,
    /// and the password in this file (`-`: stdin)
    #[arg(long, value_name = "FILE", requires = "bind_dn", conflicts_with = "directory")]
    pub(crate) password_file: Option<PathBuf>,
    /// Bind with the certificate in this folder (tls.crt and tls.key; SASL EXTERNAL)
    #[arg(
        id = "bind_certificate",
        long = "certificate",
        value_name = "DIR",
        requires = "ldap",
        conflicts_with_all = ["bind_dn", "directory"]
    )]
    pub(crate) bind_certificate: Option<PathBuf>,
    /// Make the entry if it is not there
    #[arg(long, value_enum, requires = "ldap", conflicts_with = "directory")]
    pub(crate) create: Option<CreateArg>,
    /// Ask an ldap:// server over the network without TLS: anybody on the way reads the password and changes what is
    /// published
    #[arg(long, requires = "ldap", conflicts_with = "directory")]
    pub(crate) dangerous_plain_ldap: bool,
}
