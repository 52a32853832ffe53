//! What is told of decisions: facts for the record, the gauge of leases, the counter of overshoot.
#![allow(clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use super::*;

const ADMITTED: &str = "*6\r\n:1\r\n:-1\r\n:45\r\n:0\r\n:60000\r\n:30\r\n";
const REFUSED: &str = "*6\r\n:0\r\n:0\r\n:205\r\n:9000\r\n:60000\r\n:0\r\n";

/// What was decided, how full the fullest limit is, and when, in microseconds since 10:00 o'clock.
fn told(host: &FakeHost) -> (String, String, Option<u64>) {
    let text = |fact: context::Fact| fact.get(host).unwrap_or_default();
    let us = context::LIMITED_US.number(host).map(|us| us - 1_700_000_000_000_000);
    (text(context::LIMIT), text(context::LIMIT_FILL), us)
}

fn told_so(limit: &str, fill: &str, us: u64) -> (String, String, Option<u64>) {
    (limit.to_owned(), fill.to_owned(), Some(us))
}

#[test]
fn a_decision_tells_its_time_and_the_fullest_limit() {
    let limits = json!([
        {"name": "wide", "total_tokens": 1000, "per_ms": 60_000},
        {"name": "tokens", "by": ["consumer"], "total_tokens": 100, "per_ms": 60_000},
        {"name": "requests", "requests": 10, "per_ms": 60_000},
    ]);
    let (mut host, config) = (FakeHost::default(), config(limits));
    let mut open = Vec::new();
    for (us, limit, fill) in [
        (0, "admitted", "30:tokens"),
        (1_000, "admitted", "60:tokens"),
        (2_000, "admitted", "90:tokens"),
        (3_000, "refused:tokens", "90:tokens"),
    ] {
        host.now_ns = 1_700_000_000_000_000_999 + us * 1_000;
        open.push(ask(&mut host, &config, "ann").0);
        assert_eq!(told(&host), told_so(limit, fill, us));
    }
    serve(&mut host, &mut open[0], [150, 30]);
    open.push(ask(&mut host, &config, "ann").0);
    assert_eq!(told(&host), told_so("refused:tokens", "240:tokens", 3_000), "debt and what is held");
    for filter in &mut open[1..] {
        filter.on_done(&mut host);
    }
    ask(&mut host, &config, "bob");
    assert_eq!(told(&host), told_so("admitted", "30:tokens", 3_000), "a bucket of another is not looked at");
}

#[test]
fn of_equally_full_limits_the_first_is_told() {
    let limits = json!([
        {"name": "first", "total_tokens": 100, "per_ms": 60_000},
        {"name": "second", "total_tokens": 100, "per_ms": 60_000},
    ]);
    let (mut host, config) = (FakeHost::default(), config(limits));
    ask(&mut host, &config, "ann");
    assert_eq!(context::LIMIT_FILL.get(&host).as_deref(), Some("30:first"));
}

#[test]
fn nothing_is_told_where_nothing_was_decided() {
    let mut host = FakeHost::default();
    let limit = json!([{"name": "a", "models": ["other"], "requests": 1, "per_ms": 1000}]);
    ask(&mut host, &config(limit), "ann");
    assert_eq!(told(&host), (String::new(), String::new(), None));
    shown(&mut host, &config(tokens()), "ann", 0);
    assert_eq!(told(&host), (String::new(), String::new(), None));
}

