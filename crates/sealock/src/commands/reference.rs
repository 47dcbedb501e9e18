//! The generated reference: command line, settings, policy schema; and man pages.
//!
//! Written from the same values that the program runs by, so it cannot say something else than the
//! program does. `cargo xtask docs --check` holds the committed files against this.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use sealock_control::config::{KEYS, TABLES};
use sealock_control::forward::ForwardMetrics;
use sealock_control::guard::GuardMetrics;
use sealock_control::metrics::Metrics;
use sealock_core::policy::PolicySet;
use sealock_docker::body::settings::RISKS;

use super::{config, files};
use crate::args::{Cli, ReferenceArgs};
use crate::printer::Failure;

/// Writes all pages, and man pages when asked.
pub(crate) fn run(arguments: &ReferenceArgs) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::refused(format!("cannot write into {}", arguments.out.display())).caused_by(error)
    };
    fs::create_dir_all(&arguments.out).map_err(|error| failed(&error))?;
    let schema = PolicySet::schema_text();
    let pages = [
        ("cli.md", command_line()),
        ("settings.md", settings()),
        ("settings.schema.json", config::schema_text()?),
        ("risks.md", risks()),
        ("metrics.md", metrics()),
        (
            "policy-schema.md",
            format!(
                "# Policy schema\n\nPrinted by `sealock policy schema`.\n\n```cedarschema\n{}\n```\n",
                schema.trim_end()
            ),
        ),
    ];
    for (name, text) in pages {
        files::write(&arguments.out.join(name), text.as_bytes(), 0o644)?;
    }
    if let Some(folder) = &arguments.man {
        man_pages(folder)?;
    }
    Ok(())
}

fn risks() -> String {
    format!(
        "# Risks\n\nWhat a request to the Docker API can ask for beyond a plain container. The gateway puts each into \
         `context.risks` of the question to policy; a rule without `context.risks` permits all of them, and the \
         presets want it empty. `sealock policy explain` names those of a denied request. Folders of the host are no \
         risk: each is asked for as `Docker::Mount`.\n\n{RISKS}"
    )
}

fn metrics() -> String {
    let mut text = String::from(
        "# Metrics\n\nOpenMetrics text at `/metrics` of the API, for a client that policy permits `Status::Read`; `api.metrics` switches it off.\n\n\
         | metric | kind | what |\n|---|---|---|\n",
    );
    rows(&mut text, Metrics::described());
    text.push_str(
        "\n## A Gatekeeper's\n\nThe same text at `/metrics` of `sealock gatekeeper --metrics`, where `/live` and `/ready` are too.\n\n\
         | metric | kind | what |\n|---|---|---|\n",
    );
    rows(&mut text, GuardMetrics::described());
    text.push_str(
        "\n## A Forwarder's\n\nThe same text at `/metrics` of `sealock forwarder --metrics`, where `/live` and `/ready` are too.\n\n\
         | metric | kind | what |\n|---|---|---|\n",
    );
    rows(&mut text, ForwardMetrics::described());
    text
}

fn rows(text: &mut String, figures: Vec<[String; 3]>) {
    for [name, kind, what] in figures {
        let _ = writeln!(text, "| `{name}` | {kind} | {what} |");
    }
}

fn man_pages(folder: &Path) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| {
        Failure::refused(format!("cannot write into {}", folder.display())).caused_by(error)
    };
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| failed(&error))
}

