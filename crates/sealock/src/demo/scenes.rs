//! The scenes, in order. Each waits, with a deadline, until what it promises can be seen.

use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sealock_control::command::{CertificateReport, DeliveredStatus, StatusReport};
use sealock_delivery::verify::{self, Question, Seen};

use super::gate::{Gate, message};
use super::stage::Stage;
use super::{company, traffic, vault};
use crate::printer::{Failure, Printer};

/// How long anything but the renewal may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The life of the shop's certificate: short, so that its renewal can be watched.
const LIFE: Duration = Duration::from_secs(24);

/// Plays them all.
pub(crate) async fn play(stage: &mut Stage, printer: Printer) -> Result<(), Failure> {
    let mut teller = Teller { printer, step: 0, since: Instant::now() };
    printer.line("Sealock demo: everything below is real, and is removed at the end.\n")?;

    stage.start_daemon()?;
    let status = ready(stage).await?;
    let domain = status.ca.map(|ca| ca.trust_domain).unwrap_or_default();
    teller.tell(&format!("`sealock up` made a CA for {domain} and runs on a scratch state"))?;

    stage.make_image().await?;
    let suffix = std::process::id();
    let (shop, bank) = (format!("shop-{suffix}"), format!("bank-{suffix}"));
    let life = format!("{}s", LIFE.as_secs());
    let shop_id = stage
        .start_container(
            &shop,
            &[
                ("sealock.cert.web.ttl", life.as_str()),
                ("sealock.cert.web.reload", "signal:HUP"),
                ("sealock.cert.web.verify", "tls:8443"),
            ],
        )
        .await?;
    stage
        .start_container(&bank, &[("sealock.cert.web.dns", &format!("{bank},payments.example"))])
        .await?;
    teller
        .tell(&format!("two labelled containers run: {shop} and {bank} (no network, read-only)"))?;

    let first = served(stage, &shop, None).await?;
    teller.tell(&format!("{shop} got its certificate by label: serial {}", short(&first)))?;

    let seen = handshake(stage, &shop_id, &shop).await?;
    check(seen.chain.is_ok(), "the served chain does not lead to the CA")?;
    check(seen.serial == plain_serial(&first), "another serial was served than delivered")?;
    teller.tell("a TLS handshake with it, from inside its network, verifies against the CA")?;

    let started =
        stage.engine.inspect(&shop_id).await.map_err(|error| Failure::from_error(&error))?;
    let second = served(stage, &shop, Some(&first)).await?;
    let seen = handshake(stage, &shop_id, &shop).await?;
    check(seen.serial != plain_serial(&first), "the old serial is still served")?;
    let now = stage.engine.inspect(&shop_id).await.map_err(|error| Failure::from_error(&error))?;
    check(now.started_at == started.started_at, "the container was restarted")?;
    teller.tell(&format!(
        "it was renewed and is served, without a restart: serial {} took the place of {}",
        short(&second),
        short(&first)
    ))?;

    revoked(stage, &first).await?;
    teller.tell(&format!("serial {} is revoked, and the CRL says so", short(&first)))?;

    let refused = refusal(stage, &bank).await?;
    teller.tell(&format!("{bank} asked for payments.example and was refused:"))?;
    printer.line(format!("      {}", refused.reason.unwrap_or_default()))?;
    printer.line("      It would be allowed by:")?;
    for line in refused.hint.unwrap_or_default().lines() {
        printer.line(format!("      {line}"))?;
    }

    company::play(stage, &mut teller).await?;
    guarded(stage, &mut teller, &shop).await?;
    vault::play(stage, &mut teller).await?;
    traffic::play(stage, &mut teller, printer).await?;

    stage.output(&["audit", "verify"]).await?;
    teller.tell("all of this stands in the audit log, whose chain holds")
}

