//! The report of a small run, held against the one that is kept; `SLUICE_BLESS=1` writes it anew.

use std::path::Path;

use super::{number, write};
use crate::machine::Run;
use crate::record::{Figure, Recorder};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");

fn figure(words: [&str; 5], round: u32, value: f64) -> Figure {
    let [suite, workload, name, metric, unit] = words.map(str::to_owned);
    Figure { suite, workload, name, metric, unit, round, value, version: None }
}

fn figures() -> Vec<Figure> {
    let mut figures = Vec::new();
    for (round, bare, whole) in [(1, 40.0, 76.0), (2, 42.0, 84.0), (3, 41.0, 90.2)] {
        figures.push(figure(["gateway", "chat-1k", "whole", "cpu", "us"], round, whole));
        figures.push(figure(["gateway", "chat-1k", "bare", "cpu", "us"], round, bare));
        figures.push(figure(["gateway", "chat-128k", "whole", "cpu", "us"], round, whole * 2.0));
        figures.push(figure(["gateway", "chat-128k", "bare", "cpu", "us"], round, bare * 2.0));
        figures.push(figure(["gateway", "plugins-1k", "bare", "cpu", "us"], round, bare));
        figures.push(figure(["gateway", "plugins-1k", "ai-log", "cpu", "us"], round, bare + 9.0));
        figures.push(figure(["peers", "chat-1k", "bare", "cpu", "us"], round, bare));
        let peer = figure(["peers", "chat-1k", "litellm", "cpu", "us"], round, 13_153.0);
        figures.push(Figure { version: Some("1.80.0".to_owned()), ..peer });
        figures.push(figure(["micro", "json scan, 16 KB", "native", "rate", "MB/s"], round, 2_400.0));
        figures.push(figure(["micro", "json scan, 16 KB", "wasm", "rate", "MB/s"], round, 1_200.0));
        figures.push(figure(["micro", "limit: decide", "native", "rate", "1/s"], round, 2_500_000.0));
    }
    for look in 1..=20 {
        figures.push(figure(
            ["gateway", "requests", "whole", "rss", "MB"],
            look,
            90.0 + f64::from(look) / 10.0,
        ));
    }
    figures
}

fn run() -> Run {
    Run {
        date: "2026-11-22 13:00 UTC".to_owned(),
        cpu: "A processor <fast>".to_owned(),
        cores: 2,
        memory_mb: 16_000,
        kernel: "Linux 6".to_owned(),
        envoy: "1.40.0".to_owned(),
        commit: "abc1234".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        command: "scripts/bench".to_owned(),
        load: vec!["0.10".to_owned()],
    }
}

#[test]
fn the_report_of_a_run_is_as_expected() {
    let (results, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut recorder = Recorder::create(&results.path().join("all.jsonl")).unwrap();
    for figure in figures() {
        recorder.write(&figure).unwrap();
    }
    run().end(results.path()).unwrap();
    let mut read = Run::read(results.path()).unwrap();
    read.load = run().load; // the second value is this machine's
    std::fs::write(results.path().join("run.json"), serde_json::to_string(&read).unwrap()).unwrap();
    std::fs::write(results.path().join("peers-missing.txt"), "portkey: not installed\n").unwrap();
    write(results.path(), folder.path()).unwrap();
    for name in ["report.md", "charts/cpu.svg", "charts/peers.svg", "charts/memory.svg"] {
        let written = std::fs::read_to_string(folder.path().join(name)).unwrap();
        let golden = Path::new(GOLDEN).join(name);
        if std::env::var_os("SLUICE_BLESS").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &written).unwrap();
        }
        assert_eq!(written, std::fs::read_to_string(&golden).unwrap_or_default(), "{name}");
    }
}

#[test]
fn numbers_have_as_many_digits_as_tell_something() {
    let table = [
        (0.123, "0.12"),
        (9.0, "9.00"),
        (42.34, "42.3"),
        (421.7, "422"),
        (13_153.4, "13,153"),
        (-1_000.0, "-1,000"),
    ];
    for (value, text) in table {
        assert_eq!(number(value), text);
    }
    assert_eq!(number(1_234_567.0), "1,234,567");
}
