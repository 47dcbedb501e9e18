//! What comes of a body: the holes of the API one by one, and what holds of every body.

mod clients;
mod corpus;
mod holes;
mod opaque;
mod property;
mod queries;
mod stamps;
mod strict;

use sealock_core::policy::Action;
use serde_json::Value as Attribute;

use super::{Asked, BodyError, Limits};

const CREATE: Action = Action::DockerContainerCreate;

fn read_with(action: Action, query: &[(&str, &str)], body: &str) -> Result<Asked, BodyError> {
    let query: Vec<(String, String)> =
        query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    super::read(action, Some((1, 41)), &query, body.as_bytes(), Limits::default())
}

fn read(action: Action, body: &str) -> Result<Asked, BodyError> {
    read_with(action, &[], body)
}

fn asked(action: Action, body: &str) -> Asked {
    read(action, body).unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn refused(action: Action, body: &str) -> BodyError {
    read(action, body).err().unwrap_or_else(|| panic!("{body} was taken"))
}

/// The names in a set of the context.
fn set(asked: &Asked, name: &str) -> Vec<String> {
    let items = asked.context.get(name).and_then(Attribute::as_array).cloned().unwrap_or_default();
    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
}

fn risks(asked: &Asked) -> Vec<String> {
    set(asked, "risks")
}
