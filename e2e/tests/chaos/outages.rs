//! Redis and a moderation service are killed, stopped and slowed under load, and come back.

use std::time::Duration;

use serde_json::Value;
use sluice_e2e::gateway::Options;
use sluice_e2e::redis::{Fault, Faults, Options as RedisOptions, Redis};
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{Bed, TIMEOUTS, rounds};
use crate::books::{Allowed, Sums};
use crate::client::{Ask, Got};
use crate::traffic::{self, Kind};

/// Requests that each outage lasts for.
const REQUESTS: usize = 40;

/// What is wrong with Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    Killed,
    Stopped,
    Slow,
    Cut,
}

/// A Redis whose disk outlives it, behind faults.
struct Store {
    redis: Redis,
    faults: Faults,
}

impl Store {
    fn start() -> Self {
        let redis = Redis::start(&RedisOptions::default().args("--appendonly yes --appendfsync always"));
        let faults = Faults::before(redis.address());
        Self { redis, faults }
    }

    fn fail(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => self.redis.kill(),
            Outage::Stopped => self.redis.pause(),
            Outage::Slow => self.faults.set(Fault::Delay(Duration::from_millis(1_500))),
            Outage::Cut => self.faults.set(Fault::Reset),
        }
    }

    fn mend(&mut self, outage: Outage) {
        match outage {
            Outage::Killed => self.redis.restart(),
            Outage::Stopped => self.redis.resume(),
            Outage::Slow | Outage::Cut => self.faults.set(Fault::None),
        }
    }
}

fn sections(store: &Store, on_error: &str) -> String {
    let address = store.faults.address();
    format!("{TIMEOUTS}redis: {{url: \"redis://{address}\", timeout: 500ms, on_error: {on_error}}}\n")
}

/// Requests on which Redis has decided, and that nobody else has booked.
fn decided(records: &[Value]) -> Vec<Value> {
    records.iter().filter(|record| record["limit"] == "admitted").cloned().collect()
}

/// What may come of a request while Redis is away, or has just come back.
fn is_fine(on_error: &str, kind: Kind, got: &Got) -> bool {
    let refused = got.status == 503 && got.code == "limits_unavailable";
    kind.is_fine(got) || (on_error == "deny" && refused)
}

/// The load goes on for so many requests.
fn pass(bed: &Bed) {
    let before = bed.sent();
    wait::until("requests to pass", || (bed.sent() >= before + REQUESTS).then_some(()));
}

/// So many connections in a row, one after the other, that each worker has had one: each has a breaker of its own.
const CONNECTIONS: usize = 16;

/// Waits until Redis decides again, for every worker.
fn recovers(bed: &Bed) {
    let decides = || {
        let ask = Ask::new(bed, "gpt");
        ask.send(bed);
        let record = wait::until("its record", || {
            bed.gateway.access_log().into_iter().find(|line| line["ai_log"]["model"] == ask.model.as_str())
        });
        record["ai_log"]["limit"] == "admitted"
    };
    wait::until("Redis to decide again", || (0..CONNECTIONS).all(|_| decides()).then_some(()));
}

#[track_caller]
fn endures(on_error: &str) {
    let mut store = Store::start();
    let bed = Bed::start(&Options::default().workers(2), &sections(&store, on_error));
    for _ in 0..rounds() {
        for outage in [Outage::Killed, Outage::Stopped, Outage::Slow, Outage::Cut] {
            let got = traffic::during(&bed, || {
                pass(&bed);
                store.fail(outage);
                pass(&bed);
                store.mend(outage);
                recovers(&bed);
            });
            for (kind, got) in &got {
                assert!(is_fine(on_error, *kind, got), "{outage:?}, {kind:?}: {got:?}");
            }
            let scenario = format!("Redis {outage:?}, on_error {on_error}");
            bed.balance_of(&scenario, Allowed::default(), |records| Sums::of(&decided(records)));
        }
    }
}

#[test]
fn with_deny_no_outage_of_redis_lets_a_token_pass_uncounted() {
    endures("deny");
}

#[test]
fn with_local_no_outage_of_redis_is_noticed() {
    endures("local");
}

/// What is wrong with the moderation service.
const FAULTS: [&str; 6] = [
    r#"{"hang": true}"#,
    r#"{"reset": true}"#,
    r#"{"status": 500}"#,
    r#"{"delay_ms": 1500}"#,
    r#"{"body": "\u0000no JSON"}"#,
    r#"{"hang_first_token": true}"#,
];

/// A service that is dead, hangs, is slow or talks nonsense, and returns.
#[track_caller]
fn guards(on_error: &str) {
    let mut service = Upstream::start("service");
    let address = service.address();
    let guard = format!(
        "guard: {{on_error: {on_error}, checks: [{{name: asked, url: \"http://{address}/v1/moderations\", timeout: 800ms}}]}}\n"
    );
    let bed = Bed::start(&Options::default().workers(2), &(TIMEOUTS.to_owned() + &guard));
    let is_fine = |kind: Kind, got: &Got| {
        let refused = got.status == 503 && got.code == "guard_unavailable";
        let withheld = got.status == 200 && got.tail.contains("guard_unavailable");
        kind.is_fine(got) || (on_error == "deny" && (refused || withheld || got.status == 400))
    };
    for _ in 0..rounds() {
        for fault in FAULTS {
            let got = traffic::during(&bed, || {
                service.script(Script::json(serde_json::from_str(fault).expect("JSON")));
                pass(&bed);
                service.script(Script::default());
                returns(&bed);
            });
            for (kind, got) in &got {
                assert!(is_fine(*kind, got), "{fault}, {kind:?}: {got:?}");
            }
        }
        let got = traffic::during(&bed, || {
            drop(std::mem::replace(&mut service, Upstream::start("elsewhere")));
            pass(&bed);
            service = wait::until("the port to be free", || {
                Upstream::listen("service", &address.to_string(), None).ok()
            });
            returns(&bed);
        });
        for (kind, got) in &got {
            assert!(is_fine(*kind, got), "dead, {kind:?}: {got:?}");
        }
    }
    bed.balance(&format!("a moderation service that fails, on_error {on_error}"), Allowed::default());
}

/// Waits until every worker asks the service again: what it objects to is refused, the rest passes.
#[track_caller]
fn returns(bed: &Bed) {
    let asks = || {
        let refused = Ask::new(bed, "gpt").says("violence, and more of the same kind.....").send(bed);
        refused.code == "content_policy_violation" && Ask::new(bed, "gpt").send(bed).is_whole()
    };
    wait::until("the service to be asked again", || (0..CONNECTIONS).all(|_| asks()).then_some(()));
}

#[test]
fn with_deny_nothing_passes_that_a_moderation_service_could_not_judge() {
    guards("deny");
}

#[test]
fn with_allow_no_outage_of_a_moderation_service_is_noticed() {
    guards("allow");
}
