//! Consumers of every kind behind one gateway, which the tests of this suite share.

use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::{Seen, Upstream};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const MESSAGES: &str = "/v1/messages";
pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

/// Two providers and a gateway with two workers, where every way to be or not to be a consumer occurs.
pub(crate) struct People {
    pub(crate) gateway: Gateway,
    pub(crate) a: Upstream,
    pub(crate) b: Upstream,
}

/// One test's use of them; shows the gateway's logs if the test fails, and fails it if a filter trapped.
pub(crate) struct Shared(&'static People);

pub(crate) fn shared() -> Shared {
    static PEOPLE: OnceLock<People> = OnceLock::new();
    Shared(PEOPLE.get_or_init(People::start))
}

impl Deref for Shared {
    type Target = People;

    fn deref(&self) -> &People {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.gateway.show();
        } else {
            self.0.gateway.assert_no_trap();
        }
    }
}

/// Stands in every key, and nowhere else: one search finds them all.
pub(crate) const SIGN: &str = "goldfinch";

/// The key of `name`.
pub(crate) fn key(name: &str) -> String {
    format!("sk-{name}-{SIGN}-0123456789abcdefghijklmnop")
}

/// SHA-256 of a key, in hex: counted here by other code than the gateway's.
pub(crate) fn sha256(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `Bearer` and the key of `name`.
pub(crate) fn bearer(name: &str) -> String {
    format!("Bearer {}", key(name))
}

/// The sections of gateway.yaml that every test has: provider `a` serves everything, `b` what the rules say.
pub(crate) fn providers(a: &Upstream, b: &Upstream) -> String {
    format!(
        "providers: {{a: {{url: \"{}\", keys: [sk-of-provider-a]}}, b: {{url: \"{}\", keys: [sk-of-provider-b]}}}}\n\
         retry: {{backoff: 1ms}}\n",
        a.url(),
        b.url()
    )
}

/// Asks for a chat completion of `model` with these headers.
#[track_caller]
pub(crate) fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)], model: &str) -> Reply {
    let headers = [&[JSON], headers].concat();
    client::send(gateway.address(), "POST", path, &headers, chat(model).to_string().as_bytes())
}

/// Asks as the consumer `name`, over a connection of its own, so that each worker gets some.
#[track_caller]
pub(crate) fn ask_as(gateway: &Gateway, name: &str, model: &str) -> Reply {
    ask(gateway, CHAT, &[("authorization", &bearer(name))], model)
}

/// As [`ask_as`], over a connection that is open.
#[track_caller]
pub(crate) fn ask_over(client: &mut Connection, name: &str, model: &str) -> Reply {
    let headers = [JSON, ("authorization", &bearer(name))];
    let request = client::request("POST", CHAT, &headers, chat(model).to_string().as_bytes());
    client.write(&request).expect("a request");
    client.read().expect("an answer")
}

pub(crate) fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hi"}]})
}

/// Who served, from the answer.
#[track_caller]
pub(crate) fn served_by(reply: &Reply) -> String {
    let model = reply.json()["model"].as_str().unwrap_or_default().to_owned();
    assert_eq!(reply.status, 200, "{}", reply.text());
    model.rsplit('@').next().expect("a provider").to_owned()
}

/// All of a request that a secret could stand in.
pub(crate) fn everything(seen: &Seen) -> String {
    format!("{} {:?} {:?} {}", seen.path, seen.headers, seen.trailers, String::from_utf8_lossy(&seen.body))
}

impl People {
    fn start() -> Self {
        let (a, b) = (Upstream::start("a"), Upstream::start("b"));
        let options = Options::default()
            .workers(2)
            .env("ENV_KEY", &key("env"))
            .file("file.key", &format!("{}\n", key("file")));
        let gateway = options.start(&(providers(&a, &b) + &consumers()));
        Self { gateway, a, b }
    }

    /// Requests for `model` at either provider.
    pub(crate) fn seen(&self, model: &str) -> Vec<Seen> {
        let tag = format!("\"{model}\"");
        [self.a.tagged(&tag), self.b.tagged(&tag)].concat()
    }
}

fn consumers() -> String {
    let [gold, old, new, expired, lasting, disabled] =
        ["gold", "twin-old", "twin-new", "expired", "lasting", "disabled"].map(key);
    let [elsewhere, here, embedder, small] = ["elsewhere", "here", "embedder", "small"].map(key);
    let hashed = sha256(&key("hashed"));
    format!(
        "consumers:
  - {{name: gold, keys: [{gold}], tier: gold, metadata: {{team: search, floor: \"3\"}}}}
  - {{name: hashed, keys: [\"sha256:{hashed}\"], tier: silver}}
  - {{name: env, keys: [env:ENV_KEY]}}
  - {{name: file, keys: [\"file:file.key\"]}}
  - {{name: twins, keys: [{old}, {new}]}}
  - {{name: expired, keys: [{expired}], expires: 2021-06-30}}
  - {{name: lasting, keys: [{lasting}], expires: 2999-06-30T12:00:00+08:00}}
  - {{name: disabled, keys: [{disabled}], disabled: true}}
  - {{name: elsewhere, keys: [{elsewhere}], from: [10.0.0.0/8, \"2001:db8::/32\"]}}
  - {{name: here, keys: [{here}], from: [10.0.0.0/8, 127.0.0.0/8]}}
  - {{name: embedder, keys: [{embedder}], routes: [/v1/embeddings]}}
  - {{name: small, keys: [{small}], models: [\"small-*\", by-tier]}}
credentials: {{headers: [x-my-key], query: key}}
models:
  - {{match: by-tier, when: {{tier: gold}}, targets: [{{provider: b}}]}}
  - {{match: by-name, when: {{consumer: hashed}}, targets: [{{provider: b}}]}}
  - {{match: only-gold, when: {{tier: gold}}, targets: [{{provider: b}}]}}
  - {{match: [by-tier, by-name, small-1, large-1], targets: [{{provider: a}}]}}
  - {{match: \"*\", targets: [{{provider: a}}]}}
"
    )
}
