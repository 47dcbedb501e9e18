//! Offers and their tickets, read by the receiver's program and by its library.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealock_core::SystemClock;
use sealock_delivery::offer::{OfferError, OfferEvent, OfferRequest, Offering};
use sealock_delivery::sources::Source;
use sealock_receiver::{ReceiveError, receive_ticket};
use sealock_testkit::docker::Image;
use sealock_testkit::scratch_folder;
use sealock_transfer::landing::Landed;
use sealock_transfer::offer::OneTimeSecret;
use sealock_transfer::ticket::Ticket;

use crate::{content, skip, text};

type Events = Arc<Mutex<Vec<OfferEvent>>>;

async fn offering(sources: Vec<Source>, ttl: Duration, listen: &str) -> Offering {
    let request = OfferRequest { sources, ttl, listen: listen.parse().unwrap(), advertise: None };
    Offering::open(request, &SystemClock).await.unwrap()
}

fn serve(
    offering: Offering,
) -> (Events, tokio::task::JoinHandle<Result<sealock_delivery::offer::Taken, OfferError>>) {
    let events = Events::default();
    let kept = Arc::clone(&events);
    let serving = tokio::spawn(async move {
        offering.serve(&move |event| kept.lock().unwrap().push(event)).await
    });
    (events, serving)
}

async fn receive(ticket: &Ticket, to: &Path) -> Result<Landed, ReceiveError> {
    let (ticket, to) = (ticket.clone(), to.to_owned());
    tokio::task::spawn_blocking(move || receive_ticket(&ticket, &to)).await.unwrap()
}

