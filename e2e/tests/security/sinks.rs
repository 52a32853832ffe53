//! What the `sluice` command says of a configuration or a gateway, right or wrong, tells nobody a key.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sluice_e2e::client;
use sluice_e2e::gateway;

use crate::bed::shared;
use crate::raw::CHAT;

/// Stands in every secret and in every text of this test's.
const CANARY: &str = "woodpecker";

/// A gateway.yaml with a secret wherever one may stand.
const RIGHT: &str = "version: 1
listen: 127.0.0.1:10000
providers:
  a: {url: \"http://127.0.0.1:9/v1\", keys: [sk-a-woodpecker-0123456789abcdef], headers: {x-team: token-woodpecker}}
models: [{match: \"gpt-*\", targets: [{provider: a}]}]
consumers: [{name: ann, keys: [sk-ann-woodpecker-0123456789abcdef]}]
redis: {url: \"redis://127.0.0.1:9\", password: password-woodpecker}
guard: {checks: [{name: mod, url: \"http://127.0.0.1:9/v1/moderations\", key: sk-mod-woodpecker}]}
";

/// Slips that one might make beside a secret: what stands there, and what is written instead.
const SLIPS: [(&str, &str); 24] = [
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: sk-a-woodpecker-0123456789abcdef: x"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: {sk-a-woodpecker: 1}"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [[sk-a-woodpecker]]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [sk-a-woodpecker"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [\"sk-a-woodpecker]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "kyes: [sk-a-woodpecker]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [env:sk-a-woodpecker]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [\"env:\", sk-a-woodpecker]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [sk-a-woodpecker, sk-a-woodpecker]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [{key: sk-a-woodpecker, weight: sk-woodpecker}]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [{sk-a-woodpecker: 1}]"),
    ("keys: [sk-a-woodpecker-0123456789abcdef]", "keys: [\"sk-a-woodpecker\\n\"]"),
    ("headers: {x-team: token-woodpecker}", "headers: {authorization: Bearer sk-woodpecker}"),
    ("headers: {x-team: token-woodpecker}", "headers: [token-woodpecker]"),
    ("headers: {x-team: token-woodpecker}", "headers: {\"x team\": token-woodpecker}"),
    ("\"http://127.0.0.1:9/v1\"", "\"http://sk-woodpecker@127.0.0.1:9/v1\""),
    ("keys: [sk-ann-woodpecker-0123456789abcdef]", "keys: [\"sha256:sk-ann-woodpecker\"]"),
    ("keys: [sk-ann-woodpecker-0123456789abcdef]", "keys: [sk-ann-woodpecker, 1]"),
    ("{name: ann, keys: [sk-ann-woodpecker-0123456789abcdef]}", "sk-ann-woodpecker"),
    ("redis://127.0.0.1:9", "redis://:password-woodpecker@127.0.0.1:9"),
    ("redis://127.0.0.1:9", "redis//password-woodpecker"),
    ("password: password-woodpecker", "password: [password-woodpecker]"),
    ("key: sk-mod-woodpecker", "key: {value: sk-mod-woodpecker}"),
    ("key: sk-mod-woodpecker", "key: sk-mod-woodpecker, timeout: sk-mod-woodpecker"),
];

/// Runs the command; what it says on both outputs.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = Command::new(gateway::binary()).args(arguments).output().expect("the sluice command");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!text.is_empty(), "{arguments:?} says nothing");
    assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    text
}

#[track_caller]
fn assert_kept(what: &str, text: &str) {
    assert!(!text.contains(CANARY), "{what}: {text}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn no_command_repeats_a_key_that_stands_in_the_wrong_place() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (file, out) = (folder.path().join("gateway.yaml"), folder.path().join("out"));
    for (right, wrong) in SLIPS.into_iter().chain([("", "")]) {
        assert!(RIGHT.contains(right), "{right}");
        std::fs::write(&file, RIGHT.replacen(right, wrong, 1)).expect("a file");
        assert_kept(wrong, &said(&["check", text(&file)]));
        assert_kept(wrong, &said(&["render", text(&file), "-o", text(&out)]));
        assert_kept(wrong, &said(&["explain", text(&file), "--model", "gpt-4"]));
        assert_kept(
            wrong,
            &said(&["explain", text(&file), "--model", "gpt-4", "--key", "sk-guess-woodpecker"]),
        );
        assert_kept(wrong, &said(&["replay", "--log", text(&file), "--config", text(&file)]));
    }
}

#[test]
fn no_command_tells_a_key_or_a_text_of_a_gateway_that_runs() {
    let bed = shared();
    let body =
        json!({"model": "gpt-small-1", "messages": [{"role": "user", "content": CANARY}], "user": CANARY});
    for key in ["sk-small", "sk-nobody-woodpecker"] {
        let headers = [("content-type", "application/json"), ("authorization", &*format!("Bearer {key}"))];
        client::send(bed.gateway.address(), "POST", CHAT, &headers, body.to_string().as_bytes());
    }
    bed.gateway.ai_log("gpt-small-1");
    let [file, log] = ["gateway.yaml", "access.log"].map(|name| bed.gateway.folder().join(name));
    let [file, log] = [text(&file), text(&log)];
    let (admin, at) =
        (format!("http://{}", bed.gateway.admin()), format!("http://{}", bed.gateway.address()));
    let told = [
        said(&["check", file]),
        said(&["top", "--once", "--admin", &admin]),
        said(&["cache", "stats", file]),
        said(&["cache", "clear", file, "--consumer", "small"]),
        said(&["replay", "--log", log, "--config", file]),
        said(&["replay", "--log", log, "--config", file, "--json"]),
        said(&["explain", file, "--model", "gpt-small-1", "--key", "sk-small", "--at", &at]),
        said(&["explain", file, "--model", "gpt-small-1", "--key", "sk-small", "--json"]),
    ];
    for text in &told {
        assert_kept("a command", text);
        assert!(!text.contains("sk-s"), "{text}"); // sk-small, sk-secret-a
    }
}
