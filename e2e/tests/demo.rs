//! The demo provider as a program: what `scripts/up` shows to somebody who tries the gateway.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::process::Command;

use serde_json::json;
use sluice_e2e::client::{self, Reply};
use sluice_e2e::process::Process;
use sluice_e2e::sse;
use tempfile::TempDir;

/// Runs `probe` on a demo provider, which must then stop with status 0.
fn with_demo(extra: &[&str], probe: impl FnOnce(SocketAddr)) {
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-provider"));
    command.args(["--listen", "127.0.0.1:0", "--name", "demo"]).args(extra);
    let mut process = Process::start("demo-provider", &mut command, folder.path());
    let address = process.until("its address", |process| {
        let text = process.stderr();
        text.trim_end().rsplit(' ').next().filter(|_| text.ends_with('\n'))?.parse().ok()
    });
    probe(address);
    let status = process.stop();
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

fn ask(address: SocketAddr) -> Reply {
    let body = json!({"model": "any", "stream": true, "messages": []});
    client::post(address, "/v1/chat/completions", &body)
}

#[test]
fn a_healthy_demo_provider_streams_a_friendly_answer() {
    with_demo(&[], |address| {
        let events = ask(address).events();
        assert!(sse::is_done(&events) && events.len() > 10, "word by word");
        assert!(sse::text(&events).starts_with("Hello! This is the demo demo provider"));
    });
}

#[test]
fn a_flaky_demo_provider_fails_in_every_way_before_it_answers() {
    with_demo(&["--flaky"], |address| {
        for _ in 0..2 {
            assert_eq!(ask(address).status, 503);
            let limited = ask(address);
            assert_eq!((limited.status, limited.header("retry-after")), (429, Some("1")));
            assert_eq!(sse::errors(&ask(address).events()).len(), 1);
            stall(address);
            assert!(sse::is_done(&ask(address).events()));
        }
    });
}

/// Asks, gets a head and nothing more, and goes away.
fn stall(address: SocketAddr) {
    let mut client = client::Connection::open(address).expect("the provider listens");
    let body = br#"{"model":"any","stream":true}"#;
    client.write(&client::request("POST", "/v1/chat/completions", &[], body)).expect("a request");
    assert_eq!(
        client.read_head().expect("a head").header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    client.abort();
}
