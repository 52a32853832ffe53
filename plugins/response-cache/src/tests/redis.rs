//! Answers kept in Redis, and requests of many gateways that ask the same.

use serde_json::json;
use sluice_core::context;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Headers, Next};

use super::bed::{Bed, Client, document, question, stream, streamed};
use crate::ResponseCache;
use crate::entry::Entry;
use crate::form::Form;
use crate::store::clear::{Clear, Clears, tag};

/// What redis-bridge makes of Redis's answer; without one, of none.
pub(super) fn reply(body: Option<Vec<u8>>) -> Result<CalloutReply, CalloutError> {
    let body = body.ok_or(CalloutError::NotAnswered)?;
    Ok(CalloutReply { status: 200, headers: Headers::default(), body })
}

pub(super) fn nil() -> Vec<u8> {
    b"$-1\r\n".to_vec()
}

pub(super) fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// What the script answers to a lookup, where nothing was cleared.
fn acquired(what: &str, value: Vec<u8>) -> Vec<u8> {
    [b"*2\r\n".to_vec(), bulk(what.as_bytes()), value, nil()].concat()
}

fn leader() -> Vec<u8> {
    acquired("leader", integer(0))
}

fn wait() -> Vec<u8> {
    acquired("wait", integer(9000))
}

fn hit(entry: &Entry) -> Vec<u8> {
    acquired("hit", bulk(&entry.encode()))
}

fn entry(bed: &Bed, body: &str) -> Entry {
    let stored_ms = bed.host.now_ns / 1_000_000;
    Entry {
        form: Form::Document,
        operation: sluice_core::openai::Operation::Chat,
        content_type: "application/json".to_owned(),
        stored_ms,
        expires_ms: stored_ms.saturating_add(60_000),
        consumer_tag: tag("ann"),
        model_tag: tag("gpt-4o"),
        input_tokens: 11,
        output_tokens: 5,
        finish_reason: "stop".to_owned(),
        model: "m".to_owned(),
        has_usage: true,
        body: body.as_bytes().to_vec(),
    }
}

fn bed() -> Bed {
    Bed::new(json!({"redis": {"cluster": "sluice.redis", "timeout_ms": 50}, "max_wait_ms": 1000}))
}

/// The last callout: its id, and what it says to Redis.
fn sent(bed: &Bed) -> (CalloutId, String, bool) {
    let (id, sent) = bed.callouts(0).pop().unwrap();
    (id, String::from_utf8_lossy(&sent.body).into_owned(), sent.detached)
}

/// Redis answers the last callout, which is the client's.
fn answer(bed: &mut Bed, client: &mut Client, body: Option<Vec<u8>>) {
    assert_eq!(client.next, Next::Wait);
    let (id, _, detached) = sent(bed);
    assert!(!detached);
    bed.reply(client, id, reply(body));
}

/// The detached callout `id` ends, and a copy of the configuration hears of it that sent nothing.
fn ends(bed: &mut Bed, id: CalloutId, reply: Result<CalloutReply, CalloutError>) {
    let copy = self::bed().config;
    bed.host.end_detached::<ResponseCache>(&copy, id, reply);
}

/// What the last callout, a detached one, tells Redis to do, and to whose lock.
fn told(bed: &Bed) -> String {
    let (_, body, detached) = sent(bed);
    assert!(detached, "nobody waits for it");
    let words = ["acquire", "store", "release", "renew"];
    words.iter().find(|word| body.contains(&format!("\r\n{word}\r\n"))).unwrap_or(&"?").to_string()
}

fn label(client: &Client) -> String {
    client.fact(context::CACHE).unwrap_or_default()
}

#[test]
fn a_leader_asks_the_provider_and_keeps_the_answer() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    answer(&mut bed, &mut client, Some(leader()));
    assert_eq!((&client.next, label(&client)), (&Next::Pass, "miss".to_owned()));
    assert_eq!(client.wakes_in(), Some(3_333));
    bed.wake(&mut client);
    assert_eq!((told(&bed).as_str(), client.wakes_in()), ("renew", Some(3_333)));
    bed.answer(&mut client, "Hello");
    bed.done(&mut client);
    let (_, body, _) = sent(&bed);
    assert_eq!(told(&bed), "store");
    assert!(body.contains("Hello") && body.contains("\r\n3600000\r\n"), "{body}");
    assert!(bed.host.shared.is_empty());
    bed.assert_nothing_under_way();
}

