//! The same question asked by many at the same moment.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::cache::{self, Caller, at_once, label};
use sluice_e2e::client::{self, Connection, End, Reply};
use sluice_e2e::{sse, wait};

use crate::bed::{Bed, MAX_WAIT, one_worker, shared, stream};

fn request(bed: &Bed, test: &str, members: &Value) -> Vec<u8> {
    Caller::nobody(&bed.gateway).request(&cache::body(test, members).to_string())
}

/// Answers to so many requests of a test at once.
#[track_caller]
fn ask(bed: &Bed, test: &str, members: &Value, count: usize) -> Vec<Reply> {
    at_once(bed.gateway.address(), &vec![request(bed, test, members); count])
}

/// Waits until the gateway is about to answer so many requests.
#[track_caller]
pub(crate) fn until_active(bed: &Bed, count: usize) {
    let path = "/stats?filter=http.*downstream_rq_active&usedonly";
    wait::until(&format!("{count} requests in the gateway"), || {
        let stats = client::get(bed.gateway.admin(), path).text();
        let gauges = stats.lines().filter(|line| !line.contains("admin"));
        let active = gauges.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).max();
        (active == Some(count)).then_some(())
    });
}

/// Milliseconds that a provider takes until it is told to go on.
const LONG: u64 = 15_000;

/// A request that has been sent; its answer has not been read.
struct Waiting(Connection);

impl Waiting {
    #[track_caller]
    fn send(bed: &Bed, test: &str, members: &Value) -> Self {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        client.write(&request(bed, test, members)).expect("a request");
        Self(client)
    }

    /// Sends a request that leads: returns when the provider has it.
    #[track_caller]
    fn lead(bed: &Bed, test: &str, members: &Value) -> Self {
        let before = bed.seen(test).len();
        let leader = Self::send(bed, test, members);
        wait::until("the provider to be asked", || (bed.seen(test).len() > before).then_some(()));
        leader
    }

    /// Sends requests that follow the only other one: returns when all of them are in the gateway.
    #[track_caller]
    fn follow(bed: &Bed, test: &str, members: &Value, count: usize) -> Vec<Self> {
        until_active(bed, 1);
        let followers = (0..count).map(|_| Self::send(bed, test, members)).collect();
        until_active(bed, 1 + count);
        followers
    }

    #[track_caller]
    fn read(mut self) -> Reply {
        self.0.read().expect("an answer")
    }
}

#[track_caller]
fn read_all(waiting: Vec<Waiting>) -> Vec<Reply> {
    waiting.into_iter().map(Waiting::read).collect()
}

/// How many answers were misses; all others must be hits, and all of them whole.
#[track_caller]
fn misses(replies: &[Reply], text: &str) -> usize {
    for reply in replies {
        assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
        assert!(reply.text().contains(text), "{}", reply.text());
        assert!(label(reply).starts_with("miss") || label(reply).starts_with("hit"), "{}", label(reply));
    }
    replies.iter().filter(|reply| label(reply).starts_with("miss")).count()
}

#[test]
fn a_hundred_at_once_are_one_request_of_each_worker() {
    let bed = shared();
    for (test, count) in [("hundred-first", 100), ("hundred-second", 100)] {
        bed.tell(test, &[json!({"delay_ms": 800})]);
        let replies = ask(&bed, test, &json!({}), count);
        let asked = misses(&replies, "café");
        assert!((1..=2).contains(&asked), "{asked} of {count} on two workers");
        assert_eq!(bed.seen(test).len(), asked);
        assert!(replies.iter().all(|reply| reply.body == replies[0].body));
        let coalesced = replies.iter().filter(|reply| label(reply) == "hit; reason=coalesced").count();
        assert!(coalesced >= count / 2, "{coalesced}");
    }
}

#[test]
fn streams_ask_on_their_own_unless_told_otherwise() {
    let bed = shared();
    bed.tell("own-streams", &[json!({"delay_ms": 300})]);
    let replies = ask(&bed, "own-streams", &stream(), 6);
    assert_eq!((misses(&replies, "[DONE]"), bed.seen("own-streams").len()), (6, 6));

    let bed = one_worker();
    bed.tell("joint-streams", &[json!({"delay_ms": 700})]);
    let replies = ask(&bed, "joint-streams", &stream(), 20);
    assert_eq!((misses(&replies, "[DONE]"), bed.seen("joint-streams").len()), (1, 1));
    assert!(replies.iter().all(|reply| reply.body == replies[0].body && sse::is_done(&reply.events())));
}

#[test]
fn one_flight_serves_both_forms() {
    let bed = one_worker();
    for (test, first, second) in
        [("form-stream", stream(), json!({})), ("form-document", json!({}), stream())]
    {
        bed.tell(test, &[json!({"delay_ms": LONG})]);
        let leader = Waiting::lead(&bed, test, &first);
        let followers = Waiting::follow(&bed, test, &second, 3);
        bed.provider.release();
        let replies = read_all(followers);
        assert_eq!((misses(&replies, "café"), bed.seen(test).len()), (0, 1), "{test}");
        let is_stream = second["stream"] == true;
        assert!(replies.iter().all(|reply| reply.text().ends_with("[DONE]\n\n") == is_stream), "{test}");
        assert_eq!(leader.read().status, 200);
    }
}

#[test]
fn a_leader_whose_client_leaves_leaves_the_lead_to_another() {
    let bed = one_worker();
    for (test, members) in [("left-document", json!({})), ("left-stream", stream())] {
        bed.tell(test, &[json!({"hang": true}), json!({"delay_ms": 200})]);
        let leader = Waiting::lead(&bed, test, &members);
        let followers = Waiting::follow(&bed, test, &members, 8);
        leader.0.abort();
        let replies = read_all(followers);
        assert_eq!((misses(&replies, "café"), bed.seen(test).len()), (1, 2), "{test}");
        assert_eq!(label(&ask(&bed, test, &members, 1)[0]), "hit", "{test}");
    }
}

