//! Settlement does not depend on how a stream is cut into pieces on its way.

use serde_json::{Value, json};
use sluice_e2e::answer::{Answer, Asked};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::limits::{INPUT, body_with};
use sluice_e2e::script::Script;

use crate::bed::{Limited, shared};

/// Clients that ask at the same time.
const CLIENTS: usize = 8;

/// One request for each offset at which the provider's `length` bytes can be cut in two.
fn ask_cut(bed: &Limited, model: &str, script: &Value, length: usize) {
    let ask = |first: usize| {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        for offset in (first..length).step_by(CLIENTS) {
            let mut script = script.clone();
            script["pause_at"] = json!(offset);
            let body = body_with(model, &json!({"stream": true, "x_mock": {"*": script}})).to_string();
            let headers = [("content-type", "application/json")];
            client
                .write(&client::request("POST", "/v1/chat/completions", &headers, body.as_bytes()))
                .expect("a request");
            let reply = client.read().expect("an answer");
            assert!(reply.status == 200 && reply.text().ends_with("data: [DONE]\n\n"), "cut at {offset}");
        }
    };
    std::thread::scope(|scope| {
        for first in 1..=CLIENTS {
            let ask = &ask;
            scope.spawn(move || ask(first));
        }
    });
}

#[test]
fn a_stream_cut_at_every_byte_is_settled_exactly() {
    let bed = shared();
    for usage in ["asked", "finish", "every"] {
        let model = format!("gpt-all-cut-{usage}");
        let script = json!({"usage": usage, "events": 2});
        let asked = Asked {
            path: "/v1/chat/completions".to_owned(),
            model: model.clone(),
            stream: true,
            include_usage: true,
        };
        let length = Answer::new("a", &asked, &Script::json(script.clone())).bytes().len();
        ask_cut(&bed, &model, &script, length);
        let requests = u32::try_from(length - 1).expect("small");
        let [total, input, output, _, _, count, _] = bed.used(&model);
        let want = [requests, u32::try_from(INPUT).expect("small") * requests, 2 * requests].map(f64::from);
        assert_eq!([count, input, output], want, "{usage}: {:?}", wrong(&bed, &model));
        assert_eq!(total.to_bits(), (input + output).to_bits());
    }
}

/// Records of `model` that are not as they should be.
fn wrong(bed: &Limited, model: &str) -> Vec<Value> {
    let log = bed.gateway.access_log().into_iter().map(|line| line["ai_log"].clone());
    let is_wrong = |record: &Value| {
        record["model"] == model && (record["output_tokens"] != 2 || record["usage_source"] != "reported")
    };
    log.filter(is_wrong).collect()
}
