//! Changing gateway.yaml under load, breaking it, and stopping.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use sluice_e2e::bed;
use sluice_e2e::client::{self, Connection, End};
use sluice_e2e::exposition::Metrics;
use sluice_e2e::gateway::{Gateway, Options, closed_port};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{sse, wait};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

fn yaml(a: &Upstream, b: &Upstream, weights: (u32, u32), key: &str) -> String {
    format!(
        "providers:
  alpha: {{url: \"{}\", keys: [{key}]}}
  beta: {{url: \"{}\", keys: [{key}]}}
models:
  - match: \"gpt-*\"
    targets: [{{provider: alpha, weight: {}}}, {{provider: beta, weight: {}}}]
    sticky: request
",
        a.url(),
        b.url(),
        weights.0,
        weights.1
    )
}

/// Streams without a pause until told to stop; counts those that were not perfect.
fn load(gateway: &Gateway, is_over: &AtomicBool, done: &AtomicUsize, failed: &AtomicUsize) {
    let mut client = Connection::open(gateway.address()).expect("the gateway listens");
    let body = json!({"model": "gpt-load", "messages": [], "stream": true, "x_mock": {"*": {"gap_ms": 1}}})
        .to_string();
    let request = client::request("POST", CHAT, &[JSON], body.as_bytes());
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

#[test]
fn weights_and_keys_change_under_load_without_a_failed_request() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Options::default().workers(2).start(&yaml(&a, &b, (90, 10), "sk-0"));
    let (is_over, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| load(&gateway, &is_over, &done, &failed));
        }
        // A panic here would leave the load running for ever; it ends by itself once told.
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (n, weights) in [(1, (50, 50)), (2, (0, 100)), (3, (100, 0)), (4, (90, 10))] {
                let key = format!("sk-{n}");
                gateway.rewrite(&yaml(&a, &b, weights, &key));
                wait::until(&format!("{key} to be used"), || {
                    let newest = [&a, &b].map(|one| one.requests().pop());
                    newest.iter().flatten().any(|seen| seen.key() == Some(key.as_str())).then_some(())
                });
            }
            wait::until("1,000 requests", || (done.load(Ordering::Relaxed) >= 1_000).then_some(()));
        }));
        is_over.store(true, Ordering::Relaxed);
        assert!(changed.is_ok(), "a change was not taken up");
    });
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {}", done.load(Ordering::Relaxed));
}

#[test]
fn no_change_begins_a_count_anew() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&yaml(&a, &b, (100, 0), "sk-0"));
    let mut asked = 0.0;
    for n in 1..=4 {
        let key = format!("sk-{n}");
        // Both stages change: the key of the one, and a price of the other.
        gateway.rewrite(
            &(yaml(&a, &b, (100, 0), &key) + &format!("prices: {{\"*\": {{input: {n}, output: 1}}}}\n")),
        );
        wait::until(&format!("{key} to be used"), || {
            asked += 1.0;
            gateway.chat(&bed::chat_body("counted"));
            a.requests().iter().any(|seen| seen.key() == Some(key.as_str())).then_some(())
        });
    }
    for name in ["ai_log_requests_total", "gen_ai_client_operation_duration_milliseconds_count"] {
        wait::until(&format!("all {asked} in {name}"), || {
            let counted = Metrics::scrape(gateway.admin()).sum(name);
            assert!(counted <= asked, "{counted} of {asked}");
            (asked - counted < 0.5).then_some(())
        });
    }
}

#[test]
fn a_running_stream_survives_a_change() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&yaml(&a, &b, (100, 0), "sk-old"));
    let body = json!({"model": "gpt-long", "stream": true, "messages": [], "x_mock": {"*": {"events": 60, "gap_ms": 50}}});
    let reply = std::thread::scope(|scope| {
        let stream = scope.spawn(|| gateway.chat(&body));
        a.wait_for(1);
        gateway.rewrite(&yaml(&a, &b, (0, 100), "sk-new"));
        wait::until("the change to be applied", || {
            gateway.chat(&bed::chat_body("probe"));
            b.requests().iter().any(|seen| seen.key() == Some("sk-new")).then_some(())
        });
        assert!(!stream.is_finished(), "the stream must outlast the change");
        stream.join().expect("the stream's thread")
    });
    assert_eq!((reply.status, reply.end), (200, End::Clean));
    assert!(sse::is_done(&reply.events()) && sse::text(&reply.events()).ends_with(" 59"));
}

#[test]
fn a_broken_file_is_reported_and_the_old_one_stays() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let good = yaml(&a, &b, (100, 0), "sk-old");
    let gateway = Gateway::start(&good);
    gateway.rewrite(&good.replace("{provider: alpha, ", "{provider: alhpa, "));
    wait::until("the mistake to be reported", || {
        gateway.stderr().contains("models[0].targets[0].provider").then_some(())
    });
    assert!(gateway.stderr().contains("did you mean \"alpha\""), "{}", gateway.stderr());
    assert_eq!(gateway.chat(&bed::chat_body("still")).status, 200);
    gateway.rewrite(&yaml(&a, &b, (100, 0), "sk-mended"));
    wait::until("the mended file to be applied", || {
        gateway.chat(&bed::chat_body("mended"));
        a.requests().iter().any(|seen| seen.key() == Some("sk-mended")).then_some(())
    });
}

