//! `sluice-bench`: runs the lab; `scripts/bench` builds and calls it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sluice_bench::lab::{self, Effort, Lab};
use sluice_bench::record::Figures;
use sluice_bench::subject::{Around, Filter, Variant};
use sluice_bench::workload::Chat;
use sluice_bench::{Failure, provider, report, say};

/// Measures the gateway beside a bare Envoy.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A few short rounds of everything, to see that it works
    #[arg(long)]
    quick: bool,
    /// Only these workloads
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each workload
    #[arg(long)]
    rounds: Option<u32>,
    /// Whom to measure at the chat workloads: NAME of bench/gateways, NAME=FILE; with @DIST another build's modules
    #[arg(long, value_delimiter = ',', default_value = "bare,whole,everything")]
    variants: Vec<String>,
    /// Folder for the raw figures
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

const CHATS: [Chat; 3] = [
    Chat::whole("chat-1k", 1_024),
    Chat::whole("chat-16k", 16 * 1_024),
    Chat::whole("chat-128k", 128 * 1_024),
];

fn run(arguments: &Arguments) -> Result<(), Failure> {
    lab::make_room();
    let around = Around { provider: provider::start(0)?, redis: None };
    let mut effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    effort.rounds = arguments.rounds.unwrap_or(effort.rounds);
    let mut lab = Lab::new(effort, around, &arguments.out)?;
    let variants: Vec<_> = arguments.variants.iter().map(|text| Variant::parse(text)).collect();
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name);
    for chat in CHATS.iter().filter(|chat| wanted(chat.name)) {
        chat.run(&mut lab, &variants)?;
    }
    if wanted("plugins-1k") {
        let mut alone = vec![Variant::bare()];
        alone.extend(Filter::ALL.map(Variant::filter));
        Chat::whole("plugins-1k", 1_024).run(&mut lab, &alone)?;
    }
    say(&report::summary(&Figures::read(&arguments.out)?));
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}
