//! What docker 28 and docker-py 7 send is taken, and is plain.

use super::{asked, risks, set};

#[test]
fn everyday_requests_of_real_clients_are_plain() {
    let mut seen = 0;
    for line in include_str!("clients.txt").lines() {
        let (action, body) = line.split_once(' ').unwrap();
        let asked = asked(action.parse().unwrap(), body);
        assert_eq!(risks(&asked), [""; 0], "{line}");
        let binds: &[&str] = if body.contains("/srv:") { &["/srv"] } else { &[] };
        assert_eq!(set(&asked, "bindSources"), binds, "{line}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}
