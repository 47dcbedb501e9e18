//! A server of ACME that means no good.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use parking_lot::Mutex;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sealock_core::SubjectName;
use sealock_net::tls::{ClientAuth, LiveCertificate, LiveServer, server_config};
use sealock_net::{Incoming, Limits, Shutdown, accept_loop, serve_http};
use sealock_upstream::acme::{
    self, Account, AccountKey, Hook, Notes, Order, Registration, Responders, TxtRecord, Ways,
    Written,
};
use sealock_upstream::{Client, Deadlines, UpstreamError};
use tokio::net::{TcpListener, TcpStream};

/// What it answers, by the path, and by what its URLs begin with.
type Says = fn(&str, &str) -> Reply;

/// What it answers: status, header fields, body.
type Reply = (u16, Vec<(&'static str, String)>, String);

struct Bad {
    address: SocketAddr,
    root: CertificateDer<'static>,
    /// Methods and paths that it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
    shutdown: Shutdown,
}

impl Drop for Bad {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

impl Bad {
    /// Answers by a function of path and base URL.
    async fn start(answer: fn(&str, &str) -> Reply) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let root = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificate = LiveCertificate::new(vec![root.clone()], key).unwrap();
        let tls = LiveServer::new(server_config(certificate, &ClientAuth::None).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, shutdown) = (Arc::<Mutex<Vec<String>>>::default(), Shutdown::default());
        let (noted, ending) = (Arc::clone(&asked), shutdown.clone());
        let base = format!("https://localhost:{}", address.port());
        let serve = move |connection: TcpStream, _| {
            let (tls, noted, ending, base) =
                (Arc::clone(&tls), Arc::clone(&noted), ending.clone(), base.clone());
            async move {
                let Ok(stream) = tls.accept(connection, Duration::from_secs(5)).await else {
                    return;
                };
                let respond = |request: Request<Incoming>| {
                    let path = request.uri().path().to_owned();
                    noted.lock().push(format!("{} {path}", request.method()));
                    let (status, fields, body) = answer(&path, &base);
                    async move {
                        if body == "SLOW" {
                            tokio::time::sleep(Duration::from_secs(600)).await;
                        }
                        let mut response =
                            Response::builder().status(status).header("replay-nonce", "bm9uY2U");
                        for (name, value) in fields {
                            response = response.header(name, value);
                        }
                        response.body(Full::new(Bytes::from(body))).unwrap()
                    }
                };
                serve_http(stream, Limits::default(), ending, respond).await;
            }
        };
        tokio::spawn(accept_loop("bad", listener, Limits::default(), shutdown.clone(), serve));
        Self { address, root, asked, shutdown }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn client(&self) -> Arc<Client> {
        let origin = format!("localhost:{}", self.address.port()).parse().unwrap();
        let deadlines =
            Deadlines { connect: Duration::from_secs(5), request: Duration::from_secs(2) };
        Arc::new(
            Client::new(origin, Vec::new(), std::slice::from_ref(&self.root), None, deadlines)
                .unwrap(),
        )
    }

    async fn enrol(&self, ways: &Ways) -> UpstreamError {
        let (client, key) = (self.client(), AccountKey::generate().unwrap());
        let url = self.url("/account");
        let account = Account { url: &url, key: &key };
        let names = [SubjectName::dns("www.corp.example").unwrap()];
        let order =
            Order { names: &names, csr: b"csr", profile: None, replaces: None, under_way: None };
        let responders = Responders::default();
        let enrolled =
            acme::enrol(&client, &self.url("/dir"), &account, &order, ways, &responders, &Nothing)
                .await;
        assert!(!responders.is_open(), "nothing is answered for any more");
        enrolled.unwrap_err()
    }
}

struct Nothing;

impl Notes for Nothing {
    fn order<'a>(&'a self, _: Option<&'a str>) -> Written<'a> {
        Box::pin(async { Ok(()) })
    }

    fn presented<'a>(&'a self, _: &'a [TxtRecord]) -> Written<'a> {
        Box::pin(async { Ok(()) })
    }
}

fn directory(base: &str) -> Reply {
    let body = format!(
        r#"{{"newNonce":"{base}/nonce","newAccount":"{base}/new-account","newOrder":"{base}/new-order"}}"#
    );
    (200, Vec::new(), body)
}

fn order(base: &str, status: &str, authorization: &str) -> Reply {
    let body = format!(
        r#"{{"status":"{status}","authorizations":["{authorization}"],"finalize":"{base}/finalize"}}"#
    );
    (201, vec![("location", format!("{base}/order"))], body)
}

fn authorization(base: &str, name: &str, token: &str) -> Reply {
    let challenge = |kind: &str| {
        format!(
            r#"{{"type":"{kind}","url":"{base}/challenge","token":"{token}","status":"pending"}}"#
        )
    };
    let body = format!(
        r#"{{"identifier":{{"type":"dns","value":"{name}"}},"status":"pending","challenges":[{},{}]}}"#,
        challenge("http-01"),
        challenge("dns-01")
    );
    (200, Vec::new(), body)
}

const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

fn usual(path: &str, base: &str) -> Reply {
    match path {
        "/dir" => directory(base),
        "/new-order" | "/order" => order(base, "pending", &format!("{base}/authorization")),
        "/authorization" => authorization(base, "www.corp.example", TOKEN),
        _ => (200, Vec::new(), String::new()),
    }
}

/// A program that leaves a trace when it runs.
fn hook(folder: &tempfile::TempDir) -> Ways {
    let trace = folder.path().join("trace").display().to_string();
    let hook = Hook::new(vec![
        "/bin/sh".into(),
        "-c".into(),
        format!("echo \"$@\" >> {trace}"),
        "sh".into(),
    ]);
    Ways { http01: None, dns: hook }
}

#[tokio::test]
async fn a_server_leads_nowhere_else() {
    // Each would be a request to somebody else, with our signature on it.
    let cases: [(Says, &str); 5] = [
        (
            |path, base| match path {
                "/dir" => directory("https://169.254.169.254"),
                _ => usual(path, base),
            },
            "another host",
        ),
        (
            |path, base| match path {
                "/new-order" => order(base, "pending", "https://localhost:1/authorization"),
                _ => usual(path, base),
            },
            "another host",
        ),
        (
            |path, base| match path {
                "/new-order" => order(base, "pending", "http://localhost/authorization"),
                _ => usual(path, base),
            },
            "which is not asked",
        ),
        (
            |path, base| match path {
                "/new-order" => order(base, "pending", "file:///etc/passwd"),
                _ => usual(path, base),
            },
            "as ACME has it",
        ),
        (
            |path, base| match path {
                "/dir" => {
                    (302, vec![("location", "https://localhost:1/dir".into())], String::new())
                }
                _ => usual(path, base),
            },
            "redirects are not followed",
        ),
    ];
    for (answer, why) in cases {
        let bad = Bad::start(answer).await;
        let error = bad.enrol(&Ways::default()).await;
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        assert!(text.contains(why), "{why}: {text}");
    }
}

#[tokio::test]
async fn names_that_nobody_asked_for_are_not_proved() {
    let folder = tempfile::tempdir().unwrap();
    let ways = hook(&folder);
    let bad = Bad::start(|path, base| match path {
        "/authorization" => authorization(base, "bank.example", TOKEN),
        _ => usual(path, base),
    })
    .await;
    let error = bad.enrol(&ways).await;
    assert!(matches!(&error, UpstreamError::OtherName(name) if name == "bank.example"), "{error}");
    let bad = Bad::start(|path, base| match path {
        "/authorization" => {
            authorization(base, "www.corp.example", "../../etc/passwd-and-more-of-it")
        }
        _ => usual(path, base),
    })
    .await;
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let error = bad.enrol(&Ways { http01: Some(any), dns: None }).await;
    assert!(error.to_string().contains("a token that is none"), "{error}");
    assert!(!folder.path().join("trace").exists(), "no program ran");
    assert!(!bad.asked.lock().iter().any(|asked| asked == "POST /challenge"));
    let error = bad.enrol(&Ways::default()).await;
    assert!(
        matches!(&error, UpstreamError::NoChallenge { offered, .. } if offered == "http-01, dns-01"),
        "{error}"
    );
}

#[tokio::test]
async fn a_record_goes_out_of_the_dns_whatever_comes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let bad = Bad::start(|path, base| match path {
        "/challenge" => (
            403,
            Vec::new(),
            r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"no"}"#.into(),
        ),
        _ => usual(path, base),
    })
    .await;
    let error = bad.enrol(&hook(&folder)).await;
    assert!(
        error.to_string().contains("does not take it that `www.corp.example` is ours: no"),
        "{error}"
    );
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    assert!(lines[0].starts_with("present _acme-challenge.www.corp.example "), "{trace}");
    assert!(lines[1].starts_with("cleanup _acme-challenge.www.corp.example "), "{trace}");
}

/// How many records each note has had.
#[derive(Default)]
struct Noted(Mutex<Vec<usize>>);

impl Notes for Noted {
    fn order<'a>(&'a self, _: Option<&'a str>) -> Written<'a> {
        Box::pin(async { Ok(()) })
    }

    fn presented<'a>(&'a self, records: &'a [TxtRecord]) -> Written<'a> {
        self.0.lock().push(records.len());
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn records_are_taken_out_one_by_one_and_one_that_stays_keeps_none_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let script = format!("echo \"$3\" >> {}; test \"$3\" != b", trace.display());
    let hook = Hook::new(vec!["/bin/sh".into(), "-c".into(), script, "sh".into(), "zone".into()]);
    let record = |value: &str| TxtRecord { name: "_acme-challenge.x".into(), value: value.into() };
    // The hook is given what to do, a name and a value.
    let records = ["a", "b", "c"].map(|value| TxtRecord { name: value.into(), ..record("v") });
    let noted = Noted::default();
    acme::clean_up(&hook.unwrap(), records.to_vec(), &noted).await.unwrap();
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "c\nb\na\n");
    assert_eq!(*noted.0.lock(), [2, 1, 0], "what is left is noted after each");
}

#[tokio::test]
async fn an_order_with_two_authorizations_for_one_name_is_refused_and_cleaned_up() {
    let folder = tempfile::tempdir().unwrap();
    let bad = Bad::start(|path, base| match path {
        "/new-order" | "/order" => {
            let body = format!(
                r#"{{"status":"pending","authorizations":["{base}/authorization","{base}/second"],"finalize":"{base}/finalize"}}"#
            );
            (201, vec![("location", format!("{base}/order"))], body)
        }
        "/second" => authorization(base, "www.corp.example", TOKEN),
        "/challenge" => {
            let body = format!(
                r#"{{"type":"dns-01","url":"{base}/challenge","token":"{TOKEN}","status":"processing"}}"#
            );
            (200, Vec::new(), body)
        }
        _ => usual(path, base),
    })
    .await;
    let error = bad.enrol(&hook(&folder)).await;
    assert!(error.to_string().contains("two authorizations for one name"), "{error}");
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
    let count = |what: &str| trace.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("present "), count("cleanup ")), (1, 1), "{trace}");
}

