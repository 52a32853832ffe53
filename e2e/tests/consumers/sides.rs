//! Which side a consumer is served by: rules on consumer and tier, splits, and replicas.

use std::collections::HashMap;

use sluice_e2e::client::Connection;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::Upstream;

use crate::people::{self, CHAT, ask_over, bearer, key, served_by};

#[test]
fn rules_go_by_tier_and_by_name() {
    let people = people::shared();
    for (name, model, want) in [
        ("gold", "by-tier", "b"),
        ("hashed", "by-tier", "a"),
        ("twin-old", "by-tier", "a"),
        ("hashed", "by-name", "b"),
        ("gold", "by-name", "a"),
    ] {
        assert_eq!(served_by(&people::ask_as(&people.gateway, name, model)), want, "{name} asks for {model}");
    }
    assert_eq!(served_by(&people::ask_as(&people.gateway, "gold", "only-gold")), "b");
}

const CROWD: usize = 40;

fn names() -> impl Iterator<Item = String> {
    (0..CROWD).map(|n| format!("member-{n}"))
}

fn crowd() -> String {
    let one = |name: String| format!("  - {{name: {name}, keys: [{}]}}\n", key(&name));
    format!("consumers:\n{}", names().map(one).collect::<String>())
}

/// Which provider or replica answers each of the crowd.
fn sides(gateway: &Gateway) -> HashMap<String, String> {
    let mut client = Connection::open(gateway.address()).expect("the gateway listens");
    names().map(|name| (name.clone(), served_by(&ask_over(&mut client, &name, "gpt-4o")))).collect()
}

#[track_caller]
fn assert_both_used(sides: &HashMap<String, String>) {
    for side in ["a", "b"] {
        let count = sides.values().filter(|answered| *answered == side).count();
        assert!(count >= 6, "{count} of {CROWD} at {side}");
    }
}

#[test]
fn a_consumer_stays_on_one_side_of_a_split() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    for sticky in ["", "    sticky: consumer\n"] {
        let yaml = format!(
            "{}{}models:\n  - match: \"*\"\n    targets: [{{provider: a}}, {{provider: b}}]\n{sticky}",
            people::providers(&a, &b),
            crowd()
        );
        let gateway = Options::default().workers(2).start(&yaml);
        let first = sides(&gateway);
        assert_both_used(&first);
        for _ in 0..3 {
            assert_eq!(sides(&gateway), first);
        }
    }
}

fn replicas(a: &Upstream, b: &Upstream, consumers: &str) -> Gateway {
    Options::default().workers(2).start(&format!(
        "providers: {{pai: {{url: [\"{}\", \"{}\"], balance: ring_hash}}}}
models: [{{match: \"*\", targets: [{{provider: pai}}]}}]
{consumers}",
        a.url(),
        b.url()
    ))
}

#[test]
fn a_ring_gives_a_consumer_the_same_replica() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = replicas(&a, &b, &crowd());
    let first = sides(&gateway);
    assert_both_used(&first);
    for _ in 0..3 {
        assert_eq!(sides(&gateway), first);
    }
    for name in names().take(8) {
        // Nor does it go by what a client calls itself.
        let headers = [("authorization", bearer(&name)), ("x-mse-consumer", "member-other".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(served_by(&people::ask(&gateway, CHAT, &headers, "gpt-4o")), first[&name]);
    }
}

#[test]
fn without_consumers_a_ring_goes_by_address_whatever_a_client_calls_itself() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = replicas(&a, &b, "");
    let first = served_by(&people::ask(&gateway, CHAT, &[], "gpt-4o"));
    for name in names() {
        let reply = people::ask(&gateway, CHAT, &[("x-mse-consumer", &name)], "gpt-4o");
        assert_eq!(served_by(&reply), first, "{name}");
    }
}
