//! What nobody but client and provider may know is in nothing that the gateway writes, answers or stores a name of.
//!
//! Every prompt, answer, key, cookie and header value here holds [`CANARY`] and says what it is. Traces are searched by a
//! suite of their own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::exposition::Metrics;
use sluice_e2e::gateway::{self, Gateway, Options};
use sluice_e2e::redis::{self, Redis};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{process, wait};

use crate::declared;

/// Stands in everything that is secret, and in nothing else.
const CANARY: &str = "kingfisher";

/// What a literal key of a provider is: the one secret that stands in Envoy's configuration, for that is where its
/// operator has put it.
const LITERAL: &str = "sk-literal-kingfisher";

const CHAT: &str = "/v1/chat/completions";

struct Secretive {
    gateway: Gateway,
    _providers: [Upstream; 2],
    redis: Redis,
    _service: Upstream,
}

fn yaml(a: &str, b: &str, redis: &str, service: &str, key: &str) -> String {
    format!(
        "providers:
  a: {{url: \"{a}\", keys: [{key}], headers: {{x-project: env:PROJECT}}}}
  b: {{url: \"{b}\", keys: [\"file:b.key\"]}}
models: [{{match: \"gpt-*\", targets: [{{provider: a}}], fallback: [{{provider: b}}]}}]
consumers:
  - {{name: ann, keys: [env:ANN_KEY]}}
  - {{name: bob, keys: [sk-bob-{CANARY}], models: \"none-*\"}}
credentials: {{headers: [x-my-key], query: key}}
limits: [{{name: calls, by: [consumer, \"header:x-team\"], requests: 4, per: 1h, when: {{headers: {{x-limited: \"*\"}}}}}}]
redis: {{url: \"redis://{redis}\", password: env:REDIS_PASSWORD}}
cache: {{models: \"gpt-cached\"}}
guard:
  checks:
    - {{name: banned, keywords: [forbidden], action: block}}
    - {{name: pii, on: request, detect: [email], action: mask}}
    - {{name: mod, on: request, models: \"gpt-asked\", url: \"http://{service}/v1/moderations\", key: env:SERVICE_KEY, timeout: 5s}}
timeouts: {{connect: 500ms, first_token: 2s, idle: 1s, request: 20s}}
retry: {{per_target: 1, backoff: 1ms}}
"
    )
}

impl Secretive {
    fn start(key: &str) -> Self {
        let providers = ["a", "b"].map(Upstream::start);
        let service = Upstream::start("service");
        let password = format!("password-{CANARY}");
        let redis = Redis::start(&redis::Options::password(&password));
        let [a, b] = providers.each_ref().map(Upstream::url);
        let (redis_at, service_at) = (redis.address().to_string(), service.address().to_string());
        let gateway = Options::default()
            .env("TMPDIR", "{folder}") // what is rendered lies in the test's own folder
            .env("A_KEY", &format!("sk-a-{CANARY}"))
            .env("ANN_KEY", &format!("sk-ann-{CANARY}"))
            .env("PROJECT", &format!("project-{CANARY}"))
            .env("SERVICE_KEY", &format!("sk-service-{CANARY}"))
            .env("REDIS_PASSWORD", &password)
            .file("b.key", "sk-b-in-a-file\n")
            .start(&yaml(&a, &b, &redis_at, &service_at, key));
        for path in ["/logging?level=info", "/logging?wasm=debug"] {
            assert_eq!(client::send(gateway.admin(), "POST", path, &[], b"").status, 200);
        }
        Self { gateway, _providers: providers, redis, _service: service }
    }

    fn send(&self, headers: &[(&str, &str)], path: &str, body: &[u8]) -> Reply {
        let headers = [&[("content-type", "application/json")], headers].concat();
        client::send(self.gateway.address(), "POST", path, &headers, body)
    }

    /// A request of ann's with a secret in every place that a request has.
    fn ask(&self, model: &str, said: &str, stream: bool, script: &Value) -> Reply {
        let body = question(model, said, stream, script);
        let secrets = [
            ("authorization", format!("Bearer sk-ann-{CANARY}")),
            ("cookie", format!("session={CANARY}-cookie")),
            ("x-secret", format!("{CANARY}-header")),
            ("user-agent", format!("{CANARY}-agent")),
            ("referer", format!("http://x/{CANARY}-referer")),
            ("x-limited", "yes".to_owned()),
        ];
        let all = if model == "gpt-limited" { &secrets[..] } else { &secrets[..5] };
        let headers: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.send(&headers, &format!("{CHAT}?trace={CANARY}-query"), body.to_string().as_bytes())
    }
}

fn question(model: &str, said: &str, stream: bool, script: &Value) -> Value {
    let said = format!("{CANARY} asks: {said} {CANARY}@example.com");
    let tool =
        json!({"type": "function", "function": {"name": "f", "description": format!("{CANARY} tool")}});
    json!({"model": model, "stream": stream, "tools": [tool], "user": format!("{CANARY}-user"),
           "messages": [{"role": "system", "content": format!("{CANARY} rules")}, {"role": "user", "content": said}],
           "x_unknown": CANARY, "metadata": {"note": CANARY, "x_mock": script}})
}

/// Every fate of a request with a good key; the answers of the gateway's own.
fn good_keys(bed: &Secretive) -> Vec<Reply> {
    let answer = format!("{CANARY} answers.");
    let broken = format!("<h1>{CANARY} page</h1>");
    let fates = [
        ("gpt-plain", "hello", json!({"*": {"say": answer}})),
        ("gpt-cached", "hello", json!({"*": {"say": answer}})),
        ("gpt-cached", "hello", json!({"*": {"say": answer}})),
        ("gpt-limited", "hello", json!({"*": {"say": answer}})),
        ("gpt-asked", "hello", json!({"*": {"say": answer}})),
        ("gpt-asked", "an insult", json!({})),
        ("gpt-asked", "hello", json!({"*": {"status": 500}})),
        ("gpt-plain", "forbidden", json!({})),
        ("gpt-plain", "hello", json!({"*": {"say": format!("{CANARY} says what is forbidden.")}})),
        ("gpt-plain", "hello", json!({"a": {"status": 503, "body": broken}, "b": {"say": answer}})),
        ("gpt-plain", "hello", json!({"*": {"status": 500, "body": broken}})),
        ("gpt-plain", "hello", json!({"*": {"body": broken}})),
        ("gpt-plain", "hello", json!({"a": {"error_first": true}, "b": {"status": 429, "body": broken}})),
        ("gpt-plain", "hello", json!({"*": {"say": answer, "reset_after": 1, "gap_ms": 20}})),
        ("gpt-plain", "hello", json!({"*": {"say": answer, "cut_after": 1}})),
        ("gpt-plain", "hello", json!({"*": {"reset": true}})),
        ("llama", "hello", json!({})),
    ];
    let all = fates.iter().flat_map(|fate| [(fate, false), (fate, true)]);
    let replies = all.map(|((model, said, script), stream)| bed.ask(model, said, stream, script));
    let own = |reply: &Reply| reply.header("x-sluice-error").is_some();
    replies.filter(own).collect()
}

/// Every way not to be let in, and bodies that cannot be read.
fn refusals(bed: &Secretive) -> Vec<Reply> {
    let body = question("gpt-plain", "hello", false, &json!({})).to_string();
    let body = body.as_bytes();
    let [key, guessed, bob] = ["ann", "guessed", "bob"].map(|name| format!("Bearer sk-{name}-{CANARY}"));
    let in_query = format!("{CHAT}?key=sk-guessed-{CANARY}");
    let plain = format!("sk-guessed-{CANARY}");
    let half = format!("{{\"model\": \"gpt-plain\", \"messages\": [\"{CANARY}");
    vec![
        bed.send(&[("cookie", &plain)], CHAT, body),
        bed.send(&[("authorization", &guessed)], CHAT, body),
        bed.send(&[("authorization", &format!("Basic {CANARY}"))], CHAT, body),
        bed.send(&[("x-api-key", &plain)], CHAT, body),
        bed.send(&[("x-my-key", &plain)], CHAT, body),
        bed.send(&[], &in_query, body),
        bed.send(&[("authorization", &key), ("x-api-key", &plain)], CHAT, body),
        bed.send(&[("authorization", &bob)], CHAT, body),
        bed.send(&[("authorization", &key)], CHAT, half.as_bytes()),
        bed.send(&[("authorization", &key)], CHAT, format!("\"{CANARY}\"").as_bytes()),
        bed.send(&[("authorization", &key), ("content-type", "text/plain")], CHAT, body),
        client::get(bed.gateway.address(), &format!("/elsewhere?key=sk-ann-{CANARY}")),
    ]
}

/// Clients that leave before and within their answer.
fn leave(bed: &Secretive) {
    for script in
        [json!({"*": {"hang": true}}), json!({"*": {"say": format!("{CANARY} {CANARY}"), "hang_after": 2}})]
    {
        let body = question("gpt-left", "hello", true, &script).to_string();
        let key = format!("Bearer sk-ann-{CANARY}");
        let headers = [("content-type", "application/json"), ("authorization", key.as_str())];
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        client.write(&client::request("POST", CHAT, &headers, body.as_bytes())).expect("a request");
        let asked = |provider: &Upstream| !provider.tagged("gpt-left").is_empty();
        wait::until("the provider to be asked", || asked(&bed._providers[0]).then_some(()));
        client.abort();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Everything that operators, or who reads over their shoulders, can see; by name.
fn sinks(bed: &Secretive) -> Vec<(&'static str, String)> {
    let admin = |path| client::get(bed.gateway.admin(), path).text();
    let folder = bed.gateway.folder();
    let rendered: Vec<PathBuf> =
        files(folder).into_iter().filter(|path| path.parent() != Some(folder)).collect();
    assert!(rendered.len() > 5, "{rendered:?}");
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut bed.redis.connect()).expect("keys");
    assert!(keys.iter().any(|key| key.contains("cache")) && keys.len() >= 2, "{keys:?}");
    vec![
        ("the access log", bed.gateway.access_text()),
        ("Envoy's log", bed.gateway.envoy_log()),
        ("standard error", bed.gateway.stderr()),
        ("standard output", process::read(&folder.join("stdout"))),
        ("/stats", admin("/stats")),
        ("/stats/prometheus", admin("/stats/prometheus")),
        ("/clusters", admin("/clusters")),
        ("/server_info", admin("/server_info")),
        ("/config_dump", admin("/config_dump?include_eds")),
        ("a rendered file", rendered.iter().map(|path| process::read(path)).collect()),
        ("Redis' keys", keys.join("\n")),
    ]
}

#[track_caller]
fn assert_none(sinks: &[(&str, String)], canary: &str) {
    for (what, text) in sinks {
        assert!(!text.is_empty() || *what == "standard output", "{what} is empty");
        let at = text
            .find(canary)
            .map(|at| &text[text.floor_char_boundary(at.saturating_sub(200))..at + canary.len()]);
        assert_eq!(at, None, "{canary} is in {what}");
    }
}

#[test]
fn by_default_no_prompt_answer_key_cookie_or_header_is_told_anywhere() {
    let bed = Secretive::start("env:A_KEY");
    let mut replies = good_keys(&bed);
    assert!(replies.len() > 15, "{replies:?}");
    replies.extend(refusals(&bed));
    leave(&bed);
    wait::until("all records", || (bed.gateway.access_log().len() >= 17 * 2 + 12 + 2).then_some(()));
    for reply in &replies {
        assert!(reply.status >= 400, "{}: {}", reply.status, reply.text());
        let told = format!("{:?} {}", reply.headers, reply.text());
        assert!(!told.contains(CANARY), "{told}");
    }
    let sinks = sinks(&bed);
    assert_none(&sinks, CANARY);
    assert_none(&sinks[..8], "sk-b-in-a-file");
    let metrics = Metrics::scrape(bed.gateway.admin());
    assert!(declared::assert_declared(&metrics).contains_key("redis_calls_total"));
}

/// Keys that stand in gateway.yaml, or in a file that it names, are in what is rendered, and so in what the admin interface
/// shows of it: there and nowhere else, in files that only their owner can read.
#[test]
fn a_key_that_stands_in_a_file_is_in_the_configuration_alone() {
    let bed = Secretive::start(LITERAL);
    good_keys(&bed);
    wait::until("all records", || (bed.gateway.access_log().len() >= 17 * 2).then_some(()));
    let sinks = sinks(&bed);
    for key in [LITERAL, "sk-b-in-a-file"] {
        let holders: Vec<&str> =
            sinks.iter().filter(|(_, text)| text.contains(key)).map(|(what, _)| *what).collect();
        assert_eq!(holders, ["/config_dump", "a rendered file"], "{key}");
    }
    for path in files(bed.gateway.folder()) {
        let rendered = path.parent() != Some(bed.gateway.folder());
        if rendered && process::read(&path).contains("sk-") {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
    let render = bed.gateway.folder().join("rendered");
    let mut command = Command::new(gateway::binary());
    command.arg("render").arg(bed.gateway.folder().join("gateway.yaml")).arg("-o").arg(&render);
    for (name, value) in
        ["A_KEY", "ANN_KEY", "PROJECT", "SERVICE_KEY", "REDIS_PASSWORD"].map(|name| (name, CANARY))
    {
        command.env(name, value);
    }
    let output = command.output().expect("the sluice command");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains(LITERAL) && !said.contains("in-a-file"), "{said}");
    let holders: Vec<PathBuf> =
        files(&render).into_iter().filter(|path| process::read(path).contains(LITERAL)).collect();
    assert!(!holders.is_empty() && holders.iter().all(|path| mode(path) == 0o600), "{holders:?}");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}
