//! bollard, the client of Rust programs, at the engine's socket and through the gateway.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, ExecConfig, HostConfig, NetworkConnectRequest,
    NetworkCreateRequest, VolumeCreateRequest,
};
use bollard::query_parameters as query;
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use sealock_testkit::docker::{Image, SOCKET};
use tokio::io::AsyncWriteExt;

use crate::gateway::{Client, home, skip};
use crate::gateway_docker::Side;
use crate::gateway_escape::runner;
use crate::support::Home;

const TIMEOUT: u64 = 60;
const NO_OPTIONS: Option<query::RemoveImageOptions> = None;

/// What was seen, a line for each step.
#[derive(Debug, Default)]
struct Log(Vec<String>);

impl Log {
    fn note(&mut self, step: &str, what: impl std::fmt::Debug) {
        self.0.push(format!("{step}: {what:?}"));
    }
}

/// The status of an answer that is an error.
fn status<T>(answer: Result<T, Error>) -> u16 {
    match answer {
        Err(Error::DockerResponseServerError { status_code, .. }) => status_code,
        Err(other) => panic!("{other}"),
        Ok(_) => 200,
    }
}

/// Output and error output, each in one piece.
async fn texts(output: impl Stream<Item = Result<LogOutput, Error>>) -> (String, String) {
    let parts: Vec<LogOutput> = output.try_collect().await.unwrap();
    let mut texts = (String::new(), String::new());
    for part in parts {
        match part {
            LogOutput::StdErr { .. } => texts.1.push_str(&part.to_string()),
            _ => texts.0.push_str(&part.to_string()),
        }
    }
    texts
}