#[test]
fn what_is_kept_is_given_to_all_who_wait() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    let mut others = [bed.ask(&question("hi")), bed.ask(&question("hi"))];
    assert_eq!(bed.host.callouts.len(), 1, "one asks for all of a worker");
    let entry = entry(&bed, &document("Hello"));
    answer(&mut bed, &mut client, Some(hit(&entry)));
    assert_eq!(label(&client), "hit");
    assert_eq!(bed.wake_hastened(&mut others), 2);
    assert!(others.iter().all(|other| other.hit() == Some(document("Hello").as_str())));
    assert_eq!(label(&others[0]), "hit; reason=coalesced");
    bed.assert_nothing_under_way();
    assert_eq!(bed.host.callouts.len(), 1);
}

#[test]
fn whatever_redis_does_a_miss_is_the_worst() {
    let cases: &[(&str, Option<Vec<u8>>)] = &[
        ("slow or dead", None),
        ("garbage", Some(b"HTTP/1.1 400 Bad Request".to_vec())),
        ("an error", Some(b"-OOM no\r\n-OOM no\r\n".to_vec())),
        ("errors of Envoy", Some(b"-upstream failure\r\n-upstream failure\r\n".to_vec())),
        (
            "rules that are not told",
            Some([b"*2\r\n".to_vec(), bulk(b"leader"), integer(0), b"-ERR\r\n".to_vec()].concat()),
        ),
        ("another script's answer", Some([integer(1), nil()].concat())),
        ("an entry that cannot be read", Some(acquired("hit", bulk(b"\x01garbage")))),
        ("too few replies", Some(nil())),
    ];
    for (what, body) in cases {
        let mut bed = bed();
        let mut client = bed.ask(&question("hi"));
        let mut other = bed.ask(&question("hi"));
        answer(&mut bed, &mut client, body.clone());
        assert_eq!((&client.next, label(&client)), (&Next::Pass, "miss; reason=redis".to_owned()), "{what}");
        assert_eq!(told(&bed), "release", "{what}: the lock may be ours");
        bed.answer(&mut client, "Hello");
        bed.wake_hastened(std::slice::from_mut(&mut other));
        assert!(other.hit().is_some(), "{what}: still one request of the worker");
        bed.done(&mut client);
        assert_eq!(told(&bed), "store", "{what}");
        bed.assert_nothing_under_way();
    }
    let mut bed = bed();
    bed.host.refuse_callouts = true;
    let mut client = bed.ask(&question("hi"));
    assert_eq!((&client.next, label(&client)), (&Next::Pass, "miss; reason=redis".to_owned()));
    bed.answer(&mut client, "Hello");
    bed.done(&mut client);
    bed.assert_nothing_under_way();
}

#[test]
fn a_redis_that_keeps_failing_is_left_alone() {
    let mut bed = bed();
    for _ in 0..20 {
        let mut client = bed.ask(&question("hi"));
        if client.next == Next::Wait {
            answer(&mut bed, &mut client, None);
        }
        assert_eq!(label(&client), "miss; reason=redis");
        bed.done(&mut client);
    }
    let asked = bed.host.callouts.iter().filter(|sent| !sent.detached).count();
    assert_eq!(asked, 5);
}

#[test]
fn another_gateways_answer_is_asked_for_again_and_again() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    let mut other = bed.ask(&question("hi"));
    for pause in [50, 100, 150, 200] {
        answer(&mut bed, &mut client, Some(wait()));
        assert_eq!((&client.next, client.wakes_in()), (&Next::Wait, Some(pause)));
        bed.host.advance_ms(pause);
        bed.wake(&mut client);
    }
    let entry = entry(&bed, &document("Hello"));
    answer(&mut bed, &mut client, Some(hit(&entry)));
    bed.wake_hastened(std::slice::from_mut(&mut other));
    assert_eq!([label(&client), label(&other)], ["hit; reason=coalesced"; 2]);
    assert_eq!(bed.host.callouts.len(), 5);
    bed.assert_nothing_under_way();
}

