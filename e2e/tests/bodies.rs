//! Large bodies, odd framing and clients that go away.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, Connection, End};
use sluice_e2e::gateway::Options;
use sluice_e2e::{http2, sse, wait};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");
const MIB: usize = 1024 * 1024;

/// A chat request with an image of `size` bytes in base64.
fn image_body(test: &str, size: usize, x_mock: Value) -> Value {
    let url = format!("data:image/png;base64,{}", "iVBORw0K".repeat(size / 8));
    let mut body = bed::chat_body(test);
    body["messages"][0]["content"] = json!([{"type": "image_url", "image_url": {"url": url}}]);
    body["x_mock"] = x_mock;
    body
}

#[test]
fn five_mebibytes_pass_and_fail_over() {
    let bed = bed::shared();
    for (test, stream) in [("large-whole", false), ("large-stream", true)] {
        let mut body = image_body(test, 5 * MIB, json!({"a": {"status": 503}}));
        body["stream"] = json!(stream);
        let reply = bed.gateway.chat(&body);
        assert_eq!((reply.status, reply.end), (200, End::Clean), "{test}");
        let seen = bed.seen(test);
        let asked: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(asked, ["a", "b"], "{test}");
        for (name, seen) in &seen {
            assert_eq!(seen.json()["messages"], body["messages"], "{test}: whole at {name}");
        }
    }
}

#[test]
fn a_large_answer_passes() {
    let bed = bed::shared();
    for (test, stream) in [("filled-whole", false), ("filled-stream", true)] {
        let answered = bed.ask(test, stream, json!({"a": {"filling": 5 * MIB}}));
        assert_eq!((answered.reply.status, answered.reply.end), (200, End::Clean), "{test}");
        assert!(answered.reply.body.len() > 5 * MIB, "{test}: {}", answered.reply.body.len());
        assert_eq!(answered.asked(), ["a"], "{test}");
    }
}

#[test]
fn over_the_limit_is_refused_before_the_body_comes() {
    let bed = Bed::start(&Options::default(), "max_request_body: 1MiB\n");
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n"
    );
    client.write(head.as_bytes()).expect("a request");
    let reply = client.read().expect("an answer though no body was sent");
    assert_eq!((reply.status, reply.code().as_str()), (413, "request_too_large"), "{}", reply.text());
    assert_eq!(reply.header("x-sluice-error"), Some("request_too_large"));
}

#[test]
fn over_the_limit_is_refused_without_content_length_too() {
    let bed = Bed::start(&Options::default(), "max_request_body: 1MiB\n");
    let text = image_body("chunked-large", 3 * MIB, json!({})).to_string();
    for size in [16 * 1024, MIB, 3 * MIB] {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        // The refusal may come, and the connection close, before all is written.
        let _ = client.write_chunked(CHAT, &text.as_bytes().chunks(size).collect::<Vec<_>>(), &[]);
        let reply = client.read().expect("an answer");
        let refusal = (reply.status, reply.code());
        assert_eq!(refusal, (413, "request_too_large".to_owned()), "in chunks of {size}: {}", reply.text());
        assert_eq!(reply.header("x-sluice-error"), Some("request_too_large"), "in chunks of {size}");
    }
    assert!(bed.seen("chunked-large").is_empty());
    let small = bed.gateway.chat(&image_body("under", MIB / 2, json!({})));
    assert_eq!(small.status, 200, "{}", small.text());
}

#[test]
fn requests_in_single_bytes_arrive_whole() {
    let bed = bed::shared();
    for (test, trailers) in [("bytes", vec![]), ("bytes-trailers", vec![("x-end", "1")])] {
        let mut body = bed::chat_body(test);
        body["x_mock"] = json!({"a": {"status": 503}});
        let text = body.to_string();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        client.write_chunked(CHAT, &pieces, &trailers).expect("a request");
        let reply = client.read().expect("an answer");
        assert_eq!(reply.json()["model"], "model-b@b", "{}", reply.text());
        assert_eq!(bed.seen(test)[0].1.body, text.as_bytes(), "{test}");
    }
}