/// The engine's API, for somebody who may make plain containers and has no others.
async fn guarded(stage: &mut Stage, teller: &mut Teller, shop: &str) -> Result<(), Failure> {
    let folder = stage.folder("runner");
    let shown = folder.display().to_string();
    stage.output(&["docker", "client", "runner", "--dir", &shown]).await?;
    stage.output(&["policy", "use", "ci-runner", "--for", "human/runner"]).await?;
    let status: StatusReport = stage.ask(&["status"]).await?;
    let gate = Gate::new(&status.gateway.unwrap_or_default(), &folder)?;
    let (image, name) = (stage.image(), format!("job-{}", std::process::id()));
    let command = r#""Cmd":["/sealock","--version"]"#;
    let create = format!("/containers/create?name={name}");
    let (made, said) =
        gate.ask("POST", &create, &format!(r#"{{"Image":"{image}",{command}}}"#)).await?;
    check(made == 201, &message(&said))?;
    stage.adopt(&name).await?;
    teller.tell(&format!(
        "through the Docker gateway, human/runner made {name}, by the preset ci-runner"
    ))?;

    let body =
        format!(r#"{{"Image":"{image}",{command},"HostConfig":{{"Binds":["/etc:/host"]}}}}"#);
    let (status, mounted) = gate.ask("POST", "/containers/create", &body).await?;
    check(status == 403, "a folder of the host was mounted")?;
    teller.tell("it asked for a container with /etc of this host, and was refused:")?;
    for line in message(&mounted).lines() {
        teller.printer.line(format!("      {line}"))?;
    }

    let (status, hidden) = gate.ask("GET", &format!("/containers/{shop}/json"), "").await?;
    check(status == 404, "a container of somebody else is there for it")?;
    let (_, list) = gate.ask("GET", "/containers/json?all=1", "").await?;
    check(list.contains(&name) && !list.contains(shop), "its list is not its own containers")?;
    teller
        .tell(&format!("{shop}, which it did not make, is not there for it: {}", message(&hidden)))
}

/// Numbers the steps and says how long each took.
pub(super) struct Teller {
    printer: Printer,
    step: u32,
    since: Instant,
}

impl Teller {
    pub(super) fn tell(&mut self, text: &str) -> Result<(), Failure> {
        self.step += 1;
        let took = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        self.printer.line(format!("{:>3}. {text}  [{took:.1} s]", self.step))
    }
}

pub(super) fn check(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::refused(otherwise)) }
}

pub(super) fn short(serial: &str) -> &str {
    serial.get(..12).unwrap_or(serial)
}

/// A serial as the handshake reports it: without leading zero bytes.
pub(super) fn plain_serial(serial: &str) -> String {
    let mut rest = serial;
    while let Some(stripped) = rest.strip_prefix("00") {
        rest = stripped;
    }
    rest.to_owned()
}

/// Asks until an answer is there or the patience is over.
async fn until<T>(
    stage: &mut Stage,
    patience: Duration,
    what: &str,
    mut look: impl FnMut(&StatusReport) -> Option<T>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        if stage.daemon_ended() {
            return Err(Failure::refused("the daemon ended"));
        }
        let obstacle = match stage.ask::<StatusReport>(&["status"]).await {
            Ok(status) if status.daemon => match look(&status) {
                Some(found) => return Ok(found),
                None => None,
            },
            Ok(_) => None,
            Err(failure) => Some(failure),
        };
        if Instant::now() > deadline {
            let late = Failure::refused(format!("{what} was not seen in {} s", patience.as_secs()));
            return Err(obstacle.unwrap_or(late));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn ready(stage: &mut Stage) -> Result<StatusReport, Failure> {
    until(stage, PATIENCE, "a daemon with an engine", |status| {
        let up = status.engine.as_ref().is_some_and(|engine| engine.up);
        (up && status.ca.is_some()).then(|| status.clone())
    })
    .await
}

fn delivered<'a>(status: &'a StatusReport, container: &str) -> Option<&'a DeliveredStatus> {
    let container = status.containers.iter().find(|found| found.name == container)?;
    container.certificates.first()
}

/// The serial that the container is seen to serve, once it is another than `before`.
pub(super) async fn served(
    stage: &mut Stage,
    container: &str,
    before: Option<&str>,
) -> Result<String, Failure> {
    let patience = if before.is_some() { LIFE + PATIENCE } else { PATIENCE };
    until(stage, patience, "a served certificate", |status| {
        let certificate = delivered(status, container)?;
        let serial = certificate.serial.clone()?;
        (certificate.state == "served" && before != Some(&serial)).then_some(serial)
    })
    .await
}

async fn refusal(stage: &mut Stage, container: &str) -> Result<DeliveredStatus, Failure> {
    until(stage, PATIENCE, "a refusal", |status| {
        let certificate = delivered(status, container)?;
        (certificate.state == "refused").then(|| certificate.clone())
    })
    .await
}

pub(super) async fn handshake(stage: &Stage, id: &str, name: &str) -> Result<Seen, Failure> {
    let bundle = stage.output(&["ca", "bundle"]).await?;
    let anchors = CertificateDer::pem_slice_iter(&bundle).collect::<Result<Vec<_>, _>>();
    let container = stage.engine.inspect_running(id).await;
    let question = Question {
        port: 8443,
        server_name: ServerName::try_from(name.to_owned())
            .map_err(|error| Failure::fault("the container's name is no name").caused_by(&error))?,
        anchors: anchors
            .map_err(|error| Failure::fault("the trust bundle is no PEM").caused_by(&error))?,
        now: UnixTime::now(),
        deadline: Duration::from_secs(5),
    };
    let container = container.map_err(|error| Failure::from_error(&error))?;
    verify::look(&stage.engine, &container, question)
        .await
        .map_err(|error| Failure::from_error(&error))
}

async fn revoked(stage: &Stage, serial: &str) -> Result<(), Failure> {
    stage.output(&["cert", "revoke", serial, "--reason", "key-compromise"]).await?;
    let shown: CertificateReport = stage.ask(&["cert", "show", serial]).await?;
    check(shown.state == "revoked", "the inventory does not show it as revoked")?;
    let list = stage.output(&["ca", "crl"]).await?;
    let list = String::from_utf8_lossy(&list);
    let lists = crate::commands::files::der_blocks(&list, "X509 CRL")?;
    let wanted = data_encoding::HEXLOWER.decode(plain_serial(serial).as_bytes());
    let wanted = wanted.map_err(|error| Failure::fault("a serial is no hex").caused_by(&error))?;
    let named = |list: &Vec<u8>| list.windows(wanted.len()).any(|window| window == wanted);
    check(lists.iter().any(named), "the CRL does not name it")
}
