//! `sealock group …`

use sealock_control::command::{Command, Membership, Reply};

use super::session::{Session, unexpected};
use crate::args::{GroupCommand, MemberArgs};
use crate::printer::{Failure, Printer, Table};

/// Runs one of the `group` commands.
pub(crate) fn run(
    command: GroupCommand,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    match command {
        GroupCommand::Add(MemberArgs { group, member: (kind, name) }) => {
            let (member, of) = (format!("{}/{name}", kind.segment()), group.clone());
            change(session, Command::GroupAdd { kind, name, group })?;
            printer.note(format!("{member} is in the group {of}."));
        }
        GroupCommand::Remove(MemberArgs { group, member: (kind, name) }) => {
            let (member, of) = (format!("{}/{name}", kind.segment()), group.clone());
            change(session, Command::GroupRemove { kind, name, group })?;
            printer.note(format!("{member} is no longer in the group {of}."));
        }
        GroupCommand::List { group } => match session.call(Command::GroupList { group })? {
            Reply::Groups(groups) => printer.either(&groups, |groups| table(groups))?,
            other => return Err(unexpected(&other)),
        },
    }
    Ok(())
}

fn change(session: &Session, command: Command) -> Result<(), Failure> {
    match session.call(command)? {
        Reply::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn table(groups: &[Membership]) -> String {
    let mut table = Table::new(&["GROUP", "MEMBER", "BY"]);
    for found in groups {
        let by = if found.by_settings { "settings" } else { "command" };
        table.row([found.group.clone(), found.member.clone(), by.to_owned()]);
    }
    if table.is_empty() { "Nobody is in a group.".to_owned() } else { table.render() }
}
