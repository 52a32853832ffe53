//! `sluice-bench`: runs the lab; `scripts/bench` builds and calls it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sluice_bench::lab::{self, Effort, Lab};
use sluice_bench::machine::Run;
use sluice_bench::record::Figures;
use sluice_bench::subject::{Around, Variant};
use sluice_bench::workload::{self, Workload};
use sluice_bench::{Failure, provider, report, say};

/// Measures the gateway beside a bare Envoy, and writes the report.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A few short rounds of everything, to see that it works
    #[arg(long)]
    quick: bool,
    /// Only these workloads
    #[arg(long, value_delimiter = ',', value_name = "WORKLOAD")]
    only: Vec<String>,
    /// The long run instead of the ordinary one: memory over 1,000,000 requests and 1,000 reloads
    #[arg(long)]
    memory: bool,
    /// Rounds of each workload
    #[arg(long)]
    rounds: Option<u32>,
    /// Whom to measure: `bare`, NAME of bench/gateways, NAME-native, NAME=FILE; each with @DIST for another build's modules
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "bare,whole,whole-native,everything,everything-native"
    )]
    variants: Vec<String>,
    /// Folder for the raw figures
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// Folder for the report that is made of all figures in FOLDER; without it a summary is printed
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Measure nothing: only make the report
    #[arg(long, requires = "report")]
    report_only: bool,
    /// Lists the workloads
    #[arg(long)]
    list: bool,
}

impl Arguments {
    fn workloads(&self) -> Result<Vec<&'static Workload>, Failure> {
        if let Some(unknown) = self.only.iter().find(|only| workload::ALL.iter().all(|one| one.name != *only))
        {
            return Err(format!("{unknown} is no workload; see --list").into());
        }
        let is_wanted = |one: &&Workload| match self.only.as_slice() {
            [] => one.long == self.memory,
            only => only.iter().any(|only| only == one.name),
        };
        Ok(workload::ALL.iter().filter(is_wanted).collect())
    }

    fn effort(&self) -> Effort {
        let effort = if self.quick { Effort::QUICK } else { Effort::FULL };
        Effort { rounds: self.rounds.unwrap_or(effort.rounds), ..effort }
    }

    fn measure(&self) -> Result<(), Failure> {
        let run = Run::begin(&std::env::args().skip(1).collect::<Vec<_>>());
        allow_many_files()?;
        lab::make_room();
        let around = Around { provider: provider::start()?, redis: None };
        let file = if self.memory { "memory.jsonl" } else { "gateway.jsonl" };
        let mut lab = Lab::new(self.effort(), around, &self.out.join(file))?;
        let variants: Vec<_> = self.variants.iter().map(|text| Variant::parse(text)).collect();
        for workload in self.workloads()? {
            workload.run(&mut lab, &variants)?;
        }
        // The long run adds to an ordinary one, which says where and with what.
        if self.memory && Run::read(&self.out).is_ok() { Ok(()) } else { run.end(&self.out) }
    }

    fn run(&self) -> Result<(), Failure> {
        if self.list {
            return list();
        }
        if !self.report_only {
            self.measure()?;
        }
        match &self.report {
            Some(folder) => report::write(&self.out, folder),
            None => Ok(write!(std::io::stdout(), "{}", report::summary(&Figures::read(&self.out)?))?),
        }
    }
}

fn list() -> Result<(), Failure> {
    for workload in workload::ALL {
        writeln!(std::io::stdout(), "{:<18}{}", workload.name, workload.about)?;
    }
    Ok(())
}

/// 5,000 open streams take three times as many files; Envoy takes the limit over.
fn allow_many_files() -> Result<(), Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}