#[test]
fn a_model_and_its_provider_can_be_added_and_taken_away() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let with = |extra: &str| yaml(&a, &b, (100, 0), "sk") + extra;
    let gateway = Gateway::start(&with(""));
    let ask = || gateway.chat(&json!({"model": "qwen-max", "messages": []})).status;
    assert_eq!(ask(), 404);
    gateway
        .rewrite_and_wait(&with("  - {match: \"qwen-*\", targets: [{provider: beta}]}\n"), |_| ask() == 200);
    gateway.rewrite_and_wait(&with(""), |_| ask() == 404);
}

#[test]
fn hanging_up_reads_the_file_again() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&yaml(&a, &b, (100, 0), "sk-old"));
    gateway.rewrite(&yaml(&a, &b, (100, 0), "sk-new"));
    gateway.hang_up();
    wait::until("the new key", || {
        gateway.chat(&bed::chat_body("hup"));
        a.requests().iter().any(|seen| seen.key() == Some("sk-new")).then_some(())
    });
}

#[test]
fn stopping_lets_a_running_stream_end() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&yaml(&a, &b, (100, 0), "sk"));
    let address = gateway.address();
    let body = json!({"model": "gpt-last", "stream": true, "messages": [], "x_mock": {"*": {"events": 20, "gap_ms": 50}}});
    let stream = std::thread::spawn(move || client::post(address, CHAT, &body));
    a.wait_for(1);
    gateway.stop();
    let reply = stream.join().expect("the stream's thread");
    assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
    assert!(sse::is_done(&reply.events()));
}

#[test]
fn an_idle_gateway_stops_with_status_0() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&yaml(&a, &b, (100, 0), "sk"));
    assert_eq!(gateway.chat(&bed::chat_body("stop")).status, 200);
    gateway.stop();
}

#[test]
fn keys_and_headers_that_are_taken_away_are_sent_no_more() {
    let provider = Upstream::start("a");
    let yaml = |more: &str| {
        let url = provider.url();
        format!(
            "providers: {{alpha: {{url: \"{url}\"{more}}}}}\nmodels: [{{match: \"*\", targets: [{{provider: alpha}}]}}]\n"
        )
    };
    let gateway = Gateway::start(&yaml(", keys: [sk-gone], headers: {x-team: gone}"));
    assert_eq!(gateway.chat(&bed::chat_body("with")).status, 200);
    assert_eq!(provider.requests()[0].key(), Some("sk-gone"));
    gateway.rewrite_and_wait(&yaml(""), |gateway| gateway.stderr().contains(": applied"));
    assert_eq!(gateway.chat(&bed::chat_body("without")).status, 200);
    let newest = provider.requests().pop().expect("a request");
    assert_eq!((newest.key(), newest.header("x-team")), (None, None));
}

/// `gpt-*` is served by nobody, then by a provider that works; each is tried `per_target` times.
fn chain(provider: &Upstream, closed: u16, per_target: u32) -> String {
    format!(
        "providers:
  closed: {{url: \"http://127.0.0.1:{closed}/v1\"}}
  open: {{url: \"{}\"}}
models:
  - {{match: \"gpt-*\", targets: [{{provider: closed}}], fallback: [{{provider: open}}]}}
retry: {{per_target: {per_target}, backoff: 1ms}}
",
        provider.url()
    )
}

#[test]
fn attempts_at_a_target_change_under_load_without_a_failed_request() {
    let (provider, closed) = (Upstream::start("a"), closed_port());
    let gateway = Options::default().workers(2).start(&chain(&provider, closed.number(), 1));
    let (is_over, done, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| load(&gateway, &is_over, &done, &failed));
        scope.spawn(|| load(&gateway, &is_over, &done, &failed));
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (n, per_target) in [(1, 3), (2, 1), (3, 4), (4, 2)] {
                let applied = |gateway: &Gateway| gateway.stderr().matches(": applied").count() >= n;
                gateway.rewrite_and_wait(&chain(&provider, closed.number(), per_target), applied);
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        assert!(changed.is_ok(), "a change was not taken up");
    });
    assert_eq!(failed.load(Ordering::Relaxed), 0, "of {}", done.load(Ordering::Relaxed));
}

#[test]
fn stopping_fails_no_request_on_a_kept_connection() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&yaml(&a, &b, (100, 0), "sk"));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut client = Connection::open(gateway.address()).expect("the gateway listens");
            std::thread::spawn(move || {
                let body = json!({"model": "gpt-kept", "messages": []}).to_string();
                let request = client::request("POST", CHAT, &[JSON], body.as_bytes());
                loop {
                    let reply = client.write(&request).and_then(|()| client.read()).expect("an answer");
                    assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
                    if reply.header("connection") == Some("close") {
                        return; // the gateway has said that this was the last
                    }
                }
            })
        })
        .collect();
    a.wait_for(20);
    gateway.stop();
    for client in clients {
        client.join().expect("a client whose requests were all answered");
    }
}
