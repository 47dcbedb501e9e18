//! Times transfers into a running container, from connecting to the engine to the receipt:
//! `time_send CARRIER SOURCE CONTAINER:DESTINATION [ROUNDS]`.
//!
//! One line per round: milliseconds, whether anything changed, and the carrier.

#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::time::Instant;

use sealock_core::SystemClock;
use sealock_delivery::carriers::Silent;
use sealock_delivery::send::{SendRequest, send};
use sealock_delivery::sources::Source;
use sealock_engine::{Engine, EngineUrl};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [carrier, source, target, rest @ ..] = arguments.as_slice() else {
        return Err("usage: time_send CARRIER SOURCE CONTAINER:DESTINATION [ROUNDS]".into());
    };
    let (container, destination) = target.split_once(':').ok_or("no CONTAINER:DESTINATION")?;
    let rounds: u32 = rest.first().map_or(Ok(1), |rounds| rounds.parse())?;
    for _ in 0..rounds {
        let begin = Instant::now();
        let engine = Engine::connect(&EngineUrl::standard()).await?;
        let request = SendRequest {
            sources: vec![Source::Path(source.into())],
            container: container.to_owned(),
            destination: destination.to_owned(),
            carrier: carrier.parse()?,
            owner: None,
            mode: None,
            memory_only: false,
            after: None,
        };
        let receipt = send(&engine, &SystemClock, request, &Silent).await?;
        let milliseconds = begin.elapsed().as_secs_f64() * 1000.0;
        println!("{milliseconds:.1} ms changed={} {}", receipt.changed, receipt.carrier);
    }
    Ok(())
}
