//! The script that counts limits in Redis does the arithmetic of the ledger, and what only a script has to do.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::{Connection, FromRedisValue, RedisResult};
use sluice_core::redis::Reply;
use sluice_core::window::{Ledger, MAX_AMOUNT, Window};
use sluice_e2e::redis::{Cluster, Options, Redis};
use sluice_e2e::wait;
use token_limit::store::redis::{self as script, Invocation, SCRIPT};
use token_limit::store::{Decision, Owed, Standing, Verdict, Want, key};

const START_MS: u64 = 1_790_000_000_000;

/// A Redis that runs the script.
struct Store<'a> {
    _server: &'a Redis,
    connection: RefCell<Connection>,
}

impl<'a> Store<'a> {
    fn at(server: &'a Redis) -> Self {
        Self { _server: server, connection: RefCell::new(server.connect()) }
    }

    fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut self.connection.borrow_mut()).expect("no error")
    }

    fn run(&self, eval: &str, call: &Invocation) -> RedisResult<Vec<i64>> {
        let mut command = redis::cmd(eval);
        command.arg(SCRIPT).arg(call.keys.len()).arg(&call.keys).arg(&call.args);
        command.query(&mut self.connection.borrow_mut())
    }

    fn call(&self, call: &Invocation) -> Vec<i64> {
        self.run("EVAL", call).expect("the script runs")
    }

    fn decide(&self, call: &Invocation, wants: &[Want<'_>]) -> Decision {
        read(&self.call(call), wants)
    }

    fn peek(&self, want: Want<'_>, now_ms: u64) -> Standing {
        self.decide(&script::peek(&[want], now_ms), &[want]).standings[0]
    }
}

fn read(numbers: &[i64], wants: &[Want<'_>]) -> Decision {
    script::parse(&array(numbers), wants).unwrap_or_else(|| panic!("no answer of the script: {numbers:?}"))
}

fn array(numbers: &[i64]) -> Reply {
    Reply::Array(numbers.iter().map(|number| Ok(Reply::Integer(*number))).collect())
}

fn owed<'a>(want: &Want<'a>, actual: u64) -> Owed<'a> {
    Owed { key: want.key, window: want.window, limit: want.limit, held: want.amount, actual }
}

const KEYS: [&str; 4] = ["sluice:{t}:second", "sluice:{t}:minute", "sluice:{t}:month", "sluice:{t}:flight"];

/// What one limit is: the same for every request of a case.
#[derive(Clone, Copy, Debug)]
struct Limit {
    window: Option<Window>,
    limit: u64,
}

fn limits() -> impl Strategy<Value = [Limit; 4]> {
    let window = |per_ms| Just(Some(Window::new(per_ms)));
    let amount = prop_oneof![4 => 1_u64..500, 1 => MAX_AMOUNT / 64 - 1000..MAX_AMOUNT / 64];
    let limit = move |window: BoxedStrategy<Option<Window>>| {
        (window, amount.clone()).prop_map(|(window, limit)| Limit { window, limit })
    };
    let short = (1_u64..5000).prop_map(|per_ms| Some(Window::new(per_ms))).boxed();
    [
        limit(short).boxed(),
        limit(window(60_000).boxed()).boxed(),
        limit(window(2_592_000_000).boxed()).boxed(),
        (1_u64..6).prop_map(|limit| Limit { window: None, limit }).boxed(),
    ]
}

/// One operation, after some time. `which` picks a request that was admitted, `buckets` the limits that apply.
#[derive(Clone, Debug)]
enum Op {
    Reserve { buckets: u8, amount: u64, lease_ms: u64 },
    Settle { which: usize, actual: u64 },
    Renew { which: usize, lease_ms: u64 },
    Peek { amount: u64 },
}

