//! Protocols that a connection switches to beside the engine's own: WebSockets of attached containers, and what
//! BuildKit and its clients speak (HTTP/2 in both directions).

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use sealock_testkit::clients::skip as skipped;
use sealock_testkit::docker::{Container, Image, SOCKET};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tungstenite::handshake::client::Response;
use tungstenite::http::Request;
use tungstenite::{HandshakeError, Message, WebSocket};

use crate::gateway::{Client, home, permit, skip};
use crate::gateway_docker::Side;
use crate::gateway_escape::runner;
use crate::raw::{self, Connection};
use crate::support::text;

/// It answers a line, says a lot, and ends.
const TALKER: &str = "read line; echo got $line; echo err >&2; head -c 300000 /dev/zero | tr '\\0' x; \
                      read line; echo got $line; exit 4";
const TYPED: &str = "first\nsecond\n";

fn talker(image: &Image) -> Container {
    image.start_command(&["--interactive"], &["sh", "-c", TALKER])
}

fn connect<S: Read + Write>(
    stream: S,
    container: &Container,
) -> Result<(WebSocket<S>, Response), tungstenite::Error> {
    let query = "stream=1&stdin=1&stdout=1&stderr=1";
    let target = format!("ws://docker/v1.41/containers/{}/attach/ws?{query}", container.id());
    tungstenite::client(target, stream).map_err(|error| match error {
        HandshakeError::Failure(error) => error,
        HandshakeError::Interrupted(_) => tungstenite::Error::ConnectionClosed,
    })
}

/// Everything that the container says, sorted: its two outputs come in either order.
fn conversation<S: Read + Write>(stream: S, image: &Image) -> (u16, Vec<u8>) {
    let container = talker(image);
    let (mut socket, response) = connect(stream, &container).unwrap();
    socket.send(Message::Ping(Bytes::from_static(b"still there?"))).unwrap();
    let (mut said, mut is_there) = (Vec::new(), false);
    for line in TYPED.lines() {
        socket.send(Message::binary(format!("{line}\n"))).unwrap();
    }
    while let Ok(message) = socket.read() {
        match message {
            Message::Pong(bytes) => is_there = bytes == "still there?",
            Message::Binary(bytes) => said.extend_from_slice(&bytes),
            Message::Text(text) => said.extend_from_slice(text.as_bytes()),
            _ => {}
        }
    }
    assert!(is_there, "no answer to a ping");
    said.sort_unstable();
    (response.status().as_u16(), said)
}

#[test]
fn a_websocket_attaches_as_at_the_socket() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let image = Image::busybox();
    let raw = conversation(UnixStream::connect(SOCKET).unwrap(), &image);
    let guarded = conversation(Connection::of(&Client::admin(&home)).into_stream(), &image);
    assert_eq!(raw.0, 101);
    assert!(raw.1.len() > 300_000, "{} bytes", raw.1.len());
    assert!(raw == guarded, "{} and {} bytes", raw.1.len(), guarded.1.len());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_websocket_is_for_those_who_may_attach() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    permit(
        &home,
        r#"permit (
          principal == Sealock::Human::"reader",
          action in [Sealock::Action::"DockerRead", Sealock::Action::"Docker::SeeOthers"],
          resource
        );"#,
    );
    let (reader, _) = Client::human(&home, "reader");
    let (stranger, _) = Client::human(&home, "stranger");
    let image = Image::busybox();
    let container = talker(&image);
    for client in [&reader, &stranger] {
        let refused = connect(Connection::of(client).into_stream(), &container).unwrap_err();
        let tungstenite::Error::Http(response) = refused else { unreachable!("{refused}") };
        assert_eq!(response.status(), 403);
        let body = response.body().as_deref().map(text).unwrap_or_default();
        assert!(body.contains("Docker::ContainerAttach") || body.contains("denied"), "{body}");
    }
    assert_eq!(container.inspect("{{.State.Running}}"), "true");
    assert_eq!(daemon.stop(), Some(0));
}

/// A client of docker's that has BuildKit's built in: later ones want a plugin for it.
fn with_buildkit() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("docker")).find(|program| {
        let said = Command::new(program).arg("--version").output();
        let said = said.map(|output| text(&output.stdout)).unwrap_or_default();
        let version = said.strip_prefix("Docker version ").and_then(|rest| rest.split('.').next());
        version.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major < 23)
    })
}

/// What classic builds do not have, and a context that takes more than one message.
fn fill(side: &Side, image: &str) {
    side.fill(image);
    let dockerfile = format!(
        "FROM {image}\nARG NAME=unset\nCOPY name big /context/\n\
         RUN --mount=type=secret,id=word sha256sum < /run/secrets/word > /word\n\
         RUN --mount=type=cache,target=/cache touch /cache/kept && echo $NAME > /built\n"
    );
    side.write("context/Dockerfile", &dockerfile);
    let big: String = (0..400_000).map(|number| format!("{number:x}\n")).collect();
    side.write("context/big", &big);
    side.write("word", "hunter2");
}

