use serde_json::{Value, json};
use sluice_core::testing::FakeHost;

use super::*;

fn config() -> Config {
    let raw = json!({"checks": [{"name": "a", "keywords": ["x"]}]});
    Config::check(serde_json::from_value(raw).unwrap(), &|_| None).unwrap()
}

fn verdict(category: &str, action: &'static str) -> Verdict {
    Verdict::new("pii", Direction::Request, category, Risk::High, action)
}

#[test]
fn equal_verdicts_are_counted_together() {
    let (mut host, config, mut verdicts) = (FakeHost::default(), config(), Verdicts::default());
    verdicts.add(&mut host, &config, verdict("email", "mask"));
    verdicts.add(&mut host, &config, Verdict { count: 2, ..verdict("email", "mask") });
    verdicts.add(&mut host, &config, verdict("email", "log"));
    let fact: Value = serde_json::from_str(&context::GUARD.get(&host).unwrap()).unwrap();
    let entry = |action: &str, count: u64| json!({"check": "pii", "on": "request", "category": "email", "risk": "high", "action": action, "count": count});
    assert_eq!(fact, json!([entry("mask", 3), entry("log", 1)]));
    assert_eq!(host.counters["content_guard_verdicts_total;check=pii;category=email;action=mask"], 3);
}

#[test]
fn nothing_found_leaves_no_fact() {
    let mut host = FakeHost::default();
    Verdicts::default().add_all(&mut host, &config(), []);
    assert_eq!(context::GUARD.get(&host), None);
}

#[test]
fn record_and_metrics_stay_small_whatever_a_service_says() {
    let (mut host, config, mut verdicts) = (FakeHost::default(), config(), Verdicts::default());
    for number in 0..1000 {
        verdicts.add(&mut host, &config, verdict(&format!("Made.Up {number} {}", "x".repeat(100)), "log"));
    }
    let fact: Value = serde_json::from_str(&context::GUARD.get(&host).unwrap()).unwrap();
    assert_eq!(fact.as_array().unwrap().len(), MAX_VERDICTS);
    verdicts.add(&mut host, &config, verdict("last", "block"));
    let fact: Value = serde_json::from_str(&context::GUARD.get(&host).unwrap()).unwrap();
    assert_eq!(
        (fact.as_array().unwrap().len(), &fact[MAX_VERDICTS - 1]["action"]),
        (MAX_VERDICTS, &json!("block"))
    );
    assert_eq!(host.counters.len(), MAX_CATEGORIES + 2);
    assert_eq!(host.counters["content_guard_verdicts_total;check=pii;category=other;action=log"], 1000 - 64);
    let name = "content_guard_verdicts_total;check=pii;category=made_up_0_xxxxxxxxxxxxxxxxxxxxxx;action=log";
    assert!(host.counters.contains_key(name), "{:?}", host.counters.keys());
}
