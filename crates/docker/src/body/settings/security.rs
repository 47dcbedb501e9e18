//! Capabilities and security options.

use super::super::error::BodyError;
use super::super::json::Value;
use super::{Risk, Settings, filled};

/// What the engine gives every container.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// The capabilities under the two keys: those that are added, and those that are dropped.
pub(super) fn capabilities(
    settings: &mut Settings,
    value: &Value,
    [add, drop]: [&str; 2],
    field: &str,
) -> Result<(), BodyError> {
    for name in value.texts(add) {
        let name = capability(name, field)?;
        settings.risk_if(!DEFAULT_CAPABILITIES.contains(&name.as_str()), Risk::CapAdd);
        settings.add("capAdd", name);
    }
    for name in value.texts(drop) {
        settings.add("capDrop", capability(name, field)?);
    }
    Ok(())
}

/// A name as the engine normalises it: upper case, with `CAP_`; or `ALL`.
fn capability(name: &str, field: &str) -> Result<String, BodyError> {
    // Go's upper case knows more letters than ASCII's, `ſ` for one, and no capability has them.
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !plain {
        return Err(BodyError::value(field, "has what is no name of a capability"));
    }
    let name = name.to_ascii_uppercase();
    let whole = name == "ALL" || name.starts_with("CAP_");
    Ok(if whole { name } else { format!("CAP_{name}") })
}

/// `SecurityOpt`.
pub(in super::super) fn security_options<'v>(
    settings: &mut Settings,
    given: impl Iterator<Item = &'v str>,
) {
    let mut own = None;
    for option in given {
        if let Some(on) = no_new_privileges(option) {
            own = Some(on);
            settings.risk_if(!on, Risk::SecurityOpt);
            settings.add("securityOpt", format!("no-new-privileges={on}"));
            continue;
        }
        settings.risk(Risk::SecurityOpt);
        let (key, value) = split(option).unwrap_or((option, ""));
        // A profile is a document of its own, which no rule compares.
        let value = if value.contains('{') { "custom" } else { value };
        settings.add("securityOpt", format!("{key}={value}"));
    }
    if let Some(on) = own {
        settings.flag("noNewPrivileges", on);
    }
}

/// Whether the options come to `no-new-privileges`; the engine takes the last one.
pub(in super::super) fn has_no_new_privileges(value: &Value) -> bool {
    filled(value, "SecurityOpt").filter_map(no_new_privileges).last().unwrap_or(false)
}

/// For that option, in each of its forms, whether it is on.
fn no_new_privileges(option: &str) -> Option<bool> {
    const NAME: &str = "no-new-privileges";
    if option == NAME {
        return Some(true);
    }
    let (key, value) = split(option)?;
    // What Go's ParseBool takes for true; the engine refuses what is no bool.
    (key == NAME).then_some(matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// As the engine splits: at the first `=`, and only where there is none at the first `:`.
fn split(option: &str) -> Option<(&str, &str)> {
    option.split_once('=').or_else(|| option.split_once(':'))
}
