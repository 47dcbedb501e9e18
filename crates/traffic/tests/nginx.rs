//! nginx as the app, and curl as the caller: through a Gatekeeper, and through a Forwarder and a Gatekeeper, each file and
//! each answer is what it is without us.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod forwarder_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use forwarder_support::{Authority, Broker, Door, Gate, NOW, directory, listed, until};
use sealock_core::{ManualClock, Timestamp};
use sealock_net::proxy::{Address, Upstream, UpstreamSettings};
use sealock_testkit::clients::skip_without;
use sealock_traffic::forwarder::{Hop, Settings, Trust};

/// Connections to it end after some requests, which nobody is to notice.
const SETTINGS: &str = "
daemon off;
master_process off;
pid PREFIX/nginx.pid;
error_log PREFIX/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path PREFIX/body;
    proxy_temp_path PREFIX/proxy;
    fastcgi_temp_path PREFIX/fastcgi;
    uwsgi_temp_path PREFIX/uwsgi;
    scgi_temp_path PREFIX/scgi;
    types { text/plain txt; }
    default_type application/octet-stream;
    gzip on;
    gzip_types text/plain;
    gzip_proxied any;
    keepalive_requests 7;
    absolute_redirect off;
    client_max_body_size 64m;
    server {
        listen unix:PREFIX/nginx.sock;
        root PREFIX/root;
        location /v1/up/ { dav_methods PUT DELETE; create_full_put_path on; }
        location /v1/tiny/ { client_max_body_size 1k; dav_methods PUT; }
        location = /v1/who {
            default_type text/plain;
            return 200 '$http_x_sealock_identity|$http_authorization|$request_method|$request_uri';
        }
    }
}
";

/// What curl is told, and calls that way.
const HTTP2: &str = "--http2-prior-knowledge";

/// Bytes that are nowhere the same for long.
fn noise(length: usize) -> Vec<u8> {
    let words = (0..u32::MAX).map(|number| number.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

/// Its files, and itself, until this is dropped.
struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
}

impl Nginx {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root/v1");
        fs::create_dir_all(root.join("directory")).unwrap();
        for (name, bytes) in [
            ("small.txt", b"small".to_vec()),
            ("empty", Vec::new()),
            ("large.txt", b"all the same again and again\n".repeat(50_000)),
            ("big", noise(32 << 20)),
        ] {
            fs::write(root.join(name), bytes).unwrap();
        }
        let settings = folder.path().join("nginx.conf");
        let prefix = folder.path().display().to_string();
        fs::write(&settings, SETTINGS.replace("PREFIX", &prefix)).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&prefix).arg("-e").arg(folder.path().join("error.log"));
        let process = command.arg("-c").arg(&settings).stdin(Stdio::null()).spawn().unwrap();
        let nginx = Self { process, folder };
        until(|| std::os::unix::net::UnixStream::connect(nginx.socket()).is_ok()).await;
        nginx
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("nginx.sock")
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join("root/v1").join(name)).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An answer as curl saw it.
#[derive(Debug)]
struct Answer {
    code: u16,
    /// The names in lower case.
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Through which of ours, and in which version of HTTP.
struct Way {
    name: &'static str,
    options: Vec<String>,
    base: String,
    folder: tempfile::TempDir,
    _gate: Gate,
    _door: Option<Door>,
}

impl Way {
    async fn all(nginx: &Nginx) -> Vec<Self> {
        vec![
            Self::gatekeeper(nginx, "--http1.1").await,
            Self::gatekeeper(nginx, HTTP2).await,
            Self::forwarder(nginx).await,
        ]
    }

    fn broker() -> Arc<Broker> {
        Broker::new(&Arc::new(ManualClock::new(Timestamp::from_secs(NOW))))
    }

    fn app(nginx: &Nginx) -> Upstream {
        Upstream::new(Address::Unix(nginx.socket()), UpstreamSettings::default())
    }

    async fn gatekeeper(nginx: &Nginx, version: &'static str) -> Self {
        let broker = Self::broker();
        let token = broker.unbound("orders").await;
        let gate = Gate::before("orders", Self::app(nginx), &broker, None).await;
        let folder = tempfile::tempdir().unwrap();
        let header = folder.path().join("header");
        fs::write(&header, format!("Authorization: Bearer {}\nHost: orders\n", token.as_str()))
            .unwrap();
        let options = vec![version.into(), "--header".into(), format!("@{}", header.display())];
        let base = format!("http://{}", gate.address);
        Self { name: version, options, base, folder, _gate: gate, _door: None }
    }

