//! The command line as typed arguments. Help texts here are the source of the generated CLI reference.

mod acme;
mod authority;
mod delivery;
mod docker;
mod envelope;
mod export;
mod guard;
mod host;
mod imported;
mod inventory;
mod login;
mod publish;
mod quick;
mod run;
mod secrets;
mod services;
mod token;
mod traffic;
mod trust;
mod upstream;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use acme::{AcmeAccountCommand, AcmeCommand, EabAddArgs, EabCommand, EabSelfArgs};
pub(crate) use authority::{
    CaCommand, CaRequestArgs, CertCommand, CsrSign, InitArgs, IssueArgs, KeyHome, KeyProtection,
    KeyType, NamesArgs, ReasonArg, RotateWhat, UsageArg,
};
pub(crate) use delivery::{CarrierArg, OfferArgs, ReceiveArgs, SendArgs};
pub(crate) use docker::{
    DockerCheckArgs, DockerClientArgs, DockerCommand, DockerSetupArgs, KindArg,
};
pub(crate) use envelope::{OpenArgs, SealArgs};
pub(crate) use export::{ExportArgs, ExportFormat};
pub(crate) use guard::Listen;
pub(crate) use host::{
    AuditCommand, ConfigCommand, DemoArgs, DemoServerArgs, GatewayArgs, GroupCommand, MemberArgs,
    PolicyCommand, ReferenceArgs, StatusArgs, UpArgs,
};
pub(crate) use imported::{ImportedArgs, RequestArgs, TrustCommand};
pub(crate) use inventory::{ListArgs, ReportArgs, ReportFormat, StateArg};
pub(crate) use login::{
    LoginArgs, LoginCommand, LoginConfirmArgs, LoginDenyArgs, LoginInviteArgs, LogoutArgs,
};
pub(crate) use publish::{CreateArg, PublishArgs, ServerArgs};
pub(crate) use run::{ExecArg, FilesArg, RunArgs, SummonArgs};
pub(crate) use secrets::{
    OnExistingArg, SecretCommand, SecretExportArgs, SecretGetArgs, SecretImportArgs,
    SecretPurgeArgs, SecretSetArgs, SecretVersionArgs, WorkloadCommand,
};
pub(crate) use services::{BrokerArgs, ImportArgs, ServiceCommand};
pub(crate) use token::{RevokedArgs, TokenArgs, TokenCommand, TokenRevokeArgs};
pub(crate) use traffic::{
    Broker, ClientAddArgs, ClientCommand, ClientKeysArgs, ClientRotateArgs, ForwarderArgs,
    GatekeeperArgs, broker, exempt,
};
pub(crate) use trust::{InstallArgs, StoreArg};
pub(crate) use upstream::UpstreamCommand;

