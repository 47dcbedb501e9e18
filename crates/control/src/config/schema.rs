//! The JSON Schema of `sealock.toml`, for editors and linters: made from the list of settings and from the tables.

use std::collections::BTreeMap;

use sealock_authority::{OWN_PROFILES, Profile};
use serde_json::{Map, Value as Json, json};

use super::keys::KEYS;
use super::shape::{
    Field, LIMITED, PLACE, PRINCIPAL, PROFILE, Shape, described, properties, table, table_with,
    tables,
};
use super::{acme, directories, profiles, services, settings, upstreams};

/// A kind of table that there can be any number of, by names.
#[derive(Debug)]
pub struct Table {
    /// As it stands in the file: `profiles.NAME`.
    pub name: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// What all of them have, and what some have: of whom, and which.
    pub fields: &'static [(&'static str, &'static [Field])],
}

/// All of them.
pub const TABLES: &[Table] = &[
    Table {
        name: "limits.\"KIND/NAME\"",
        help: "Limits of the gateway for one identity (`service/runner`) or for each member of a group (`group/ci`). An \
               identity's own table counts before its groups' (the strictest of them), and those before `gateway.…`, \
               limit by limit. `burst` counts only where it is set as near as `rate`; else it is twice the rate.",
        fields: &[("", settings::LIMITS)],
    },
    Table {
        name: "services.NAME",
        help: "Services that Forwarders are told of.",
        fields: &[("", services::FIELDS)],
    },
    Table {
        name: "profiles.NAME",
        help: "Certificate profiles. There are `server`, `client`, `both`, `code`, `email`, `short` and `mutual`, whose \
               usages stay as they are. `ocsp` and `intermediate` are the authority's own, which nobody orders.",
        fields: &[("", profiles::FIELDS), ("of `ocsp` and `intermediate`", profiles::OWN)],
    },
    Table {
        name: "acme.profiles.NAME",
        help: "Profiles for ACME alone. They add to the ones that there are; or `acme.profiles` names which of those are \
               offered.",
        fields: &[("", acme::FIELDS)],
    },
    Table {
        name: "directory.NAME",
        help: "LDAP directories in which certificates are published.",
        fields: &[("", directories::FIELDS)],
    },
    Table {
        name: "upstream.NAME",
        help: "CAs of others that are asked by protocol (`sealock cert request --upstream NAME`).",
        fields: &[
            ("", upstreams::FIELDS),
            ("of ACME", upstreams::OF_ACME),
            ("of EST", upstreams::OF_EST),
        ],
    },
];

/// The schema of a settings file (JSON Schema, draft 7).
pub fn schema() -> Json {
    let mut all: Map<String, Json> = Map::new();
    let mut sections: BTreeMap<&str, Map<String, Json>> = BTreeMap::new();
    for key in KEYS {
        let schema = described(key.shape.schema(), key.help, key.default);
        match key.name.split_once('.') {
            Some((section, name)) => {
                sections.entry(section).or_default().insert(name.to_owned(), schema);
            }
            None => {
                all.insert(key.name.to_owned(), schema);
            }
        }
    }
    for (name, mut properties) in sections {
        if name == "acme" {
            // A list of which are offered, or tables of their own.
            let offered = properties.remove("profiles").unwrap_or_default();
            let either = json!({ "anyOf": [offered, tables(PROFILE, table(acme::FIELDS))] });
            properties.insert("profiles".to_owned(), either);
        }
        let section =
            json!({ "type": "object", "properties": properties, "additionalProperties": false });
        all.insert(name.to_owned(), section);
    }
    let groups = json!({
        "type": "object", "additionalProperties": Shape::List(0, PRINCIPAL).schema(),
    });
    for (name, schema) in [
        ("groups", described(groups, "Groups of principals, for rules", "")),
        ("limits", helped("limits", tables(LIMITED, table(settings::LIMITS)))),
        ("services", helped("services", json!({ "$ref": "#/definitions/services" }))),
        ("profiles", helped("profiles", certificate_profiles())),
        ("directory", helped("directory", tables(PLACE, directory()))),
        ("upstream", helped("upstream", tables(PLACE, upstream()))),
    ] {
        all.insert(name.to_owned(), schema);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "sealock.toml",
        "description": "The settings of Sealock",
        "type": "object",
        "properties": all,
        "additionalProperties": false,
        "definitions": { "services": named_services() },
    })
}

/// With what is said of its tables.
fn helped(section: &str, schema: Json) -> Json {
    let table = TABLES.iter().find(|table| table.name.split('.').next() == Some(section));
    described(schema, table.map_or("", |table| table.help), "")
}

/// A service's name may have dots in it, so below a table there may be another one.
fn named_services() -> Json {
    let service = table_with(
        services::FIELDS,
        &json!({ "additionalProperties": { "$ref": "#/definitions/services/additionalProperties" } }),
    );
    json!({ "type": "object", "additionalProperties": service })
}

/// What is built in has bounds only; what is the authority's own, a life and a kind of key; any other one is for something.
fn certificate_profiles() -> Json {
    let own = table_with(
        profiles::FIELDS,
        &json!({ "anyOf": [{ "required": ["usages"] }, { "required": ["extends"] }] }),
    );
    let mut bounds = properties(profiles::FIELDS);
    bounds.retain(|name, _| profiles::BOUNDS.contains(&name.as_str()));
    let bounded = json!({ "type": "object", "properties": bounds, "additionalProperties": false });
    let built_in = Profile::built_in().into_iter().map(|(name, _)| (name, bounded.clone()));
    let own_ones = OWN_PROFILES.iter().map(|(name, _)| (*name, table(profiles::OWN)));
    let known: Map<String, Json> =
        built_in.chain(own_ones).map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({
        "type": "object",
        "propertyNames": { "pattern": PROFILE },
        "properties": known,
        "additionalProperties": own,
    })
}

fn directory() -> Json {
    table_with(
        directories::FIELDS,
        &json!({
            "required": ["url", "dn"],
            "dependencies": { "bind_dn": ["password_file"], "password_file": ["bind_dn"] },
        }),
    )
}

/// Each kind has its own.
fn upstream() -> Json {
    let of = |kind: &str, own: &[Field]| {
        let mut all = properties(upstreams::FIELDS);
        all.extend(properties(own));
        all.insert("kind".to_owned(), json!({ "const": kind }));
        // Saying no to what is ACME's is no contradiction.
        all.entry("terms_agreed").or_insert_with(|| json!({ "enum": [false, "false", "off"] }));
        json!({
            "type": "object",
            "properties": all,
            "additionalProperties": false,
            "required": ["kind", "url"],
            "dependencies": {
                "eab_kid": ["eab_key_file"], "eab_key_file": ["eab_kid"],
                "user": ["password_file"], "password_file": ["user"],
            },
        })
    };
    json!({ "oneOf": [of("acme", upstreams::OF_ACME), of("est", upstreams::OF_EST)] })
}
