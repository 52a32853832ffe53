//! The client against an in-memory host, and replies at any cut.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::filter::{CalloutError, CalloutReply, Headers};
use crate::testing::FakeHost;

type Read = Vec<Result<Reply, RedisError>>;

fn redis() -> Redis {
    Redis::new(Options { cluster: "sluice.redis".to_owned(), timeout_ms: 50 })
}

fn answer(body: &[u8]) -> Result<CalloutReply, CalloutError> {
    status(200, body)
}

fn status(status: u16, body: &[u8]) -> Result<CalloutReply, CalloutError> {
    Ok(CalloutReply { status, headers: Headers::default(), body: body.to_vec() })
}

fn done(outcome: Outcome) -> Read {
    let Outcome::Done(replies) = outcome else { panic!("{outcome:?}") };
    replies
}

fn failed(outcome: Outcome) -> Unavailable {
    let Outcome::Failed(why) = outcome else { panic!("{outcome:?}") };
    why
}

fn again(outcome: Outcome) -> Call {
    let Outcome::Again(call) = outcome else { panic!("{outcome:?}") };
    call
}

/// Lets the detached call sent last end.
fn end<T: Send + 'static>(
    host: &mut FakeHost,
    reply: Result<CalloutReply, CalloutError>,
) -> Option<(T, Replies)> {
    let (_, note) = host.notes.pop_last().unwrap();
    read_detached(host, note, reply)
}

fn get() -> Vec<Command> {
    vec![Command::new("GET").arg("k")]
}

fn last(host: &FakeHost) -> String {
    host.callouts.last().unwrap().body.escape_ascii().to_string()
}

#[test]
fn every_series_is_declared() {
    crate::testing::declare(&[CALLS, FAILURES, BREAKER_OPENED, CALL_MS]);
}

