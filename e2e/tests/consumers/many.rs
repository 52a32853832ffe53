//! A hundred thousand consumers.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use sluice_e2e::gateway::{self, Options};
use sluice_e2e::upstream::Upstream;

use crate::people::{ask_as, key, providers, sha256};

const MANY: usize = 100_000;

/// Bounds for the command as it is built for tests, on a machine with much other work: anything that looks at every
/// consumer for each consumer takes hours. As released it takes seconds.
const CHECK: Duration = Duration::from_secs(180);
const START: Duration = Duration::from_secs(240);

fn consumers() -> String {
    let mut text = "consumers:\n".to_owned();
    for n in 0..MANY {
        let (name, tier) = (format!("member-{n:06}"), ["gold", "silver", "bronze"][n % 3]);
        let hash = sha256(&key(&name));
        let _ = writeln!(text, "  - {{name: {name}, tier: {tier}, keys: [\"sha256:{hash}\"]}}");
    }
    text
}

/// `sluice check` finds no mistake in `yaml`, and is done in time.
fn check(yaml: &str) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, format!("version: 1\n{yaml}")).expect("a file");
    let began = Instant::now();
    let output =
        Command::new(gateway::binary()).arg("check").arg(&file).output().expect("the sluice command");
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{}", said.lines().take(20).collect::<String>());
    assert!(took < CHECK, "checked in {took:?}");
}

#[test]
fn a_hundred_thousand_consumers_are_checked_started_and_told_apart() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let yaml = format!(
        "{}{}models: [{{match: \"*\", targets: [{{provider: a}}]}}]\n",
        providers(&a, &b),
        consumers()
    );
    check(&yaml);
    let gateway = Options::default().patience(START).start(&yaml);
    for n in [0, MANY / 2, MANY / 2 + 1, MANY - 1] {
        let name = format!("member-{n:06}");
        assert_eq!(ask_as(&gateway, &name, &name).status, 200);
        let record = gateway.ai_log(&name);
        assert_eq!(
            (record["consumer"].as_str(), record["tier"].as_str()),
            (Some(name.as_str()), Some(["gold", "silver", "bronze"][n % 3]))
        );
    }
    for nobody in [format!("member-{MANY:06}"), "member-50000".to_owned()] {
        let reply = ask_as(&gateway, &nobody, "gpt-4o");
        assert_eq!((reply.status, reply.code().as_str()), (401, "invalid_api_key"));
    }
}
