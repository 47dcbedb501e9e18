//! One module for each command: arguments in, a command to the service, its answer out.

mod acme;
mod audit;
mod broker;
mod ca;
mod cert;
mod client;
mod config;
mod docker;
mod envelope;
mod export;
pub(crate) mod files;
mod forwarder;
mod gatekeeper;
mod gateway;
mod group;
mod import;
mod imported;
mod init;
mod inventory;
mod issuers;
mod login;
mod offer;
mod passphrase;
mod policy;
mod protect;
mod publish;
mod reference;
mod run;
mod secrets;
mod send;
mod services;
pub(crate) mod session;
mod status;
mod summon;
mod token;
mod trust;
mod up;
mod upstream;
mod workload;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{CertCommand, Cli, Command, ConfigCommand, Global};
use crate::demo;
use crate::printer::{Failure, Printer};
use session::Session;

pub(crate) use summon::run as summon;

/// Runs one command.
pub(crate) fn run(global: Global, command: Command, printer: Printer) -> Result<ExitCode, Failure> {
    // What runs in containers is looked at from outside, and handles no keys of ours.
    if !matches!(command, Command::DemoServer(_) | Command::DemoLook { .. } | Command::Gate { .. })
    {
        sealock_injector::harden::own_memory();
    }
    let session = || Session::open(&global);
    match command {
        Command::Init(arguments) => init::run(arguments, &session()?, printer)?,
        Command::Up(arguments) => up::run(arguments, &global, printer)?,
        Command::Gateway(arguments) => gateway::run(arguments, &global, printer)?,
        Command::Broker(arguments) => broker::run(arguments, &global, printer)?,
        Command::Status(arguments) => return status::run(&arguments, &session()?, printer),
        Command::Ca(command) => ca::run(command, &session()?, printer)?,
        Command::Cert(CertCommand::Export(arguments)) => export::run(&arguments, printer)?,
        Command::Cert(command) => cert::run(command, &session()?, printer)?,
        Command::Trust(command) => trust::run(command, &session()?, printer)?,
        Command::Acme(command) => acme::run(command, &session()?, printer)?,
        Command::Upstream(command) => upstream::run(command, &session()?, printer)?,
        Command::Send(arguments) => send::run(&arguments, &session()?, printer)?,
        Command::Offer(arguments) => offer::run(arguments, &session()?, printer)?,
        Command::Receive(arguments) => offer::receive(&arguments, printer)?,
        Command::Seal(arguments) => envelope::run_seal(&arguments, printer)?,
        Command::Open(arguments) => envelope::run_open(&arguments, printer)?,
        Command::Run(arguments) => return run::run(&arguments, &global, printer),
        Command::Summon(arguments) => return Ok(summon(&arguments.arguments)),
        Command::Secret(command) => secrets::run(command, &session()?, printer)?,
        Command::Workload(command) => workload::run(&command, &session()?, printer)?,
        Command::Gatekeeper(arguments) => gatekeeper::run(*arguments, &global, printer)?,
        Command::Forwarder(arguments) => forwarder::run(*arguments, &global, printer)?,
        Command::Token(arguments) => token::run(arguments, &session()?, printer)?,
        Command::Client(command) => client::run(command, &session()?, printer)?,
        Command::Login(arguments) => login::run(arguments, &global, printer)?,
        Command::Logout(arguments) => login::out(&arguments, printer)?,
        Command::Import(arguments) => import::run(&arguments, printer)?,
        Command::Service(command) => services::run(&command, &session()?, printer)?,
        Command::Docker(command) => return docker::run(command, &global, printer),
        Command::Audit(command) => audit::run(command, &session()?, printer)?,
        Command::Policy(command) => policy::run(command, &session()?, printer)?,
        Command::Group(command) => group::run(command, &session()?, printer)?,
        Command::Config(ConfigCommand::Check) => config::check(&session()?, printer)?,
        Command::Config(ConfigCommand::Schema) => config::schema(printer)?,
        Command::Demo(arguments) => return demo::run(&arguments, &global, printer),
        Command::DemoServer(arguments) => return demo::serve(&arguments, printer),
        Command::Completions { shell } => completions(shell, printer)?,
        Command::DemoApp { idle } => return demo::app(idle),
        Command::DemoCall { path } => demo::call(&path, printer)?,
        Command::DemoLook { variable } => demo::look(&variable, printer)?,
        Command::GuardFiles => sealock_injector::scratch::guardian::be(),
        Command::Gate { until, command } => match run::gate(until, &command)? {},
        Command::Reference(arguments) => reference::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell, printer: Printer) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sealock", &mut script);
    printer.data(&script)
}