#[test]
fn buildkit_builds_through_the_gateway() {
    if skip() {
        return;
    }
    let Some(program) = with_buildkit() else {
        skipped("no docker client has BuildKit's built in");
        return;
    };
    let home = home();
    let daemon = home.up();
    let image = Image::busybox();
    let sides = [Side::socket(&home), Side::gateway(&home, &Client::admin(&home))];
    let [socket, gateway] = sides.map(|side| {
        fill(&side, image.name());
        let side = side.with("DOCKER_BUILDKIT", "1").with("DOCKER", &program.display().to_string());
        let script = "$DOCKER build --no-cache --progress plain --secret id=word,src=$D/word \
                      --build-arg NAME=arg -t $N:built $D/context >log 2>&1 || cat log
                      $DOCKER run --rm $N:built sh -c 'cat /word /built /context/name; sha256sum /context/big; ls /cache'
                      $DOCKER history --no-trunc $N:built | grep -c hunter2
                      printf 'FROM %s\\nRUN exit 6\\n' $IMAGE | $DOCKER build --progress plain - 2>&1 | grep -c 'exit code: 6'
                      $DOCKER image rm $N:built >log";
        side.outcome(&format!("cd $D; {script}"), image.name(), None)
    });
    assert!(gateway.contains("\narg\n") || gateway.contains("arg\nof the context"), "{gateway}");
    assert_eq!(socket, gateway);
    let log = home.ok(&["--json", "audit", "tail", "-n", "50"]);
    for operation in ["Docker::Session", "Docker::ImageBuild"] {
        assert!(log.contains(operation), "{operation} is not in {log}");
    }
    assert!(!log.contains("hunter2"));
    assert_eq!(daemon.stop(), Some(0));
}

/// BuildKit lets its client do what no rule about images could see.
#[test]
fn buildkit_is_for_those_who_may_do_everything() {
    if skip() {
        return;
    }
    let Some(program) = with_buildkit() else {
        skipped("no docker client has BuildKit's built in");
        return;
    };
    let home = home();
    let (daemon, runner) = runner(&home);
    let image = Image::busybox();
    let side = Side::gateway(&home, &runner).with("DOCKER_BUILDKIT", "1");
    fill(&side, image.name());
    let script = format!("{} build -t $N:built $D/context", program.display());
    let said = text(&side.script(&script, image.name(), "none").stderr);
    assert!(said.contains("DOCKER_BUILDKIT=0") || said.contains("403"), "{said}");
    let made = Command::new("docker").args(["images", "-q", &side.name]).output().unwrap();
    assert_eq!(text(&made.stdout), "", "an image was made");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let refused = runtime.block_on(async { upgraded(guarded(&runner).await).await });
    assert!(refused.unwrap_err().starts_with("HTTP/1.1 403 "));
    assert_eq!(daemon.stop(), Some(0));
}

/// A connection to the gateway.
async fn guarded(client: &Client) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(&client.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(raw::config(client)).connect(name, stream).await.unwrap()
}

/// Asks for BuildKit's service; the error is what was answered instead.
async fn upgraded<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<S, String> {
    let request =
        "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = text(&head);
    if head.starts_with("HTTP/1.1 101 ") { Ok(stream) } else { Err(head) }
}

/// The workers of BuildKit's control service, asked as its clients do.
async fn workers<S>(stream: S) -> (String, usize)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let request = Request::post("http://docker/moby.buildkit.v1.Control/ListWorkers")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    // A message without a field: not compressed, of length 0.
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    let mut length = 0;
    while let Some(piece) = answer.data().await {
        let piece = piece.unwrap();
        length += piece.len();
        answer.flow_control().release_capacity(piece.len()).unwrap();
    }
    let trailers = answer.trailers().await.unwrap().unwrap_or_default();
    drop(client);
    connection.abort();
    let status = trailers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    (status.unwrap_or_default(), length)
}

#[test]
fn buildkits_own_service_is_reached_through_the_gateway() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    let admin = Client::admin(&home);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (direct, guarded) = runtime.block_on(async {
        let direct = tokio::net::UnixStream::connect(SOCKET).await.unwrap();
        let direct = workers(upgraded(direct).await.unwrap()).await;
        (direct, workers(upgraded(guarded(&admin).await).await.unwrap()).await)
    });
    assert!(direct.0 == "0" && direct.1 > 5, "the engine's own answer: {direct:?}");
    assert_eq!(guarded, direct);
    assert_eq!(daemon.stop(), Some(0));
}
