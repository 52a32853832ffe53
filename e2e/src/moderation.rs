//! A moderation service whose opinion of a text stands in the text: certain words are what it objects to.
//!
//! | word | OpenAI's protocol (`…/moderations`) | the guard's own contract (`…/check`) |
//! | --- | --- | --- |
//! | `violence` | flagged, category `violence`, score 0.95 | `block`, high risk |
//! | `insult` | flagged, category `harassment`, score 0.6 | `block`, medium risk |
//! | `nuisance` | flagged, category `spam`, score 0.2 | `block`, low risk |
//! | `gossip` | – | `log`, low risk |
//! | `alias` | – | `mask` without a replacement |
//! | `realname` | – | `mask`; the replacement says `stagename` in its place |
//!
//! How it misbehaves is told by [`crate::script::Script`], as with providers.

use serde_json::{Value, json};

/// What stands in a text, what that is called, what is to be done, how sure it is, in words and in numbers.
const OPINIONS: [(&str, &str, &str, &str, f64); 6] = [
    ("violence", "violence", "block", "high", 0.95),
    ("insult", "harassment", "block", "medium", 0.6),
    ("nuisance", "spam", "block", "low", 0.2),
    ("alias", "name", "mask", "high", 1.0),
    ("realname", "name", "mask", "high", 1.0),
    ("gossip", "rumour", "log", "low", 0.1),
];

/// What a service at `path` answers to `body`; `None` where no service is.
#[must_use]
pub fn answer(path: &str, body: &Value) -> Option<String> {
    match path.split('?').next() {
        Some(path) if path.ends_with("/moderations") => Some(moderation(body).to_string()),
        Some(path) if path.ends_with("/check") => Some(check(body).to_string()),
        _ => None,
    }
}

/// The texts of a call, whatever its protocol.
#[must_use]
pub fn texts(body: &Value) -> Vec<String> {
    let input = body["input"].as_array().cloned().unwrap_or_else(|| vec![body["text"].clone()]);
    input.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn moderation(body: &Value) -> Value {
    let results: Vec<Value> = texts(body).iter().map(|text| result(text)).collect();
    json!({"id": "modr-e2e", "model": "omni-moderation-latest", "results": results})
}

fn result(text: &str) -> Value {
    let (mut categories, mut scores) = (json!({"sexual": false}), json!({"sexual": 0.01}));
    let mut flagged = false;
    for (word, category, verdict, _, score) in OPINIONS {
        let is = verdict == "block" && text.contains(word);
        flagged |= is;
        categories[category] = json!(is);
        scores[category] = json!(if is { score } else { 0.0 });
    }
    json!({"flagged": flagged, "categories": categories, "category_scores": scores})
}

fn check(body: &Value) -> Value {
    let text = body["text"].as_str().unwrap_or_default();
    let Some((word, category, verdict, risk, _)) =
        OPINIONS.into_iter().find(|(word, ..)| text.contains(word))
    else {
        return json!({"verdict": "allow", "risk": "none"});
    };
    let mut reply = json!({"verdict": verdict, "category": category, "risk_level": risk, "trace": "ignored"});
    if word == "realname" {
        reply["replacement"] = json!(text.replace(word, "stagename"));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_a_call_gets_a_result_of_its_own() {
        let body = json!({"input": ["hello", "an insult and violence"]});
        let answer: Value =
            serde_json::from_str(&answer("/v1/moderations", &body).expect("a service")).expect("JSON");
        let flagged: Vec<&Value> = (0..2).map(|n| &answer["results"][n]["flagged"]).collect();
        assert_eq!(flagged, [false, true]);
        let second = &answer["results"][1];
        assert_eq!(
            (&second["categories"]["violence"], &second["category_scores"]["harassment"]),
            (&json!(true), &json!(0.6))
        );
    }

    #[test]
    fn the_contract_is_answered_with_one_verdict() {
        for (text, verdict) in
            [("hello", "allow"), ("violence", "block"), ("alias", "mask"), ("gossip", "log")]
        {
            let answer = answer("/check?v=1", &json!({"text": text})).expect("a service");
            let answer: Value = serde_json::from_str(&answer).expect("JSON");
            assert_eq!(answer["verdict"], verdict);
        }
        assert_eq!(check(&json!({"text": "a realname"}))["replacement"], "a stagename");
        assert!(answer("/v1/chat/completions", &json!({})).is_none());
    }
}
