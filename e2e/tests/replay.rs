//! `sluice replay` over the log of a real gateway: under its own configuration nothing changes, under another exactly
//! what must.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::cell::Cell;
use std::process::Command;

use serde_json::{Value, json};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::{Gateway, Options, binary};
use sluice_e2e::limits::{Running, at_once};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

fn yaml(a: &Upstream, b: &Upstream) -> String {
    let names = ["app", "bot", "talker", "rich", "busy", "friend", "user-0", "user-1", "user-2", "user-3"];
    let consumers: String = names
        .iter()
        .map(|name| format!("  - {{name: {name}, tier: gold, keys: [{}]}}\n", key(name)))
        .collect();
    let [a, b] = [a.address(), b.address()];
    format!(
        "max_request_body: 64KiB
providers:
  a: {{url: \"http://{a}/v1\", keys: [sk-secret-a]}}
  b: {{url: \"http://{b}/v1\", keys: [sk-secret-b]}}
consumers:
{consumers}  - {{name: small, keys: [{small}], models: [gpt-small]}}
  - {{name: far, keys: [{far}], from: [10.0.0.0/8]}}
  - {{name: off, keys: [{off}], disabled: true}}
models:
  - match: gpt-team
    when: {{headers: {{x-team: s*}}}}
    targets: [{{provider: b}}]
  - {{match: gpt-split, targets: [{{provider: a, weight: 1}}, {{provider: b, model: model-b, weight: 1}}]}}
  - {{match: gpt-any, sticky: request, targets: [{{provider: a, weight: 2}}, {{provider: b, weight: 1}}]}}
  - {{match: gpt-user, sticky: 'header:x-user', targets: [{{provider: a, weight: 1}}, {{provider: b, weight: 1}}]}}
  - {{match: gpt-moved, targets: [{{provider: a}}]}}
  - match: [gpt-chain, mine/gpt-chain]
    strip_prefix: mine/
    targets: [{{provider: a}}]
    fallback: [{{provider: b, model: model-b}}]
  - {{match: gpt-*, targets: [{{provider: a}}]}}
retry: {{per_target: 1, backoff: 1ms}}
timeouts: {{connect: 500ms, first_token: 5s, idle: 5s, request: 20s}}
limits:
  - {{name: pace, by: [key], when: {{consumer: bot}}, requests: 3, per: 1h}}
  - {{name: tokens, by: [consumer], when: {{consumer: talker}}, total_tokens: 40, per: 1h}}
  - {{name: budget, by: [tier], when: {{consumer: rich}}, cost_usd: 0.0002, per: 1h, terminal: true}}
  - {{name: now, by: [consumer], when: {{consumer: busy}}, in_flight: 2}}
  - {{name: all, by: [ip, 'header:x-team'], requests: 100000, per: 1h}}
prices:
  b/*: {{input: 3, output: 12}}
  '*': {{input: 2.5, cached: 1.25, output: 10}}
cache: {{ttl: 1h, scope: consumer}}
",
        small = key("small"),
        far = key("far"),
        off = key("off"),
    )
}

fn key(name: &str) -> String {
    format!("sk-{name}-0123456789abcdefghijklmnop")
}

/// A gateway that has had requests of every kind.
struct Bed {
    gateway: Gateway,
    yaml: String,
    sent: Cell<usize>,
}

impl Bed {
    /// A question of which the gateway estimates the input as the provider reports it; no two are alike.
    fn body(&self, model: &str, members: &Value) -> Value {
        let content = format!("{:040}", self.sent.get()); // with the role 44 bytes: 11 tokens
        let messages = json!([{"role": "user", "content": content}]);
        let mut body = json!({"model": model, "max_tokens": 5, "messages": messages});
        for (name, value) in members.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }

    #[track_caller]
    fn send(&self, name: &str, header: Option<(&str, &str)>, body: &[u8]) -> Reply {
        self.sent.set(self.sent.get() + 1);
        let bearer = format!("Bearer {}", key(name));
        let mut headers = vec![JSON];
        headers.extend((!name.is_empty()).then_some(("authorization", bearer.as_str())));
        headers.extend(header);
        client::send(self.gateway.address(), "POST", CHAT, &headers, body)
    }

    /// Asks as `name`, and gets this status and error.
    #[track_caller]
    fn ask(&self, name: &str, model: &str, members: Value, want: (u16, &str)) -> Reply {
        let reply = self.send(name, None, self.body(model, &members).to_string().as_bytes());
        assert_eq!((reply.status, reply.code().as_str()), want, "{name} {model}: {}", reply.text());
        reply
    }

    /// Waits until every request stands in the log.
    fn settle(&self) {
        let count = || self.gateway.access_log().iter().filter(|line| line["ai_log"].is_object()).count();
        wait::until("every record", || (count() >= self.sent.get()).then_some(()));
        assert_eq!(count(), self.sent.get());
    }

    /// Replays the log under `yaml`; the exit status and the report.
    fn replay(&self, yaml: &str) -> (Option<i32>, Value) {
        let folder = self.gateway.folder();
        std::fs::write(folder.join("new.yaml"), yaml).expect("a file");
        let mut command = Command::new(binary());
        command.current_dir(folder).args(["replay", "--log", "access.log", "--config", "new.yaml"]);
        let done = command.args(["--json", "--exit-code"]).output().expect("sluice runs");
        let report = serde_json::from_slice(&done.stdout);
        let told = || format!("{}\n{}", String::from_utf8_lossy(&done.stderr), self.gateway.access_text());
        (done.status.code(), report.unwrap_or_else(|_| panic!("{}", told())))
    }
}

const GOOD: (u16, &str) = (200, "");

fn play() -> Bed {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let yaml = yaml(&a, &b);
    let bed = Bed { gateway: Options::default().start(&yaml), yaml, sent: Cell::new(0) };
    splits(&bed);
    limits(&bed);
    chains(&bed);
    cached(&bed);
    refused(&bed);
    bed.settle();
    drop((a, b));
    bed
}

fn splits(bed: &Bed) {
    for n in 0..8 {
        bed.ask(&format!("user-{}", n % 4), "gpt-split", json!({}), GOOD);
        bed.ask("app", "gpt-any", json!({"stream": n % 2 == 0}), GOOD);
        let body = bed.body("gpt-user", &json!({})).to_string();
        bed.send("app", Some(("x-user", &format!("person-{n}"))), body.as_bytes());
    }
    for team in ["search", "shop", "other"] {
        let body = bed.body("gpt-team", &json!({"tools": [{"type": "function", "function": {"name": "f"}}]}));
        bed.send("app", Some(("x-team", team)), body.to_string().as_bytes());
    }
    (0..4).for_each(|_| drop(bed.ask("app", "gpt-moved", json!({}), GOOD)));
}

fn limits(bed: &Bed) {
    for n in 0..5 {
        let want = if n < 3 { GOOD } else { (429, "rate_limit_exceeded") };
        bed.ask("bot", "gpt-4", json!({}), want);
    }
    for want in [GOOD, GOOD, (429, "rate_limit_exceeded")] {
        bed.ask("talker", "gpt-4", json!({}), want);
    }
    for want in [GOOD, GOOD, (429, "insufficient_quota")] {
        bed.ask("rich", "gpt-4", json!({}), want);
    }
    let bearer = format!("Bearer {}", key("busy"));
    let running: Vec<Running> = (0..2)
        .map(|_| {
            let body = bed.body("gpt-4", &json!({"x_mock": {"a": {"hang_after": 2}}}));
            bed.sent.set(bed.sent.get() + 1);
            let mut running = Running::begin(bed.gateway.address(), &[("authorization", &bearer)], &body);
            running.read_until("delta", 2);
            running
        })
        .collect();
    bed.ask("busy", "gpt-4", json!({}), (429, "concurrency_limit_exceeded"));
    running.into_iter().for_each(Running::leave);
    bed.settle();
    bed.ask("busy", "gpt-4", json!({}), GOOD);
}

fn chains(bed: &Bed) {
    let broken = json!({"status": 503});
    bed.ask("app", "gpt-chain", json!({}), GOOD);
    bed.ask("app", "mine/gpt-chain", json!({"stream": true}), GOOD);
    bed.ask("app", "gpt-chain", json!({"x_mock": {"a": broken}}), GOOD);
    bed.ask("app", "gpt-chain", json!({"x_mock": {"a": broken, "b": broken}}), (502, "upstream_error"));
    bed.ask("app", "gpt-4", json!({"stream": true, "x_mock": {"a": {"cut_after": 2}}}), GOOD);
    bed.ask("app", "gpt-4", json!({"x_mock": {"a": {"status": 400}}}), (400, "bad_parameter"));
    bed.ask("app", "gpt-4", json!({"x_mock": {"a": {"usage": "never"}}}), GOOD);
}

/// Two hits of one consumer's own, one question of another consumer's, and three who wait for a fourth's answer.
fn cached(bed: &Bed) {
    let question = bed.body("gpt-4", &json!({})).to_string();
    for (name, want) in [("app", "miss"), ("app", "hit"), ("friend", "miss"), ("app", "hit")] {
        let reply = bed.send(name, None, question.as_bytes());
        assert_eq!(reply.header("x-ai-cache"), Some(want), "{name}");
    }
    let fresh = ("cache-control", "no-cache");
    bed.send("app", Some(fresh), bed.body("gpt-4", &json!({})).to_string().as_bytes());
    bed.ask("app", "gpt-4", json!({"store": true}), GOOD);
    bed.ask("app", "gpt-4", json!({"x_mock": {"a": {"finish_reason": "length"}}}), GOOD);
    bed.settle();
    let body = bed.body("gpt-4", &json!({"x_mock": {"a": {"delay_ms": 300}}}));
    bed.sent.set(bed.sent.get() + 4);
    // without a key nobody gets as far as the cache
    assert!(at_once(bed.gateway.address(), 4, |_| body.clone()).iter().all(|reply| reply.status == 401));
    let together = body.to_string();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (address, together) = (bed.gateway.address(), &together);
            scope.spawn(move || {
                let bearer = format!("Bearer {}", key("app"));
                let headers = [JSON, ("authorization", bearer.as_str())];
                let reply = client::send(address, "POST", CHAT, &headers, together.as_bytes());
                assert_eq!(reply.status, 200, "{}", reply.text());
            });
        }
    });
    bed.sent.set(bed.sent.get() + 4);
}

fn refused(bed: &Bed) {
    bed.ask("", "gpt-4", json!({}), (401, "missing_api_key"));
    bed.ask("nobody", "gpt-4", json!({}), (401, "invalid_api_key"));
    bed.ask("off", "gpt-4", json!({}), (401, "invalid_api_key"));
    bed.ask("far", "gpt-4", json!({}), (403, "ip_not_allowed"));
    bed.ask("small", "gpt-4", json!({}), (403, "model_not_allowed"));
    bed.ask("app", "llama", json!({}), (404, "model_not_found"));
    bed.ask("app", "gpt-4", json!({"filling": "x".repeat(100_000)}), (413, "request_too_large"));
    assert_eq!(bed.send("app", None, b"{\"model\": ").status, 400);
    let bearer = format!("Bearer {}", key("app"));
    for path in ["/v1/models", "/v1/limits?model=gpt-4"] {
        bed.sent.set(bed.sent.get() + 1);
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(client::send(bed.gateway.address(), "GET", path, &headers, b"").status, 200);
    }
}

/// The changes of a report: what, from, to, of how many requests.
fn changes(report: &Value) -> Vec<(String, String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = report["changes"].as_array().expect("changes").iter();
    all.map(|one| {
        let count = one["requests"].as_u64().expect("a count");
        (text(&one["change"]), text(&one["from"]), text(&one["to"]), count)
    })
    .collect()
}

#[test]
fn what_a_gateway_decided_is_reproduced_and_what_would_change_is_told() {
    let bed = play();
    let (status, report) = bed.replay(&bed.yaml);
    assert_eq!(report["changed"], 0, "{report:#}\n{}", bed.gateway.access_text());
    assert_eq!((status, report["requests"].as_u64()), (Some(0), u64::try_from(bed.sent.get()).ok()));
    assert_eq!(report["skipped"], json!([]));
    assert_eq!(report["assumed"], json!({}));
    for counts in [
        &report["cache"]["hits"],
        &report["cache"]["misses"],
        &report["cache"]["bypasses"],
        &report["cost_usd"],
    ] {
        assert_eq!(counts["before"], counts["after"], "{report:#}");
        assert_ne!(counts["before"], 0, "{report:#}");
    }
    let hits = report["cache"]["hits"]["before"].as_u64().expect("a count");
    assert_eq!(hits, 5, "{report:#}");
    others(&bed);
}

/// One edit of the configuration each, and exactly what it changes.
fn others(bed: &Bed) {
    let paced = "rate_limit_exceeded by limit pace";
    let bot = format!("keys: [{}]", key("bot"));
    let off = format!("keys: [{}], disabled: true", key("bot"));
    for (from, to, want) in [
        ("requests: 3,", "requests: 5,", vec![("admitted", paced, "", 2)]),
        (
            "total_tokens: 40",
            "total_tokens: 20",
            vec![("refused", "", "rate_limit_exceeded by limit tokens", 1)],
        ),
        ("cost_usd: 0.0002", "cost_usd: 1", vec![("admitted", "insufficient_quota by limit budget", "", 1)]),
        (
            "in_flight: 2",
            "in_flight: 3",
            vec![("admitted", "concurrency_limit_exceeded by limit now", "", 1)],
        ),
        ("scope: consumer", "scope: everyone", vec![("cache_hit", "", "", 1)]),
        ("cache: {ttl: 1h, scope: consumer}", "", vec![("cache_miss", "", "", 5)]),
        (
            "match: gpt-moved, targets: [{provider: a}]",
            "match: gpt-moved, targets: [{provider: b}]",
            vec![("routed", "gpt-moved to a", "gpt-moved to b", 4)],
        ),
        (
            "    fallback: [{provider: b, model: model-b}]\n",
            "",
            vec![("refused", "", "upstream_error", 1), ("served", "b/model-b", "a/gpt-chain", 2)],
        ),
        (
            &bot,
            &off,
            vec![("refused", "", "invalid_api_key", 3), ("refused_otherwise", paced, "invalid_api_key", 2)],
        ),
        ("s*", "z*", vec![("routed", "gpt-team to b", "gpt-* to a", 2)]),
    ] {
        assert!(bed.yaml.contains(from), "{from}");
        let (status, report) = bed.replay(&bed.yaml.replacen(from, to, 1));
        let owned = |(change, from, to, count): &(&str, &str, &str, u64)| {
            ((*change).to_owned(), (*from).to_owned(), (*to).to_owned(), *count)
        };
        assert_eq!(changes(&report), want.iter().map(owned).collect::<Vec<_>>(), "{to}: {report:#}");
        assert_eq!(status, Some(1), "{to}");
    }
    let dearer = bed.yaml.replace("input: 3, output: 12", "input: 6, output: 24");
    let dearer = dearer.replace("input: 2.5, cached: 1.25, output: 10", "input: 5, cached: 2.5, output: 20");
    let (_, report) = bed.replay(&dearer.replace("cost_usd: 0.0002", "cost_usd: 0.0004"));
    let [before, after] = ["before", "after"].map(|when| report["cost_usd"][when].as_f64().expect("dollars"));
    assert!((after - 2.0 * before).abs() < 1e-9, "{report:#}");
    assert!(changes(&report).iter().all(|(change, ..)| change == "cost"), "{report:#}");
}
