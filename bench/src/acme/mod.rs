//! Whole ACME orders, by an account that need not prove its names: an order, its finalization, the certificate; beside pebble,
//! the small ACME server for tests, which keeps everything in memory. And what very many orders leave in memory.

mod client;
mod servers;

use std::time::{Duration, Instant};

use anyhow::Result;

use self::client::{Client, Server};
use self::servers::{Pebble, Sealock};
use crate::Settings;
use crate::process::resident;
use crate::table::{Figure, Table};

/// Clients at once, each on a connection that it keeps.
const CLIENTS: usize = 32;
/// More memory than before, after however many orders.
const BUDGET: f64 = 64.0;

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (ours, peer) = (Sealock::start(settings).await?, Pebble::start().await?);
        let long = Duration::from_millis(if settings.quick { 300 } else { 4000 });
        let (mut rates, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..if settings.quick { 1 } else { 5 } {
            rates.push(round(&ours.server, long).await?);
            if let Some(peer) = &peer {
                theirs.push(round(&peer.server, long).await?);
            }
        }
        let rate = Figure::PerSecond(median(rates));
        let peer = peer.is_some().then(|| Figure::PerSecond(median(theirs)));
        let what = "whole ACME orders on one account, over TLS, durable";
        let named = peer.map(|figure| ("pebble, in memory", figure));
        table.within(what, rate, named, Figure::PerSecond(1000.0));

        // What a start takes for itself is there by now.
        let count = if settings.quick { 200 } else { settings.orders };
        let before = resident(ours.process.id())?;
        orders(&ours.server, count).await?;
        let grown = resident(ours.process.id())?.saturating_sub(before);
        let grown = Figure::Megabytes(grown as f64 / 1e6);
        let what = format!("memory that {count} ACME orders leave taken");
        table.budget(what, grown, Figure::Megabytes(BUDGET));
        Ok(())
    })
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many orders are brought to an end in a second.
async fn round(server: &Server, long: Duration) -> Result<f64> {
    let began = Instant::now();
    let end = began + long;
    let clients = (0..CLIENTS).map(|_| async move {
        let mut client = Client::open(server).await?;
        let mut count = 0_u32;
        while Instant::now() < end {
            client.order().await?;
            count += 1;
        }
        Ok::<_, anyhow::Error>(count)
    });
    let counts = futures_util::future::try_join_all(clients).await?;
    Ok(f64::from(counts.into_iter().sum::<u32>()) / began.elapsed().as_secs_f64())
}

/// Brings so many to an end.
async fn orders(server: &Server, count: u64) -> Result<()> {
    let each = count.div_ceil(CLIENTS as u64);
    let clients = (0..CLIENTS).map(|_| async move {
        let mut client = Client::open(server).await?;
        for _ in 0..each {
            client.order().await?;
        }
        Ok::<_, anyhow::Error>(())
    });
    futures_util::future::try_join_all(clients).await?;
    Ok(())
}