fn ops() -> impl Strategy<Value = Vec<(i64, Op)>> {
    let amount = || prop_oneof![6 => 0_u64..200, 1 => 0..2000_u64, 1 => any::<u64>()];
    let lease_ms = || (1_u64..40).prop_map(|steps| steps * 1000);
    let op = prop_oneof![
        4 => (1_u8..16, amount(), lease_ms()).prop_map(|(buckets, amount, lease_ms)| Op::Reserve { buckets, amount, lease_ms }),
        3 => (any::<usize>(), amount()).prop_map(|(which, actual)| Op::Settle { which, actual }),
        1 => (any::<usize>(), lease_ms()).prop_map(|(which, lease_ms)| Op::Renew { which, lease_ms }),
        1 => amount().prop_map(|amount| Op::Peek { amount }),
    ];
    let after = prop_oneof![3 => 0_i64..50, 3 => 0..3000_i64, 1 => 0..100_000_i64, 1 => -200_i64..0, 1 => 0..3_000_000_000_i64];
    prop::collection::vec((after, op), 1..60)
}

/// A request in flight.
struct Flight {
    lease: String,
    buckets: Vec<(usize, u64)>, // with the amount held
    expires_ms: u64,
}

/// The same limits in ledgers and in Redis.
struct Both<'a> {
    redis: &'a Store<'a>,
    limits: [Limit; 4],
    ledgers: [Ledger; 4],
    now_ms: u64,
    flights: Vec<Flight>,
    leases: usize,
}

impl Both<'_> {
    fn want(&self, bucket: usize, amount: u64) -> Want<'static> {
        let Limit { window, limit } = self.limits[bucket];
        Want::new(KEYS[bucket], window, limit, if window.is_some() { amount } else { 1 })
    }

    fn standing(&self, bucket: usize, amount: u64) -> Standing {
        let (mut ledger, limit) = (self.ledgers[bucket].clone(), self.limits[bucket].limit);
        ledger.advance(self.now_ms); // of a copy: looking changes nothing, should the clock go back
        Standing {
            limit,
            level: ledger.level(),
            held: ledger.held(),
            frees_in_ms: ledger.frees_in_ms(limit, amount),
            resets_in_ms: ledger.resets_in_ms(),
        }
    }

    fn step(&mut self, after_ms: i64, op: &Op) {
        self.now_ms = self.now_ms.saturating_add_signed(after_ms);
        match *op {
            Op::Reserve { buckets, amount, lease_ms } => self.reserve(buckets, amount, lease_ms),
            Op::Settle { which, actual } => self.settle(which, actual),
            Op::Renew { which, lease_ms } => self.renew(which, lease_ms),
            Op::Peek { amount } => self.peek(amount),
        }
    }

    /// The ledger of a bucket that is changed, as of now.
    fn ledger(&mut self, bucket: usize) -> &mut Ledger {
        self.ledgers[bucket].advance(self.now_ms);
        &mut self.ledgers[bucket]
    }

    fn reserve(&mut self, buckets: u8, amount: u64, lease_ms: u64) {
        let buckets: Vec<_> = (0..4).filter(|n| buckets & (1 << n) != 0).collect();
        let wants: Vec<_> = buckets.iter().map(|n| self.want(*n, amount)).collect();
        let expires_ms = self.now_ms + lease_ms;
        let standing = |both: &Self| {
            buckets.iter().zip(&wants).map(|(n, want)| both.standing(*n, want.amount)).collect()
        };
        let mut standings: Vec<Standing> = standing(self);
        let slowest = standings.iter().map(|standing| standing.frees_in_ms).max().unwrap_or_default();
        let index = standings.iter().position(|standing| standing.frees_in_ms == slowest && slowest > 0);
        for (n, want) in buckets.iter().zip(&wants) {
            let held = if index.is_none() { want.amount } else { 0 };
            self.ledger(*n).hold(held, expires_ms);
        }
        if index.is_none() {
            standings = buckets.iter().map(|n| self.standing(*n, 0)).collect();
        }
        self.leases += 1;
        let lease = format!("lease:{}", self.leases);
        let verdict = index.map_or(Verdict::Admitted, |index| Verdict::Refused { index });
        let call = script::reserve(&wants, &lease, lease_ms, self.now_ms);
        assert_eq!(self.redis.decide(&call, &wants), Decision { verdict, standings }, "{call:?}");
        if index.is_none() {
            let buckets = buckets.into_iter().zip(wants.iter().map(|want| want.amount)).collect();
            self.flights.push(Flight { lease, buckets, expires_ms });
        }
    }

    fn owed(&self, flight: &Flight, actual: u64) -> Vec<Owed<'static>> {
        let want = |(bucket, amount): &(usize, u64)| owed(&self.want(*bucket, *amount), actual);
        flight.buckets.iter().map(want).collect()
    }

    fn settle(&mut self, which: usize, actual: u64) {
        let Some(which) = which.checked_rem(self.flights.len()) else { return };
        let flight = self.flights.remove(which);
        let mut lifted = Vec::new();
        for (bucket, amount) in &flight.buckets {
            let limit = self.limits[*bucket].limit;
            let before = self.ledger(*bucket).level().max(limit);
            self.ledger(*bucket).release(*amount, flight.expires_ms);
            self.ledger(*bucket).book(actual.min(MAX_AMOUNT), limit);
            lifted.push(self.ledger(*bucket).level().saturating_sub(before));
        }
        let settle = |again| {
            let owed = self.owed(&flight, actual);
            let reply = self.redis.call(&script::settle(&owed, &flight.lease, again, self.now_ms));
            script::parse_settled(&array(&reply), owed.len()).expect("an answer of the script")
        };
        // Of a lease that has expired nobody knows whether the script still counted it.
        let got = settle(false);
        assert!(flight.expires_ms <= self.now_ms || got == lifted, "{got:?}, not {lifted:?}");
        // The answer may have been lost: the second attempt changes nothing.
        assert_eq!(settle(true).iter().sum::<u64>(), 0);
    }

    fn renew(&mut self, which: usize, lease_ms: u64) {
        let Some(which) = which.checked_rem(self.flights.len()) else { return };
        let mut flight = self.flights.swap_remove(which);
        let expires_ms = self.now_ms + lease_ms;
        for (bucket, amount) in &flight.buckets {
            self.ledger(*bucket).extend(*amount, flight.expires_ms, expires_ms);
        }
        flight.expires_ms = expires_ms;
        self.redis.call(&script::renew(&self.owed(&flight, 0), &flight.lease, lease_ms, self.now_ms));
        self.flights.push(flight);
    }

    fn peek(&self, amount: u64) {
        let wants: Vec<_> = (0..4).map(|n| self.want(n, amount)).collect();
        let standings: Vec<_> = (0..4).map(|n| self.standing(n, wants[n].amount)).collect();
        let call = script::peek(&wants, self.now_ms);
        assert_eq!(self.redis.decide(&call, &wants).standings, standings, "{call:?}");
    }
}

