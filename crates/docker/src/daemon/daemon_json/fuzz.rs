//! What must hold of every daemon.json.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Settings, merge};

/// The entry for fuzzing: a text that the settings are merged into, if they can be. Nothing that is there is lost or
/// changed, what is asked for is there, and merging once more changes nothing.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(settings) = Settings::new(Path::new("/etc/docker/tls"), Vec::new()) else { return };
    let Ok(merged) = merge(text, &settings) else { return };
    let again = merge(&merged.text, &settings);
    assert!(
        again.is_ok_and(|again| !again.changed && again.text == merged.text),
        "merging again changes something"
    );
    let mut rest = merged.text.bytes();
    let kept = text.trim().is_empty() || text.bytes().all(|byte| rest.any(|other| other == byte));
    assert!(kept, "a byte that was there is gone");
    let (old, new) = (object(text), object(&merged.text));
    for (key, value) in &old {
        let same = new.get(key) == Some(value);
        let longer = key == "hosts" && list(&new, key).starts_with(list(&old, key));
        assert!(same || longer, "a setting that was there is another now");
    }
    for (key, wanted) in settings.fixed() {
        assert_eq!(new.get(key), Some(&wanted), "a setting is missing");
    }
    let hosts = list(&new, "hosts");
    for host in &settings.hosts {
        assert!(hosts.contains(&Value::String(host.to_string())), "a host is missing");
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each seed as it is, cut at any place, and with other characters in it.
    #[test]
    fn seeds_and_their_variations_keep_what_was_there() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/docker_daemon_json");
        for seed in std::fs::read_dir(corpus).unwrap() {
            let seed = std::fs::read(seed.unwrap().path()).unwrap();
            fuzz(&seed);
            for place in 0..seed.len() {
                fuzz(&seed[..place]);
                for byte in *b" \n{}[]\",:\\0" {
                    let mut other = seed.clone();
                    other[place] = byte;
                    fuzz(&other);
                    other.insert(place, seed[place]);
                    fuzz(&other);
                }
            }
        }
    }
}
