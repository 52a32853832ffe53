//! Measures the filters and the pure cores under them, natively or as wasm; `bench/micro/run` does both.
//!
//! `micro [--rounds N] [--only TEXT] [--calls] [--table]` prints a line of JSON for each figure (`bench/README.md`);
//! `--table` prints medians instead, `--calls` how often each filter calls its host, and measures nothing.

#![allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "it measures: no part of a filter, and wrong only in a figure"
)]

mod bed;
mod chain;
mod clock;
mod cores;
mod harness;
mod policy;
mod texts;

use std::error::Error;
use std::io::{self, Write};

use crate::harness::Case;

const ROUNDS: u32 = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read(std::env::args().skip(1))?;
    let mut out = io::stdout().lock();
    let mut parts = policy::parts()?;
    parts.retain(|part| part.name.contains(&options.only));
    if options.calls {
        return Ok(calls(&mut parts, &mut out)?);
    }
    let mut cases: Vec<Case> = parts.into_iter().map(policy::Part::case).collect();
    cases.extend(cores::cases()?);
    cases.retain(|case| case.workload.contains(&options.only));
    let name = if cfg!(target_family = "wasm") { "wasm" } else { "native" };
    let lines = harness::measure(&mut cases, options.rounds);
    Ok(if options.table { harness::table(&lines, &mut out) } else { harness::write(&lines, name, &mut out) }?)
}

struct Options {
    rounds: u32,
    only: String,
    calls: bool,
    table: bool,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { rounds: ROUNDS, only: String::new(), calls: false, table: false };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => options.rounds = words.next().ok_or("--rounds: how many?")?.parse()?,
                "--only" => options.only = words.next().ok_or("--only: which?")?,
                "--calls" => options.calls = true,
                "--table" => options.table = true,
                _ => return Err(format!("{word}: not known").into()),
            }
        }
        Ok(options)
    }
}

fn calls(parts: &mut [policy::Part], out: &mut impl Write) -> io::Result<()> {
    for part in parts {
        let calls = part.calls();
        let some = bed::CALLS.iter().zip(calls).filter(|(_, count)| *count > 0);
        let words: Vec<String> = some.map(|((_, name), count)| format!("{count} {name}")).collect();
        writeln!(out, "{:<48} {:>4}: {}", part.name, calls.iter().sum::<u64>(), words.join(", "))?;
    }
    Ok(())
}