/// What Redis does with a question.
#[derive(Clone, Copy, Debug)]
enum Redis {
    Says(&'static str),
    Fails,
    IsNotAsked,
}

fn ask_redis(host: &mut FakeHost, on_error: &str, redis: Redis) -> (Rc<Config>, TokenLimit, Next) {
    let config = in_redis(tokens(), on_error);
    host.refuse_callouts = matches!(redis, Redis::IsNotAsked);
    let (mut filter, next) = ask(host, &config, "ann");
    host.now_ns += 2_000_000;
    let id = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    let next = match redis {
        Redis::Says(reply) => filter.on_callout(host, id, redis_reply(reply)).unwrap(),
        Redis::Fails => filter.on_callout(host, id, Err(CalloutError::NotAnswered)).unwrap(),
        Redis::IsNotAsked => next,
    };
    (config, filter, next)
}

#[test]
fn what_redis_decided_is_told_when_it_has_answered() {
    use Redis::{Fails, Says};
    for (on_error, redis, limit, fill) in [
        ("deny", Says(ADMITTED), "admitted", "45:tokens"),
        ("deny", Says(REFUSED), "refused:tokens", "205:tokens"),
        ("local", Fails, "admitted_locally", "30:tokens"),
        ("allow", Fails, "admitted_unchecked", ""),
        ("deny", Fails, "refused_unchecked", ""),
    ] {
        let mut host = FakeHost::default();
        ask_redis(&mut host, on_error, redis);
        assert_eq!(told(&host), told_so(limit, fill, 2_000), "{on_error} {redis:?}");
    }
}

fn leases(host: &FakeHost) -> i64 {
    host.gauges.get("token_limit_leases").copied().unwrap_or_default()
}

/// How an exchange goes on after the decision.
type End = fn(&mut FakeHost, &mut TokenLimit);

const ENDS: [(&str, End); 5] = [
    ("served", |host, filter| serve(host, filter, [12, 5])),
    ("left at once", |host, filter| filter.on_done(host)),
    ("left amid the answer", |host, filter| {
        host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
        filter.on_response_headers(host, false);
        filter.on_response_body(host, b"data: {}\n\n", false);
        filter.on_done(host);
    }),
    ("refused by the provider", |host, filter| {
        host.respond(&[(":status", "500"), ("content-type", "application/json")]);
        filter.on_response_headers(host, true);
        filter.on_done(host);
    }),
    ("renewed, and done twice", |host, filter| {
        assert_eq!(filter.on_wake(host), None);
        filter.on_done(host);
        filter.on_done(host);
    }),
];

#[test]
fn a_lease_is_open_from_its_admission_to_the_end_whichever_that_is() {
    for (name, end) in ENDS {
        let (mut host, config) = (FakeHost::default(), config(tokens()));
        let (mut one, _) = ask(&mut host, &config, "ann");
        let (mut other, _) = ask(&mut host, &config, "bob");
        assert_eq!(leases(&host), 2, "{name}");
        end(&mut host, &mut one);
        assert_eq!(leases(&host), 1, "{name}");
        end(&mut host, &mut other);
        assert_eq!(leases(&host), 0, "{name}");
    }
}

#[test]
fn a_lease_that_redis_holds_is_open_as_long() {
    use Redis::{Fails, IsNotAsked, Says};
    for (on_error, redis, want) in [
        ("deny", Says(ADMITTED), 1),
        ("deny", Says(REFUSED), 0),
        ("local", Fails, 1),
        ("local", IsNotAsked, 1),
        ("allow", Fails, 0),
        ("allow", IsNotAsked, 0),
        ("deny", Fails, 0),
        ("deny", IsNotAsked, 0),
    ] {
        for (name, end) in ENDS {
            let mut host = FakeHost::default();
            let (_config, mut filter, next) = ask_redis(&mut host, on_error, redis);
            assert_eq!(leases(&host), want, "{on_error} {redis:?}");
            if let Next::Reply(_) = next {
                filter.on_done(&mut host);
            } else {
                // who is admitted unchecked has no answer that is looked at
                let is_watched = want == 1 || !name.contains("amid");
                if is_watched { end(&mut host, &mut filter) } else { filter.on_done(&mut host) }
            }
            assert_eq!(leases(&host), 0, "{on_error} {redis:?} {name}");
        }
    }
}

#[test]
fn who_was_not_admitted_has_no_lease() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let mut open: Vec<_> = (0..3).map(|_| ask(&mut host, &config, "ann").0).collect();
    assert_eq!(leases(&host), 3);
    open.push(ask(&mut host, &config, "ann").0);
    assert_eq!(leases(&host), 3, "refused");
    shown(&mut host, &config, "ann", 0);
    assert_eq!(leases(&host), 3, "shown");
    for filter in &mut open {
        filter.on_done(&mut host);
    }
    assert_eq!(leases(&host), 0);
    // the client leaves while Redis decides
    let (mut filter, next) = ask(&mut host, &in_redis(tokens(), "deny"), "ann");
    assert_eq!((next, leases(&host)), (Next::Wait, 0));
    filter.on_done(&mut host);
    assert_eq!(leases(&host), 0);
}

