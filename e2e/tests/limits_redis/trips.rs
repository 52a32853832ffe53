//! What Redis costs a request: one round trip before it, and none after it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::Connection;
use serde_json::json;
use sluice_e2e::gateway::Gateway;
use sluice_e2e::redis::{Fault, Faults, Options, Redis};
use sluice_e2e::upstream::Upstream;

use crate::bed::{self, Ledger, PATIENT, Stream, TOTAL};

/// Three limits of one decision.
const LIMITS: &str = "limits:
  - {name: requests, requests: 100000, per: 1h}
  - {name: at-once, in_flight: 100}
  - {name: total, total_tokens: 1000000, per: 1h}\n";

/// How often each command has come from a client; those that scripts run are counted too, under their own names.
fn calls(connection: &mut Connection) -> HashMap<String, u64> {
    let info: String = redis::cmd("INFO").arg("commandstats").query(connection).expect("statistics");
    let read = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    info.lines().filter_map(read).collect()
}

#[test]
fn a_request_is_one_round_trip_to_reserve_and_one_to_settle_however_many_limits_it_meets() {
    let (redis, provider) = (Redis::start(&Options::default()), Upstream::start("a"));
    let gateway =
        Gateway::start(&bed::yaml(&provider, &(LIMITS.to_owned() + &bed::redis(redis.address(), PATIENT))));
    let mut connection = redis.connect();
    assert_eq!(gateway.chat(&bed::chat("gpt-first", &json!({}))).status, 200);
    Ledger::settled(TOTAL).becomes(&mut connection, "total");
    let first = calls(&mut connection);
    let of = |calls: &HashMap<String, u64>, name: &str| calls.get(name).copied().unwrap_or(0);
    assert_eq!((of(&first, "evalsha"), of(&first, "eval")), (2, 1), "the source went once");

    for n in 0..20 {
        let body = bed::chat("gpt-trips", &json!({"stream": n % 2 == 0}));
        assert_eq!(gateway.chat(&body).status, 200);
    }
    Ledger::settled(21).becomes(&mut connection, "requests");
    Ledger::settled(21 * TOTAL).becomes(&mut connection, "total");
    Ledger::default().becomes(&mut connection, "at-once");
    let then = calls(&mut connection);
    assert_eq!((of(&then, "evalsha"), of(&then, "eval")), (2 + 40, 1));
}

#[test]
fn a_client_does_not_wait_for_its_settlement() {
    const SLOW: Duration = Duration::from_secs(4);
    let (redis, provider) = (Redis::start(&Options::default()), Upstream::start("a"));
    let faults = Faults::before(redis.address());
    let gateway =
        Gateway::start(&bed::yaml(&provider, &(LIMITS.to_owned() + &bed::redis(faults.address(), PATIENT))));
    let mut connection = redis.connect();
    for fault in [Fault::Delay(SLOW), Fault::Hang, Fault::Reset] {
        let booked = Ledger::read(&mut connection, "total").used;
        let stream = Stream::begin(&gateway, "gpt-slow", &json!({"gap_ms": 10}));
        faults.set(fault.clone());
        let began = Instant::now();
        stream.end();
        assert!(began.elapsed() < SLOW / 2, "{fault:?}: {:?}", began.elapsed());
        faults.set(Fault::None);
        Ledger::settled(booked + TOTAL).becomes(&mut connection, "total");
    }
    assert_eq!(bed::counter(&gateway, "token_limit_unsettled_total"), 0);
}
