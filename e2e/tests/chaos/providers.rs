//! Providers that reset, stall, trickle, lie about lengths, never end, and speak no HTTP, JSON or UTF-8.

use serde_json::Value;
use sluice_e2e::gateway::Options;
use sluice_e2e::wild::{BROKEN, HEADS, LARGE, LARGE_BYTES, SILENT, WHOLE};

use crate::bed::{Bed, IMPATIENT, TIMEOUTS, rounds};
use crate::books::{Allowed, Peak};
use crate::client::{Ask, Got, send_all};

/// Bytes by which Envoy may grow while it passes a gibibyte on.
const PASSING: u64 = 160 << 20;

/// What may come of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A whole answer, by the wild provider.
    Answered,
    /// A whole answer, by the next provider.
    Replaced,
    /// One clean error of the gateway.
    Refused,
    /// An answer that visibly breaks off.
    Broken,
    /// The provider's own status, with what belongs to it.
    Passed,
}

use Outcome::{Answered, Broken, Passed, Refused, Replaced};

impl Outcome {
    fn is(self, got: &Got) -> bool {
        let by_wild = got.tail.contains("\"wild\"");
        match self {
            Answered => got.is_whole() && by_wild,
            Replaced => got.is_whole() && !by_wild,
            Refused => got.is_refused(),
            Broken => got.is_broken(),
            Passed => got.status == 999 && got.clean,
        }
    }
}

/// What may come of a request to a provider that acts like this. `alone`: there is no other provider.
fn wanted(act: &str, alone: bool, stream: bool) -> Vec<Outcome> {
    let replaced = if alone { Refused } else { Replaced };
    match (act, stream) {
        ("status_999", _) => vec![Passed],
        // Envoy (1.40) reads any version of HTTP for 1.1.
        ("bad_version", _) => vec![Answered],
        // After an answer of 1xx Envoy's router (1.40) tries no other, and its time for the attempt does not end.
        ("endless_continue", _) => vec![Refused],
        ("stall_in_body", true) => vec![Broken],
        (_, false) if SILENT.contains(&act) => vec![Refused],
        ("reset_after_head" | "close_after_head" | "utf8_head", true) => vec![replaced],
        // Whether content has gone out depends on what Envoy reads at once.
        (_, true) if BROKEN.contains(&act) => vec![replaced, Broken],
        _ if WHOLE.contains(&act) => vec![Answered],
        _ => vec![replaced],
    }
}

/// Every act, of a provider that stands alone and of one that another stands behind, whole and as a stream.
#[track_caller]
fn act(bed: &Bed, scenario: &str, acts: &[&str]) {
    let mut cases = Vec::new();
    for act in acts {
        for (family, alone) in [("lone", true), ("wild", false)] {
            for stream in [false, true] {
                let ask = Ask::new(bed, family).stream(stream).wild(act);
                cases.push((ask, format!("{act}, {family}, stream {stream}"), wanted(act, alone, stream)));
            }
        }
    }
    let asks: Vec<Ask> = cases.iter().map(|(ask, ..)| ask.clone()).collect();
    for (got, (_, case, wanted)) in send_all(bed, &asks).iter().zip(&cases) {
        assert!(wanted.iter().any(|outcome| outcome.is(got)), "{case}: not {wanted:?} but {got:?}");
    }
    bed.balance(scenario, Allowed::default());
}

#[test]
fn whatever_a_provider_sends_the_client_gets_an_answer_an_error_or_a_visible_break() {
    let bed = Bed::start(&Options::default().workers(2), TIMEOUTS);
    for _ in 0..rounds() {
        act(&bed, "providers that answer in their way", &WHOLE);
        act(&bed, "providers whose answers have no good head", &HEADS);
        act(&bed, "providers that break their answers off", &BROKEN);
    }
}

#[test]
fn whoever_falls_silent_is_given_up_in_time() {
    let bed = Bed::start(&Options::default(), IMPATIENT);
    for _ in 0..rounds() {
        act(&bed, "providers that fall silent", &SILENT);
    }
}

#[test]
fn an_answer_of_a_gibibyte_passes_in_bounded_memory_and_is_paid_for() {
    let bed = Bed::start(&Options::default(), "timeouts: {request: 60s}\n");
    for (act, stream) in [(LARGE[0], false), (LARGE[0], true), (LARGE[1], true)] {
        let ask = Ask::new(&bed, "wild").stream(stream).wild(act);
        let (got, peak) = Peak::during(&bed.gateway, || ask.send(&bed));
        let case = format!("{act}, stream {stream}: {} MB, {:?}", peak >> 20, got.took);
        eprintln!("{case}");
        assert!(got.is_whole() && got.bytes > LARGE_BYTES, "{case}: {} {}", got.status, got.bytes);
        assert!(peak < bed.before.memory() + PASSING, "{case}");
        let records = bed.balance(&case, Allowed::default());
        let record = of(&records, &ask.model);
        assert!(record["output_tokens"].as_u64() > Some(0), "{case}: {record}");
    }
    let leaves = Ask::new(&bed, "wild").wild(LARGE[0]).leaves_after(50 << 20);
    assert!(leaves.send(&bed).bytes >= 50 << 20);
    let records = bed.balance("a client that leaves within a gibibyte", Allowed::default());
    assert_eq!(of(&records, &leaves.model)["end"], "client_gone");
}

#[test]
fn an_answer_of_a_gibibyte_ends_with_the_deadline() {
    let bed = Bed::start(&Options::default(), "timeouts: {request: 1s}\n");
    for stream in [false, true] {
        let ask = Ask::new(&bed, "wild").stream(stream).wild(LARGE[0]);
        let got = ask.send(&bed);
        // A fast machine passes all of it in time.
        assert!(
            got.is_whole() || (got.status == 200 && !got.clean),
            "{stream}: {} {}",
            got.status,
            got.bytes
        );
    }
    bed.balance("a gibibyte within a second", Allowed::default());
}

/// The record of the request for `model`.
#[track_caller]
pub(crate) fn of<'a>(records: &'a [Value], model: &str) -> &'a Value {
    records.iter().find(|record| record["model"] == model).unwrap_or_else(|| panic!("no record of {model}"))
}