#[test]
fn script_and_ledger_count_alike() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&(limits(), ops()), |(limits, ops)| {
        redis.ask::<()>(&["FLUSHALL"]);
        let ledgers = limits.map(|limit| Ledger::new(limit.window, START_MS));
        let mut both =
            Both { redis: &redis, limits, ledgers, now_ms: START_MS, flights: Vec::new(), leases: 0 };
        for (after_ms, op) in &ops {
            both.step(*after_ms, op);
            both.peek(1);
        }
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
}

fn minute(key: &str, limit: u64, amount: u64) -> Want<'_> {
    Want::new(key, Some(Window::new(60_000)), limit, amount)
}

#[test]
fn a_settlement_counts_once_whether_its_lease_has_expired_or_its_answer_was_lost() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let later = START_MS + 40_000;
    // after, attempts, booked
    let cases: [(u64, &[bool], u64); 5] = [
        (START_MS + 10, &[false], 7),
        (START_MS + 10, &[false, true, true], 7),
        (later, &[false], 7),
        (later, &[false, true], 7),
        (START_MS + 10, &[true], 7), // the first attempt never arrived
    ];
    for (n, (now_ms, attempts, booked)) in cases.into_iter().enumerate() {
        let key = format!("sluice:{{t}}:{n}");
        let want = minute(&key, 100, 50);
        redis.decide(&script::reserve(&[want], "lease", 30_000, START_MS), &[want]);
        for again in attempts {
            redis.call(&script::settle(&[owed(&want, 7)], "lease", *again, now_ms));
        }
        let standing = redis.peek(want, now_ms);
        assert_eq!((standing.level, standing.held), (booked, 0), "case {n}");
    }
}