fn refusals(events: &Events) -> Vec<String> {
    let events = events.lock().unwrap();
    let reasons = events.iter().filter_map(|event| match event {
        OfferEvent::Refused { reason, .. } => Some(reason.clone()),
        OfferEvent::Taken(_) => None,
    });
    reasons.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once() {
    let sources = vec![content("a", b"one"), content("b", b"two")];
    let offering = offering(sources, Duration::from_secs(6), "127.0.0.1:0").await;
    let ticket = Ticket::parse(&offering.ticket()).unwrap();
    let (events, serving) = serve(offering);
    let folder = scratch_folder();
    let landed = receive(&ticket, &folder.path().join("to")).await.unwrap();
    assert_eq!((landed.bytes, landed.files), (6, 2));
    assert_eq!(std::fs::read(folder.path().join("to/a")).unwrap(), b"one");
    let second = receive(&ticket, &folder.path().join("again")).await.unwrap_err();
    assert!(matches!(second, ReceiveError::NotGiven(410)), "{second:?}");
    assert!(!folder.path().join("again/a").exists());
    let taken = serving.await.unwrap().unwrap();
    assert_eq!(taken.bytes, 6);
    assert_eq!(events.lock().unwrap()[0], OfferEvent::Taken(taken));
    assert_eq!(refusals(&events), ["the offer was already taken"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_reader_does_not_use_it_up() {
    let folder = scratch_folder();
    let source = folder.path().join("single.pem");
    std::fs::write(&source, "hi").unwrap();
    let sources = vec![Source::Path(source)];
    let offering = offering(sources, Duration::from_secs(5), "127.0.0.1:0").await;
    let ticket = Ticket::parse(&offering.ticket()).unwrap();
    let (events, serving) = serve(offering);
    let folder = scratch_folder();
    let mut wrong = ticket.clone();
    wrong.secret = OneTimeSecret::generate().unwrap();
    let refused = receive(&wrong, folder.path()).await.unwrap_err();
    assert!(matches!(refused, ReceiveError::Refused(_)), "{refused:?}");
    let mut elsewhere = ticket.clone();
    elsewhere.address.url.push('x');
    let refused = receive(&elsewhere, folder.path()).await.unwrap_err();
    assert!(matches!(refused, ReceiveError::NotGiven(404)), "{refused:?}");
    let mut other_pin = ticket.clone();
    other_pin.address.pin = [0; 32];
    let refused = receive(&other_pin, folder.path()).await.unwrap_err();
    assert!(matches!(refused, ReceiveError::WrongListener { .. }), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let plain = std::net::TcpStream::connect(listener(&ticket)).unwrap();
    drop(plain);
    let mut named = ticket.clone();
    named.one_file = Some("name".into());
    let refused = receive(&named, folder.path()).await.unwrap_err();
    assert!(matches!(refused, ReceiveError::Refused(_)), "other terms: {refused:?}");
    receive(&ticket, &folder.path().join("to")).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("to/single.pem")).unwrap(), b"hi");
    assert_eq!(serving.await.unwrap().unwrap().bytes, 2);
    assert!(refusals(&events).len() >= 5, "{events:?}");
}

fn listener(ticket: &Ticket) -> SocketAddr {
    let rest = ticket.address.url.strip_prefix("https://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_readers_at_once_one_gets_it() {
    let large = vec![content("a", &vec![9; 5_000_000]), content("b", b"")];
    let offering = offering(large, Duration::from_secs(15), "127.0.0.1:0").await;
    let ticket = Ticket::parse(&offering.ticket()).unwrap();
    let (events, serving) = serve(offering);
    let folder = scratch_folder();
    let readers: Vec<_> = (0..8)
        .map(|number| {
            let (ticket, to) = (ticket.clone(), folder.path().join(number.to_string()));
            tokio::task::spawn_blocking(move || receive_ticket(&ticket, &to))
        })
        .collect();
    let mut got = 0;
    for reader in readers {
        got += usize::from(reader.await.unwrap().is_ok());
    }
    assert_eq!(got, 1);
    serving.await.unwrap().unwrap();
    assert_eq!(refusals(&events).len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_ticket_gets_nothing() {
    let nameless = OfferRequest {
        sources: vec![text("hi")],
        ttl: Duration::from_secs(1),
        listen: "127.0.0.1:0".parse().unwrap(),
        advertise: None,
    };
    let refused = Offering::open(nameless, &SystemClock).await;
    assert!(matches!(refused, Err(OfferError::Nameless)));
    let offering = offering(vec![content("a", b"hi")], Duration::from_secs(1), "127.0.0.1:0").await;
    let ticket = Ticket::parse(&offering.ticket()).unwrap();
    let (_, serving) = serve(offering);
    assert!(matches!(serving.await.unwrap(), Err(OfferError::Expired)));
    let folder = scratch_folder();
    // To the reader's clock the time may not be over yet; the listener is gone all the same.
    let refused = receive(&ticket, folder.path()).await.unwrap_err();
    assert!(
        matches!(refused, ReceiveError::Unreachable { .. } | ReceiveError::Expired { .. }),
        "{refused:?}"
    );
    let mut old = ticket;
    old.expires -= 100;
    let refused = receive(&old, folder.path()).await.unwrap_err();
    assert!(matches!(refused, ReceiveError::Expired { .. }), "{refused:?}");
}

/// As in an image build: the ticket is a file, and the program in the container reads it.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_in_a_container_reads_a_ticket() {
    if skip() {
        return;
    }
    let program = sealock_receiver_image::RECEIVER;
    let image = Image::with_files(&[("/usr/bin/sealock-receiver", program, 0o755)]);
    let container = image.start(&["--network", "host", "--tmpfs", "/run"]);
    let sources = vec![content("token", b"t0p"), content("other", b"x")];
    let offering = offering(sources, Duration::from_secs(15), "127.0.0.1:0").await;
    let script = format!("umask 077; echo '{}' >/run/ticket", offering.ticket().as_str());
    let _ = container.output(&["sh", "-c", &script]);
    let (_, serving) = serve(offering);
    let id = container.id().to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let command =
            ["sealock-receiver", "receive", "--ticket", "/run/ticket", "--to", "/run/app"];
        sealock_testkit::docker::try_docker(&[&["exec", &id], command.as_slice()].concat())
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(container.output(&["cat", "/run/app/token"]), "t0p");
    let again = container.exec(&[
        "sealock-receiver",
        "receive",
        "--ticket",
        "/run/ticket",
        "--to",
        "/run/again",
    ]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1));
    assert!(said.contains("already taken") && said.contains("hint: make a new offer"), "{said}");
    assert_eq!(serving.await.unwrap().unwrap().files, 2);
}
