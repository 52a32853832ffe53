//! The `sluice` command.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice::gateway::{self, CheckOptions, Gateway};

/// Exit status for a mistake in the file, as clap uses it for a mistake in the arguments.
const MISTAKE: u8 = 2;

/// Turns a stock Envoy into an AI gateway, as one gateway.yaml describes it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Finds every mistake in a gateway.yaml
    Check(File),
    /// Prints the JSON Schema of gateway.yaml, for editors
    Schema,
}

/// The file that all subcommands read.
#[derive(clap::Args)]
struct File {
    /// The configuration
    #[arg(default_value = "gateway.yaml", value_name = "FILE")]
    file: PathBuf,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(File { file }) => check(&file),
        Command::Schema => print(sluice::schema::GATEWAY),
    };
    done.unwrap_or_else(|code| code)
}

/// A status to exit with: `Err` ends a subcommand early.
type Done = Result<ExitCode, ExitCode>;

/// Reads the file and says on standard error what is found in it.
fn load(file: &Path) -> Result<Gateway, ExitCode> {
    let (gateway, report) = gateway::load(file, &CheckOptions::process());
    complain(&report.to_string());
    gateway.ok_or_else(|| ExitCode::from(MISTAKE))
}

fn check(file: &Path) -> Done {
    let gateway = load(file)?;
    let (rules, providers) = (gateway.models.len(), gateway.providers.len());
    print(&format!("{}: good; {rules} rules, {providers} providers\n", file.display()))
}

/// A reader that has gone (`sluice schema | head`) is no failure worth words.
fn print(text: &str) -> Done {
    std::io::stdout().write_all(text.as_bytes()).map_err(|_| ExitCode::FAILURE)?;
    Ok(ExitCode::SUCCESS)
}

fn complain(text: &str) {
    // nothing is left to tell it to when standard error is closed
    let _ = std::io::stderr().write_all(text.as_bytes());
}
