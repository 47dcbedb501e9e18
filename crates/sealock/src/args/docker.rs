//! Arguments of `docker`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sealock_core::span::parse_span;

/// What kind of principal a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// A person
    Human,
    /// A machine
    Host,
    /// A program, usually in a container
    Service,
}

/// `sealock docker setup`
#[derive(Debug, Args)]
pub(crate) struct DockerSetupArgs {
    /// Names under which clients reach the daemon; the first is the one in DOCKER_HOST
    #[arg(long, value_name = "NAME", value_delimiter = ',', num_args = 1.., required = true)]
    pub(crate) host: Vec<String>,
    /// Addresses under which clients reach the daemon
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', num_args = 1..)]
    pub(crate) ip: Vec<IpAddr>,
    /// Folder for the daemon's ca.pem, server-cert.pem and server-key.pem
    #[arg(long, value_name = "DIR", default_value = "/etc/docker/tls")]
    pub(crate) dir: PathBuf,
    /// Folder for the administrator's ca.pem, cert.pem and key.pem [default: ~/.docker]
    #[arg(long, value_name = "DIR")]
    pub(crate) client_dir: Option<PathBuf>,
    /// How long the certificates live; run again, those with at most a third left are made anew
    #[arg(long, value_name = "SPAN", default_value = "90d", value_parser = parse_span)]
    pub(crate) ttl: Duration,
    /// Merge the settings into daemon.json; the daemon is not restarted
    #[arg(long)]
    pub(crate) apply: bool,
    /// The daemon's settings
    #[arg(long, value_name = "FILE", default_value = "/etc/docker/daemon.json")]
    pub(crate) daemon_json: PathBuf,
}

/// `sealock docker client`
#[derive(Debug, Args)]
pub(crate) struct DockerClientArgs {
    /// Who it is for: the last part of the identity
    pub(crate) name: String,
    /// Put them into this group too, for the policy
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Folder for ca.pem, cert.pem and key.pem
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What they are
    #[arg(long, value_enum, default_value = "human")]
    pub(crate) kind: KindArg,
    /// How long the certificate lives; run again, one with at most a third left is made anew
    #[arg(long, value_name = "SPAN", default_value = "90d", value_parser = parse_span)]
    pub(crate) ttl: Duration,
}

/// `sealock docker check`
#[derive(Debug, Args)]
pub(crate) struct DockerCheckArgs {
    /// unix:///PATH, tcp://HOST:PORT, http://HOST or https://HOST
    pub(crate) url: String,
    /// Folder with the ca.pem, cert.pem and key.pem that should be let in [default: ~/.docker,
    /// where they are there]
    #[arg(long, value_name = "DIR")]
    pub(crate) client_dir: Option<PathBuf>,
    /// The authority that the server should come from [default: ca.pem of the client's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Folder with the cert.pem and key.pem of an expired client
    #[arg(long, value_name = "DIR")]
    pub(crate) expired: Option<PathBuf>,
    /// Folder with the cert.pem and key.pem of a revoked client
    #[arg(long, value_name = "DIR")]
    pub(crate) revoked: Option<PathBuf>,
}

/// `sealock docker …`
#[derive(Debug, Subcommand)]
pub(crate) enum DockerCommand {
    /// Mutual TLS for the daemon and its administrator, from our authority
    Setup(DockerSetupArgs),
    /// A client's certificate for a person, a machine or a container
    Client(DockerClientArgs),
    /// Make a context of Docker's command line client
    Context {
        /// Its name
        name: String,
        /// Where the daemon is: tcp://HOST:PORT
        #[arg(long, value_name = "URL")]
        host: String,
        /// Folder with ca.pem, cert.pem and key.pem [default: ~/.docker]
        #[arg(long, value_name = "DIR")]
        client_dir: Option<PathBuf>,
    },
    /// Print the exports for a shell: eval "$(sealock docker env)"
    Env {
        /// Where the daemon is: tcp://HOST:PORT [default: the first name of the daemon's certificate]
        #[arg(long, value_name = "URL")]
        host: Option<String>,
        /// Folder of the daemon's certificate
        #[arg(long, value_name = "DIR", default_value = "/etc/docker/tls")]
        dir: PathBuf,
        /// Folder with ca.pem, cert.pem and key.pem [default: ~/.docker]
        #[arg(long, value_name = "DIR")]
        client_dir: Option<PathBuf>,
    },
    /// Find out by trying what an endpoint accepts, and from whom; exits with 1 where somebody gets
    /// in who should not
    Check(DockerCheckArgs),
}
