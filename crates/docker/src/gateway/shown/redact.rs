//! Values of the environment and of labels that somebody is not shown. Their names stay.

use sealock_core::policy::{Action, Resource};
use serde_json::Value;

use super::super::Guard;
use super::super::view::View;

/// What stands in a value's place.
pub(super) const REDACTED: &str = "(redacted)";

/// What is inspected of one object.
pub(super) fn object<G: Guard>(view: &View<'_, G>, about: Option<&Resource>, value: &mut Value) {
    let shows = |action| {
        about.is_some_and(|resource| view.guard().permits(view.client, action, Some(resource)))
    };
    if !shows(Action::DockerSeeEnvironment) {
        walk(value, &environment);
    }
    // Of an image they are what its maker says of it to everybody.
    if !matches!(about, Some(Resource::DockerImage(_))) && !shows(Action::DockerSeeLabels) {
        walk(value, &labels);
    }
}

/// Redacts every `Labels` in it.
pub(super) fn all_labels(value: &mut Value) {
    walk(value, &labels);
}

/// Applies `change` to every member, by its key. The depth is the engine's JSON parser's.
fn walk(value: &mut Value, change: &dyn Fn(&str, &mut Value)) {
    match value {
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                change(key, value);
                walk(value, change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
        _ => {}
    }
}

fn environment(key: &str, value: &mut Value) {
    if key == "CreatedBy" {
        if has_values(value) {
            *value = Value::String(REDACTED.to_owned());
        }
        return;
    }
    // An image has the container of its last step.
    if key == "ContainerConfig" {
        if let Some(Value::Array(words)) = value.get_mut("Cmd")
            && words.iter().any(has_values)
        {
            *words = vec![Value::String(REDACTED.to_owned())];
        }
        return;
    }
    let (true, Value::Array(items)) = (key == "Env", value) else { return };
    for item in items {
        // A plugin has more to each than a text.
        if let Some(value) = item.get_mut("Value") {
            *value = Value::String(REDACTED.to_owned());
            continue;
        }
        let name = item.as_str().and_then(|text| text.split('=').next()).unwrap_or_default();
        *item = Value::String(format!("{name}={REDACTED}"));
    }
}

/// The commands of a build have its arguments in them, and what it sets.
fn has_values(command: &Value) -> bool {
    let command = command.as_str().unwrap_or_default();
    ["ENV", "ARG", "|"].iter().any(|word| command.contains(word))
}

fn labels(key: &str, value: &mut Value) {
    let (true, Value::Object(members)) = (key == "Labels", value) else { return };
    for (_, value) in members.iter_mut() {
        *value = Value::String(REDACTED.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_stay_and_values_go_wherever_they_are() {
        let mut value = json!({
            "Config": { "Env": ["A=secret", "B", "C=x=y"], "Labels": { "a": "secret" } },
            "Spec": { "ContainerSpec": { "Env": ["D=secret"] }, "Labels": null },
            "Labels": { "Env": "secret" }
        });
        for words in
            [json!(["/bin/sh", "-c", "#(nop) ", "ARG A=secret"]), json!(["|1", "A=secret", "sh"])]
        {
            let mut image = json!({ "ContainerConfig": { "Cmd": words, "Env": ["A=secret"] } });
            walk(&mut image, &environment);
            assert!(!image.to_string().contains("secret"), "{image}");
        }
        walk(&mut value, &environment);
        assert_eq!(value["Config"]["Env"], json!(["A=(redacted)", "B=(redacted)", "C=(redacted)"]));
        assert_eq!(value["Spec"]["ContainerSpec"]["Env"], json!(["D=(redacted)"]));
        all_labels(&mut value);
        assert!(!value.to_string().contains("secret"), "{value}");
        assert_eq!(value["Config"]["Labels"], json!({ "a": "(redacted)" }));
    }
}
