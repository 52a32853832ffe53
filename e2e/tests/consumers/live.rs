//! Consumers come, change and go while requests run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use sluice_e2e::client::{self, Connection, End, Reply};
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{sse, wait};

use crate::people::{self, CHAT, JSON, bearer, key, providers};

/// Answers in a row, each over another connection, after which every worker is taken to have the change.
const ALL_WORKERS: usize = 16;

fn yaml(a: &Upstream, b: &Upstream, consumers: &str) -> String {
    format!(
        "{}consumers:\n  - {{name: steady, keys: [{}]}}\n{consumers}models: [{{match: \"*\", targets: [{{provider: a}}]}}]\n",
        providers(a, b),
        key("steady")
    )
}

fn consumer(name: &str, more: &str) -> String {
    format!("  - {{name: {name}, keys: [{}]{more}}}\n", key(name))
}

/// Waits until every worker answers `name` with this status and code.
#[track_caller]
fn until_answered(gateway: &Gateway, name: &str, status: u16, code: &str) {
    wait::until(&format!("{name} to get {status} {code}"), || {
        let is_so = |reply: Reply| reply.status == status && reply.code() == code;
        (0..ALL_WORKERS).all(|_| is_so(people::ask_as(gateway, name, "large-1"))).then_some(())
    });
}

/// Streams as `name` until told to stop; counts all, and those that were not perfect.
fn load(gateway: &Gateway, name: &str, is_over: &AtomicBool, done: &AtomicUsize, failed: &AtomicUsize) {
    let mut client = Connection::open(gateway.address()).expect("the gateway listens");
    let body = json!({"model": "gpt-load", "messages": [], "stream": true, "x_mock": {"*": {"gap_ms": 1}}});
    let headers = [JSON, ("authorization", &bearer(name))];
    let request = client::request("POST", CHAT, &headers, body.to_string().as_bytes());
    while !is_over.load(Ordering::Relaxed) {
        let reply = client.write(&request).and_then(|()| client.read());
        let is_good = reply.is_ok_and(|reply| {
            reply.status == 200 && reply.end == End::Clean && sse::is_done(&reply.events())
        });
        done.fetch_add(1, Ordering::Relaxed);
        if !is_good {
            failed.fetch_add(1, Ordering::Relaxed);
            client = Connection::open(gateway.address()).expect("the gateway listens");
        }
    }
}

/// A consumer comes, is changed in every respect, is given another key, and goes.
fn come_change_and_go(gateway: &Gateway, a: &Upstream, b: &Upstream) {
    let write = |consumers: &str| gateway.rewrite(&yaml(a, b, consumers));
    write(&consumer("newcomer", ""));
    until_answered(gateway, "newcomer", 200, "");
    for (more, status, code) in [
        (", models: [\"small-*\"]", 403, "model_not_allowed"),
        (", routes: [/v1/embeddings]", 403, "route_not_allowed"),
        (", from: [10.0.0.0/8]", 403, "ip_not_allowed"),
        (", expires: 2021-06-30", 401, "expired_api_key"),
        (", disabled: true", 401, "invalid_api_key"),
        (", tier: gold", 200, ""),
    ] {
        write(&consumer("newcomer", more));
        until_answered(gateway, "newcomer", status, code);
    }
    write(&consumer("newcomer", "").replace(&key("newcomer"), &key("newcomers-next")));
    until_answered(gateway, "newcomers-next", 200, "");
    until_answered(gateway, "newcomer", 401, "invalid_api_key");
    write("");
    until_answered(gateway, "newcomers-next", 401, "invalid_api_key");
}

#[test]
fn a_consumer_comes_changes_and_goes_without_a_failed_request_of_others() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Options::default().workers(2).start(&yaml(&a, &b, ""));
    until_answered(&gateway, "newcomer", 401, "invalid_api_key");
    let (is_over, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| load(&gateway, "steady", &is_over, &done, &failed));
        }
        // A panic here would leave the load running for ever; it ends by itself once told.
        let changes = std::panic::AssertUnwindSafe(|| come_change_and_go(&gateway, &a, &b));
        let changed = std::panic::catch_unwind(changes);
        is_over.store(true, Ordering::Relaxed);
        assert!(changed.is_ok(), "a change was not taken up");
    });
    let done = done.load(Ordering::Relaxed);
    assert!(done > 50, "{done} requests while consumers changed");
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {done}");
}

#[test]
fn a_stream_outlives_the_key_that_began_it() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Options::default().workers(2).start(&yaml(&a, &b, &consumer("leaver", "")));
    let body = json!({"model": "gpt-long", "stream": true, "messages": [], "x_mock": {"*": {"events": 2, "gap_ms": 1, "hang_after": 2}}});
    let headers = [JSON, ("authorization", &bearer("leaver"))];
    let mut stream = Connection::open(gateway.address()).expect("the gateway listens");
    // Its answer has begun, and does not end before the key is gone: the provider waits.
    stream.write(&client::request("POST", CHAT, &headers, body.to_string().as_bytes())).expect("a request");
    let head = stream.read_head().expect("the head of an answer");
    let mut framing = head.framing(true);
    assert!(stream.read_piece(&mut framing).expect("a piece").is_some());
    gateway.rewrite(&yaml(&a, &b, ""));
    until_answered(&gateway, "leaver", 401, "invalid_api_key");
    assert_eq!(a.abandoned(), 0, "nobody broke the stream off");
    stream.abort();
    let record = gateway.ai_log("gpt-long");
    assert_eq!((&record["consumer"], &record["end"]), (&json!("leaver"), &json!("client_gone")), "{record}");
}

#[test]
fn a_key_in_a_file_is_replaced_with_the_file() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let consumers = "  - {name: filed, keys: [\"file:filed.key\"]}\n";
    let options = Options::default().workers(2).file("filed.key", &key("first"));
    let gateway = options.start(&yaml(&a, &b, consumers));
    until_answered(&gateway, "first", 200, "");
    gateway.replace("filed.key", &format!("{}\r\n", key("second")));
    until_answered(&gateway, "second", 200, "");
    until_answered(&gateway, "first", 401, "invalid_api_key");
}

#[test]
fn a_gateway_closes_and_opens_with_its_consumers() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let open = providers(&a, &b) + "models: [{match: \"*\", targets: [{provider: a}]}]\n";
    let gateway = Options::default().workers(2).start(&open);
    until_answered(&gateway, "nobody", 200, "");
    gateway.rewrite(&yaml(&a, &b, ""));
    until_answered(&gateway, "nobody", 401, "invalid_api_key");
    assert_eq!(people::ask_as(&gateway, "steady", "large-1").status, 200);
    // A list that a script left empty must not open the gateway.
    gateway.rewrite(&format!("{open}consumers: []\n"));
    wait::until("the empty list to be reported", || gateway.stderr().contains("not applied").then_some(()));
    until_answered(&gateway, "nobody", 401, "invalid_api_key");
    gateway.rewrite(&open);
    until_answered(&gateway, "nobody", 200, "");
}
