//! What operators see of a cache and clear in it, and what is counted.

use std::process::Command;

use serde_json::{Value, json};
use sluice_e2e::cache::{Caller, counter};
use sluice_e2e::gateway;

use crate::bed::{Bed, one_worker, stream};

/// `sluice cache …` for the gateway's file: what it prints.
#[track_caller]
fn sluice(bed: &Bed, arguments: &[&str]) -> String {
    let mut command = Command::new(gateway::binary());
    command.arg("cache").args(arguments).arg(bed.gateway.folder().join("gateway.yaml"));
    let output = command.output().expect("sluice runs");
    let [out, error] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{arguments:?}: {out}{error}");
    out
}

#[track_caller]
fn stats(bed: &Bed) -> Value {
    serde_json::from_str(&sluice(bed, &["stats", "--json"])).expect("JSON")
}

fn counters(bed: &Bed) -> [u64; 7] {
    ["hits", "misses", "bypasses", "coalesced", "stored", "saved_input_tokens", "saved_output_tokens"]
        .map(|name| counter(&bed.gateway, &format!("response_cache_{name}_total")))
}

#[test]
fn what_is_kept_is_counted_shown_and_cleared() {
    let bed = &one_worker();
    sluice(bed, &["clear"]);
    let before = (counters(bed), stats(bed));
    let since = || {
        let now = counters(bed);
        std::array::from_fn::<u64, 7, _>(|n| now[n] - before.0[n])
    };
    let ask = |name: &str, test: &str, members: &Value| {
        let asked = bed.chat_as(&Caller::named(&bed.gateway, name), test, members);
        assert_eq!(asked.reply.status, 200, "{}", asked.reply.text());
        asked.label().to_owned()
    };
    let labels = || {
        ["ann", "bob"].map(|name| ["operator-one", "operator-two"].map(|test| ask(name, test, &json!({}))))
    };
    assert_eq!(stats(bed)["entries"], 0);
    assert_eq!(labels(), [["miss"; 2]; 2]);
    assert_eq!(labels(), [["hit"; 2]; 2]);
    assert_eq!(ask("ann", "operator-one", &stream()), "hit");
    assert_eq!(ask("ann", "operator-one", &json!({"store": true})), "bypass; reason=store");
    assert_eq!(ask("ann", "operator-bad", &json!({"x_mock": {"a": {"finish_reason": "length"}}})), "miss");
    assert_eq!(since(), [5, 5, 1, 0, 4, 55, 25]);

    let shown = stats(bed);
    assert_eq!((&shown["store"], &shown["entries"]), (&json!("memory"), &json!(4)), "{shown}");
    let hits = |stats: &Value| stats["hits"].as_u64().expect("a number");
    assert_eq!(hits(&shown), hits(&before.1) + 5, "{shown}");
    let [bytes, capacity] = ["bytes", "capacity_bytes"].map(|name| shown[name].as_u64().expect("bytes"));
    assert!((4 * 400..4 * 2_000).contains(&bytes) && capacity <= 64 << 20, "{shown}");
    assert!(sluice(bed, &["stats"]).contains("entries       4, "), "{}", sluice(bed, &["stats"]));

    sluice(bed, &["clear", "--consumer", "ann", "--model", "gpt-operator-one"]);
    assert_eq!(stats(bed)["entries"], 3);
    assert_eq!(labels(), [["miss", "hit"], ["hit", "hit"]]);
    sluice(bed, &["clear", "--consumer", "bob"]);
    assert_eq!(labels(), [["hit", "hit"], ["miss", "miss"]]);
    sluice(bed, &["clear", "--model", "gpt-operator-two"]);
    assert_eq!(labels(), [["hit", "miss"], ["hit", "miss"]]);
    sluice(bed, &["clear"]);
    assert_eq!(stats(bed)["entries"], 0);
    assert_eq!(labels(), [["miss"; 2]; 2]);
    assert_eq!(labels(), [["hit"; 2]; 2], "and what is asked after that is kept");
}

#[test]
fn nobody_finds_the_operators_door_by_the_gateways_own() {
    let bed = crate::bed::shared();
    for (method, path) in
        [("GET", "/cache"), ("DELETE", "/cache"), ("DELETE", "/v1/cache"), ("GET", "/cache/")]
    {
        let reply = sluice_e2e::client::send(bed.gateway.address(), method, path, &[], b"");
        assert_ne!(reply.status, 200, "{method} {path}: {}", reply.text());
    }
}
