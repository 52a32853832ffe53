//! The client within a filter: real callouts, with their deadlines, on more than one worker.

use std::time::Duration;

use serde_json::json;
use sluice_e2e::redis::{Fault, Faults, Options, Redis};
use sluice_e2e::wait;

use crate::road::{Road, Spec};

const DEADLINE_MS: u32 = 100;

/// A late timer on a machine that builds.
const SLACK: Duration = Duration::from_millis(150);

#[test]
fn a_filter_asks_redis() {
    let redis = Redis::start(&Options::password("secret"));
    let node = [redis.address()];
    let road = Road::start(&Spec { password: Some("secret"), asker_ms: Some(1_000), ..Spec::new(&node) });
    let script = json!({"script": "return redis.call('INCR', KEYS[1])", "key": "n"});
    for (commands, want) in [
        (json!([["SET", "k", "7"], ["INCR", "k"]]), "Ok([Ok(Simple([79, 75])), Ok(Integer(8))])"),
        (json!([script]), "Ok([Ok(Integer(1))])"),
        (json!([["INCR", "k"], script]), "Ok([Ok(Integer(9)), Ok(Integer(2))])"),
        (json!([["LPUSH", "k", "x"]]), "Ok([Err(Other(\"WRONGTYPE\"))])"),
        (json!([["QUIT"]]), "Err(Protocol)"),
        (json!([["GET", "absent"]]), "Ok([Ok(Nil)])"),
    ] {
        assert_eq!(road.asked(&commands).0, want, "{commands}");
    }
    assert_eq!(road.stat("wasmcustom.redis_calls_total"), 6);
    assert_eq!(road.stat("wasmcustom.redis_failures_total;kind=other"), 1);
    assert_eq!(road.stat("wasmcustom.redis_failures_total;kind=protocol"), 1);
}

#[test]
fn a_filter_waits_no_longer_than_its_deadline_and_soon_not_at_all() {
    let redis = Redis::start(&Options::default());
    let (faults, get) = (Faults::before(redis.address()), json!([["GET", "k"]]));
    let node = [faults.address()];
    let road = Road::start(&Spec { asker_ms: Some(DEADLINE_MS), workers: 2, ..Spec::new(&node) });
    // On both workers, whichever takes a connection.
    let is_fine = || (0..20).all(|_| road.asked(&get).0 == "Ok([Ok(Nil)])");
    let fine = || wait::until("answers", || is_fine().then_some(()));
    let hang = Fault::Hang;
    let slow = Fault::Delay(Duration::from_millis(200));
    for (round, fault) in [(1, hang), (2, slow)] {
        fine();
        faults.set(fault);
        let opened = || {
            wait::until("both breakers to open", || {
                let (answer, took) = road.asked(&get);
                assert!(answer.starts_with("Err("), "round {round}: {answer}");
                assert!(
                    took < Duration::from_millis(DEADLINE_MS.into()) + SLACK,
                    "round {round}: {answer} {took:?}"
                );
                (road.stat("wasmcustom.redis_breaker_opened_total") >= 2 * round).then_some(())
            })
        };
        opened();
        let (answer, took) = road.asked(&get);
        assert!(answer != "Err(BreakerOpen)" || took < Duration::from_millis(50), "{answer} {took:?}");
        faults.set(Fault::None);
    }
    fine();
    assert!(road.stat("wasmcustom.redis_failures_total;kind=timed_out") >= 10);
}
