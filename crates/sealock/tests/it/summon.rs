//! Summon's contract, sentence by sentence: what a script that was written for Summon finds when the link leads here.
//!
//! A row of a table stands for one sentence. With `SEALOCK_TEST_SUMMON=PATH` the same rows are held against another
//! program, such as Summon itself; rows that are marked as ours are left out then.

mod command_line;
mod drop_in;
mod files;
pub(crate) mod folders;
pub(crate) mod hostile;
mod providers;
mod safer;
mod secrets_yml;
pub(crate) mod signals;
pub(crate) mod stage;
mod table;
