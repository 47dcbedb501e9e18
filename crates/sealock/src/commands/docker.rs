//! `sealock docker …`: mutual TLS between the Docker daemon and its clients, from our authority.

mod client;
mod endpoint;
mod files;
mod setup;
mod unit;

use std::path::PathBuf;
use std::process::ExitCode;

use sealock_control::config::Environment;
use sealock_docker::daemon::TcpHost;

use super::session::Session;
use crate::args::{DockerCommand, Global};
use crate::printer::{Failure, Printer};

/// Where a daemon with TLS listens.
const PORT: u16 = 2376;

/// Runs one of the `docker` commands.
pub(crate) fn run(
    command: DockerCommand,
    global: &Global,
    printer: Printer,
) -> Result<ExitCode, Failure> {
    match command {
        DockerCommand::Setup(arguments) => setup::run(&arguments, global, printer)?,
        DockerCommand::Client(arguments) => client::run(&arguments, global, printer)?,
        DockerCommand::Context { name, host, client_dir } => {
            endpoint::context(&name, &host, client_dir, printer)?;
        }
        DockerCommand::Env { host, dir, client_dir } => {
            endpoint::env(host.as_deref(), &dir, client_dir, printer)?;
        }
        DockerCommand::Check(arguments) => return endpoint::check(arguments, printer),
    }
    Ok(ExitCode::SUCCESS)
}

fn session(global: &Global) -> Result<Session, Failure> {
    Session::open(global)
}

/// The folder of the client's files, absolute: it stands in lines for a shell in any folder.
fn client_folder(named: Option<PathBuf>) -> Result<PathBuf, Failure> {
    absolute(named.map_or_else(docker_folder, Ok)?)
}

/// `~/.docker`.
fn docker_folder() -> Result<PathBuf, Failure> {
    let environment = Environment::of_process();
    let home = environment.get("HOME").map(PathBuf::from);
    home.map(|home| home.join(".docker")).ok_or_else(|| {
        Failure::usage("there is no home folder").hint("name the client's folder by --client-dir")
    })
}

fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    std::path::absolute(&path).map_err(|error| {
        Failure::usage(format!("`{}` is not a path", path.display())).caused_by(&error)
    })
}

/// `tcp://HOST:PORT`, or a name or address alone, which stands for the usual port there.
fn tcp_host(text: &str) -> Result<TcpHost, Failure> {
    let url = if text.contains("://") {
        text.to_owned()
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("tcp://[{text}]:{PORT}")
    } else {
        format!("tcp://{text}:{PORT}")
    };
    url.parse().map_err(|error| {
        Failure::usage("that is no daemon's address")
            .caused_by(&error)
            .hint("give it as tcp://HOST:PORT, or HOST alone")
    })
}
