//! The vault as its users see it, and as somebody who writes to its store does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail in any way"
)]

mod backup;
mod changes;
mod common;
mod disk;
mod faults;
mod kill;
mod life;
mod list;
mod model;
mod race;
mod rotate;
mod tamper;
