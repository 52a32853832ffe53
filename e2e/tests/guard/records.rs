//! What the record and the metrics tell of the guard, and that neither they nor anything else tells a text.

use serde_json::{Value, json};
use sluice_e2e::client;
use sluice_e2e::wait;

use crate::bed::{Guarded, PHRASE, allow, chat, chat_told, deny, told, with};
use crate::speech::Speech;

#[test]
fn the_record_tells_check_direction_category_risk_action_and_how_often() {
    let bed = deny();
    let model = "gpt-pii-recorded";
    let body = chat(model, "a@b.io, c@d.io, a@b.io and 13812345678");
    assert_eq!(bed.post("/chat/completions", &[("authorization", "Bearer sk-ann")], &body).status, 200);
    let record = bed.record(model);
    let want = json!([
        {"check": "pii", "on": "request", "category": "email", "risk": "high", "action": "mask", "count": 3},
        {"check": "pii", "on": "request", "category": "phone", "risk": "high", "action": "mask", "count": 1},
    ]);
    assert_eq!((&record["guard"], &record["consumer"]), (&want, &json!("ann")), "{record}");
    assert_eq!((&record["end"], &record["error"]), (&json!("complete"), &Value::Null), "{record}");
}

#[test]
fn a_request_that_was_refused_is_recorded_as_one() {
    for (bed, error) in [(deny(), json!("content_policy_violation")), (allow(), Value::Null)] {
        let model = "gpt-ban-refused";
        bed.gateway.chat(&chat(model, PHRASE));
        let record = bed.record(model);
        assert_eq!(record["error"], error, "{record}");
        assert_eq!(record["end"], if error.is_null() { "complete" } else { "refused" }, "{record}");
        assert_eq!(record["attempts"], Value::Null, "{record}");
    }
}

/// Tokens of the record.
fn tokens(bed: &Guarded, model: &str) -> (Value, Value, Value) {
    let record = bed.record(model);
    (record["input_tokens"].clone(), record["output_tokens"].clone(), record["usage_source"].clone())
}

#[test]
fn an_answer_that_was_withheld_is_recorded_with_its_tokens() {
    for (bed, name) in [(deny(), "deny"), (allow(), "allow")] {
        for speech in Speech::ALL {
            let model = format!("gpt-ban-tokens-{}-{name}", speech.name());
            let script = json!({"body": speech.whole(PHRASE)});
            let ask = with(speech.ask(&model, "hi", false), &json!({"metadata": told(script)}));
            bed.post(speech.path(), &[], &ask);
            assert_eq!(tokens(&bed, &model), (json!(11), json!(5), json!("reported")), "{model}");
        }
        for (form, script) in [
            ("first", json!({"say": "internal codename is X", "usage": "finish"})),
            ("mid", json!({"say": "Hello internal codename is X", "gap_ms": 60, "usage": "finish"})),
        ] {
            let model = format!("gpt-ban-tokens-{form}-{name}");
            bed.gateway.chat(&chat_told(&model, "hi", true, script));
            let (input, output, _) = tokens(&bed, &model);
            assert!(input.as_u64() > Some(0) && output.as_u64() > Some(0), "{model}: {input}, {output}");
        }
    }
}

#[test]
fn metrics_count_verdicts_by_check_category_and_action() {
    let bed = deny();
    assert_eq!(bed.gateway.chat(&chat("gpt-regex-counted", "TICKET-1234 TICKET-12345")).status, 400);
    wait::until("the counters", || {
        let counted = bed.counter("content_guard_verdicts_total;check=tickets;category=regex;action=block");
        (counted >= 2).then_some(())
    });
    assert_eq!(bed.gateway.chat(&chat("gpt-mod-counted", "violence")).status, 400);
    wait::until("the service's", || {
        (bed.counter("content_guard_verdicts_total;check=mod;category=violence;action=block") > 0)
            .then_some(())
    });
    let prometheus = client::get(bed.gateway.admin(), "/stats/prometheus").text();
    assert!(prometheus.contains("content_guard_verdicts_total"), "{prometheus}");
    assert!(prometheus.contains("content_guard_call_ms"), "how long services take");
    bed.gateway.chat(&chat("gpt-garbageq-counted", "hello"));
    wait::until("the failure to be counted", || {
        (bed.counter("content_guard_service_failures_total;check=garbage-q;kind=garbage") > 0).then_some(())
    });
}

/// Stands in every text of these requests and answers, and nowhere else.
const CANARY: &str = "capybara";

#[test]
fn no_text_is_in_logs_metrics_or_configuration() {
    let beds = crate::bed::beds();
    for bed in &beds {
        for path in ["/logging?level=info", "/logging?wasm=debug"] {
            assert_eq!(client::send(bed.gateway.admin(), "POST", path, &[], b"").status, 200);
        }
        let said = |text: &str, stream: bool| {
            let text = format!("{CANARY} {text} {CANARY}@example.com {CANARY}");
            json!({"body": if stream { Speech::Chat.stream(&[&text, "."]) } else { Speech::Chat.whole(&text) }})
        };
        let texts = [PHRASE, "hello", "violence", "realname", "alias", "gossip", "TICKET-1234"];
        let groups = [
            "ban", "said", "regex", "detect", "pii", "invent", "note", "mod", "own", "rewrite", "heard",
            "both", "hungq", "garbagea", "brokena", "deadq",
        ];
        for (n, group) in groups.into_iter().enumerate() {
            for (m, text) in texts.into_iter().enumerate() {
                let model = format!("gpt-{group}-canary-{n}-{m}");
                let asked = format!("{CANARY} {text} {CANARY}@example.com");
                let stream = (n + m) % 2 == 0;
                bed.gateway.chat(&chat_told(&model, &asked, stream, said("hello", stream)));
                bed.gateway.chat(&chat_told(&model, CANARY, stream, said(text, stream)));
            }
        }
        let last = bed.records("gpt-deadq-canary-15-6", 2);
        assert!(last.iter().all(|record| !record["guard"].is_null()));
        let prometheus = client::get(bed.gateway.admin(), "/stats/prometheus").text();
        for (what, text) in [("what is readable", bed.gateway.everything_readable()), ("metrics", prometheus)]
        {
            let at = text.find(CANARY).map(|at| &text[at.saturating_sub(300)..at]);
            assert_eq!(at, None, "a text is in {what}");
        }
        client::send(bed.gateway.admin(), "POST", "/logging?level=warning", &[], b"");
    }
}
