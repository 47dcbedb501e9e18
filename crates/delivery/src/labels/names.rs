//! The container's own names: those by which others on its networks reach it.

use sealock_core::DnsName;

/// The own names among `candidates`, in their order, each once.
///
/// Candidates are the container's name (with or without Docker's leading `/`), its compose service,
/// its host name and its network aliases. What is no DNS name is passed over (certificates could not
/// hold it), and so are wildcards and container ids: Docker makes the first 12 digits of the id host
/// name and alias of every container, but an id is new with each re-creation, so no peer is configured
/// with it, and it would make every certificate of a service differ. `localhost` is everybody's name
/// and so nobody's own.
pub fn own_names<'a>(candidates: impl IntoIterator<Item = &'a str>) -> Vec<DnsName> {
    let mut names: Vec<DnsName> = Vec::new();
    for candidate in candidates {
        let candidate = candidate.strip_prefix('/').unwrap_or(candidate);
        let Ok(name) = candidate.parse::<DnsName>() else { continue };
        let everybodys = name.as_str() == "localhost" || name.as_str().ends_with(".localhost");
        if !name.is_wildcard() && !everybodys && !is_id(name.as_str()) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// 12 or 64 lower-case hex digits.
fn is_id(name: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    matches!(name.len(), 12 | 64) && name.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_once_and_in_order() {
        let names = own_names(["/Shop-web-1", "web", "shop.corp.example", "web", "my_db"]);
        let names: Vec<&str> = names.iter().map(DnsName::as_str).collect();
        assert_eq!(names, ["shop-web-1", "web", "shop.corp.example", "my_db"]);
    }

    #[test]
    fn ids_wildcards_and_what_is_no_name_are_passed_over() {
        let id = "0123456789ab";
        let long = "a".repeat(64);
        let bad = [id, &long, "*.corp.example", "", "/", "a b", "10.0.0.1", "localhost", "-x"];
        assert_eq!(own_names(bad), []);
        // Eleven hex digits are somebody's choice of name.
        assert_eq!(own_names(["0123456789a"]).len(), 1);
    }
}
