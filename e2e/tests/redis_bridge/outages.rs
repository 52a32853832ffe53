//! Redis dead, hanging, slow, full, refusing and talking nonsense; and well again, without anybody's help.

use std::time::Duration;

use sluice_core::redis::{RedisError, Reply, Unavailable};
use sluice_e2e::redis::{Fault, Faults, Options, Redis};
use sluice_e2e::wait;

use crate::road::{Asker, Road, Spec, command};

/// What a deadline may be exceeded by on a machine that builds.
const SLACK: Duration = Duration::from_millis(250);

/// Deadline of the calls, in milliseconds.
const DEADLINE_MS: u32 = 250;

fn ping() -> sluice_core::redis::Command {
    command("GET k")
}

/// Waits until calls succeed again.
#[track_caller]
fn recovers(asker: &mut Asker<'_>) {
    wait::until("Redis to be asked again", || asker.one(ping()).ok());
    for _ in 0..20 {
        assert_eq!(asker.one(ping()), Ok(Reply::Nil));
    }
}

#[test]
fn a_dead_redis_is_told_at_once_and_found_again() {
    let mut redis = Redis::start(&Options::default());
    let road = Road::to(redis.address());
    let mut asker = Asker::new(&road, DEADLINE_MS);
    recovers(&mut asker);
    redis.kill();
    for n in 0..5 {
        let (failed, took) = asker.timed(ping());
        assert_eq!(failed, Err(Unavailable::Refused(RedisError::NotReachable)), "call {n}");
        assert!(took < SLACK, "{took:?}");
    }
    assert_eq!(asker.one(ping()), Err(Unavailable::BreakerOpen));
    assert_eq!(asker.counter("redis_breaker_opened_total"), 1);
    redis.restart();
    recovers(&mut asker);
}

#[test]
fn a_hanging_redis_costs_the_deadline_five_times_and_then_nothing() {
    let redis = Redis::start(&Options::default());
    let faults = Faults::before(redis.address());
    let road = Road::to(faults.address());
    let mut asker = Asker::new(&road, DEADLINE_MS);
    recovers(&mut asker);
    faults.set(Fault::Hang);
    for n in 0..5 {
        let (failed, took) = asker.timed(ping());
        let failed = failed.expect_err("no answer");
        // Envoy closes a connection to Redis that has been silent for `op_timeout`, and says so.
        let known = [Unavailable::TimedOut, Unavailable::Refused(RedisError::NotReachable)];
        assert!(known.contains(&failed), "call {n}: {failed:?}");
        assert!(took < Duration::from_millis(DEADLINE_MS.into()) + SLACK, "call {n}: {took:?}");
    }
    let sent = asker.host.callouts.len();
    let (failed, took) = asker.timed(ping());
    assert_eq!(failed, Err(Unavailable::BreakerOpen));
    assert!(took < Duration::from_millis(50) && asker.host.callouts.len() == sent, "{took:?}");
    faults.set(Fault::None);
    recovers(&mut asker);
}

#[test]
fn a_slow_redis_is_as_bad_as_a_hanging_one_unless_the_deadline_allows() {
    let redis = Redis::start(&Options::default());
    let faults = Faults::before(redis.address());
    let road = Road::to(faults.address());
    faults.set(Fault::Delay(Duration::from_millis(400)));
    assert_eq!(Asker::new(&road, DEADLINE_MS).one(ping()), Err(Unavailable::TimedOut));
    assert_eq!(Asker::new(&road, 10_000).one(ping()), Ok(Reply::Nil));
}

#[test]
fn a_redis_that_resets_connections_is_told_and_found_again() {
    let redis = Redis::start(&Options::default());
    let faults = Faults::before(redis.address());
    let road = Road::to(faults.address());
    let mut asker = Asker::new(&road, DEADLINE_MS);
    for _ in 0..3 {
        recovers(&mut asker);
        faults.set(Fault::Reset);
        assert_eq!(asker.one(ping()), Err(Unavailable::Refused(RedisError::NotReachable)));
        faults.set(Fault::None);
    }
    recovers(&mut asker);
}

#[test]
fn what_redis_says_is_told_in_types() {
    let redis = Redis::start(&Options::default());
    let faults = Faults::before(redis.address());
    let road = Road::to(faults.address());
    let cases: [(&[u8], RedisError); 11] = [
        (b"\0\0\0\0\r\n", RedisError::NotReachable),
        (b"$abc\r\n", RedisError::NotReachable),
        (b"$-7\r\n", RedisError::NotReachable),
        (b"*99999999999\r\n", RedisError::NotReachable),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", RedisError::OutOfMemory),
        (b"-READONLY You can't write against a read only replica.\r\n", RedisError::ReadOnly),
        (b"-LOADING Redis is loading the dataset in memory\r\n", RedisError::Loading),
        (b"-BUSY Redis is busy running a script.\r\n", RedisError::Busy),
        (b"-CLUSTERDOWN The cluster is down\r\n", RedisError::ClusterDown),
        (b"-MOVED 3999 127.0.0.1:6381\r\n", RedisError::Moved),
        (b"-NOPERM No permissions to access a key\r\n", RedisError::Auth),
    ];
    for (bytes, error) in cases {
        faults.set(Fault::Instead(bytes.to_vec()));
        let failed = Asker::new(&road, DEADLINE_MS).one(ping());
        assert_eq!(failed, Err(Unavailable::Refused(error)), "{}", bytes.escape_ascii());
    }
    // Envoy reads a line of words as a command; whoever asked for something else must look.
    faults.set(Fault::Instead(b"HTTP/1.1 400 Bad\r\n".to_vec()));
    let words = Asker::new(&road, DEADLINE_MS).one(ping()).expect("words");
    assert_eq!(words.array().map(<[_]>::len), Some(3));
    faults.set(Fault::None);
    recovers(&mut Asker::new(&road, DEADLINE_MS));
}

#[test]
fn a_full_redis_refuses_writes_and_answers_reads() {
    let redis = Redis::start(&Options::default().args("--maxmemory 3mb --maxmemory-policy noeviction"));
    let road = Road::to(redis.address());
    let mut asker = Asker::new(&road, 1_000);
    let mut connection = redis.connect();
    let fill = |n: i32| redis::cmd("SET").arg(n).arg("x".repeat(100_000)).exec(&mut connection).is_ok();
    assert!(!(0..100).map(fill).take_while(|fits| *fits).count().eq(&100), "it never gets full");
    assert_eq!(asker.one(command("SET k v")), Err(Unavailable::Refused(RedisError::OutOfMemory)));
    let replies = asker.ask(vec![command("SET k v"), ping()]);
    assert_eq!(replies, Ok(vec![Err(RedisError::OutOfMemory), Ok(Reply::Nil)]), "one of them succeeds");
    redis::cmd("FLUSHALL").exec(&mut connection).expect("a flush");
    assert_eq!(asker.one(command("SET k v")), Ok(Reply::Simple(b"OK".to_vec())));
}

#[test]
fn a_wrong_password_is_told() {
    let redis = Redis::start(&Options::password("right"));
    let node = [redis.address()];
    let cases = [
        (Some("right"), Ok(Reply::Nil)),
        (Some("wrong"), Err(RedisError::Auth)),
        (None, Err(RedisError::Auth)),
    ];
    for (password, want) in cases {
        let road = Road::start(&Spec { password, ..Spec::new(&node) });
        assert_eq!(Asker::new(&road, 1_000).one(ping()), want.map_err(Unavailable::Refused), "{password:?}");
    }
}
