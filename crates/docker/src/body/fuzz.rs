//! What must hold of every body.

use sealock_core::policy::Action;
use serde_json::Value as Attribute;

use super::{Limits, kind, read};

/// The entry for fuzzing: a line with the operation, a line with the query, and the body. Any bytes will do;
/// checks what must hold of every result.
pub fn fuzz(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (action, query, body) = (action(next()), query(next()), next());
    let limits = Limits::default();
    let Ok(asked) = read(action, Some((1, 41)), &query, body, limits) else {
        return;
    };
    let forwarded = asked.body();
    let again = read(action, Some((1, 41)), asked.query(), &forwarded, limits);
    assert!(again.as_ref() == Ok(&asked), "what is forwarded reads otherwise: {again:?}");
    for mount in &asked.mounts {
        let normal = mount.path == "/"
            || mount.path.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
        assert!(mount.path.starts_with('/') && normal, "a path that is not normalised");
    }
    let risks = asked.context.get("risks").and_then(Attribute::as_array).map_or(0, Vec::len);
    let unknown = asked.context.get("unknownFields").and_then(Attribute::as_array);
    assert!(unknown.is_none_or(Vec::is_empty) || risks > 0, "an unknown field that is no risk");
}

/// The one of this name, or any.
fn action(name: &[u8]) -> Action {
    let named = std::str::from_utf8(name).ok().and_then(|name| name.parse().ok());
    let known = Action::ALL.iter().copied().filter(|action| kind(*action).is_some());
    let any = || known.cycle().nth(usize::from(name.first().copied().unwrap_or_default()));
    named.or_else(any).unwrap_or(Action::DockerContainerCreate)
}

fn query(line: &[u8]) -> Vec<(String, String)> {
    let line = String::from_utf8_lossy(line);
    let pairs = line.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
