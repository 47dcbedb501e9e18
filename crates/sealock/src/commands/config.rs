//! `sealock config …`

use sealock_control::command::{Command, Reply};

use super::session::{Session, unexpected};
use crate::printer::{Failure, Printer, Table};

/// Prints the schema: it is of the program, so it needs neither settings nor state.
pub(crate) fn schema(printer: Printer) -> Result<(), Failure> {
    printer.data(schema_text()?.as_bytes())
}

/// As it is printed, and stands in the reference.
pub(crate) fn schema_text() -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(&sealock_control::config::schema());
    let text =
        text.map_err(|error| Failure::fault("the schema cannot be written").caused_by(&error))?;
    Ok(text + "\n")
}

/// Prints what is in force, and says what does not go together.
pub(crate) fn check(session: &Session, printer: Printer) -> Result<(), Failure> {
    match session.call(Command::ConfigCheck)? {
        Reply::Settings(settings) => printer.either(&settings, |settings| {
            let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
            for setting in settings {
                table.row([setting.key.clone(), setting.value.clone(), setting.source.clone()]);
            }
            table.render()
        })?,
        other => return Err(unexpected(&other)),
    }
    let problems = session.config().problems();
    for warning in problems.iter().filter(|one| !one.is_error) {
        printer.note(format!("warning: {}", warning.text));
    }
    let errors: Vec<&String> =
        problems.iter().filter(|one| one.is_error).map(|one| &one.text).collect();
    match errors.as_slice() {
        [] => Ok(()),
        errors => Err(Failure::usage("these settings do not go together")
            .with_causes(errors.iter().map(ToString::to_string))
            .hint("docs/reference/settings.md has all settings, with what they may be")),
    }
}
