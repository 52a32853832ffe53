//! gateway.yaml changes every second, now and then to something wrong, while requests of every kind run.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_e2e::client::Connection;
use sluice_e2e::gateway::Options;
use sluice_e2e::limits::Running;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{Bed, TIMEOUTS, rounds};
use crate::books::Allowed;
use crate::client::Ask;
use crate::traffic;

/// Changes in one round.
const CHANGES: usize = 10;

/// From one change to the next.
const PACE: Duration = Duration::from_secs(1);

/// Sections that change what every filter is told, each in its turn; `{n}` makes each change a new one.
const VARIANTS: [&str; 5] = [
    "log: {prompts: truncated, max_chars: 10{n}}\n",
    "guard: {checks: [{name: round-{n}, keywords: [\"never said {n}\"], action: block}]}\n",
    "cache: {models: \"round-{n}\", memory: 16MiB}\n",
    "hold: {max: {n}s}\n",
    "consumers: [{name: round-{n}, keys: [sk-round-{n}]}, {name: anybody}]\nanonymous: anybody\n",
];

/// What is no gateway.yaml, and what is one with a mistake.
const MISTAKES: [&str; 3] =
    ["hold: [\n", "unknown: {n}\n", "guard: {checks: [{name: bad, regex: \"({n}\", action: block}]}\n"];

/// How often the command has said that it has, or has not, applied a file.
fn said(bed: &Bed) -> (usize, usize) {
    let text = bed.gateway.stderr();
    (text.matches(": applied").count(), text.matches(": not applied").count())
}

/// One change, and what the command says of it.
#[track_caller]
fn change(bed: &Bed, n: usize) {
    let began = Instant::now();
    let (applied, refused) = said(bed);
    if n % 4 == 3 {
        bed.rewrite(
            &(TIMEOUTS.to_owned() + &MISTAKES[n / 4 % MISTAKES.len()].replace("{n}", &n.to_string())),
        );
        wait::until("the mistake to be told", || (said(bed).1 > refused).then_some(()));
    } else {
        let variant = VARIANTS[n % VARIANTS.len()].replace("{n}", &(n + 1).to_string());
        bed.rewrite(&(TIMEOUTS.to_owned() + &variant));
        wait::until("the change to be applied", || (said(bed).0 > applied).then_some(()));
    }
    wait::until("the next second", || (began.elapsed() >= PACE).then_some(()));
}

#[test]
fn no_request_notices_that_the_configuration_changes_every_second() {
    let bed = Bed::start(&Options::default().workers(2), TIMEOUTS);
    let changes = CHANGES * rounds();
    let script = json!({"*": {"events": 100 * changes, "gap_ms": 10}});
    let mut long = Running::begin(bed.gateway.address(), &[], &Ask::new(&bed, "gpt").mock(script).body);
    bed.count_sent();
    let mut kept = Connection::open(bed.gateway.address()).expect("the gateway listens");
    let got = traffic::during(&bed, || {
        for n in 0..changes {
            change(&bed, n);
            let got = Ask::new(&bed, "gpt").send_over(&bed, &mut kept);
            assert!(got.is_whole(), "over a connection that was there before: {got:?}");
        }
    });
    long.read_until("data: [DONE]", 1);
    for (kind, got) in &got {
        assert!(kind.is_fine(got), "{kind:?}: {got:?}");
    }
    let (applied, refused) = said(&bed);
    assert_eq!(applied + refused, changes, "each change is told of once");
    bed.balance(&format!("{changes} changes under {} requests", got.len()), Allowed::default());
}

#[test]
fn a_provider_that_comes_and_goes_in_the_configuration_takes_no_request_with_it() {
    let bed = Bed::start(&Options::default(), TIMEOUTS);
    let other = Upstream::start("a");
    let yaml = |n: usize| {
        let yaml = crate::bed::yaml(&bed.chain, &bed.wild, TIMEOUTS);
        let url = if n.is_multiple_of(2) { other.url() } else { bed.chain[0].url() };
        yaml.replacen(&bed.chain[0].url(), &url, 1)
    };
    let got = traffic::during(&bed, || {
        for n in 0..4 * rounds() {
            let (applied, began) = (said(&bed).0, Instant::now());
            bed.gateway.rewrite(&yaml(n));
            wait::until("the change to be applied", || (said(&bed).0 > applied).then_some(()));
            wait::until("the next second", || (began.elapsed() >= PACE).then_some(()));
        }
    });
    for (kind, got) in &got {
        assert!(kind.is_fine(got), "{kind:?}: {got:?}");
    }
    assert!(!other.requests().is_empty() && !bed.chain[0].requests().is_empty());
    let records = bed.every_request_is_recorded("a provider's address changes", Allowed::default());
    bed.is_booked("a provider's address changes", crate::books::Sums::of(&records));
}
