//! Gateways that keep answers in a Redis, and what can be seen of it there.

use std::net::SocketAddr;

use redis::Connection;
use serde_json::{Value, json};
use sluice_e2e::bed::tag;
use sluice_e2e::cache::{self, Caller, label};
use sluice_e2e::client::End;
use sluice_e2e::gateway::Gateway;
use sluice_e2e::upstream::{Seen, Upstream};
use sluice_e2e::wait;

/// A deadline that a busy machine keeps.
pub(crate) const PATIENT: &str = "timeout: 5s";

/// gateway.yaml: every model at one provider, asked once, with a cache and further top-level `sections`.
pub(crate) fn yaml(provider: &Upstream, sections: &str) -> String {
    format!(
        "providers: {{a: {{url: \"{}\", keys: [sk-secret]}}}}
models: [{{match: \"*\", targets: [{{provider: a}}]}}]
retry: {{attempts: 1}}
consumers: [{{name: ann, keys: [sk-ann]}}, {{name: bob, keys: [sk-bob]}}, {{name: nobody}}]
anonymous: nobody
{sections}\n",
        provider.url()
    )
}

/// The section `redis`.
pub(crate) fn redis(address: SocketAddr, settings: &str) -> String {
    format!("redis: {{url: \"redis://{address}\", {settings}}}\n")
}

/// Asks for a chat of `test`, which must be answered; what the answer says of the cache.
#[track_caller]
pub(crate) fn ask(gateway: &Gateway, test: &str, members: &Value) -> String {
    ask_as(&Caller::nobody(gateway), test, members)
}

#[track_caller]
pub(crate) fn ask_as(caller: &Caller<'_>, test: &str, members: &Value) -> String {
    let reply = caller.send(&cache::body(test, members).to_string());
    assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
    assert!(reply.text().contains("café"), "{}", reply.text());
    label(&reply).to_owned()
}

/// Waits until a chat of `test` is a hit.
#[track_caller]
pub(crate) fn until_hit(gateway: &Gateway, test: &str) {
    wait::until(&format!("a hit of {test}"), || (ask(gateway, test, &json!({})) == "hit").then_some(()));
}

/// Waits until Redis is asked again, and answers.
#[track_caller]
pub(crate) fn until_mended(gateway: &Gateway) {
    wait::until("Redis to be asked again", || {
        let test = format!("mended-{:?}", std::time::Instant::now());
        let labels = [(); 2].map(|()| ask(gateway, &test, &json!({})));
        labels.iter().all(|label| label == "miss" || label == "hit").then_some(())
    });
}

/// Requests of `test` at the provider.
pub(crate) fn seen(provider: &Upstream, test: &str) -> Vec<Seen> {
    provider.of_user(&tag(test))
}

/// All keys of a Redis.
#[track_caller]
pub(crate) fn keys(redis: &mut Connection) -> Vec<String> {
    redis::cmd("KEYS").arg("*").query(redis).expect("keys")
}