    async fn forwarder(nginx: &Nginx) -> Self {
        let (broker, authority) = (Self::broker(), Authority::new());
        let tls = Some(authority.server_of_both("orders"));
        let gate = Gate::before("orders", Self::app(nginx), &broker, tls).await;
        let services = directory(vec![listed("orders", &[gate.address], Hop::Tls)]);
        let trust = Trust { roots: vec![authority.root()], ..Trust::default() };
        let door = Door::start(Settings::default(), services, trust, &broker).await;
        let base = format!("http://{}", door.port("orders").await);
        let (name, folder) = ("Forwarder", tempfile::tempdir().unwrap());
        Self { name, options: Vec::new(), base, folder, _gate: gate, _door: Some(door) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn curl(&self, arguments: Vec<String>) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"]);
        curl.args(&self.options).args(&arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let (first, _) = arguments.split_at(arguments.len().min(8));
        assert!(output.status.success(), "{}: {first:?}: {said}", self.name);
        String::from_utf8(output.stdout).unwrap()
    }

    /// What comes of a path, with these options.
    async fn ask(&self, options: &[&str], path: &str) -> Answer {
        let (head, body) = (self.path("head"), self.path("body"));
        fs::write(&body, b"").unwrap();
        let shown = |path: &Path| path.display().to_string();
        let mut arguments = vec!["--write-out".to_owned(), "%{http_code}".to_owned()];
        arguments.extend(["--dump-header".into(), shown(&head), "--output".into(), shown(&body)]);
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        arguments.push(format!("{}{path}", self.base));
        let code = self.curl(arguments).await.parse().unwrap();
        let head = fs::read_to_string(&head).unwrap();
        let lines = head.lines().map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\n", name.to_lowercase()),
            None => format!("{line}\n"),
        });
        let head = lines.collect();
        Answer { code, head, body: fs::read(&body).unwrap() }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_nginx_are_what_they_are() {
    if skip_without(&["nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start().await;
    for way in Way::all(&nginx).await {
        let who = way.ask(&[], "/v1/who").await;
        let said = String::from_utf8(who.body).unwrap();
        assert_eq!(said, "spiffe://t.sealock/service/shop||GET|/v1/who", "{}", way.name);
        for name in ["small.txt", "empty", "large.txt", "big"] {
            let answer = way.ask(&[], &format!("/v1/{name}")).await;
            let file = nginx.file(name);
            assert!(answer.code == 200 && answer.body == file, "{}: {name}", way.name);
            let length = file.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()), "{}", answer.head);
            // The same head, and nothing after it.
            let head = way.ask(&["--head"], &format!("/v1/{name}")).await;
            assert_eq!((head.code, head.header("content-length")), (200, Some(length.as_str())));
            assert_eq!(head.header("etag"), answer.header("etag"), "{}", head.head);
        }
        assert_eq!(way.ask(&[], "/v1/missing").await.code, 404);
        let moved = way.ask(&[], "/v1/directory").await;
        assert_eq!((moved.code, moved.header("location")), (301, Some("/v1/directory/")));
        assert_eq!(way.ask(&[], "/elsewhere").await.code, 403, "by us");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packed_parts_and_unchanged_answers_stay_so() {
    if skip_without(&["nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start().await;
    let (large, big) = (nginx.file("large.txt"), nginx.file("big"));
    for way in Way::all(&nginx).await {
        // Packed while it is sent, so that nobody knows how long it will be.
        let packed = way.ask(&["--header", "Accept-Encoding: gzip"], "/v1/large.txt").await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{}", packed.head);
        assert_eq!(packed.header("content-length"), None, "{}", packed.head);
        let is_chunked = packed.header("transfer-encoding") == Some("chunked");
        assert_eq!(is_chunked, way.name != HTTP2, "{}", packed.head);
        assert!(packed.body.starts_with(b"\x1f\x8b") && packed.body.len() < large.len() / 10);
        assert!(way.ask(&["--compressed"], "/v1/large.txt").await.body == large, "{}", way.name);

        let part = way.ask(&["--range", "1000000-1999999"], "/v1/big").await;
        let range = format!("bytes 1000000-1999999/{}", big.len());
        assert_eq!((part.code, part.header("content-range")), (206, Some(range.as_str())));
        assert!(part.body == big[1_000_000..2_000_000], "{}", way.name);
        let last = way.ask(&["--range", "-50"], "/v1/big").await;
        assert!(last.code == 206 && last.body == big[big.len() - 50..], "{}", way.name);
        let parts = way.ask(&["--range", "0-9,20-29"], "/v1/big").await;
        let kind = parts.header("content-type").unwrap();
        assert!(parts.code == 206 && kind.starts_with("multipart/byteranges"), "{kind}");
        assert_eq!(way.ask(&["--range", "99999999-"], "/v1/big").await.code, 416);
        let other = ["--range", "0-9", "--header", "If-Range: \"other\""];
        assert!(way.ask(&other, "/v1/large.txt").await.body == large, "{}", way.name);

        let whole = way.ask(&[], "/v1/large.txt").await;
        let tag = whole.header("etag").unwrap();
        let date = whole.header("last-modified").unwrap();
        for field in [format!("If-None-Match: {tag}"), format!("If-Modified-Since: {date}")] {
            let same = way.ask(&["--header", &field], "/v1/large.txt").await;
            assert_eq!((same.code, same.body.len()), (304, 0), "{field}: {}", same.head);
        }
        let other = ["--header", "If-None-Match: \"other\""];
        assert_eq!(way.ask(&other, "/v1/large.txt").await.code, 200);
        let other = ["--header", "If-Match: \"other\""];
        assert_eq!(way.ask(&other, "/v1/large.txt").await.code, 412);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_arrive_whole_and_one_that_is_too_large_is_refused_by_nginx_itself() {
    if skip_without(&["nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start().await;
    for (number, way) in Way::all(&nginx).await.into_iter().enumerate() {
        let upload = noise((8 << 20) + number);
        let file = way.path("upload");
        fs::write(&file, &upload).unwrap();
        let file = file.display().to_string();
        let (put, name) = (["--upload-file", &file], format!("up/{number}/file"));
        let path = format!("/v1/{name}");
        assert_eq!(way.ask(&put, &path).await.code, 201, "{}", way.name);
        assert!(nginx.file(&name) == upload, "{}: another file arrives", way.name);
        assert!(way.ask(&[], &path).await.body == upload, "{}", way.name);
        // In chunks, over the one that is there. Over HTTP/2 curl leaves that header out.
        let chunked = [&put[..], &["--header", "Transfer-Encoding: chunked"]].concat();
        assert_eq!(way.ask(&chunked, &path).await.code, 204, "{}", way.name);
        assert!(nginx.file(&name) == upload, "{}: another file arrives in chunks", way.name);
        assert_eq!(way.ask(&["--request", "DELETE"], &path).await.code, 204);
        assert_eq!(way.ask(&[], &path).await.code, 404);
        // It answers before it has read any of it. curl 7.88 does not understand that over HTTP/2, of nginx neither.
        if way.name == HTTP2 {
            continue;
        }
        let refused = way.ask(&put, "/v1/tiny/file").await;
        assert_eq!(refused.code, 413, "{}: {}", way.name, refused.head);
        let without = [&put[..], &["--header", "Expect:"]].concat();
        let refused = way.ask(&without, "/v1/tiny/file").await;
        assert_eq!(refused.code, 413, "{}: {}", way.name, refused.head);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_connection_outlives_those_of_nginx() {
    if skip_without(&["nginx", "curl"]) {
        return;
    }
    let nginx = Nginx::start().await;
    for way in Way::all(&nginx).await {
        // curl 7.88 makes no second request on a connection that began so, of nginx neither.
        if way.name == HTTP2 {
            continue;
        }
        let mut arguments =
            vec!["--write-out".to_owned(), "%{http_code} %{num_connects}\\n".to_owned()];
        let names = ["small.txt", "missing", "empty", "who", "large.txt"];
        for name in names.iter().cycle().take(100) {
            arguments.extend(["--output".into(), "/dev/null".into()]);
            arguments.push(format!("{}/v1/{name}", way.base));
        }
        let said = way.curl(arguments).await;
        let rows: Vec<(&str, &str)> =
            said.lines().map(|line| line.split_once(' ').unwrap()).collect();
        assert_eq!(rows.len(), 100, "{said}");
        for (number, (code, connects)) in rows.iter().enumerate() {
            let wanted = if number % names.len() == 1 { "404" } else { "200" };
            assert_eq!(*code, wanted, "{}: {number}", way.name);
            let new = if number == 0 { "1" } else { "0" };
            assert_eq!(*connects, new, "{}: {number} is on another connection", way.name);
        }
    }
}