#[tokio::test]
async fn a_server_that_is_slow_endless_or_mad_is_left() {
    const BAD_NONCE: &str = r#"{"type":"urn:ietf:params:acme:error:badNonce","detail":"again"}"#;
    let cases: [(Says, &str); 7] = [
        (|_, _| (200, Vec::new(), "SLOW".into()), "took too long"),
        (|_, _| (200, Vec::new(), "[".repeat(9 << 20)), "answers with more than"),
        (|_, _| (200, Vec::new(), "[".repeat(400 << 10)), "as ACME has it"),
        (|_, _| (500, Vec::new(), "<html>oops</html>".into()), "status 500"),
        (
            |path, base| match path {
                "/new-order" => (400, Vec::new(), BAD_NONCE.into()),
                _ => usual(path, base),
            },
            "again (badNonce)",
        ),
        (
            |path, base| match path {
                "/new-order" => {
                    let wait = vec![("retry-after", "99999999999".to_owned())];
                    (429, wait, r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"\u001b[2Jslow"}"#.into())
                }
                _ => usual(path, base),
            },
            "(rateLimited)",
        ),
        (
            |path, base| match path {
                "/new-order" => (
                    201,
                    Vec::new(),
                    r#"{"status":"ready","authorizations":[],"finalize":"x"}"#.into(),
                ),
                _ => usual(path, base),
            },
            "as ACME has it",
        ),
    ];
    for (answer, why) in cases {
        let bad = Bad::start(answer).await;
        let begun = Instant::now();
        let error = bad.enrol(&Ways::default()).await;
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{why}");
        // Nonces are tried again, within bounds.
        assert!(bad.asked.lock().len() < 200, "{why}");
        if why.contains("rateLimited") {
            assert!(error.after().unwrap() > Duration::from_secs(86_400));
        }
    }
}

