use serde_json::{Value, json};

use super::*;

fn service(raw: Value, min_risk: Option<Risk>) -> Service {
    let mut whole = json!({"cluster": "c", "authority": "a:1", "path": "/p"});
    for (name, value) in raw.as_object().unwrap() {
        whole[name] = value.clone();
    }
    Service::check(serde_json::from_value(whole).unwrap(), min_risk, &|_| None).unwrap()
}

const ABOUT: About<'_> = About { direction: Direction::Response, consumer: "ann", model: "gpt-4o" };

fn opinion(action: Action, category: &str, risk: Risk) -> Opinion {
    Opinion { action: Some(action), category: category.to_owned(), risk, replacement: None }
}

#[test]
fn each_protocol_is_asked_in_its_own_words() {
    let body = |service: &Service, texts: &[&str]| -> Value {
        serde_json::from_slice(&service.encode(&ABOUT, texts)).unwrap()
    };
    let openai = service(json!({}), None);
    assert_eq!(body(&openai, &["a", "b"]), json!({"input": ["a", "b"]}));
    let openai = service(json!({"model": "omni-moderation-latest"}), None);
    assert_eq!(body(&openai, &["\"é"]), json!({"model": "omni-moderation-latest", "input": ["\"é"]}));
    let generic = service(json!({"protocol": "generic"}), None);
    assert_eq!(
        body(&generic, &["a"]),
        json!({"version": 1, "direction": "response", "consumer": "ann", "model": "gpt-4o", "text": "a"})
    );
    assert_eq!((openai.texts_per_call(), generic.texts_per_call()), (32, 1));
}

#[test]
fn moderations_are_read() {
    let service = service(json!({}), None);
    let reply = json!({"id": "x", "results": [
        {"flagged": false, "categories": {"hate": false}, "category_scores": {"hate": 0.9}},
        {"flagged": true, "categories": {"hate": true, "violence": true, "illicit": null},
         "category_scores": {"hate": 0.6, "violence": 0.7, "illicit": null}},
        {"flagged": true, "categories": {"hate": true}, "category_scores": {"hate": 0.2}},
        {"flagged": true, "categories": {"hate": true}, "category_scores": {"hate": 1}},
        {"flagged": true}]});
    assert_eq!(
        service.read(200, reply.to_string().as_bytes(), 5).unwrap(),
        [
            Opinion::harmless(),
            opinion(Action::Block, "violence", Risk::Medium),
            opinion(Action::Block, "hate", Risk::Low),
            opinion(Action::Block, "hate", Risk::High),
            opinion(Action::Block, "flagged", Risk::High),
        ]
    );
}

#[test]
fn the_generic_protocol_is_read() {
    let service = service(json!({"protocol": "generic"}), None);
    let replaced = |text: &str| Opinion {
        replacement: Some(text.to_owned()),
        ..opinion(Action::Mask, "flagged", Risk::High)
    };
    for (reply, want) in [
        (json!({"verdict": "allow"}), Opinion::harmless()),
        (json!({"verdict": "allow", "category": "x", "risk": "high", "more": [1]}), Opinion::harmless()),
        (
            json!({"verdict": "block", "category": "hate", "risk": "low"}),
            opinion(Action::Block, "hate", Risk::Low),
        ),
        (
            json!({"verdict": "block", "risk_level": "medium"}),
            opinion(Action::Block, "flagged", Risk::Medium),
        ),
        (json!({"verdict": "block", "replacement": "x"}), opinion(Action::Block, "flagged", Risk::High)),
        (json!({"verdict": "mask"}), opinion(Action::Mask, "flagged", Risk::High)),
        (json!({"verdict": "mask", "replacement": "x"}), replaced("x")),
        (json!({"verdict": "allow", "replacement": ""}), replaced("")),
        (
            json!({"verdict": "log", "category": "", "risk": null}),
            opinion(Action::Log, "flagged", Risk::High),
        ),
    ] {
        assert_eq!(service.read(200, reply.to_string().as_bytes(), 1), Ok(vec![want]), "{reply}");
    }
}

#[test]
fn only_what_is_grave_enough_counts() {
    for (min, risk, counts) in [
        (None, "low", true),
        (None, "none", true),
        (Some(Risk::Low), "none", false),
        (Some(Risk::Medium), "low", false),
        (Some(Risk::Medium), "medium", true),
        (Some(Risk::High), "medium", false),
        (Some(Risk::High), "high", true),
    ] {
        let service = service(json!({"protocol": "generic"}), min);
        let reply = json!({"verdict": "block", "risk": risk}).to_string();
        let said = service.read(200, reply.as_bytes(), 1).unwrap();
        assert_eq!(said[0].action.is_some(), counts, "{min:?} {risk}");
    }
}

#[test]
fn what_is_not_the_protocols_is_garbage() {
    let (openai, generic) = (service(json!({}), None), service(json!({"protocol": "generic"}), None));
    let long = format!("{{\"verdict\":\"allow\"}}{}", " ".repeat(MAX_REPLY_BYTES));
    for (service, status, body) in [
        (&openai, 500, r#"{"results":[{"flagged":false}]}"#),
        (&openai, 200, ""),
        (&openai, 200, "<html>"),
        (&openai, 200, r#"{"results":[]}"#),
        (&openai, 200, r#"{"results":[{"flagged":false},{"flagged":false}]}"#),
        (&openai, 200, r#"{"results":[{}]}"#),
        (&openai, 200, r#"{"results":[{"flagged":"no"}]}"#),
        (&openai, 200, r#"{"error":{"message":"x"}}"#),
        (&generic, 200, r#"{"verdict":"maybe"}"#),
        (&generic, 200, r#"{"verdict":"block","risk":"very"}"#),
        (&generic, 200, "{}"),
        (&generic, 200, "[]"),
        (&generic, 204, ""),
        (&generic, 200, long.as_str()),
    ] {
        assert_eq!(service.read(status, body.as_bytes(), 1), Err(Garbage), "{body:.40}");
    }
    let mut nested = "[".repeat(100_000);
    nested.insert_str(0, r#"{"verdict":"allow","more":"#);
    assert_eq!(generic.read(200, nested.as_bytes(), 1), Err(Garbage));
}

#[test]
fn a_category_is_kept_short() {
    let service = service(json!({"protocol": "generic"}), None);
    let reply = json!({"verdict": "block", "category": "é".repeat(1000)}).to_string();
    assert_eq!(service.read(200, reply.as_bytes(), 1).unwrap()[0].category, "é".repeat(32));
}
