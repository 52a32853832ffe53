//! Answers that end before their time: charged once, for what there was of them.

use serde_json::{Value, json};
use sluice_e2e::client::End;
use sluice_e2e::limits::{INPUT, Running, body_with};
use sluice_e2e::wait;

use crate::bed::{Limited, shared, told};

/// What stands in the ledgers is what stands in the record; returns the output tokens.
fn assert_as_recorded(bed: &Limited, model: &str) -> u64 {
    let record = bed.record(model);
    let tokens = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("no {name} in {record}"));
    let (input, output) = (tokens("input_tokens"), tokens("output_tokens"));
    let [total, of_input, of_output, _, _, requests, flight] = bed.used(model);
    let want =
        [input + output, input, output, 1, 0].map(|want| f64::from(u32::try_from(want).expect("small")));
    assert_eq!([total, of_input, of_output, requests, flight], want, "{record}");
    assert_eq!(input, INPUT);
    output
}

#[test]
fn a_client_that_leaves_in_mid_stream_is_charged_once_for_what_was_generated() {
    let bed = shared();
    for (name, usage, source) in [("asked", "asked", "estimated"), ("every", "every", "reported")] {
        let model = format!("gpt-all-left-{name}");
        let script = json!({"say": "word ".repeat(400), "gap_ms": 10, "usage": usage});
        let mut stream = Running::begin(bed.gateway.address(), &[], &body_with(&model, &told(script)));
        stream.read_until("\"word \"", 60);
        let words = stream.text().matches("\"word \"").count();
        stream.leave();
        let output = assert_as_recorded(&bed, &model);
        assert_eq!(bed.record(&model)["usage_source"], source);
        let generated = u64::try_from(words).expect("few");
        // an estimate takes a word of five bytes for a token and a quarter; what is on its way when the client leaves
        // was generated too
        assert!((generated..=generated * 3).contains(&output), "{output} for {generated} words");
        assert_as_recorded(&bed, &model);
    }
}

#[test]
fn a_client_that_leaves_before_the_first_token_is_charged_no_more_than_its_input() {
    let bed = shared();
    let model = "gpt-all-left-early";
    let request = body_with(model, &json!({"stream": true, "x_mock": {"*": {"delay_ms": 900}}}));
    let mut client = sluice_e2e::client::Connection::open(bed.gateway.address()).expect("the gateway");
    let headers = [("content-type", "application/json")];
    let text = request.to_string();
    let bytes = sluice_e2e::client::request("POST", "/v1/chat/completions", &headers, text.as_bytes());
    client.write(&bytes).expect("a request");
    wait::until("the provider to be asked", || (!bed.providers[0].tagged(model).is_empty()).then_some(()));
    client.abort();
    let [total, input, output, _, _, requests, flight] = bed.used(model);
    assert!(input <= 11.0 && output == 0.0 && total == input, "{total} {input} {output}");
    assert_eq!([requests, flight], [1.0, 0.0]);
}

#[test]
fn an_answer_that_the_provider_breaks_off_is_charged_once_for_what_came() {
    let bed = shared();
    for (name, script) in [
        ("reset", json!({"reset_after": 40, "events": 50, "gap_ms": 5})),
        ("cut", json!({"cut_after": 40, "events": 50, "gap_ms": 5})),
        ("error", json!({"error_after": 40, "events": 50, "gap_ms": 5})),
        ("silent", json!({"hang_after": 40, "events": 50, "gap_ms": 5})),
        ("totals", json!({"reset_after": 40, "events": 50, "gap_ms": 5, "usage": "every"})),
    ] {
        let model = format!("gpt-all-broken-{name}");
        let mut members = told(script);
        members["stream"] = json!(true);
        let reply = bed.chat(&model, &members);
        assert_eq!(reply.status, 200);
        assert!(reply.end == End::Broken || !reply.text().contains("[DONE]"), "{name}");
        let output = assert_as_recorded(&bed, &model);
        assert!((20..=60).contains(&output), "{name}: {output} for 40 events");
    }
}

#[test]
fn an_answer_that_breaks_before_content_is_not_charged_and_the_next_provider_is() {
    let bed = shared();
    let model = "gpt-all-truncated";
    assert_eq!(bed.chat(model, &told(json!({"truncate": 40}))).status, 200);
    assert_eq!(bed.record(model)["provider"], Value::from("b"));
    assert_eq!(bed.used(model), [16.0, 11.0, 5.0, 28.3, 0.000_021, 1.0, 0.0]);
}
