//! `sealock policy presets` and `sealock policy use`

use sealock_control::command::{Command, Reply};
use sealock_core::policy::{Grantee, PRESETS, Preset, UnknownGrantee};
use serde_json::json;

use crate::commands::session::{Session, unexpected};
use crate::printer::{Failure, Printer, Table};

/// All of them, or the text of one.
pub(super) fn show(name: Option<&str>, printer: Printer) -> Result<(), Failure> {
    let Some(name) = name else {
        let of = |preset: &Preset| json!({ "name": preset.name, "summary": preset.summary, "group": preset.group });
        let all: Vec<_> = PRESETS.iter().map(of).collect();
        return printer.either(&all, |_| {
            let mut table = Table::new(&["PRESET", "GROUP", "WHAT IT PERMITS"]);
            for preset in PRESETS {
                let cells = [preset.name, preset.group, preset.summary];
                table.row(cells.map(str::to_owned));
            }
            table.render()
        });
    };
    let preset = Preset::find(name).ok_or_else(|| {
        Failure::refused(format!("there is no preset `{name}`"))
            .hint("`sealock policy presets` lists them")
    })?;
    let whole = json!({
        "name": preset.name, "summary": preset.summary, "group": preset.group, "text": preset.text,
    });
    printer.either(&whole, |_| preset.text.trim_end().to_owned())
}

/// Into the policy folder.
pub(super) fn put(
    preset: String,
    grantee: &str,
    force: bool,
    session: &Session,
    printer: Printer,
) -> Result<(), Failure> {
    let grantee: Grantee =
        grantee.parse().map_err(|error: UnknownGrantee| Failure::usage(error.to_string()))?;
    let of = format!("{preset} for {grantee}");
    match session.call(Command::PolicyUse { preset, grantee, force })? {
        Reply::PolicyUsed(used) => printer.either(&used, |used| {
            let path = used.policy.folder.join(&used.file);
            let done = if used.changed { "is" } else { "was already" };
            format!("{of} {done} in {}; policy {}", path.display(), used.policy.epoch)
        }),
        other => Err(unexpected(&other)),
    }
}
