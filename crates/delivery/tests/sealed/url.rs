//! By url.

use sealock_delivery::carriers::{Carrier, CarrierError};
use sealock_delivery::send::SendError;
use sealock_testkit::docker::{Image, Network};

use crate::{content, leftovers, request, sent, skip, text};

#[tokio::test(flavor = "multi_thread")]
async fn files_come_over_every_network_with_a_gateway() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let network = Network::create(&[]);
    let internal = Network::create(&["--internal"]);
    let lender = image.start(&[]);
    let lent = format!("container:{}", lender.id());
    for net in ["bridge", "host", network.name(), internal.name(), lent.as_str()] {
        let container = image.start(&["--network", net]);
        let sources = vec![content("a", b"one"), content("b", &vec![7; 3_000_000])];
        let receipt = sent(request(container.id(), "/srv/x", Carrier::Url, sources)).await;
        let receipt = receipt.unwrap_or_else(|error| panic!("{net}: {error:?}"));
        assert_eq!((receipt.bytes, receipt.files), (3_000_003, 2), "{net}");
        assert_eq!(container.output(&["cat", "/srv/x/a"]), "one");
        assert_eq!(leftovers(&container), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_it_cannot_be_used() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&["--network", "none"]);
    match sent(request(container.id(), "/tmp/x", Carrier::Url, vec![text("hi")])).await {
        Err(SendError::NoWay { passed_over, .. }) => {
            assert!(passed_over[0].reason.contains("no network"), "{passed_over:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_back_over_the_network_too() {
    if skip() {
        return;
    }
    let image = Image::busybox();
    let container = image.start(&["--read-only", "--tmpfs", "/run"]);
    let outcome = sent(request(container.id(), "/etc/x", Carrier::Url, vec![text("hi")])).await;
    match outcome {
        Err(SendError::Carrier { source: CarrierError::Sealed(error), .. }) => {
            assert!(error.to_string().contains("read-only"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
