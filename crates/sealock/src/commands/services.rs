//! `sealock service …`

use sealock_control::command::{Command, InstanceReport, Reply, ServiceReport};

use super::session::{Session, unexpected};
use crate::args::ServiceCommand;
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `service` commands.
pub(crate) fn run(
    command: &ServiceCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        ServiceCommand::List => match session.call(Command::ServiceList)? {
            Reply::Services(services) => printer.either(&services, |services| table(services)),
            other => Err(unexpected(&other)),
        },
    }
}

fn table(services: &[ServiceReport]) -> String {
    let mut table = Table::new(&["SERVICE", "INSTANCE", "BY", "SINCE", "HOSTS"]);
    for service in services {
        let hosts = service.hosts.join(", ");
        let name = service.name.clone();
        if service.instances.is_empty() {
            table.row([name, "none yet".to_owned(), String::new(), String::new(), hosts]);
            continue;
        }
        for (number, instance) in service.instances.iter().enumerate() {
            let hosts = if number == 0 { hosts.clone() } else { String::new() };
            let since = instance.since.map(|since| since.to_rfc3339()).unwrap_or_default();
            table.row([name.clone(), instance.address.clone(), by(instance), since, hosts]);
        }
    }
    if table.is_empty() { "There are no services.".to_owned() } else { table.render() }
}

fn by(instance: &InstanceReport) -> String {
    let who = instance.who.as_deref().unwrap_or("settings");
    match (instance.told, instance.parting) {
        (false, _) => format!("{who} (not told: the settings name the certificate)"),
        (true, true) => format!("{who} (hung up)"),
        (true, false) => who.to_owned(),
    }
}
