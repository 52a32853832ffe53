//! Provider keys: rotated, rested, quarantined, and never told to anybody.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::time::Duration;

use serde_json::json;
use sluice_e2e::bed;
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::process;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::{Seen, Upstream};
use sluice_e2e::wait;

const KEYS: &str = "[sk-one-canary, sk-two-canary]";

fn yaml(provider: &Upstream, keys: &str, rotation: &str) -> String {
    format!(
        "providers: {{a: {{url: \"{}\", keys: {keys}, rotation: {rotation}}}}}
models: [{{match: \"*\", targets: [{{provider: a}}]}}]
retry: {{per_target: 2, backoff: 1ms}}
",
        provider.url()
    )
}

fn keys(seen: &[Seen]) -> Vec<String> {
    seen.iter().filter_map(|seen| seen.key().map(str::to_owned)).collect()
}

fn count(provider: &Upstream, key: &str) -> usize {
    keys(&provider.requests()).iter().filter(|used| *used == key).count()
}

/// Asks `times`, each over a connection of its own, so that every worker gets some.
fn ask(gateway: &Gateway, times: usize) -> Vec<Reply> {
    (0..times).map(|_| gateway.chat(&bed::chat_body("keys"))).collect()
}

/// Asks until the provider has seen `key`.
fn ask_until_used(gateway: &Gateway, provider: &Upstream, key: &str) -> Seen {
    wait::until(&format!("{key} to be used"), || {
        ask(gateway, 1);
        provider.requests().into_iter().find(|seen| seen.key() == Some(key))
    })
}

#[test]
fn a_key_told_to_wait_rests_on_every_worker_and_returns() {
    let provider = Upstream::start("a");
    provider.for_key("sk-one-canary", Script::status(429).header("retry-after", "2"));
    let gateway = Options::default().workers(2).start(&yaml(&provider, KEYS, "round_robin"));
    let limited = ask_until_used(&gateway, &provider, "sk-one-canary");
    wait::until("the next attempt", || {
        let seen = provider.requests();
        let next = seen.iter().skip_while(|seen| seen.at != limited.at).nth(1)?;
        assert_eq!(next.key(), Some("sk-two-canary"), "the next attempt uses the other key");
        Some(())
    });
    while limited.at.elapsed() < Duration::from_millis(1_700) {
        assert!(ask(&gateway, 8).iter().all(|reply| reply.status == 200));
    }
    let early = provider.requests().iter().filter(|seen| seen.key() == Some("sk-one-canary")).count();
    assert_eq!(early, 1, "nobody uses the key while it rests");
    provider.for_key("sk-one-canary", Script::default());
    provider.forget();
    let back = ask_until_used(&gateway, &provider, "sk-one-canary");
    let rested = back.at - limited.at;
    assert!((1_900..4_000).contains(&rested.as_millis()), "it rested {rested:?}");
}

#[test]
fn a_key_rests_as_long_as_the_rate_limit_headers_say() {
    let provider = Upstream::start("a");
    let limit = Script::status(429).header("x-ratelimit-remaining-requests", "0");
    provider.for_key("sk-one-canary", limit.header("x-ratelimit-reset-requests", "1s500ms"));
    let gateway = Gateway::start(&yaml(&provider, KEYS, "round_robin"));
    let limited = ask_until_used(&gateway, &provider, "sk-one-canary");
    provider.for_key("sk-one-canary", Script::default());
    provider.forget();
    let back = ask_until_used(&gateway, &provider, "sk-one-canary");
    let rested = back.at - limited.at;
    assert!((1_400..4_000).contains(&rested.as_millis()), "it rested {rested:?}");
}

#[test]
fn a_key_that_is_refused_is_quarantined_with_one_warning() {
    for status in [401, 403] {
        let provider = Upstream::start("a");
        provider.for_key("sk-one-canary", Script::status(status));
        let gateway = Options::default().workers(2).start(&yaml(&provider, KEYS, "round_robin"));
        ask_until_used(&gateway, &provider, "sk-one-canary");
        let replies = ask(&gateway, 30);
        assert!(replies.iter().all(|reply| reply.status == 200), "{}", replies[0].text());
        assert_eq!(count(&provider, "sk-one-canary"), 1, "{status}: once is enough");
        let is_warning = |line: &&str| line.contains("quarantine");
        let warnings = wait::until("a warning", || {
            let count = gateway.envoy_log().lines().filter(is_warning).count();
            (count > 0).then_some(count)
        });
        assert_eq!(warnings, 1, "{status}");
    }
}

#[test]
fn a_limit_without_its_body_fails_over_at_once() {
    let bed = bed::shared();
    let answered = bed.ask("silent-429", false, json!({"a": {"status": 429, "hang_first_token": true}}));
    assert_eq!((answered.reply.status, answered.asked()), (200, vec!["a", "b"]));
    assert!(answered.reply.took < Duration::from_secs(3), "{:?}", answered.reply.took);
}

#[test]
fn a_key_without_quota_is_parked() {
    let provider = Upstream::start("a");
    let body =
        json!({"error": {"message": "no money", "type": "insufficient_quota", "code": "insufficient_quota"}});
    let broke = Script { body: Some(body.to_string()), ..Script::status(429) };
    provider.for_key("sk-one-canary", broke.header("retry-after", "0"));
    let gateway = Gateway::start(&yaml(&provider, KEYS, "round_robin"));
    let refused = ask_until_used(&gateway, &provider, "sk-one-canary");
    while refused.at.elapsed() < Duration::from_millis(1_500) {
        assert!(ask(&gateway, 5).iter().all(|reply| reply.status == 200));
    }
    assert_eq!(count(&provider, "sk-one-canary"), 1, "retry-after does not bring money");
}

#[test]
fn a_providers_failure_is_not_its_keys_fault() {
    let provider = Upstream::start("a");
    provider.once(Script::status(503));
    let gateway = Gateway::start(&yaml(&provider, KEYS, "round_robin"));
    assert_eq!(ask(&gateway, 1)[0].status, 200);
    let first = keys(&provider.requests());
    assert_ne!(first[0], first[1], "the next attempt at the provider uses its other key");
    ask(&gateway, 6);
    assert!(
        count(&provider, "sk-one-canary") >= 3 && count(&provider, "sk-two-canary") >= 3,
        "neither rests"
    );
}

#[test]
fn when_all_keys_rest_the_one_that_is_free_first_is_used() {
    let provider = Upstream::start("a");
    provider.for_key("sk-one-canary", Script::status(429).header("retry-after", "30"));
    provider.for_key("sk-two-canary", Script::status(429).header("retry-after", "9"));
    let gateway = Gateway::start(&yaml(&provider, KEYS, "round_robin"));
    ask_until_used(&gateway, &provider, "sk-one-canary");
    ask_until_used(&gateway, &provider, "sk-two-canary");
    provider.for_key("sk-one-canary", Script::default());
    provider.for_key("sk-two-canary", Script::default());
    provider.forget();
    assert_eq!(ask(&gateway, 1)[0].status, 200);
    assert_eq!(keys(&provider.requests()), ["sk-two-canary"]);
}

#[test]
fn each_rotation_shares_out_as_it_says() {
    for (rotation, keys, low, high) in [
        ("round_robin", "[sk-one, sk-two]", 20, 20),
        ("random", "[sk-one, sk-two]", 8, 32),
        ("least_used", "[sk-one, sk-two]", 18, 22),
        ("weighted", "[{key: sk-one, weight: 3}, {key: sk-two, weight: 1}]", 22, 38),
    ] {
        let provider = Upstream::start("a");
        let gateway = Gateway::start(&yaml(&provider, keys, rotation));
        ask(&gateway, 40);
        let first = count(&provider, "sk-one");
        assert!((low..=high).contains(&first), "{rotation}: {first} of 40");
        assert_eq!(count(&provider, "sk-two"), 40 - first, "{rotation}");
    }
}

#[test]
fn a_provider_without_keys_gets_no_credentials() {
    let provider = Upstream::start("a");
    let gateway =
        Gateway::start(&yaml(&provider, "[]", "random").replace(", keys: [], rotation: random", ""));
    let headers = [("content-type", "application/json"), ("authorization", "Bearer sk-client")];
    let body = bed::chat_body("no-keys").to_string();
    let reply = client::send(gateway.address(), "POST", "/v1/chat/completions", &headers, body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.requests()[0].header("authorization"), None);
}

/// Requests of every fate, and what their clients got.
fn every_fate(gateway: &Gateway) -> String {
    let mut told = String::new();
    for script in [
        json!({}),
        json!({"status": 503}),
        json!({"status": 401}),
        json!({"status": 429, "headers": {"retry-after": "1"}}),
        json!({"reset": true}),
        json!({"error_first": true}),
        json!({"cut_after": 2}),
        json!({"status": 400}),
    ] {
        let mut body = bed::chat_body("fate");
        body["stream"] = json!(true);
        body["x_mock"] = json!({"*": script});
        let reply = gateway.chat(&body);
        told.push_str(&format!("{:?} {}", reply.headers, reply.text()));
    }
    told
}

#[test]
fn keys_are_in_no_log_metric_error_or_header() {
    let provider = Upstream::start("a");
    let options = Options::default().env("KEY_ONE", "sk-env-canary").file("key.txt", "sk-file-canary\n");
    let gateway = options.start(&yaml(
        &provider,
        "[env:KEY_ONE, \"file:{folder}/key.txt\", sk-plain-canary]",
        "round_robin",
    ));
    let told = every_fate(&gateway);
    let used = keys(&provider.requests());
    for key in ["sk-env-canary", "sk-file-canary", "sk-plain-canary"] {
        assert!(used.iter().any(|used| used == key), "{key} was used, and without the file's line end");
    }
    wait::until("the log", || (gateway.access_log().len() >= 8).then_some(()));
    let stats = client::get(gateway.admin(), "/stats").text();
    let logs = [gateway.access_text(), gateway.envoy_log(), gateway.stderr(), stats, told].concat();
    assert!(!logs.contains("-canary"));
    let dump = client::get(gateway.admin(), "/config_dump?include_eds").text();
    assert!(!dump.contains("sk-env-canary"), "a key from the environment stands in no configuration");
}

#[test]
fn keys_from_the_environment_are_in_no_rendered_file() {
    let provider = Upstream::start("a");
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    let listen = "version: 1\nlisten: 127.0.0.1:10000\nadmin: 127.0.0.1:9901\n";
    std::fs::write(&file, format!("{listen}{}", yaml(&provider, "[env:KEY_ONE, sk-plain-canary]", "random")))
        .expect("a file");
    let rendered = folder.path().join("rendered");
    let mut command = std::process::Command::new(sluice_e2e::gateway::binary());
    command.arg("render").arg(&file).arg("-o").arg(&rendered).env("KEY_ONE", "sk-env-canary");
    let status = command.status().expect("the sluice command");
    assert!(status.success());
    let mut holders = 0;
    for path in files(&rendered) {
        let text = process::read(&path);
        assert!(!text.contains("sk-env-canary"), "{}", path.display());
        if text.contains("sk-plain-canary") {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{} holds a secret", path.display());
            holders += 1;
        }
    }
    assert!(holders > 0, "the literal key must be somewhere");
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_key_in_a_file_changes_with_the_file() {
    let provider = Upstream::start("a");
    let options = Options::default().file("key.txt", "sk-old\n");
    let gateway = options.start(&yaml(&provider, "[\"file:{folder}/key.txt\"]", "round_robin"));
    assert_eq!(ask(&gateway, 1)[0].status, 200);
    assert_eq!(keys(&provider.requests()), ["sk-old"]);
    gateway.replace("key.txt", "sk-new\n");
    ask_until_used(&gateway, &provider, "sk-new");
    provider.forget();
    assert!(ask(&gateway, 5).iter().all(|reply| reply.status == 200));
    assert_eq!(count(&provider, "sk-old"), 0);
}

#[test]
fn a_resting_key_rests_on_after_a_change_of_configuration() {
    let provider = Upstream::start("a");
    provider.for_key("sk-one-canary", Script::status(429).header("retry-after", "30"));
    let gateway = Gateway::start(&yaml(&provider, KEYS, "round_robin"));
    ask_until_used(&gateway, &provider, "sk-one-canary");
    gateway.rewrite(&yaml(&provider, "[sk-one-canary, sk-two-canary, sk-three-canary]", "round_robin"));
    ask_until_used(&gateway, &provider, "sk-three-canary");
    ask(&gateway, 20);
    assert_eq!(count(&provider, "sk-one-canary"), 1, "its rest is known by its fingerprint");
}

#[test]
fn one_connection_may_use_many_keys() {
    let provider = Upstream::start("a");
    let gateway = Gateway::start(&yaml(&provider, KEYS, "round_robin"));
    let mut client = Connection::open(gateway.address()).expect("the gateway listens");
    let body = bed::chat_body("one-connection").to_string();
    let headers = [("content-type", "application/json")];
    for _ in 0..4 {
        client
            .write(&client::request("POST", "/v1/chat/completions", &headers, body.as_bytes()))
            .expect("a request");
        assert_eq!(client.read().expect("an answer").status, 200);
    }
    assert_eq!((count(&provider, "sk-one-canary"), count(&provider, "sk-two-canary")), (2, 2));
}

#[test]
fn a_key_whose_file_comes_late_is_taken_up_when_it_comes() {
    let provider = Upstream::start("a");
    let gateway = Gateway::start(&yaml(&provider, "[sk-first]", "round_robin"));
    gateway.rewrite(&yaml(&provider, "[\"file:late.key\"]", "round_robin"));
    wait::until("the missing file to be reported", || gateway.stderr().contains("not applied").then_some(()));
    assert_eq!(gateway.chat(&bed::chat_body("before")).status, 200);
    gateway.replace("late.key", "sk-late");
    ask_until_used(&gateway, &provider, "sk-late");
}
