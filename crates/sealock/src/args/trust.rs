//! Arguments of `trust install` and `trust uninstall`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Where programs look for roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreArg {
    /// Debian, Ubuntu, Alpine: /usr/local/share/ca-certificates
    Debian,
    /// RHEL, Fedora: /etc/pki/ca-trust/source/anchors
    Rhel,
    /// Java: each cacerts below JAVA_HOME, /usr/lib/jvm, /opt/java and /etc/ssl/certs/java
    Java,
    /// Whichever are there
    All,
}

/// `sealock trust install` and `uninstall`
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// The system whose stores are meant; its own programs are run in it (chroot)
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
    /// Which stores
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(crate) store: Vec<StoreArg>,
    /// A Java to look at, as seen from the root [env: JAVA_HOME]
    #[arg(long, value_name = "DIR", env = "JAVA_HOME", hide_env = true)]
    pub(crate) java_home: Option<PathBuf>,
    /// File with the password of Java's stores [default: it is changeit]
    #[arg(long, value_name = "FILE")]
    pub(crate) java_password_file: Option<PathBuf>,
    /// Say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}
