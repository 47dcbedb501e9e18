//! Arguments of `cert list` and `cert report`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealock_core::span::parse_span;

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArg {
    /// In force, and the newest of its line
    Valid,
    /// In force, but renewed by another
    Replaced,
    /// Revoked, expired or not
    Revoked,
    /// No longer in force, and not yet removed
    Expired,
}

/// `sealock cert list`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those that expire within this span
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) expiring: Option<Duration>,
    /// Only those of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only those that are delivered by label to the container of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Only those that this CA certificate has signed (its id, as in `ca show`, or in `ca list` for those under other roots)
    #[arg(long, value_name = "ID")]
    pub(crate) issuer: Option<String>,
    /// Only those that stand like this [default: valid]
    #[arg(long, value_enum, value_name = "STATE", conflicts_with = "all")]
    pub(crate) only: Option<StateArg>,
    /// Expired, replaced and revoked ones too
    #[arg(long)]
    pub(crate) all: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
}

/// As what the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For a terminal
    Text,
    /// For programs; the guide on the inventory describes it
    Json,
    /// One page, without scripts or anything from elsewhere; for screen and paper
    Html,
}

/// `sealock cert report`
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// As what [default: text; json with --json]
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,
    /// Write it to a file (0600) instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// At most this many certificates; the totals are of all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) limit: usize,
}