#[test]
fn a_lock_that_is_given_up_goes_to_who_asks_next() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    answer(&mut bed, &mut client, Some(wait()));
    bed.host.advance_ms(50);
    bed.wake(&mut client);
    answer(&mut bed, &mut client, Some(leader()));
    assert_eq!(client.next, Next::Pass);
    bed.serve(&mut client, &[(":status", "503")], "{}", 9);
    assert_eq!(told(&bed), "release", "as soon as it is known to be of no use");
    let callouts = bed.host.callouts.len();
    bed.done(&mut client);
    assert_eq!(bed.host.callouts.len(), callouts, "once");
}

#[test]
fn nobody_waits_for_another_gateway_longer_than_it_is_told_to() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    let mut other = bed.ask(&question("hi"));
    let mut waited = 0;
    while client.next == Next::Wait {
        answer(&mut bed, &mut client, Some(wait()));
        if let Some(ms) = client.wakes_in().filter(|_| client.next == Next::Wait) {
            waited += ms;
            bed.host.advance_ms(ms);
            bed.wake(&mut client);
        }
    }
    assert_eq!((waited, label(&client)), (1_000, "miss; reason=max-wait".to_owned()));
    bed.answer(&mut client, "Hello");
    bed.wake_hastened(std::slice::from_mut(&mut other));
    assert!(other.hit().is_some());
    bed.done(&mut client);
    assert_eq!(told(&bed), "store");
}

#[test]
fn a_stream_that_does_not_follow_asks_for_itself() {
    let mut bed = bed();
    let mut client = bed.ask(&streamed("hi"));
    answer(&mut bed, &mut client, Some(wait()));
    assert_eq!((&client.next, label(&client)), (&Next::Pass, "miss".to_owned()));
    let mut other = bed.ask(&streamed("hi"));
    let entry = entry(&bed, &document("Hello"));
    answer(&mut bed, &mut other, Some(hit(&entry)));
    assert!(other.hit().unwrap().ends_with("data: [DONE]\n\n"));
    bed.stream(&mut client, &stream(&["Hello"]), 50);
    bed.done(&mut client);
    assert_eq!(told(&bed), "store");
    bed.done(&mut other);
    bed.assert_nothing_under_way();
}

#[test]
fn what_is_too_old_or_was_cleared_is_asked_for_anew() {
    let mut bed = bed();
    let fresh = entry(&bed, &document("old"));
    let expired = Entry { expires_ms: fresh.stored_ms, ..fresh.clone() };
    let beyond_ttl = Entry { stored_ms: fresh.stored_ms - 3_600_000, ..fresh.clone() };
    let mut clears = Clears::default();
    clears.add(Clear { consumer: Some(tag("ann")), model: None }, fresh.stored_ms + 1, 3_600_000);
    let hidden = [b"*2\r\n".to_vec(), bulk(b"hit"), bulk(&fresh.encode()), bulk(&clears.encode())].concat();
    for (what, body) in [("expired", hit(&expired)), ("beyond ttl", hit(&beyond_ttl)), ("cleared", hidden)] {
        let mut client = bed.ask(&question(what));
        answer(&mut bed, &mut client, Some(body.clone()));
        assert_eq!(client.next, Next::Wait, "{what}: the lock is asked for");
        answer(&mut bed, &mut client, Some(leader()));
        assert_eq!((&client.next, label(&client)), (&Next::Pass, "miss".to_owned()), "{what}");
        bed.done(&mut client);
        assert_eq!(told(&bed), "release");
        // a server that goes on giving what was not asked for
        let mut client = bed.ask(&question(what));
        answer(&mut bed, &mut client, Some(body.clone()));
        answer(&mut bed, &mut client, Some(body));
        assert_eq!(label(&client), "miss; reason=redis", "{what}");
        bed.done(&mut client);
    }
    bed.host.advance_ms(5_000);
    let body = question("age").to_string();
    let mut client = bed.send("ann", &[("cache-control", "max-age=4")], body.as_bytes());
    let mut other = bed.ask(&question("age"));
    assert_eq!(bed.host.callouts.iter().filter(|sent| !sent.detached).count(), 14, "each asks for itself");
    answer(&mut bed, &mut other, Some(hit(&fresh)));
    assert_eq!((label(&other), other.header("age").as_deref()), ("hit".to_owned(), Some("5")));
    let (id, ..) = bed.callouts(0).len().checked_sub(2).map(|n| bed.callouts(n).remove(0)).unwrap();
    bed.reply(&mut client, id, reply(Some(hit(&fresh))));
    answer(&mut bed, &mut client, Some(leader()));
    assert_eq!(label(&client), "miss; reason=max-age");
}