#[test]
fn after_an_outage_longer_than_their_leases_all_that_was_used_is_booked_once() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let want = minute("sluice:{t}:a", 100, 10);
    let leases = ["one", "two", "three"];
    for lease in leases {
        redis.decide(&script::reserve(&[want], lease, 30_000, START_MS), &[want]);
    }
    let later = START_MS + 300_000;
    redis.decide(&script::reserve(&[want], "another", 30_000, later), &[want]);
    assert_eq!(redis.peek(want, later).level, 10, "what has expired holds nothing");
    redis.call(&script::renew(&[owed(&want, 0)], "three", 30_000, later));
    assert_eq!(redis.peek(want, later).level, 20);
    // Whether an attempt before this one has arrived, the gateway does not know.
    for _ in 0..2 {
        for lease in leases {
            redis.call(&script::settle(&[owed(&want, 7)], lease, true, later));
        }
        let standing = redis.peek(want, later);
        assert_eq!((standing.level, standing.held), (3 * 7 + 10, 10));
    }
    redis.call(&script::settle(&[owed(&want, 7)], "another", false, later));
    assert_eq!(redis.ask::<i64>(&["EXISTS", "sluice:{t}:a:leases"]), 0, "no mark is left");
}

#[test]
fn every_key_expires_some_time_after_its_content() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let wants = [minute("sluice:{t}:a", 100, 50), Want::new("sluice:{t}:b", None, 2, 1)];
    let call = script::reserve(&wants, "one", 30_000, 0);
    redis.decide(&call, &wants);
    let lives = |key: &str| redis.ask::<i64>(&["PTTL", key]);
    for key in &call.keys {
        // Whoever settles late finds the lease of a window, or its mark.
        let late = if key == "sluice:{t}:a:leases" { 660_000 } else { 0 };
        assert!((80_000..=150_000).contains(&(lives(key) - late)), "{key}: {}", lives(key));
    }
    // A lease of another gateway that is configured otherwise lives longer, and is not cut short by this one's.
    redis.decide(&script::reserve(&wants[1..], "two", 600_000, 0), &wants[1..]);
    redis.call(&script::renew(&[owed(&wants[1], 0)], "one", 30_000, 0));
    assert!(lives("sluice:{t}:b") > 600_000 && lives("sluice:{t}:b:leases") > 600_000);
    redis.call(&script::settle(&[owed(&wants[0], 950)], "one", false, 0));
    assert!(lives("sluice:{t}:a") > 9 * 60_000, "as long as the debt");
    assert_eq!(redis.ask::<i64>(&["EXISTS", "sluice:{t}:a:leases"]), 0);
}

#[test]
fn without_a_time_the_servers_clock_counts() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let want = Want::new("sluice:{t}:a", Some(Window::new(50)), 1, 1);
    let decide = |lease: &str| redis.decide(&script::reserve(&[want], lease, 10, 0), &[want]).verdict;
    assert_eq!(decide("one"), Verdict::Admitted);
    redis.call(&script::settle(&[owed(&want, 1)], "one", false, 0));
    let mut n = 0;
    wait::until("the window to pass", || {
        n += 1;
        (decide(&format!("lease-{n}")) == Verdict::Admitted).then_some(())
    });
}

#[test]
fn looking_writes_nothing() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let want = minute("sluice:{t}:a", 100, 50);
    redis.decide(&script::reserve(&[want], "one", 1000, START_MS), &[want]);
    redis.call(&script::settle(&[owed(&want, 40)], "two", false, START_MS));
    for (now_ms, level, held) in
        [(START_MS + 10, 90, 50), (START_MS + 1000, 40, 0), (START_MS + 90_000, 0, 0)]
    {
        let numbers = redis.run("EVAL_RO", &script::peek(&[want], now_ms)).expect("the script only reads");
        let standing = read(&numbers, &[want]).standings[0];
        assert_eq!((standing.level, standing.held), (level, held));
    }
}