fn overshoot(host: &FakeHost, limit: &str) -> u64 {
    host.counters.get(&format!("token_limit_overshoot_total;limit={limit}")).copied().unwrap_or_default()
}

#[test]
fn what_a_settlement_lifts_a_bucket_above_its_limit_is_counted_in_the_limits_unit() {
    for (name, limit, want) in [
        ("within", json!({"total_tokens": 100}), 0),
        ("exactly", json!({"total_tokens": 42}), 0),
        ("tokens", json!({"total_tokens": 40}), 2),
        ("input", json!({"input_tokens": 5}), 7),
        ("output", json!({"output_tokens": 10}), 20),
        (
            "weighted, in thousandths",
            json!({"total_tokens": 40, "weighted": {"input": 0.5, "output": 2}}),
            26_000,
        ),
        ("cost, in nano-dollars", json!({"cost_usd": 0.00005}), 22_000),
        ("requests", json!({"requests": 1}), 0),
    ] {
        let mut limit = limit;
        limit["name"] = json!("l");
        limit["per_ms"] = json!(60_000);
        let (mut host, config) = (FakeHost::default(), config(json!([limit])));
        let (mut filter, next) = ask(&mut host, &config, "ann");
        assert_eq!(next, Next::Pass, "{name}");
        serve(&mut host, &mut filter, [12, 30]);
        assert_eq!(overshoot(&host, "l"), want, "{name}");
    }
}

#[test]
fn an_answer_of_a_model_without_a_price_is_counted_and_costs_the_dearest() {
    for (priced, unpriced, want) in [("m", None, 22_000), ("other", Some(1), 670_000)] {
        let prices =
            json!([{"match": priced, "input": 1, "output": 2}, {"match": "dear", "input": 10, "output": 20}]);
        let limits = json!([{"name": "l", "cost_usd": 0.00005, "per_ms": 60_000}]);
        let (mut host, config) =
            (FakeHost::default(), checked(json!({"limits": limits, "prices": prices})).unwrap());
        let (mut filter, next) = ask(&mut host, &config, "ann");
        assert_eq!(next, Next::Pass, "{priced}");
        serve(&mut host, &mut filter, [12, 30]);
        assert_eq!(overshoot(&host, "l"), want, "{priced}");
        assert_eq!(host.counters.get("token_limit_unpriced_total").copied(), unpriced, "{priced}");
    }
}

#[test]
fn each_token_above_the_limit_is_counted_once_and_where_it_was_settled() {
    let limits = json!([
        {"name": "tokens", "total_tokens": 100, "per_ms": 60_000},
        {"name": "wide", "total_tokens": 200, "per_ms": 60_000},
        {"name": "flight", "in_flight": 5},
    ]);
    let (mut host, config) = (FakeHost::default(), config(limits));
    let mut open: Vec<_> = (0..3).map(|_| ask(&mut host, &config, "ann").0).collect();
    for (n, tokens, want) in [
        (0, [60, 10], [30, 0]), // 30 of it were held; 60 are held by the others
        (1, [10, 20], [30, 0]), // as much as was held
        (2, [100, 80], [180, 80]),
    ] {
        serve(&mut host, &mut open[n], tokens);
        assert_eq!([overshoot(&host, "tokens"), overshoot(&host, "wide")], want, "{n}");
    }
    assert_eq!(overshoot(&host, "flight"), 0);
}

#[test]
fn what_redis_lifts_a_bucket_is_counted_when_it_has_said_so() {
    let mut host = FakeHost::default();
    let (config, mut filter, _) = ask_redis(&mut host, "deny", Redis::Says(ADMITTED));
    serve(&mut host, &mut filter, [120, 50]);
    let settlement = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    assert_eq!(overshoot(&host, "tokens"), 0);
    let taken = redis_reply("*3\r\n:1\r\n:-1\r\n:70\r\n");
    host.end_detached::<TokenLimit>(&config, settlement, taken.clone());
    host.end_detached::<TokenLimit>(&config, settlement, taken);
    assert_eq!(overshoot(&host, "tokens"), 70);
}
