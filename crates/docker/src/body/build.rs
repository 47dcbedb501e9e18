//! Operations that say in their query what they want: a build and a commit.

use sealock_core::policy::Action;

use super::error::BodyError;
use super::json::{self, Value};
use super::settings::{self, Risk, Settings};
use super::{Asked, Limits};

/// Parameters of a build that stay within it, and that may stand once.
const HARMLESS: [&str; 18] = [
    "buildid",
    "cpuperiod",
    "cpuquota",
    "cpusetcpus",
    "cpusetmems",
    "cpushares",
    "dockerfile",
    "forcerm",
    "memory",
    "memswap",
    "nocache",
    "platform",
    "pull",
    "q",
    "rm",
    "shmsize",
    "squash",
    "target",
];

/// What is JSON, and of which kind.
const OBJECTS: [&str; 2] = ["buildargs", "labels"];
const LISTS: [&str; 3] = ["cachefrom", "outputs", "ulimits"];

/// The query of a build.
pub(super) fn build(mut query: Vec<(String, String)>, limits: Limits) -> Result<Asked, BodyError> {
    refuse_repeated(&query, &["t", "extrahosts", "securityopt"])?;
    let mut settings = Settings::default();
    settings::network_mode(&mut settings, value(&query, "networkmode"));
    let options = query.iter().filter(|(name, text)| name == "securityopt" && !text.is_empty());
    settings::security_options(&mut settings, options.map(|(_, text)| text.as_str()));
    settings.limit("memory", value(&query, "memory").parse().ok());
    for (name, text) in &mut query {
        parameter(&mut settings, name, text, limits)?;
    }
    let tags = query.iter().filter(|(name, _)| name == "t").map(|(_, tag)| tag.clone()).collect();
    let mut asked = Asked::new(Action::DockerImageBuild, settings, None, query);
    asked.tags = tags;
    Ok(asked)
}

fn parameter(
    settings: &mut Settings,
    name: &str,
    text: &mut String,
    limits: Limits,
) -> Result<(), BodyError> {
    let given = !text.is_empty();
    match name {
        "t" | "extrahosts" | "securityopt" | "networkmode" => {}
        "remote" => settings.risk_if(given, Risk::BuildRemote),
        // Every other word than the classic builder's own.
        "version" => settings.risk_if(given && text != "1", Risk::Buildkit),
        "session" => settings.risk_if(given, Risk::Buildkit),
        "cgroupparent" => {
            settings.text("cgroupParent", text);
            settings.risk_if(given, Risk::CgroupParent);
        }
        "isolation" => settings.risk_if(given && text != "default", Risk::Isolation),
        name if OBJECTS.contains(&name) || LISTS.contains(&name) => {
            if given {
                structured(settings, name, text, limits)?;
            }
        }
        name if HARMLESS.contains(&name) => {}
        other => settings.unknown(format!("query.{}", super::shown(other))),
    }
    Ok(())
}

/// A parameter that is JSON; it is written anew like a body.
fn structured(
    settings: &mut Settings,
    name: &str,
    text: &mut String,
    limits: Limits,
) -> Result<(), BodyError> {
    let read = json::read(text.as_bytes(), limits.bytes)?;
    let fits = match &read {
        Value::Null => true,
        Value::List(_) => LISTS.contains(&name),
        Value::Object(members) => OBJECTS.contains(&name) && members.iter().all(is_text_or_null),
        _ => false,
    };
    if !fits {
        return Err(BodyError::query(name, "is JSON of another kind"));
    }
    let some = matches!(&read, Value::List(list) if !list.is_empty());
    match name {
        "labels" => {
            for (key, value) in read.as_members() {
                settings.label(key, value.as_text().unwrap_or_default());
            }
        }
        "outputs" => settings.risk_if(some, Risk::BuildOutputs),
        "ulimits" => settings.risk_if(some, Risk::Ulimits),
        _ => {}
    }
    *text = read.emit();
    Ok(())
}

fn is_text_or_null((_, value): &(String, Value)) -> bool {
    matches!(value, Value::Text(_) | Value::Null)
}

/// The query and the body of a commit; `settings` knows the unknown fields of the body already.
pub(super) fn commit(
    mut settings: Settings,
    mut body: Value,
    query: Vec<(String, String)>,
) -> Result<Asked, BodyError> {
    refuse_repeated(&query, &["changes"])?;
    if body.get("HostConfig").is_some() || body.get("NetworkingConfig").is_some() {
        settings::container(&mut settings, &mut body)?;
    } else {
        settings::image_config(&mut settings, &body)?;
    }
    for (name, text) in &query {
        match name.as_str() {
            "container" | "repo" | "tag" | "comment" | "author" | "pause" => {}
            "changes" if is_plain_change(text) => {}
            "changes" => {
                settings.risk(Risk::CommitChanges);
                // A label can be put together from variables and across lines.
                let detour = text.contains(['$', '\\', '`']);
                let named = text.to_ascii_lowercase().contains("sealock");
                settings.risk_if(detour || named, Risk::SealockLabels);
            }
            other => settings.unknown(format!("query.{}", super::shown(other))),
        }
    }
    let (repository, tag) = (value(&query, "repo"), value(&query, "tag"));
    let name = match (repository, tag) {
        ("", _) => None,
        (repository, "") => Some(repository.to_owned()),
        (repository, tag) => Some(format!("{repository}:{tag}")),
    };
    let mut asked = Asked::new(Action::DockerImageCommit, settings, Some(body), query);
    asked.image = None;
    asked.tags = name.into_iter().collect();
    Ok(asked)
}

/// Whether a change of a commit is one instruction on one line that sets no label.
pub(crate) fn is_plain_change(text: &str) -> bool {
    const INSTRUCTIONS: [&str; 10] = [
        "cmd",
        "entrypoint",
        "env",
        "expose",
        "healthcheck",
        "shell",
        "stopsignal",
        "user",
        "volume",
        "workdir",
    ];
    // A line that goes on, or that begins a document, would take in what comes after it.
    let one_line = !text.contains(['\n', '\r'])
        && !text.trim_end().ends_with(['\\', '`'])
        && !text.contains("<<");
    let word = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    text.is_empty() || one_line && INSTRUCTIONS.contains(&word.as_str())
}

/// The engine takes the first of two, others take the last.
fn refuse_repeated(query: &[(String, String)], lists: &[&str]) -> Result<(), BodyError> {
    for (place, (name, _)) in query.iter().enumerate() {
        let before = query.iter().take(place).any(|(other, _)| other == name);
        if before && !lists.contains(&name.as_str()) {
            return Err(BodyError::query(name, "stands twice"));
        }
    }
    Ok(())
}

fn value<'q>(query: &'q [(String, String)], name: &str) -> &'q str {
    query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}