#[test]
fn http2_clients_are_served_alike() {
    let bed = bed::shared();
    for (test, size, stream, trailers) in [
        ("h2-whole", usize::MAX, false, vec![]),
        ("h2-stream", usize::MAX, true, vec![]),
        ("h2-bytes", 1, true, vec![]),
        ("h2-trailers", 7, true, vec![("x-end", "1")]),
    ] {
        let mut body = bed::chat_body(test);
        body["x_mock"] = json!({"a": {"error_first": true}});
        body["stream"] = json!(stream);
        let text = body.to_string();
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let reply = http2::post(bed.gateway.address(), CHAT, &pieces, &trailers);
        assert_eq!((reply.status, reply.end), (200, End::Clean), "{test}: {}", reply.text());
        assert!(reply.text().contains("Hello from b"), "{test}: {}", reply.text());
        assert_eq!(sse::is_done(&reply.events()), stream, "{test}");
    }
}

#[test]
fn an_http2_stream_that_the_provider_resets_is_reset() {
    let bed = bed::shared();
    let mut body = bed::chat_body("h2-reset");
    body["x_mock"] = json!({"a": {"reset_after": 2, "gap_ms": 50}});
    body["stream"] = json!(true);
    let reply = http2::post(bed.gateway.address(), CHAT, &[body.to_string().as_bytes()], &[]);
    assert_eq!(reply.end, End::Broken, "{}", reply.text());
    assert!(!reply.text().contains("[DONE]"));
}

#[test]
fn a_client_that_asks_before_it_sends_is_told_to_go_on() {
    let bed = bed::shared();
    let text = bed::chat_body("expect").to_string();
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    let headers = [JSON, ("expect", "100-continue")];
    client.write(&client::request("POST", CHAT, &headers, text.as_bytes())).expect("a request");
    assert_eq!(client.read().expect("an answer").status, 200);
}

#[test]
fn a_connection_serves_many_requests() {
    let bed = bed::shared();
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    for (stream, fault) in
        [(true, json!({})), (false, json!({"status": 503})), (true, json!({"error_first": true}))]
    {
        let mut body = bed::chat_body("keep-alive");
        body["stream"] = json!(stream);
        body["x_mock"] = json!({"a": fault});
        client
            .write(&client::request("POST", CHAT, &[JSON], body.to_string().as_bytes()))
            .expect("a request");
        let reply = client.read().expect("an answer");
        assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
    }
}

/// Starts a stream and goes away once `sign` has come.
fn leave(bed: &Bed, test: &str, script: Value, sign: Option<&str>) {
    let mut body = bed::chat_body(test);
    body["stream"] = json!(true);
    body["x_mock"] = json!({"*": script});
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    client.write(&client::request("POST", CHAT, &[JSON], body.to_string().as_bytes())).expect("a request");
    if let Some(sign) = sign {
        let mut framing = client.read_head().expect("a head").framing(true);
        let mut got = String::new();
        while !got.contains(sign) {
            let piece = client.read_piece(&mut framing).expect("a chunk").expect("no end yet");
            got.push_str(&String::from_utf8_lossy(&piece));
        }
    } else {
        wait::until("the provider to be asked", || bed.seen(test).pop());
    }
    client.abort();
}

#[test]
fn a_client_that_leaves_frees_the_provider_and_is_in_the_record() {
    let bed = Bed::start(&Options::default(), "timeouts: {first_token: 15s, idle: 15s, request: 30s}\n");
    for (test, script, sign) in [
        ("gone-midstream", json!({"hang_after": 3}), Some("Hello from a")),
        ("gone-early", json!({"hang": true}), None),
    ] {
        let before = bed.providers[0].abandoned();
        leave(&bed, test, script, sign);
        wait::until("the provider to be freed", || (bed.providers[0].abandoned() > before).then_some(()));
        let record = bed.ai_log(test);
        let attempts = record["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.last().expect("an attempt")["verdict"], "client_gone", "{record}");
        assert_eq!(bed.seen(test).len(), 1, "nobody else is asked for a client that is gone");
    }
    assert_eq!(bed.ask("after-gone", true, json!({})).reply.status, 200);
}

#[test]
fn a_client_that_leaves_in_mid_request_harms_nobody() {
    let bed = bed::shared();
    for _ in 0..5 {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
        );
        client.write(format!("{head}{{\"model\":").as_bytes()).expect("a request");
        client.abort();
    }
    let reply = bed.ask("after-half", false, json!({})).reply;
    assert_eq!(reply.status, 200);
    assert!(reply.took < Duration::from_secs(5));
}