/// Certificates, files and secrets for the containers of a Docker host: one identity, one policy,
/// one audit log.
#[derive(Debug, Parser)]
#[command(
    name = "sealock",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start with:  sealock up\n\
                  Exit codes:  0 done, 1 refused or failed, 2 a fault of sealock itself, 64 usage."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads the command line of this process.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let line: Vec<OsString> = std::env::args_os().collect();
    match quick::parse(&line) {
        Some(cli) => Ok(cli),
        None => Cli::try_parse_from(line),
    }
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// State folder [default: /var/lib/sealock as root, else ~/.local/state/sealock]
    /// [env: SEALOCK_STATE]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Settings file [default: /etc/sealock/sealock.toml as root, else
    /// ~/.config/sealock/sealock.toml; when it is there] [env: SEALOCK_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Docker engine: unix:///path, tcp://host:port [default: DOCKER_HOST, else the
    /// local socket] [env: SEALOCK_DOCKER]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) docker: Option<String>,
    /// File that holds the passphrase of the CA's keys (else a systemd credential, else a
    /// prompt) [env: SEALOCK_PASSPHRASE_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the daemon: makes what is missing, then guards the host until it is stopped
    Up(UpArgs),
    /// Start the Docker gateway alone: no labels, and no API unless it is asked for
    Gateway(GatewayArgs),
    /// Start the Token Broker alone: tokens and the directory of services, and nothing else
    Broker(BrokerArgs),
    /// Make the certificate authority and an admin identity, and nothing else
    Init(InitArgs),
    /// What there is, what is due, what is wrong
    Status(StatusArgs),
    /// The certificate authority itself
    #[command(subcommand)]
    Ca(CaCommand),
    /// Certificates: issue, list, renew, export, revoke
    #[command(subcommand)]
    Cert(CertCommand),
    /// Roots of other authorities: known, and handed out beside ours
    #[command(subcommand)]
    Trust(TrustCommand),
    /// The ACME server: who may have accounts
    #[command(subcommand)]
    Acme(AcmeCommand),
    /// CAs of others that are asked by protocol (ACME, EST), as the settings name them
    #[command(subcommand)]
    Upstream(UpstreamCommand),
    /// Send files into a running container
    Send(SendArgs),
    /// Offer files once, to whoever holds the ticket
    Offer(OfferArgs),
    /// Take what a ticket offers
    Receive(ReceiveArgs),
    /// Encrypt to age recipients or SSH public keys
    Seal(SealArgs),
    /// Decrypt an age file
    Open(OpenArgs),
    /// Start a program with the secrets that secrets.yml names
    Run(Box<RunArgs>),
    /// The same with Summon's command line and behaviour; also when this program is called `summon`
    #[command(disable_help_flag = true)]
    Summon(SummonArgs),
    /// The vault: secrets with versions
    #[command(subcommand)]
    Secret(SecretCommand),
    /// What a program in a container is to Sealock
    #[command(subcommand)]
    Workload(WorkloadCommand),
    /// Stand before a service, and let in who may call it
    Gatekeeper(Box<GatekeeperArgs>),
    /// Take an app's plain calls to services, and send them on with a token
    Forwarder(Box<ForwarderArgs>),
    /// A token for calling a service
    Token(TokenArgs),
    /// Who may ask for tokens with a secret
    #[command(subcommand)]
    Client(ClientCommand),
    /// The services that Forwarders are told of
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Carry an sdf.yml of Conjur's Software-Defined Firewall over
    Import(ImportArgs),
    /// Docker's daemon and clients: mutual TLS from our authority
    #[command(subcommand)]
    Docker(DockerCommand),
    /// Get a certificate as a person, or let people in
    Login(LoginArgs),
    /// Remove a login from this machine
    Logout(LogoutArgs),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The policy
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The groups of the policy
    #[command(subcommand)]
    Group(GroupCommand),
    /// The settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// See the whole thing work on this host's engine; removes all it made
    Demo(DemoArgs),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// The TLS server that runs inside the demo's containers
    #[command(hide = true)]
    DemoServer(DemoServerArgs),
    /// The app that the demo's Gatekeeper guards
    #[command(hide = true)]
    DemoApp {
        /// Serve nothing, and stay
        #[arg(long)]
        idle: bool,
    },
    /// A call through the demo's Gatekeeper
    #[command(hide = true)]
    DemoCall {
        /// The path
        path: String,
    },
    /// The digest of a variable of a container's first process, for the demo
    #[command(hide = true)]
    DemoLook {
        /// The variable
        variable: String,
    },
    /// Clear away the files of a run that was killed (started by `run` and `summon`)
    #[command(hide = true)]
    GuardFiles,
    /// Wait for delivered secrets and become the program (in containers of `run --as-files`)
    #[command(hide = true)]
    Gate {
        /// When to give up, in seconds since 1970
        #[arg(long, value_name = "MOMENT")]
        until: u64,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Write the generated reference
    #[command(hide = true)]
    Reference(ReferenceArgs),
}
