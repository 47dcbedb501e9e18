//! What CI runs, as commands: `cargo xtask test`, `lint`, `layers`, `deny`, `fuzz`, `bench`.
//!
//! Each command prints what it starts, so that a person can repeat a step by hand. Nothing here is
//! part of the product, and nothing in the product depends on it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool for developers"
)]

mod bench;
mod clients;
mod counts;
mod deny;
mod docs;
mod fuzz;
mod layers;
mod run;
mod test;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  test [ARG…]          everything, with real clients and a real engine; ARG… goes to the test runner
  lint                 format and clippy; warnings are errors
  layers               holds the table of allowed imports against the real dependencies
  deny                 licences, bans, sources; advisories where their database can be reached
  fuzz [--seconds N] [TARGET…]
                       N seconds (default 5) of every fuzz target, or of those named
  bench [--quick] [GROUP…]
                       us against our peers; figures are kept in bench/results
  docs [--check]       writes docs/reference anew, or fails when it is stale

With CI=true, what is missing is installed or fails; without, it is named and skipped.
";

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut arguments: Vec<String>) -> Result<()> {
    if arguments.is_empty() {
        print!("{HELP}");
        bail!("no command given");
    }
    let command = arguments.remove(0);
    std::env::set_current_dir(run::repository()?)?;
    match command.as_str() {
        "test" => test::run(&arguments),
        "lint" => lint(),
        "layers" => layers::run(),
        "deny" => deny::run(),
        "fuzz" => fuzz::run(&arguments),
        "bench" => bench::run(&arguments),
        "docs" => docs::run(&arguments),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command {other:?}; `cargo xtask help` lists them"),
    }
}

fn lint() -> Result<()> {
    run::cargo(&["fmt", "--all", "--", "--check"])?;
    run::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--", "--check"])?;
    run::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}
