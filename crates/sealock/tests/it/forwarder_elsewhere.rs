//! Destinations that nobody has listed one by one, in a container's own network namespace: passed on to without a token
//! where the owner says so, and never to where nobody is led.

use crate::forwarder_transparent::{Scene, skip};

const PROXY: &str = "127.0.0.1:3128";

#[test]
fn what_is_not_listed_is_passed_on_as_set_and_without_a_token() {
    if skip() {
        return;
    }
    let scene = Scene::start();
    let url = format!("http://{}/", scene.other);
    let by_proxy = |url: &str| scene.curl(&["--noproxy", "", "--proxy", PROXY, url]);
    let tunnel = |to: &str| {
        let sent = format!("CONNECT {to} HTTP/1.1\\r\\nHost: {to}\\r\\n\\r\\n");
        scene.bytes("127.0.0.1", 3128, &sent)
    };

    let strict = scene.forwarder(&["--listen", PROXY]);
    assert!(by_proxy(&url).1.contains("not_listed"));
    assert_eq!(strict.stop(), Some(0));

    let open = scene.forwarder(&["--listen", PROXY, "--pass", "*:*", "--connect", "*:81"]);
    let (status, seen) = by_proxy(&url);
    assert!(status == 200 && seen.starts_with("other "), "{status} {seen}");
    assert!(!seen.to_ascii_lowercase().contains("authorization"), "{seen}");
    // A service is called as a service all the same: curl's own address for it is not asked for.
    let (status, seen) = by_proxy(&format!("http://{}/admin", scene.service.name));
    assert!(status == 403 && seen.contains("\"reason\""), "{status} {seen}");
    let said = tunnel(&format!("{}:81", scene.other));
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("hello\n"), "{said}");
    assert!(tunnel(&format!("{}:80", scene.other)).contains("not_listed"));

    let broker = scene.broker.strip_prefix("https://").unwrap();
    for to in [broker, "127.0.0.1:3128", "127.0.0.1:80", "169.254.169.254:80", "[::1]:80"] {
        let (status, said) = by_proxy(&format!("http://{to}/latest/meta-data"));
        assert!(status == 403 && said.contains("address_forbidden"), "{to}: {status} {said}");
    }
    for to in ["169.254.169.254:81", "127.0.0.1:81"] {
        assert!(tunnel(to).contains("address_forbidden"), "{to}");
    }
    let (status, said) = by_proxy("http://billing/");
    assert!(status == 403 && said.contains("not_listed"), "a bare name is a service's: {said}");
    assert_eq!(open.stop(), Some(0));
    assert!(!scene.log().contains("Bearer"));
}
