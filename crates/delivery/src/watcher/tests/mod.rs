//! The watcher with a fake engine, source and clock.

mod fixture;
mod reconcile;
mod run;
mod run_secrets;
mod running;
mod secrets;
mod simulation;
mod trusts;
mod vault;
mod weather;