#[test]
fn numbers_are_exact_up_to_the_largest() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let day = Some(Window::new(86_400_000));
    for used in [1_000_000_000_000_000, 4_503_599_627_370_497, 9_000_000_000_000_000, MAX_AMOUNT - 1] {
        redis.ask::<()>(&["FLUSHALL"]);
        let want = Want::new("sluice:{t}:a", day, MAX_AMOUNT, used);
        assert_eq!(
            redis.decide(&script::reserve(&[want], "one", 1000, START_MS), &[want]).standings[0].held,
            used
        );
        redis.call(&script::settle(&[owed(&want, used)], "one", false, START_MS));
        assert_eq!(redis.peek(want, START_MS).level, used);
        let rest = Want::new("sluice:{t}:a", day, MAX_AMOUNT, MAX_AMOUNT - used);
        assert_eq!(redis.peek(rest, START_MS).frees_in_ms, 0, "{used}");
        let more = Want { amount: rest.amount + 1, ..rest };
        assert!(redis.peek(more, START_MS).frees_in_ms > 0, "{used}");
    }
}

#[test]
fn a_bucket_that_lost_one_of_its_keys_mends_itself() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let want = minute("sluice:{t}:a", 100, 30);
    for lease in ["one", "two"] {
        redis.decide(&script::reserve(&[want], lease, 30_000, START_MS), &[want]);
    }
    redis.ask::<()>(&["DEL", "sluice:{t}:a"]);
    assert_eq!(redis.peek(want, START_MS).held, 60, "summed up anew");
    redis.call(&script::settle(&[owed(&want, 10)], "one", false, START_MS));
    assert_eq!((redis.peek(want, START_MS).level, redis.peek(want, START_MS).held), (40, 30));
    redis.ask::<()>(&["DEL", "sluice:{t}:a:leases"]);
    assert_eq!(redis.peek(want, START_MS).level, 10, "nothing is held for ever");
}

#[test]
fn a_crowd_of_expired_leases_goes_away_by_and_by() {
    let server = Redis::start(&Options::default());
    let redis = Store::at(&server);
    let want = Want::new("sluice:{t}:a", None, 1000, 1);
    for n in 0..500 {
        redis.decide(&script::reserve(&[want], &format!("lease-{n}"), 1000, START_MS), &[want]);
    }
    let left = |n: u64| {
        redis.decide(&script::reserve(&[want], &format!("new-{n}"), 90_000, START_MS + 1000), &[want])
    };
    assert_eq!([1, 2, 3, 4].map(|n| left(n).standings[0].held), [301, 102, 3, 4]);
}

#[test]
fn a_full_redis_refuses_to_reserve_and_still_settles() {
    let server = Redis::start(&Options::default().args("--maxmemory-policy noeviction"));
    let redis = Store::at(&server);
    let wants = [minute("sluice:{t}:a", 100, 30), minute("sluice:{t}:b", 100, 30)];
    redis.decide(&script::reserve(&wants, "one", 30_000, START_MS), &wants);
    redis.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = redis.run("EVAL", &script::reserve(&wants, "two", 30_000, START_MS));
    assert_eq!(refused.expect_err("no memory").code(), Some("OOM"));
    redis.call(&script::settle(&wants.map(|want| owed(&want, 20)), "one", false, START_MS));
    assert_eq!(wants.map(|want| redis.peek(want, START_MS).level), [20, 20]);
}

#[test]
fn every_decision_stays_on_one_node_of_a_cluster() {
    let cluster = Cluster::start(&Options::default());
    let nodes: Vec<_> = cluster.nodes.iter().map(Store::at).collect();
    let mut served = [0; 3];
    for caller in ["mobile-app", "batch", "", "{}", "jürgen", "a", "b", "c", "d"] {
        let keys = [key(caller, "per-day", &[caller]), key(caller, "per-model", &[caller, "gpt-4o"])];
        let wants = [minute(&keys[0], 100, 30), Want::new(&keys[1], None, 2, 1)];
        for verdict in [Verdict::Admitted, Verdict::Admitted, Verdict::Refused { index: 1 }] {
            let lease = format!("lease-{}", served.iter().sum::<u64>());
            let call = script::reserve(&wants, &lease, 30_000, START_MS);
            // A node that does not own the slot refuses with MOVED; one that owns it refuses nothing.
            let answers: Vec<_> = nodes.iter().map(|node| node.run("EVAL", &call)).collect();
            let node = answers.iter().position(RedisResult::is_ok).expect("a node that owns all keys");
            assert_eq!(read(answers[node].as_ref().expect("numbers"), &wants).verdict, verdict, "{caller}");
            served[node] += 1;
        }
    }
    assert!(served.iter().all(|count| *count > 0), "{served:?}");
}
