//! Whole ACME orders, by an account that need not prove its names any more: an order, its finalization, the certificate.
//! Ours are on the disk when they are answered; pebble, Let's Encrypt's server for tests, keeps its own in memory.

mod client;
mod servers;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use client::{Account, Until};
use sealock_testkit::softhsm::SoftHsm;
use servers::Server;

use crate::Settings;
use crate::process::resident;
use crate::table::{Figure, Table};

pub(crate) fn run(settings: &Settings, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (ours, pebble) = (Server::ours(settings).await?, Server::pebble().await?);
        let long = Duration::from_millis(if settings.quick { 300 } else { 4000 });
        let (mut our_rates, mut their_rates) = (Vec::new(), Vec::new());
        for _ in 0..if settings.quick { 1 } else { 5 } {
            our_rates.push(ours.account.round(Until::Moment(Instant::now() + long)).await?);
            their_rates.push(pebble.account.round(Until::Moment(Instant::now() + long)).await?);
        }
        let (ours, theirs) = (middle(our_rates), middle(their_rates));
        table.within(
            "whole ACME orders on one account, over TLS, durable",
            Figure::PerSecond(ours),
            Some(("pebble, in memory", Figure::PerSecond(theirs))),
            Figure::PerSecond(1000.0),
        );
        Ok(())
    })
}

/// The same with the CA's keys in a token (SoftHSM, which signs on these two cores, too), beside keys in the state folder.
pub(crate) fn with_token(settings: &Settings, table: &mut Table) -> Result<()> {
    let token = SoftHsm::new().context("SoftHSM is not installed")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (there, here) =
            (Server::with_keys_in(settings, &token).await?, Server::ours(settings).await?);
        let long = Duration::from_millis(if settings.quick { 300 } else { 4000 });
        let (mut in_token, mut in_state) = (Vec::new(), Vec::new());
        for _ in 0..if settings.quick { 1 } else { 5 } {
            in_token.push(there.account.round(Until::Moment(Instant::now() + long)).await?);
            in_state.push(here.account.round(Until::Moment(Instant::now() + long)).await?);
        }
        table.beside(
            "whole ACME orders, the CA's keys in SoftHSM",
            Figure::PerSecond(middle(in_token)),
            ("in the state folder", Figure::PerSecond(middle(in_state))),
        );
        Ok(())
    })
}

/// What a million orders leave in the daemon's memory.
pub(crate) fn memory(settings: &Settings, table: &mut Table) -> Result<()> {
    let (first, all) = if settings.quick { (32, 640) } else { (10_000, 1_000_000) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::ours(settings).await?;
        let mut after = 0;
        for orders in [first, first * 9, all - first * 10] {
            server.account.round(Account::each(orders)).await?;
            after += orders;
            let used = resident(server.process.id())? as f64 / 1e6;
            table.alone(format!("memory after {after} ACME orders"), Figure::Megabytes(used));
        }
        Ok(())
    })
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
