//! Whether somebody may: the one place where Sealock decides.
//!
//! A plane asks a typed [`Question`] (principal, action, resource, context) of an immutable
//! [`PolicySet`], which was parsed and validated against the schema once. The language is Cedar:
//! everything that no rule permits is denied, and a `forbid` wins over every `permit`.
//!
//! Invariants:
//! - A set that does not parse or validate does not exist: [`PolicySet::load`] gives an error with
//!   file, line, column and a caret, and whoever holds the old set keeps it.
//! - A question that does not fit the schema, and a `forbid` rule that cannot be evaluated, deny.
//! - Slicing never changes an answer: a rule is left out only when its scope cannot match.
//! - The principal's entity id is the name alone, so whoever authenticates must have refused
//!   identities of other trust domains before the question is asked.
//!
//! An attacker controls names in certificate requests, container names, labels and aliases. They
//! reach Cedar as values, never as text that is parsed; where Cedar text is written (the suggestion
//! in an [`Explanation`]) they are escaped.

mod action;
mod cache;
mod defaults;
mod entities;
mod error;
mod explain;
mod learn;
mod load;
mod preset;
mod question;
mod scope;
#[cfg(test)]
mod secret_tests;
mod set;
mod slice;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod traffic_tests;

pub use action::{Action, Plane, UnknownAction};
pub use defaults::{Defaults, DefaultsError};
pub use error::{PolicyError, Problem};
pub use explain::{AttributeValue, Explanation, NearMiss, RuleFinding};
pub use learn::{LearnError, Learnt, Seen, learn};
pub use preset::{Grantee, PRESETS, Preset, UnknownGrantee, is_as_written};
pub use question::{ContainerFacts, ImageFacts, ObjectFacts, Principal, Question, Resource};
pub use set::{Decision, Mode, Modes, PolicySet};
pub use text::plain;

/// The policy that holds when no other has been written; `up` puts it into the policy folder.
pub const DEFAULT_POLICY: &str = include_str!("../../../../policies/default.cedar");

/// The file name under which [`DEFAULT_POLICY`] is loaded and written.
pub const DEFAULT_POLICY_FILE: &str = "default.cedar";

/// The group whose members the default policy lets do everything.
pub const ADMIN_GROUP: &str = "admin";