#[test]
fn a_follower_that_leaves_harms_nobody() {
    let bed = one_worker();
    bed.tell("follower-left", &[json!({"delay_ms": LONG})]);
    let leader = Waiting::lead(&bed, "follower-left", &json!({}));
    let mut followers = Waiting::follow(&bed, "follower-left", &json!({}), 6);
    for leaver in followers.drain(..3) {
        leaver.0.abort();
    }
    until_active(&bed, 4);
    bed.provider.release();
    let mut replies = read_all(followers);
    replies.push(leader.read());
    assert_eq!((replies.len(), misses(&replies, "café"), bed.seen("follower-left").len()), (4, 1, 1));
}

#[test]
fn a_leader_that_fails_leaves_the_lead_to_another() {
    let bed = one_worker();
    for (test, fault, members) in [
        ("failed-500", json!({"status": 500, "delay_ms": LONG}), json!({})),
        ("failed-429", json!({"status": 429, "delay_ms": LONG}), json!({})),
        ("failed-reset", json!({"reset": true, "delay_ms": LONG}), json!({})),
        ("failed-truncated", json!({"truncate": 40, "delay_ms": LONG}), json!({})),
        ("failed-error", json!({"error_first": true, "delay_ms": LONG}), json!({})),
        ("failed-cut", json!({"cut_after": 2, "delay_ms": LONG}), stream()),
        ("failed-late-reset", json!({"reset_after": 2, "gap_ms": 50, "delay_ms": LONG}), stream()),
        ("failed-late-error", json!({"error_after": 2, "delay_ms": LONG}), stream()),
    ] {
        bed.tell(test, &[fault, json!({"delay_ms": 100})]);
        let leader = Waiting::lead(&bed, test, &members);
        let followers = Waiting::follow(&bed, test, &members, 5);
        bed.provider.release();
        let failed = leader.read();
        let is_whole = failed.status == 200 && failed.end == End::Clean && failed.text().contains("[DONE]");
        assert!(!is_whole && label(&failed) == "miss", "{test}: {}", failed.text());
        let replies = read_all(followers);
        assert_eq!((misses(&replies, "café"), bed.seen(test).len()), (1, 2), "{test}");
    }
}

#[test]
fn where_everybody_fails_everybody_gets_an_error_of_its_own() {
    let bed = one_worker();
    bed.tell("all-fail", &[json!({"status": 503, "delay_ms": 50})]);
    let leader = Waiting::lead(&bed, "all-fail", &json!({}));
    let mut replies = read_all((0..5).map(|_| Waiting::send(&bed, "all-fail", &json!({}))).collect());
    replies.push(leader.read());
    assert_eq!(bed.seen("all-fail").len(), 6, "one after the other, but each one");
    assert!(
        replies.iter().all(|reply| (reply.status, reply.code().as_str()) == (502, "upstream_error")),
        "{replies:?}"
    );
    assert!(replies.iter().all(|reply| label(reply).starts_with("miss")));
}

#[test]
fn an_answer_that_is_not_kept_is_awaited_by_nobody() {
    let bed = one_worker();
    for (test, script, members) in [
        ("unshared-length", json!({"finish_reason": "length", "delay_ms": LONG}), json!({})),
        ("unshared-filter", json!({"finish_reason": "content_filter", "delay_ms": LONG}), stream()),
        ("unshared-no-store", json!({"headers": {"cache-control": "no-store"}, "delay_ms": LONG}), json!({})),
        ("unshared-large", json!({"filling": 1_200_000, "delay_ms": LONG}), json!({})),
        ("unshared-400", json!({"status": 400, "delay_ms": LONG}), json!({})),
    ] {
        let mut soon = script.clone();
        soon["delay_ms"] = json!(0);
        bed.tell(test, &[script, soon]);
        let leader = Waiting::lead(&bed, test, &members);
        let followers = Waiting::follow(&bed, test, &members, 4);
        bed.provider.release();
        let replies = read_all(followers);
        let own = leader.read();
        assert!(replies.iter().all(|reply| (reply.status, reply.end) == (own.status, End::Clean)), "{test}");
        let labels: Vec<&str> = replies.iter().map(label).collect();
        assert_eq!(labels, ["miss; reason=unshared"; 4], "{test}");
        assert_eq!(bed.seen(test).len(), 5, "{test}");
        let slowest = replies.iter().map(|reply| reply.took).max().expect("replies");
        assert!(slowest < MAX_WAIT + Duration::from_secs(1), "{test}: at the same time: {slowest:?}");
    }
}

#[test]
fn a_follower_waits_no_longer_than_it_is_told_to() {
    let bed = one_worker();
    bed.tell("max-wait", &[json!({"delay_ms": 7_000}), json!({})]);
    let leader = Waiting::lead(&bed, "max-wait", &json!({}));
    let followers = Waiting::follow(&bed, "max-wait", &json!({}), 4);
    let replies = read_all(followers);
    assert_eq!(replies.len(), 4);
    for reply in &replies {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.took >= MAX_WAIT && reply.took < Duration::from_millis(6_800), "{:?}", reply.took);
        assert!(["miss; reason=max-wait", "hit"].contains(&label(reply)), "{}", label(reply));
    }
    assert!(replies.iter().any(|reply| label(reply) == "miss; reason=max-wait"));
    leader.0.abort();
    let asked = bed.seen("max-wait").len();
    assert!((2..=5).contains(&asked), "{asked}");
}