#[tokio::test]
async fn an_account_is_made_at_the_server_and_nowhere_else() {
    let registration = Registration { terms_agreed: false, ..Registration::default() };
    let key = AccountKey::generate().unwrap();
    let cases: [(Says, &str); 4] = [
        (
            |path, base| match path {
                "/new-account" => {
                    (201, vec![("location", "https://elsewhere/account/1".into())], "{}".into())
                }
                _ => usual(path, base),
            },
            "without an address of its own",
        ),
        (
            |path, base| match path {
                "/new-account" => {
                    (400, Vec::new(), r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#.into())
                }
                _ => usual(path, base),
            },
            "nonces of its own",
        ),
        (
            |path, base| {
                let more = r#","meta":{"termsOfService":"https://a/terms"}}"#;
                let (status, fields, body) = directory(base);
                match path {
                    "/dir" => (status, fields, body.trim_end_matches('}').to_owned() + more),
                    _ => usual(path, base),
                }
            },
            "terms of service, to which nobody has agreed: https://a/terms",
        ),
        (
            |path, base| {
                let (status, fields, body) = directory(base);
                match path {
                    "/dir" => {
                        let more = r#","meta":{"externalAccountRequired":true}}"#;
                        (status, fields, body.trim_end_matches('}').to_owned() + more)
                    }
                    _ => usual(path, base),
                }
            },
            "external account binding",
        ),
    ];
    for (answer, why) in cases {
        let bad = Bad::start(answer).await;
        let client = bad.client();
        let found = acme::directory(&client, &bad.url("/dir")).await.unwrap();
        let error = acme::register(&client, &found, &key, &registration).await.unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
    let bad = Bad::start(usual).await;
    let other = Bad::start(usual).await;
    let error = acme::directory(&other.client(), &bad.url("/dir")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Elsewhere { .. }), "{error}");
    // Somebody else at its place.
    let origin = format!("localhost:{}", bad.address.port()).parse().unwrap();
    let client = Client::new(
        origin,
        Vec::new(),
        std::slice::from_ref(&other.root),
        None,
        Deadlines::default(),
    )
    .unwrap();
    let error = acme::directory(&client, &bad.url("/dir")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Handshake(..)), "{error}");
    assert!(bad.asked.lock().is_empty(), "nothing was told to it");
}