#[test]
fn a_client_that_leaves_leaves_no_lock_behind() {
    for led in [false, true] {
        let mut bed = bed();
        let mut client = bed.ask(&question("hi"));
        let mut other = bed.ask(&question("hi"));
        if led {
            answer(&mut bed, &mut client, Some(leader()));
        }
        let (_, acquire, _) = sent(&bed);
        bed.done(&mut client);
        assert_eq!(told(&bed), "release", "led: {led}");
        let token = acquire.lines().find(|line| line.contains('.')).unwrap();
        assert!(sent(&bed).1.contains(token), "its own lock");
        bed.wake_hastened(std::slice::from_mut(&mut other));
        assert_eq!(other.next, Next::Wait, "the next one asks");
        let (_, again, _) = sent(&bed);
        assert!(again.contains("\r\nacquire\r\n") && !again.contains(token), "with a token of its own");
        answer(&mut bed, &mut other, Some(leader()));
        bed.done(&mut other);
        bed.assert_nothing_under_way();
    }
}

#[test]
fn a_script_that_redis_does_not_know_is_sent() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    let noscript = || Some([b"-NOSCRIPT no\r\n".to_vec(), nil()].concat());
    answer(&mut bed, &mut client, noscript());
    assert!(sent(&bed).1.contains("EVAL\r\n"));
    answer(&mut bed, &mut client, Some([b"*2\r\n".to_vec(), bulk(b"leader"), integer(0)].concat()));
    assert_eq!(client.next, Next::Pass);
    bed.answer(&mut client, "Hello");
    bed.done(&mut client);
    let (id, ..) = sent(&bed);
    ends(&mut bed, id, reply(Some(b"-NOSCRIPT no\r\n".to_vec())));
    let (id, body, detached) = sent(&bed);
    assert!(detached && body.contains("EVAL\r\n") && body.contains("Hello"));
    ends(&mut bed, id, reply(Some(integer(1))));
    assert_eq!(bed.count("stored"), 1);
}

#[test]
fn an_answer_that_the_checks_withhold_frees_the_lock() {
    let mut bed = bed();
    let mut client = bed.ask(&question("hi"));
    answer(&mut bed, &mut client, Some(leader()));
    bed.answer(&mut client, "Hello");
    client.set_fact(context::ERROR, "content_policy_violation");
    bed.done(&mut client);
    assert_eq!(told(&bed), "release");
}

#[test]
fn an_answer_that_redis_does_not_keep_frees_the_lock() {
    for (said, stored, next) in [
        (Ok(reply(Some(integer(1))).unwrap()), 1, "store"),
        (reply(Some(b"-OOM command not allowed\r\n".to_vec())), 0, "release"),
        (reply(None), 0, "release"),
        (Ok(CalloutReply { status: 413, headers: Headers::default(), body: Vec::new() }), 0, "release"),
    ] {
        let mut bed = bed();
        let mut client = bed.ask(&question("hi"));
        answer(&mut bed, &mut client, Some(leader()));
        bed.answer(&mut client, "Hello");
        bed.done(&mut client);
        let (id, ..) = sent(&bed);
        ends(&mut bed, id, said);
        assert_eq!((bed.count("stored"), told(&bed).as_str()), (stored, next));
    }
}
