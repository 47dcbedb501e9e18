//! The watcher with the real engine: labelled containers get certificates, renewed and seen served, and
//! secrets.

// Named as tests so that clippy's rules for tests apply.
#[cfg(test)]
mod installation;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod source;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod trusts;
#[cfg(test)]
mod vault;