/// instant-acme adds what the server says to the time; what is beyond all time ended the task that asked.
#[tokio::test]
async fn a_server_that_wants_rest_until_the_end_of_time_is_asked_again() {
    const NEVER: &str = "18446744073709551615";
    fn rest(reply: Reply) -> Reply {
        let (status, mut fields, body) = reply;
        fields.push(("retry-after", NEVER.to_owned()));
        (status, fields, body)
    }
    let folder = tempfile::tempdir().unwrap();
    let bad = Bad::start(|path, base| match path {
        "/authorization" => {
            let (status, fields, body) = authorization(base, "www.corp.example", TOKEN);
            rest((
                status,
                fields,
                body.replace(
                    r#""status":"pending","challenges""#,
                    r#""status":"valid","challenges""#,
                ),
            ))
        }
        "/dir" => rest(directory(base)),
        _ => rest(usual(path, base)),
    })
    .await;
    let error = bad.enrol(&hook(&folder)).await;
    assert!(matches!(error, UpstreamError::Processing(Some(_))), "{error:?}");

    // The same where it is asked when a certificate is to be renewed (RFC 9773).
    let bad = Bad::start(|path, base| {
        let (status, fields, body) = match path {
            "/dir" => {
                let (status, fields, body) = directory(base);
                let renewal = format!(r#"{{"renewalInfo":"{base}/renewal","#);
                (status, fields, body.replacen('{', &renewal, 1))
            }
            _ if path.starts_with("/renewal/") => {
                let window = r#"{"start":"2030-01-01T00:00:00Z","end":"2030-01-02T00:00:00Z"}"#;
                (200, Vec::new(), format!(r#"{{"suggestedWindow":{window}}}"#))
            }
            _ => usual(path, base),
        };
        rest((status, fields, body))
    })
    .await;
    let made = rcgen::KeyPair::generate().unwrap();
    let mut wanted = rcgen::CertificateParams::new(vec!["www.corp.example".to_owned()]).unwrap();
    wanted.use_authority_key_identifier_extension = true;
    let leaf = wanted.self_signed(&made).unwrap();
    let (key, url) = (AccountKey::generate().unwrap(), bad.url("/account"));
    let account = Account { url: &url, key: &key };
    let asked = acme::renewal(&bad.client(), &bad.url("/dir"), &account, leaf.der()).await;
    let renewal = asked.unwrap().expect("a window");
    assert!(renewal.again <= Duration::from_secs(31 * 86_400), "{:?}", renewal.again);
}
