//! Arguments of `run` and `summon`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `sealock run`
#[derive(Debug, Args)]
#[command(after_help = "\
secrets.yml, in Summon's format:
  DB_PASSWORD: !var prod/db/password        the value, from the vault
  DB_CERT: !var:file prod/db/cert           a file with the value; the variable holds its path
  TOKEN: !var:provider=conjur app/token     from another provider
  MODE: !var:default-on-error=off app/mode  when it cannot be had
  DB_HOST: db.corp.example                  as it stands here

Every flag has an environment twin: SEALOCK_RUN_ and its long name, such as SEALOCK_RUN_MASK=true; those that can be
repeated have one value a line. Exit codes: the program's own, 128+N when signal N has ended it, 1 when a secret
cannot be had (the program is then not started), 126 and 127 when it cannot be run or found, 64 for usage.

Examples:
  sealock run -- ./server --port 8080
  sealock run -e prod -f deploy/secrets.yml --mask -- make deploy
  sealock run --yaml 'KEY: !var ci/key' --pristine -- env
  sealock run --as-files -- docker run -d --name shop shop:1
  sealock run -- docker run --env-file @SEALOCKENVFILE shop:1   all variables, those of several lines too")]
pub(crate) struct RunArgs {
    /// Which secrets [default: secrets.yml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "yaml")]
    pub(crate) file: Option<PathBuf>,
    /// The same as text
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) yaml: Option<String>,
    /// Look for the file in the folders above too
    #[arg(long)]
    pub(crate) up: bool,
    /// The section of the file
    #[arg(short, long, value_name = "SECTION")]
    pub(crate) environment: Option<String>,
    /// What $NAME stands for in the file (repeatable)
    #[arg(short = 'D', long = "define", value_name = "NAME=VALUE")]
    pub(crate) define: Vec<String>,
    /// Where secrets come from, unless their tag says it: sealock (the vault), or the name or path of a
    /// provider [default: sealock]
    #[arg(short, long, value_name = "PROVIDER")]
    pub(crate) provider: Option<String>,
    /// Leave this variable out when its secret cannot be had (repeatable)
    #[arg(short, long, value_name = "NAME")]
    pub(crate) ignore: Vec<String>,
    /// The same for all
    #[arg(short = 'I', long)]
    pub(crate) ignore_all: bool,
    /// How long providers may take, and with --as-files the container to start [default: 60s]
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<String>,
    /// Variables that external providers are to see besides the usual ones (repeatable; NAME or PREFIX*)
    #[arg(long, value_name = "NAME")]
    pub(crate) provider_env: Vec<String>,
    /// Give the program only the variables of the file
    #[arg(long)]
    pub(crate) pristine: bool,
    /// With --pristine: this variable too (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) keep: Vec<String>,
    /// Replace values by ******** in what the program prints
    #[arg(long)]
    pub(crate) mask: bool,
    /// Look for new values this often, and act on them [default with no span: 10s]
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "10s", require_equals = true)]
    pub(crate) watch: Option<String>,
    /// What to do then: restart, or signal:NAME (for files) [default: restart]
    #[arg(long, value_name = "ACTION")]
    pub(crate) on_change: Option<String>,
    /// Whether to make way for the program, which then has this process's number (PID 1 in a container)
    /// [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) exec: Option<ExecArg>,
    /// What values in files are kept in [default: tmpfs]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) files: Option<FilesArg>,
    /// For `docker run` and `docker create`: the values become files in the container, and nothing shows in
    /// `docker inspect`
    #[arg(long)]
    pub(crate) as_files: bool,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Whether to make way for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecArg {
    /// When nothing has to be done at its end
    Auto,
    /// Yes, or not at all
    Always,
    /// No
    Never,
}

/// What values in files are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilesArg {
    /// A file system in memory, for any program to read
    Tmpfs,
    /// Memory without a name, for the program itself and those it starts and hands it on to; nothing is ever left
    Memfd,
}

/// `sealock summon`
#[derive(Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct SummonArgs {
    /// Summon's own command line
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub(crate) arguments: Vec<OsString>,
}