fn strings(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

async fn container(docker: &Docker, name: &str, body: ContainerCreateBody) -> String {
    let options = query::CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await.unwrap().id
}

async fn remove(docker: &Docker, id: &str) {
    let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    docker.remove_container(id, Some(options)).await.unwrap();
}

async fn containers(docker: &Docker, image: &str, name: &str, log: &mut Log) {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        env: strings(&["A=b"]),
        labels: Some(HashMap::from([("kind".to_owned(), name.to_owned())])),
        host_config: Some(HostConfig { memory: Some(1 << 26), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let id = container(docker, &format!("{name}-box"), body).await;
    log.note("start", docker.start_container(&id, None).await.is_ok());
    let filters = HashMap::from([("label", vec![format!("kind={name}")])]);
    let options = query::ListContainersOptionsBuilder::default().filters(&filters).build();
    log.note("list", docker.list_containers(Some(options)).await.unwrap().len());
    let inspected = docker.inspect_container(&id, None).await.unwrap();
    log.note("memory", inspected.host_config.unwrap().memory);
    let top = docker.top_processes(&id, None).await.unwrap();
    log.note("top", top.processes.unwrap().len());
    let mut stats = Box::pin(docker.stats(&id, None));
    for _ in 0..2 {
        let stats = stats.next().await.unwrap().unwrap();
        log.note("stats", stats.memory_stats.unwrap().usage.is_some());
    }
    drop(stats);
    files(docker, &id, log).await;
    execs(docker, &id, log).await;
    let update = ContainerUpdateBody { pids_limit: Some(64), ..ContainerUpdateBody::default() };
    log.note("update", docker.update_container(&id, update).await.is_ok());
    let rename = query::RenameContainerOptionsBuilder::default().name(&format!("{name}-b")).build();
    log.note("rename", docker.rename_container(&id, rename).await.is_ok());
    log.note("pause", docker.pause_container(&id).await.is_ok());
    log.note("unpause", docker.unpause_container(&id).await.is_ok());
    log.note("kill", docker.kill_container(&id, None).await.is_ok());
    let wait = docker.wait_container(&id, None).collect::<Vec<_>>().await;
    log.note("wait", wait.len());
    let changes = docker.container_changes(&id).await.unwrap().unwrap();
    log.note("changes", changes.iter().any(|change| change.path == "/tmp/file"));
    let export: usize = docker
        .export_container(&id)
        .try_fold(0, |all, part| async move { Ok(all + part.len()) })
        .await
        .unwrap();
    log.note("export", export > 1_000_000);
    remove(docker, &id).await;
    log.note("gone", status(docker.inspect_container(&id, None).await));
    log.note("gone too", status(docker.start_container(&id, None).await));
}

async fn files(docker: &Docker, id: &str, log: &mut Log) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(8);
    header.set_mode(0o600);
    archive.append_data(&mut header, "file", &b"uploaded"[..]).unwrap();
    let archive = Bytes::from(archive.into_inner().unwrap());
    let options = query::UploadToContainerOptionsBuilder::default().path("/tmp").build();
    let sent = docker.upload_to_container(id, Some(options), body_full(archive.clone())).await;
    log.note("upload", sent.is_ok());
    let options = query::UploadToContainerOptionsBuilder::default().path("/nowhere").build();
    let sent = docker.upload_to_container(id, Some(options), body_full(archive)).await;
    log.note("upload to nowhere", status(sent));
    let options = query::DownloadFromContainerOptionsBuilder::default().path("/tmp/file").build();
    let parts: Vec<Bytes> =
        docker.download_from_container(id, Some(options)).try_collect().await.unwrap();
    let parts = parts.concat();
    let mut archive = tar::Archive::new(parts.as_slice());
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
    log.note("download", text);
}

async fn execs(docker: &Docker, id: &str, log: &mut Log) {
    let config = |command: &[&str], tty| ExecConfig {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(tty),
        cmd: strings(command),
        ..ExecConfig::default()
    };
    let said = ["sh", "-c", "cat; echo err >&2; exit 3"];
    let exec = docker.create_exec(id, config(&said, false)).await.unwrap().id;
    let started = docker.start_exec(&exec, None::<StartExecOptions>).await.unwrap();
    let StartExecResults::Attached { output, mut input } = started else { panic!("detached") };
    input.write_all(b"typed\n").await.unwrap();
    input.shutdown().await.unwrap();
    log.note("exec", texts(output).await);
    log.note("exec code", docker.inspect_exec(&exec).await.unwrap().exit_code);
    let exec = docker.create_exec(id, config(&["sh", "-c", "read l; stty size"], true)).await;
    let exec = exec.unwrap().id;
    let options = StartExecOptions { tty: true, ..StartExecOptions::default() };
    let started = docker.start_exec(&exec, Some(options)).await.unwrap();
    let StartExecResults::Attached { output, mut input } = started else { panic!("detached") };
    let size = query::ResizeExecOptionsBuilder::default().h(33).w(99).build();
    log.note("resize", docker.resize_exec(&exec, size).await.is_ok());
    input.write_all(b"typed\n").await.unwrap();
    log.note("exec tty", texts(output).await);
    let exec = docker.create_exec(id, config(&["true"], false)).await.unwrap().id;
    let options = StartExecOptions { detach: true, ..StartExecOptions::default() };
    let started = docker.start_exec(&exec, Some(options)).await.unwrap();
    log.note("detached", matches!(started, StartExecResults::Detached));
}

async fn streams(docker: &Docker, image: &str, name: &str, log: &mut Log) {
    let watched = tokio::spawn(events(docker.clone(), name.to_owned()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: strings(&["sh", "-c", "read line; echo got $line; echo err >&2; exit 4"]),
        labels: Some(HashMap::from([("streams".to_owned(), name.to_owned())])),
        open_stdin: Some(true),
        stdin_once: Some(true),
        ..ContainerCreateBody::default()
    };
    let id = container(docker, &format!("{name}-attached"), body).await;
    let options = query::AttachContainerOptionsBuilder::default();
    let options = options.stdin(true).stdout(true).stderr(true).stream(true).build();
    let mut attached = docker.attach_container(&id, Some(options)).await.unwrap();
    docker.start_container(&id, None).await.unwrap();
    attached.input.write_all(b"typed\n").await.unwrap();
    log.note("attach", texts(attached.output).await);
    let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true);
    log.note("logs", texts(docker.logs(&id, Some(options.build()))).await);
    remove(docker, &id).await;
    let seen = tokio::time::timeout(Duration::from_secs(TIMEOUT), watched).await;
    log.note("events", seen.unwrap().unwrap());
}

/// What happens to the container of this name's label, until it is destroyed.
async fn events(docker: Docker, name: String) -> Vec<String> {
    let filters = HashMap::from([("label", vec![format!("streams={name}")])]);
    let options = query::EventsOptionsBuilder::default().filters(&filters).build();
    let mut events = Box::pin(docker.events(Some(options)));
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "destroy") {
        seen.extend(events.next().await.unwrap().unwrap().action);
    }
    seen
}

async fn others(docker: &Docker, image: &str, name: &str, may_all: bool, log: &mut Log) {
    log.note("ping", docker.ping().await.unwrap());
    log.note("version", docker.version().await.unwrap().api_version);
    log.note("info", docker.info().await.unwrap().driver);
    let network = NetworkCreateRequest {
        name: format!("{name}-net"),
        internal: Some(true),
        ..NetworkCreateRequest::default()
    };
    let network = docker.create_network(network).await.unwrap().id;
    let body =
        ContainerCreateBody { image: Some(image.to_owned()), ..ContainerCreateBody::default() };
    let member = container(docker, &format!("{name}-member"), body).await;
    let connect = || NetworkConnectRequest { container: member.clone(), endpoint_config: None };
    log.note("connect", docker.connect_network(&network, connect()).await.is_ok());
    let inspected = docker.inspect_network(&network, None).await.unwrap();
    log.note("network", inspected.internal);
    remove(docker, &member).await;
    log.note("network removed", docker.remove_network(&network).await.is_ok());
    let volume = VolumeCreateRequest {
        name: Some(format!("{name}-volume")),
        ..VolumeCreateRequest::default()
    };
    let volume = docker.create_volume(volume).await.unwrap().name;
    log.note("volume", docker.inspect_volume(&volume).await.unwrap().driver);
    log.note(
        "volume removed",
        docker.remove_volume(&volume, None::<query::RemoveVolumeOptions>).await.is_ok(),
    );
    build(docker, image, name, log).await;
    if may_all {
        images(docker, image, name, log).await;
    }
}

/// What the runners' preset does not permit.
async fn images(docker: &Docker, image: &str, name: &str, log: &mut Log) {
    let tag = query::TagImageOptionsBuilder::default().repo(name).tag("tagged").build();
    log.note("tag", docker.tag_image(image, Some(tag)).await.is_ok());
    let tagged = format!("{name}:tagged");
    log.note("history", docker.image_history(&tagged).await.unwrap().len());
    let saved: Vec<Bytes> = docker.export_image(&tagged).try_collect().await.unwrap();
    log.note("save", saved.concat().len() > 1_000_000);
    let options = query::ImportImageOptionsBuilder::default().build();
    let loaded = docker.import_image(options, body_full(Bytes::from(saved.concat())), None);
    log.note("load", loaded.try_collect::<Vec<_>>().await.is_ok());
    log.note("image removed", docker.remove_image(&tagged, NO_OPTIONS, None).await.unwrap().len());
    log.note("no image", status(docker.inspect_image(&tagged).await));
}

async fn build(docker: &Docker, image: &str, name: &str, log: &mut Log) {
    let mut context = tar::Builder::new(Vec::new());
    let dockerfile = format!("FROM {image}\nRUN echo built > /built\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o600);
    context.append_data(&mut header, "Dockerfile", dockerfile.as_bytes()).unwrap();
    let context = Bytes::from(context.into_inner().unwrap());
    let built = format!("{name}:built");
    let options = query::BuildImageOptionsBuilder::default();
    let options = options.dockerfile("Dockerfile").t(&built).rm(true).nocache(true).build();
    let said = docker.build_image(options, None, Some(body_full(context)));
    let said: Vec<_> = said.try_collect().await.unwrap();
    log.note("build", said.last().unwrap().stream.as_ref().map(|text| text.replace(name, "NAME")));
    log.note("built removed", docker.remove_image(&built, NO_OPTIONS, None).await.is_ok());
}

#[test]
fn bollard_does_everything_that_it_can() {
    if skip() {
        return;
    }
    let home = home();
    let daemon = home.up();
    does_alike(&home, &Client::admin(&home), true);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn bollard_does_the_same_for_a_runner() {
    if skip() {
        return;
    }
    let home = home();
    let (daemon, runner) = runner(&home);
    does_alike(&home, &runner, false);
    assert_eq!(daemon.stop(), Some(0));
}

fn does_alike(home: &Home, client: &Client, may_all: bool) {
    let image = Image::busybox();
    // bollard leaves the choice to whoever uses it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let file = |name: &str| Path::new(&client.folder).join(name);
    let address = format!("tcp://{}", client.address);
    let [key, certificate, ca] = ["key.pem", "cert.pem", "ca.pem"].map(file);
    let socket = Docker::connect_with_unix(SOCKET, TIMEOUT, API_DEFAULT_VERSION).unwrap();
    let gateway =
        Docker::connect_with_ssl(&address, &key, &certificate, &ca, TIMEOUT, API_DEFAULT_VERSION);
    let sides = [(socket, Side::socket(home)), (gateway.unwrap(), Side::gateway(home, client))];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [socket, gateway] = sides.each_ref().map(|(docker, side)| {
        runtime.block_on(async {
            let docker = docker.clone().negotiate_version().await.unwrap();
            let mut log = Log::default();
            others(&docker, image.name(), &side.name, may_all, &mut log).await;
            containers(&docker, image.name(), &side.name, &mut log).await;
            streams(&docker, image.name(), &side.name, &mut log).await;
            log.0.join("\n")
        })
    });
    assert_eq!(socket, gateway);
    assert!(gateway.lines().count() > 35, "{gateway}");
}
