//! Plane: files and certificates into running containers.

pub mod carriers;
pub mod envelope;
pub mod labels;
pub mod offer;
pub mod reload;
pub mod send;
pub mod sources;
pub mod verify;
pub mod watcher;
