//! The vault: named secrets with versions, sealed before they reach the store ([`Vault`]), and their backups
//! ([`backup`]).
//!
//! It decides nothing: who may do what is asked of policy before, and the answer comes in as the
//! [`Actor`](sealock_core::audit::Actor) of each call, whose event is in the same commit as what is done. A
//! value that is read is given out when the event of its reading is on disk.
//!
//! # What lies where
//!
//! | entry in the store | holds | sealed under | bound to it |
//! |---|---|---|---|
//! | `vault/key/NUMBER` | a vault key | the keyring | its place |
//! | `vault/secret/NAME` | the record: id, time and end of the newest version, what became of each version | vault key (proof only) | name, all of the record, number of the vault key |
//! | `vault/version/NAME␀N` | time, end, writer, length, state; the version's own key; a value up to 4 KiB | vault key (the version's key) | name, id, N, all that is said, number of the vault key |
//! | `vault/value/NAME␀N` | a longer value | the version's key | name, id, N, time, end, writer, length |
//! | `vault/gone/NAME` | the number that a purged secret had got to | – | – |
//!
//! Seals are AES-256-GCM with random nonces, each kind with a domain of its own before what is bound; a short
//! value beside its version is sealed and bound as a long one. The id is random and new whenever a secret is
//! made. A version's key is random, used for its one value, and never changes; a rotation
//! ([`Vault::rotate_key`]) wraps it anew. No more than 2^32 seals may be made under one vault key, of which
//! every change of a secret takes two: a rotation begins anew.
//!
//! # Invariants
//!
//! - Versions are numbered 1, 2, 3… and no number is used twice, also not after a purge.
//! - The newest version is the one that is read where none is named. Deleted, expired or purged, it is an
//!   error, and no older one stands in for it.
//! - Every change of a secret is one commit, with its event, which compares the record that it was made
//!   from and writes it. So two changes never come from the same record, and a reader that sees rows of
//!   two moments can tell so by the record.
//! - A change is committed only while its vault key is the newest. So a vault key can be removed when
//!   everything was moved from under it once.
//! - No value is in the store, in an event, an error or in `Debug`; in memory it is wiped after use.
//!
//! # What an attacker controls
//!
//! *Who reads the store*, or a copy of it, sees names, times, lengths, and who wrote what. With the keys
//! folder of the keyring as well, everything, unless a passphrase protects that.
//!
//! *Who writes to the store* cannot make the vault give out a wrong value as long as any row of the secret is
//! as it should be: rows changed, cut, swapped, taken from another version, name, incarnation or
//! time do not fit, and reading says [`VaultError::Changed`] and the secret's name. In particular an old
//! record does not hide a newer version, and neither an old record nor an old row brings back what was
//! deleted or purged. What such a writer can do:
//!
//! - remove secrets, or all of them, or the vault key (a vault with secrets and without a key is not opened);
//! - put back *all* rows of a secret as they were before, the newer ones removed. The vault then reads the
//!   old value, or one that was deleted or purged since. After a rotation of the vault key, rows from before
//!   it open no more, unless that key's row is put back too;
//! - put back an old record for a list or [`Vault::version_of`], which look at nothing else; whoever reads the
//!   value hears of it;
//! - after a purge, make the numbers begin anew (never the old rows fit again).
//!
//! Against the second there is the audit log, which names the version of every write, deletion and purge, and
//! whose signed checkpoints can be kept elsewhere.
//!
//! *Who names secrets and sets values* is bounded in lengths and in versions ([`MAX_VALUE`], [`MAX_KEPT`]), not
//! in the number of secrets. *Who makes a backup that is imported*: see [`backup`].

pub mod backup;
mod changes;
mod draft;
mod error;
mod export;
mod import;
mod info;
mod keys;
mod list;
mod marks;
mod place;
mod read;
mod record;
mod remove;
mod rotate;
mod seal;
mod set;
#[cfg(test)]
mod testing;
mod vault;

pub use changes::{Changes, SecretChange};
pub use error::{Part, VaultError};
pub use export::Exported;
pub use import::{Imported, OnExisting};
pub use info::{Current, Page, SecretInfo, SecretValue, VersionInfo, VersionState, Wanted};
pub use list::MAX_PAGE;
pub use record::fuzz as fuzz_rows;
pub use rotate::Rotated;
pub use vault::Vault;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 1 << 20;
/// The most versions of a secret that have a value, deleted and expired ones included.
pub const MAX_KEPT: u64 = 1000;