#[test]
fn a_digest_is_what_redis_computes() {
    // `SCRIPT LOAD "return 5"`
    assert_eq!(Script::new("return 5").sha1(), "4ca238f611c9d0ae4e9a75a5dbac22aedc379801");
    assert_eq!(Script::new("").sha1(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

#[test]
fn commands_go_out_in_one_callout() {
    let (redis, mut host) = (redis(), FakeHost::default());
    let call = redis
        .call(&mut host, vec![Command::new("SET").arg("k").arg(b"\r\n\0"), Command::new("PING")])
        .unwrap();
    let sent = &host.callouts[0];
    assert_eq!(last(&host), r"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\r\n\x00\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!((sent.cluster.as_str(), sent.timeout_ms, sent.detached), ("sluice.redis", 50, false));
    assert_eq!(call.id().0, 1);
    let replies = done(call.read(&mut host, answer(b"+OK\r\n+PONG\r\n")));
    assert_eq!(replies, [Ok(Reply::Simple(b"OK".to_vec())), Ok(Reply::Simple(b"PONG".to_vec()))]);
    assert_eq!(host.counters["redis_calls_total"], 1);
    assert_eq!(host.histograms["redis_call_ms"], [0]);
}

#[test]
fn a_detached_call_has_a_seconds_time() {
    let (redis, mut host) = (redis(), FakeHost::default());
    let script = Script::new("return 1");
    redis.call_detached(&mut host, vec![Command::eval(&script, &["k"])], 7).unwrap();
    assert!(host.callouts[0].detached && host.callouts[0].timeout_ms == 1_000);
    host.advance_ms(300);
    assert_eq!(end::<i32>(&mut host, answer(b"-NOSCRIPT x\r\n")), None);
    assert!(host.callouts[1].detached && host.callouts[1].timeout_ms == 700);
    assert_eq!(end(&mut host, answer(b":5\r\n")), Some((7, Ok(vec![Ok(Reply::Integer(5))]))));
    assert_eq!(host.counters["redis_calls_total"], 1);
}

#[test]
fn the_task_of_a_detached_call_comes_back_whatever_becomes_of_it() {
    let (redis, mut host) = (redis(), FakeHost { refuse_callouts: true, ..FakeHost::default() });
    let eval = || vec![Command::eval(&Script::new("return 5"), &["k"])];
    let unsent = redis.call_detached(&mut host, eval(), "kept").unwrap_err();
    assert_eq!((unsent.why, unsent.task), (Unavailable::NotSent, Some("kept")));
    for (advance_ms, refuse, why) in [(0, true, Unavailable::NotSent), (1_000, false, Unavailable::TimedOut)]
    {
        host.refuse_callouts = false;
        redis.call_detached(&mut host, eval(), "kept").unwrap();
        host.advance_ms(advance_ms);
        host.refuse_callouts = refuse;
        assert_eq!(end(&mut host, answer(b"-NOSCRIPT x\r\n")), Some(("kept", Err(why))));
    }
    assert!(host.notes.is_empty());
    assert_eq!(host.counters["redis_failures_total;kind=not_sent"], 2);
}

#[test]
fn a_note_of_something_else_is_no_call() {
    let mut host = FakeHost::default();
    assert_eq!(read_detached::<()>(&mut host, Box::new(()), answer(b":1\r\n")), None);
    redis().call_detached(&mut host, get(), "text").unwrap();
    assert_eq!(end::<u8>(&mut host, answer(b":1\r\n")), None);
}

#[test]
fn a_detached_call_counts_toward_the_breaker_that_let_it_through_on_whatever_thread_it_ends() {
    let (sender, other, mut host) = (redis(), redis(), FakeHost::default());
    for n in 1..=5 {
        sender.call_detached(&mut host, get(), n).unwrap();
    }
    let ends = thread::spawn(move || {
        for note in std::mem::take(&mut host.notes).into_values() {
            let (_, replies) = read_detached::<i32>(&mut host, note, Err(CalloutError::NotAnswered)).unwrap();
            assert_eq!(replies, Err(Unavailable::TimedOut));
        }
        host
    });
    let mut host = ends.join().unwrap();
    assert_eq!(host.counters["redis_breaker_opened_total"], 1);
    assert_eq!(sender.call(&mut host, get()).unwrap_err(), Unavailable::BreakerOpen);
    assert!(other.call(&mut host, get()).is_ok(), "another copy's client has a breaker of its own");
    host.advance_ms(500);
    sender.call_detached(&mut host, get(), 6).unwrap();
    let probe = host.notes.pop_first().unwrap().1;
    drop(sender); // its configuration is gone before the end of the call is read
    let read = thread::spawn(move || read_detached::<i32>(&mut host, probe, answer(b":1\r\n")).unwrap());
    assert_eq!(read.join().unwrap(), (6, Ok(vec![Ok(Reply::Integer(1))])));
}

#[test]
fn a_detached_probe_closes_the_breaker_of_its_sender_and_one_that_is_dropped_is_followed_by_another() {
    let (redis, mut host) = (redis(), FakeHost::default());
    for _ in 0..5 {
        redis.call_detached(&mut host, get(), ()).unwrap();
    }
    while let Some((_, note)) = host.notes.pop_first() {
        read_detached::<()>(&mut host, note, Err(CalloutError::NotAnswered));
    }
    for _ in 0..3 {
        host.advance_ms(500);
        redis.call_detached(&mut host, get(), ()).unwrap();
        assert_eq!(redis.call(&mut host, get()).unwrap_err(), Unavailable::BreakerOpen);
        host.notes.clear();
    }
    host.advance_ms(500);
    redis.call_detached(&mut host, get(), ()).unwrap();
    assert!(end::<()>(&mut host, answer(b":1\r\n")).is_some());
    assert!(redis.call(&mut host, get()).is_ok() && redis.call(&mut host, get()).is_ok());
}

#[test]
fn a_breaker_goes_on_after_a_thread_that_died_with_it() {
    let redis = redis();
    let client = Arc::clone(&redis.client);
    let died = thread::spawn(move || client.with_breaker(|_| panic!("on purpose")));
    assert!(died.join().is_err());
    assert!(redis.call(&mut FakeHost::default(), get()).is_ok());
}

#[test]
fn an_unknown_script_is_sent_with_its_source_within_the_same_deadline() {
    let (redis, mut host) = (redis(), FakeHost::default());
    let script = Script::new("return 5");
    let eval = Command::eval(&script, &["k1", "k2"]).arg("a");
    let call = redis.call(&mut host, vec![Command::new("PING"), eval, Command::new("PING")]).unwrap();
    assert!(last(&host).contains(
        r"*6\r\n$7\r\nEVALSHA\r\n$40\r\n4ca238f611c9d0ae4e9a75a5dbac22aedc379801\r\n$1\r\n2\r\n$2\r\nk1\r\n"
    ));
    host.advance_ms(20);
    let call = again(call.read(&mut host, answer(b"+1\r\n-NOSCRIPT No matching script.\r\n+3\r\n")));
    assert_eq!(
        last(&host),
        r"*6\r\n$4\r\nEVAL\r\n$8\r\nreturn 5\r\n$1\r\n2\r\n$2\r\nk1\r\n$2\r\nk2\r\n$1\r\na\r\n"
    );
    assert_eq!((host.callouts[1].timeout_ms, call.id().0), (30, 2));
    host.advance_ms(5);
    let replies = done(call.read(&mut host, answer(b":5\r\n")));
    assert_eq!(replies[1], Ok(Reply::Integer(5)));
    assert_eq!(replies[2], Ok(Reply::Simple(b"3".to_vec())));
    assert_eq!((host.counters["redis_calls_total"], &host.histograms["redis_call_ms"]), (1, &vec![25]));
}

#[test]
fn a_script_that_stays_unknown_is_an_error_of_its_own() {
    let (redis, mut host) = (redis(), FakeHost::default());
    let eval = || vec![Command::eval(&Script::new("return 5"), &["k"])];
    let call = redis.call(&mut host, eval()).unwrap();
    let call = again(call.read(&mut host, answer(b"-NOSCRIPT x\r\n")));
    assert_eq!(done(call.read(&mut host, answer(b"-NOSCRIPT x\r\n"))), [Err(RedisError::NoScript)]);
    let call = redis.call(&mut host, eval()).unwrap();
    host.advance_ms(50);
    assert_eq!(failed(call.read(&mut host, answer(b"-NOSCRIPT x\r\n"))), Unavailable::TimedOut);
    let call = redis.call(&mut host, eval()).unwrap();
    host.refuse_callouts = true;
    assert_eq!(failed(call.read(&mut host, answer(b"-NOSCRIPT x\r\n"))), Unavailable::NotSent);
}

#[test]
fn failures_are_told_apart_and_counted() {
    let cases = [
        (Err(CalloutError::NotAnswered), Unavailable::TimedOut, "timed_out"),
        (Err(CalloutError::NotSent), Unavailable::NotSent, "not_sent"),
        (status(507, b""), Unavailable::ReplyTooLarge, "reply_too_large"),
        (status(400, b""), Unavailable::Protocol, "protocol"),
        (status(502, b""), Unavailable::Protocol, "protocol"),
        (answer(b""), Unavailable::Protocol, "protocol"),
        (answer(b"+OK\r\n+OK\r\n"), Unavailable::Protocol, "protocol"),
        (answer(b"<html>"), Unavailable::Protocol, "protocol"),
        (answer(b"-upstream failure\r\n"), Unavailable::Refused(RedisError::NotReachable), "not_reachable"),
        (answer(b"-OOM x\r\n"), Unavailable::Refused(RedisError::OutOfMemory), "out_of_memory"),
    ];
    for (reply, want, kind) in cases {
        let (redis, mut host) = (redis(), FakeHost::default());
        let call = redis.call(&mut host, get()).unwrap();
        assert_eq!(failed(call.read(&mut host, reply)), want);
        assert_eq!(host.counters[&format!("redis_failures_total;kind={kind}")], 1, "{kind}");
    }
    let (redis, mut host) = (redis(), FakeHost { refuse_callouts: true, ..FakeHost::default() });
    assert_eq!(redis.call(&mut host, get()).unwrap_err(), Unavailable::NotSent);
}

#[test]
fn the_breaker_opens_on_outages_and_on_nothing_else() {
    let outage = || answer(b"-LOADING x\r\n");
    let others =
        || [answer(b"-ERR x\r\n"), answer(b"-CROSSSLOT x\r\n"), status(507, b""), answer(b"$-1\r\n")];
    for bad in [true, false] {
        let (redis, mut host) = (redis(), FakeHost::default());
        for n in 0..20 {
            let Ok(call) = redis.call(&mut host, get()) else { continue };
            call.read(&mut host, if bad { outage() } else { others()[n % 4].clone() });
        }
        assert_eq!(host.callouts.len(), if bad { 5 } else { 20 });
        assert_eq!(host.counters.get("redis_breaker_opened_total").copied().unwrap_or(0), u64::from(bad));
        assert_eq!(host.counters.get("redis_failures_total;kind=breaker_open"), bad.then_some(&15));
    }
}

#[test]
fn an_open_breaker_sends_nothing_until_a_probe_may_go() {
    let (redis, mut host) = (redis(), FakeHost::default());
    for _ in 0..5 {
        let call = redis.call(&mut host, get()).unwrap();
        call.read(&mut host, Err(CalloutError::NotAnswered));
    }
    assert_eq!(redis.call(&mut host, get()).unwrap_err(), Unavailable::BreakerOpen);
    host.advance_ms(500);
    let probe = redis.call(&mut host, get()).unwrap();
    let unsent = redis.call_detached(&mut host, get(), "kept").unwrap_err();
    assert_eq!((unsent.why, unsent.task), (Unavailable::BreakerOpen, Some("kept")));
    done(probe.read(&mut host, answer(b":1\r\n")));
    assert!(redis.call(&mut host, get()).is_ok());
}

#[test]
fn an_answer_that_nobody_waited_for_may_be_slow_but_not_the_probes() {
    let (redis, mut host) = (redis(), FakeHost::default());
    let slow = |host: &mut FakeHost| {
        redis.call_detached(host, get(), ()).unwrap();
        host.advance_ms(51);
        assert!(matches!(end(host, answer(b":1\r\n")), Some(((), Ok(_)))));
    };
    (0..5).for_each(|_| slow(&mut host));
    assert_eq!(host.counters.get("redis_breaker_opened_total"), None);
    for _ in 0..5 {
        let call = redis.call(&mut host, get()).unwrap();
        call.read(&mut host, Err(CalloutError::NotAnswered));
    }
    host.advance_ms(500);
    slow(&mut host);
    assert_eq!(redis.call(&mut host, get()).unwrap_err(), Unavailable::BreakerOpen);
}

#[test]
fn one_success_among_outages_is_an_answer() {
    let (redis, mut host) = (redis(), FakeHost::default());
    let call =
        redis.call(&mut host, vec![Command::new("SET").arg("k").arg("v"), Command::new("PING")]).unwrap();
    let replies = done(call.read(&mut host, answer(b"-OOM x\r\n+PONG\r\n")));
    assert_eq!(replies[0], Err(RedisError::OutOfMemory));
    assert_eq!(host.counters["redis_failures_total;kind=out_of_memory"], 1);
}

#[test]
fn errors_are_typed_and_tell_no_data() {
    let cases = [
        ("NOSCRIPT No matching script. Please use EVAL.", RedisError::NoScript),
        ("NOAUTH Authentication required.", RedisError::Auth),
        ("WRONGPASS invalid username-password pair or user is disabled.", RedisError::Auth),
        ("NOPERM this user has no permissions", RedisError::Auth),
        ("ERR Protocol error: unauthenticated multibulk length", RedisError::Auth),
        ("ERR Protocol error: unauthenticated bulk length", RedisError::Auth),
        ("ERR Protocol error: invalid bulk length", RedisError::Other("ERR".to_owned())),
        ("MASTERDOWN Link with MASTER is down", RedisError::ClusterDown),
        ("TRYAGAIN Multiple keys request during rehashing of slot", RedisError::Moved),
        ("ASK 3999 127.0.0.1:6381", RedisError::Moved),
        ("no upstream host", RedisError::NotReachable),
        ("upstream protocol error", RedisError::NotReachable),
        ("finished with 1 error(s)", RedisError::NotReachable),
        (
            "OOM command not allowed when used memory > 'maxmemory'. script: 8c2b, on @user_script:1.",
            RedisError::OutOfMemory,
        ),
        (
            "ERR Error running script (call to f_4ca2): @user_script:1: @user_script: 1: -OOM command not allowed",
            RedisError::OutOfMemory,
        ),
        (
            "ERR Error running script (call to f_4ca2): @user_script:1: user_script:1: oops",
            RedisError::Other("ERR".to_owned()),
        ),
        ("WRONGTYPE Operation against a key", RedisError::Other("WRONGTYPE".to_owned())),
        ("secret-value is wrong", RedisError::Other("ERR".to_owned())),
        ("", RedisError::Other("ERR".to_owned())),
    ];
    for (text, want) in cases {
        assert_eq!(RedisError::parse(text.as_bytes()), want, "{text}");
    }
}

#[test]
fn replies_are_read() {
    let cases: [(&[u8], Result<Read, DecodeError>); 14] = [
        (b":-7\r\n", Ok(vec![Ok(Reply::Integer(-7))])),
        (b"$-1\r\n", Ok(vec![Ok(Reply::Nil)])),
        (b"*-1\r\n", Ok(vec![Ok(Reply::Nil)])),
        (b"$0\r\n\r\n", Ok(vec![Ok(Reply::Bulk(vec![]))])),
        (
            b"*2\r\n:1\r\n*1\r\n-ERR x\r\n",
            Ok(vec![Ok(Reply::Array(vec![
                Ok(Reply::Integer(1)),
                Ok(Reply::Array(vec![Err(RedisError::Other("ERR".to_owned()))])),
            ]))]),
        ),
        (b"*0\r\n", Ok(vec![Ok(Reply::Array(vec![]))])),
        (b"$3\r\nabcd\r\n", Err(DecodeError::Malformed)),
        (b"$3\r\nabcde", Err(DecodeError::Malformed)),
        (b":x\r\n", Err(DecodeError::Malformed)),
        (b"+a\nb\r\n", Err(DecodeError::Malformed)),
        (b"*1000000000000\r\n", Err(DecodeError::TooMany)),
        (b"*9223372036854775808\r\n", Err(DecodeError::Malformed)),
        (b"$5\r\nabc", Err(DecodeError::Incomplete)),
        (b":1\r\n:2\r\n", Err(DecodeError::Trailing)),
    ];
    for (bytes, want) in cases {
        assert_eq!(decode(bytes, 1), want, "{}", bytes.escape_ascii());
    }
    assert_eq!(decode(&b"*1\r\n".repeat(100_000), 1), Err(DecodeError::TooDeep));
    assert_eq!(Reply::Bulk(b"12".to_vec()).integer(), Some(12));
}

#[test]
fn arrays_that_nest_too_deeply_are_refused_while_they_come() {
    let mut frames = Frames::new(1);
    assert_eq!(frames.feed(&b"*1\r\n".repeat(100_000)), Err(DecodeError::TooDeep));
    let mut frames = Frames::new(1);
    assert_eq!(frames.feed(&[b'+'; 70_000]), Err(DecodeError::Malformed));
}

#[test]
fn bytes_that_come_one_by_one_are_looked_at_once() {
    let value = vec![b'\n'; 300_000];
    let bytes =
        [format!("*2\r\n${}\r\n", value.len()).as_bytes(), &value, b"\r\n+", &[b'x'; 60_000], b"\r\n"]
            .concat();
    let mut frames = Frames::new(1);
    for end in 0..bytes.len() {
        assert_eq!(frames.feed(&bytes[..end]), Ok(Progress::More));
    }
    assert_eq!(frames.feed(&bytes), Ok(Progress::Complete(bytes.len())));
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "[+-][ -~]{0,20}".prop_map(String::into_bytes),
        any::<i64>().prop_map(|n| format!(":{n}").into_bytes()),
        Just(b"$-1".to_vec()),
        Just(b"*-1".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| [
            format!("${}\r\n", bytes.len()).as_bytes(),
            &bytes
        ]
        .concat()),
    ];
    let leaf = line.prop_map(|line| [&line[..], b"\r\n"].concat());
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop::collection::vec(inner, 0..5)
            .prop_map(|items| [format!("*{}\r\n", items.len()).as_bytes(), &items.concat()].concat())
    })
}

proptest! {
    #[test]
    fn whole_frames_end_where_they_end_at_every_cut(frames in prop::collection::vec(frame(), 1..5), behind in any::<[u8; 3]>()) {
        let bytes = frames.concat();
        prop_assert!(decode(&bytes, frames.len()).is_ok());
        let more = [&bytes[..], &behind].concat();
        for cut in 0..=bytes.len() {
            let mut counter = Frames::new(frames.len());
            let first = counter.feed(&bytes[..cut]);
            let whole = Ok(Progress::Complete(bytes.len()));
            prop_assert_eq!(first, if cut == bytes.len() { whole } else { Ok(Progress::More) });
            prop_assert_eq!(counter.feed(&more), whole);
        }
    }

    #[test]
    fn what_is_counted_can_be_read(bytes in prop::collection::vec(prop::sample::select(b"*$+-:019\r\na".to_vec()), 0..60)) {
        let counted = Frames::new(1).feed(&bytes);
        let read = decode(&bytes, 1);
        match counted {
            Ok(Progress::Complete(end)) if end == bytes.len() => prop_assert!(read.is_ok()),
            Ok(Progress::Complete(_)) => prop_assert_eq!(read, Err(DecodeError::Trailing)),
            _ => prop_assert!(read.is_err()),
        }
    }

    #[test]
    fn commands_are_what_their_names_are_read_from(commands in prop::collection::vec(("[A-Z]{1,10}", prop::collection::vec(any::<u8>(), 0..20)), 0..5)) {
        let mut bytes = Vec::new();
        for (name, arg) in &commands {
            Command::new(name).arg(arg).encode(false, &mut bytes);
        }
        let names: Vec<&[u8]> = commands.iter().map(|(name, _)| name.as_bytes()).collect();
        prop_assert_eq!(command_names(&bytes), Ok(names));
    }

    #[test]
    fn no_answer_makes_the_client_trap(body in prop::collection::vec(any::<u8>(), 0..100), status_code in 0u16..600) {
        let (redis, mut host) = (redis(), FakeHost::default());
        let call = redis.call(&mut host, get()).unwrap();
        call.read(&mut host, status(status_code, &body));
    }
}