fn command_line() -> String {
    let mut cli = Cli::command();
    cli.build();
    let mut text = String::from(
        "# Command line\n\nExit codes: 0 done, 1 refused or failed, 2 a fault of sealock itself, 64 usage. \
         Data goes to stdout; errors go to stderr: one line, its causes, one hint. `--json` works \
         everywhere, for errors too.\n\n## Global options\n\n",
    );
    options(&mut text, cli.get_arguments().filter(|argument| argument.is_global_set()));
    for command in visible(&cli) {
        describe(&mut text, command, "sealock", 2);
    }
    text
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn describe(text: &mut String, command: &Command, parent: &str, depth: usize) {
    let name = format!("{parent} {}", command.get_name());
    let _ = writeln!(text, "\n{} `{name}`\n", "#".repeat(depth));
    if let Some(about) = command.get_about() {
        let _ = writeln!(text, "{about}.\n");
    }
    // Some do something of their own and have further commands as well.
    if !command.is_subcommand_required_set() {
        own(text, command, &name);
    }
    for sub in visible(command) {
        describe(text, sub, &name, depth + 1);
    }
}

/// What a command does without a further one: its usage, its options, and what its help ends with.
fn own(text: &mut String, command: &Command, name: &str) {
    let mut usage = command.clone().bin_name(name);
    let usage = usage.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let usage: Vec<&str> = usage.lines().map(str::trim).collect();
    let _ = writeln!(text, "```\n{}\n```\n", usage.join("\n"));
    options(text, command.get_arguments().filter(|argument| !argument.is_global_set()));
    if let Some(after) = command.get_after_help() {
        let _ = writeln!(text, "\n```text\n{}\n```", after.to_string().trim_end());
    }
}

fn options<'a>(text: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    for argument in arguments.filter(|argument| !argument.is_hide_set()) {
        if argument.get_id() == "help" || argument.get_id() == "version" {
            continue;
        }
        let values: Vec<String> = argument
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| match value.get_help() {
                Some(help) => format!("`{}` ({help})", value.get_name()),
                None => format!("`{}`", value.get_name()),
            })
            .collect();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(text, "- `{}`: {help}", shape(argument));
        if !values.is_empty() && argument.get_action().takes_values() {
            let _ = write!(text, ". One of {}", values.join(", "));
        }
        if let [default] = argument.get_default_values()
            && argument.get_action().takes_values()
        {
            let _ = write!(text, ". Default: `{}`", default.to_string_lossy());
        }
        text.push('\n');
    }
}

fn shape(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let values = values.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let takes = argument.get_action().takes_values();
    let mut shape = match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}"),
        (Some(short), None) => format!("-{short}"),
        (None, Some(long)) => format!("--{long}"),
        (None, None) => return values,
    };
    if takes {
        let _ = write!(shape, " {values}");
    }
    shape
}

fn settings() -> String {
    let mut text = String::from(
        "# Settings\n\n`sealock.toml` < environment < flags. The file is `/etc/sealock/sealock.toml` for \
         root, else `~/.config/sealock/sealock.toml`, or the one that `--config` names. An unknown key \
         is an error. `sealock config check` shows what is in force and where it comes from.\n\n\
         | key | environment | default | what for |\n| --- | --- | --- | --- |\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() { "none" } else { key.default };
        let _ =
            writeln!(text, "| `{}` | `{}` | {default} | {} |", key.name, key.variable(), key.help);
    }
    text.push_str(
        "\nA list is `[\"one\", \"two\"]`, in a variable `one, two`; a span is `90s`, `15m`, `24h`, `7d` or a sum such as \
         `1h30m`. `sealock config schema` prints all this as a JSON Schema, [settings.schema.json](settings.schema.json): \
         with `#:schema /path/to/settings.schema.json` as the first line of the file, editors of TOML know it, and \
         `taplo check` does.\n\n\
         ## `[groups]`\n\nGroups of principals, for rules: entries such as \
         `operators = [\"human/alice\", \"host/build\"]`.\n",
    );
    for table in TABLES {
        let _ = write!(
            text,
            "\n## `[{}]`\n\n{}\n\n| key | what for |\n| --- | --- |\n",
            table.name, table.help
        );
        for (whose, fields) in table.fields {
            for field in *fields {
                let whose = if whose.is_empty() { String::new() } else { format!("{whose}: ") };
                let _ = writeln!(text, "| `{}` | {whose}{} |", field.name, field.help);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every<'a>(command: &'a Command, name: &str, into: &mut Vec<(String, &'a Command)>) {
        for sub in visible(command) {
            let name = format!("{name} {}", sub.get_name());
            into.push((name.clone(), sub));
            every(sub, &name, into);
        }
    }

    #[test]
    fn every_option_of_every_command_is_in_the_reference() {
        let page = command_line();
        let mut cli = Cli::command();
        cli.build();
        let mut all = Vec::new();
        every(&cli, "sealock", &mut all);
        for (name, command) in &all {
            let section = page.split(&format!("# `{name}`\n")).nth(1);
            let section = section.unwrap_or_else(|| panic!("{name} is missing"));
            let section = section.split("\n#").next().unwrap();
            let own = command.get_arguments().filter(|it| !it.is_global_set() && !it.is_hide_set());
            for argument in own.filter(|it| it.get_id() != "help" && it.get_id() != "version") {
                let line = format!("- `{}`: ", shape(argument));
                assert!(section.contains(&line), "{name} lacks {line}");
            }
        }
        assert!(page.contains("sealock token [OPTIONS]") && page.contains("--audience"));
    }
}
