//! The watcher with a fake engine, source and clock.

mod fixture;
mod reconcile;
mod run;
mod simulation;
mod weather;
