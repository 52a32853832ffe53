//! The server side of the scripted provider, over real sockets.

use serde_json::json;

use super::*;
use crate::client::{self, End};
use crate::sse;

fn ask(upstream: &Upstream, script: Value) -> client::Reply {
    let body = json!({"model": "m", "stream": true, "x_mock": {"a": script}});
    client::post(upstream.address(), "/v1/chat/completions", &body)
}

#[test]
fn a_body_tells_the_provider_how_to_answer() {
    let upstream = Upstream::start("a");
    assert_eq!(ask(&upstream, json!({"status": 503})).status, 503);
    let reply = ask(&upstream, json!({"trailers": true}));
    assert_eq!((reply.status, reply.end), (200, End::Clean));
    assert_eq!(reply.trailers, [("x-mock-trailer".to_owned(), "end".to_owned())]);
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn scripts_are_taken_in_order() {
    let upstream = Upstream::start("a");
    upstream.script(Script::status(500));
    upstream.once(Script::status(503));
    upstream.for_key("k", Script::status(401));
    let path = "/v1/chat/completions";
    let plain =
        |headers: &[(&str, &str)]| client::send(upstream.address(), "POST", path, headers, b"{}").status;
    let key = ("authorization", "Bearer k");
    assert_eq!(
        [plain(&[]), plain(&[]), plain(&[key]), plain(&[key, ("x-mock", r#"{"status":418}"#)])],
        [503, 500, 401, 418]
    );
}

#[test]
fn a_reset_is_not_a_clean_end() {
    let upstream = Upstream::start("a");
    let reply = ask(&upstream, json!({"reset_after": 2}));
    assert_eq!(reply.end, End::Broken);
    assert_eq!(sse::text(&reply.events()), "Hello from a, café 你好 🚰");
    assert_eq!(ask(&upstream, json!({"cut_after": 2})).end, End::Clean);
}

#[test]
fn a_client_that_leaves_a_hung_stream_is_noticed() {
    let upstream = Upstream::start("a");
    let mut client = client::Connection::open(upstream.address()).unwrap();
    let body = json!({"model": "m", "stream": true, "x_mock": {"*": {"hang_first_token": true}}}).to_string();
    client.write(&client::request("POST", "/v1/chat/completions", &[], body.as_bytes())).unwrap();
    client.read_head().unwrap();
    client.abort();
    wait::until("the provider to notice", || (upstream.abandoned() == 1).then_some(()));
}

#[test]
fn what_arrived_can_be_asked_for_over_http() {
    let upstream = Upstream::start("a");
    ask(&upstream, json!({}));
    let seen = client::get(upstream.address(), "/__requests").json();
    assert_eq!(seen[0]["path"], "/v1/chat/completions");
    assert_eq!(seen[0]["json"]["model"], "m");
}
