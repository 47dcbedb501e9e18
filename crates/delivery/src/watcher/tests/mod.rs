//! The watcher with a fake engine, source and clock.

mod fixture;
mod reconcile;
mod run;
mod run_secrets;
mod run_stores;
mod running;
mod secrets;
mod simulation;
mod stores;
mod trusts;
mod vault;
mod weather;
