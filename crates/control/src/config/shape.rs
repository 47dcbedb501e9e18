//! What a setting may be, as a JSON Schema says it (draft 7, which is what editors of TOML read).
//!
//! A schema says less than [`super::Config`] does: it knows no files and no other setting. What it refuses is refused there,
//! too; a test holds them against one another. But names with dots in them have to be quoted for it, except those of
//! services: `"build.people" = […]`, and not a table `build` within the groups.

use serde_json::{Map, Value as Json, json};

/// A setting within a table, such as `life` in `[profiles.NAME]`.
#[derive(Debug)]
pub struct Field {
    /// In the table.
    pub name: &'static str,
    /// What it is for.
    pub help: &'static str,
    pub(super) shape: Shape,
}

impl Field {
    pub(super) const fn new(name: &'static str, shape: Shape, help: &'static str) -> Self {
        Self { name, help, shape }
    }
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Text that has this pattern, or any where there is none.
    Text(&'static str),
    /// True or false, by words too.
    Truth,
    /// A whole number from the first to the last.
    Whole(u64, u64),
    /// A number from 1 on.
    Count,
    /// The same, or `off`.
    Most,
    /// A span of time.
    Span,
    /// One of these.
    Word(&'static [&'static str]),
    /// Some of these, each once.
    Words(&'static [&'static str]),
    /// As many texts or more, each of this pattern; or one text with commas.
    List(usize, &'static str),
}

/// Of any text.
pub(super) const ANY: &str = "";
/// Of an absolute path.
pub(super) const ABSOLUTE: &str = "^/";
/// Of an address to listen at.
pub(super) const LISTEN: &str = "^(off|\\S+:[0-9]{1,5})$";
/// Of a path or `off`.
pub(super) const SOCKET: &str = ".";
/// Of a URL.
pub(super) const HTTP: &str = "^https?://";
/// Of a URL over TLS.
pub(super) const HTTPS: &str = "^https://";
/// Of the name of a certificate profile.
pub(super) const PROFILE: &str = "^[a-z0-9_-]{1,64}$";
/// Of the name of a directory, or of somebody else's CA.
pub(super) const PLACE: &str = "^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$";
/// Of somebody whom rules know.
pub(super) const PRINCIPAL: &str = "^(human|service|host)/.";
/// Of whom limits can be for.
pub(super) const LIMITED: &str = "^(human|service|host|group)/.";

impl Shape {
    pub(super) fn schema(self) -> Json {
        match self {
            Self::Text("") => json!({ "type": "string" }),
            Self::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
            Self::Truth => json!({ "enum": [true, false, "true", "false", "on", "off"] }),
            Self::Whole(least, most) => either(
                json!({ "type": "integer", "minimum": least, "maximum": most }),
                "^\\+?[0-9]+$",
            ),
            Self::Count => either(json!({ "type": "integer", "minimum": 1 }), "^\\+?[0-9]+$"),
            Self::Most => either(json!({ "type": "integer", "minimum": 1 }), "^(off|\\+?[0-9]+)$"),
            Self::Span => {
                json!({ "type": "string", "pattern": "^\\s*([0-9]+[smhdwy])+\\s*$" })
            }
            Self::Word(words) => json!({ "enum": words }),
            Self::Words(words) => {
                let one = words.join("|");
                either(
                    json!({
                        "type": "array", "items": { "enum": words }, "minItems": 1, "uniqueItems": true,
                    }),
                    &format!("^[\\s,]*({one})(\\s*,[\\s,]*({one}))*[\\s,]*$"),
                )
            }
            Self::List(least, each) => {
                let array = json!({
                    "type": "array", "items": Self::Text(each).schema(), "minItems": least,
                });
                either(array, if least == 0 { "" } else { "[^\\s,]" })
            }
        }
    }
}

/// The value itself, or the text that variables and flags have for it.
fn either(value: Json, pattern: &str) -> Json {
    let text = match pattern {
        ANY => json!({ "type": "string" }),
        pattern => json!({ "type": "string", "pattern": pattern }),
    };
    json!({ "anyOf": [value, text] })
}

/// With what it is for, and what it is when nobody sets it.
pub(super) fn described(mut schema: Json, help: &str, default: &str) -> Json {
    if let Json::Object(members) = &mut schema {
        let default =
            if default.is_empty() { String::new() } else { format!(" (default: {default})") };
        members.insert("description".to_owned(), format!("{help}{default}").into());
    }
    schema
}

/// What a table with these settings has.
pub(super) fn properties(fields: &[Field]) -> Map<String, Json> {
    let one =
        |field: &Field| (field.name.to_owned(), described(field.shape.schema(), field.help, ""));
    fields.iter().map(one).collect()
}

/// A table with these settings and no others.
pub(super) fn table(fields: &[Field]) -> Json {
    json!({ "type": "object", "properties": properties(fields), "additionalProperties": false })
}

/// The same, and besides what is said of all of them together.
pub(super) fn table_with(fields: &[Field], rules: &Json) -> Json {
    let mut schema = table(fields);
    if let (Json::Object(members), Json::Object(rules)) = (&mut schema, rules) {
        members.extend(rules.clone());
    }
    schema
}

/// Tables by names of this pattern.
pub(super) fn tables(names: &str, each: Json) -> Json {
    json!({ "type": "object", "propertyNames": { "pattern": names }, "additionalProperties": each })
}

/// Their names, for whoever wrote another one.
pub(super) fn known(fields: &[Field]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
