use super::*;

fn target(url: &str) -> Target {
    Target {
        location: url.parse().unwrap(),
        start_tls: false,
        dangerous_plain: false,
        local_allowed: false,
        roots: Vec::new(),
        bind: Bind::Anonymous,
        deadlines: Deadlines::default(),
    }
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Whatever a name in the DNS says, and however that is spelt.
#[test]
fn a_name_that_means_this_host_is_not_asked_but_where_that_is_allowed() {
    let here = [
        "127.0.0.1:636",
        "127.8.9.1:636",
        "0.0.0.0:636",
        "0.1.2.3:636",
        "169.254.169.254:636",
        "[::1]:636",
        "[::]:636",
        "[fe80::1]:636",
        "[febf::1]:636",
        "[::ffff:127.0.0.1]:636",
        "[::ffff:0.0.0.0]:636",
        "[::ffff:169.254.1.1]:636",
        "[::127.0.0.1]:636",
    ];
    for plain in [false, true] {
        let mut named = target(if plain { "ldap://dir.corp" } else { "ldaps://dir.corp" });
        named.dangerous_plain = plain;
        for address in here {
            let error = named.permitted(addresses(&[address])).unwrap_err();
            assert!(matches!(error, DirectoryError::Local(_)), "{address}: {error}");
            // One that is elsewhere does not open the way to one that is here.
            let mixed = addresses(&[address, "192.0.2.1:636", "[2001:db8::1]:636"]);
            assert_eq!(named.permitted(mixed.clone()).unwrap(), mixed[1..]);
        }
        assert!(named.permitted(Vec::new()).unwrap().is_empty());
        named.local_allowed = true;
        for address in here {
            assert_eq!(named.permitted(addresses(&[address])).unwrap(), addresses(&[address]));
        }
    }
    // Without TLS and without anybody's leave, a name that should be this host's is nobody else's.
    let mut localhost = target("ldap://localhost");
    localhost.local_allowed = true;
    let both = addresses(&["192.0.2.1:389", "127.0.0.1:389"]);
    assert_eq!(localhost.permitted(both).unwrap(), addresses(&["127.0.0.1:389"]));
}

#[test]
fn what_is_called_this_host_is_refused_before_anything_is_dialled() {
    for url in ["ldapi://%2Frun%2Fldapi", "ldap://localhost", "ldaps://[::1]", "ldaps://0.0.0.0"] {
        let mut target = target(url);
        let error = target.check().unwrap_err();
        assert!(matches!(error, DirectoryError::Local(_)), "{url}: {error}");
        assert!(error.hint().unwrap().contains("settings"));
        target.local_allowed = true;
        assert!(target.check().is_ok(), "{url}");
    }
}
