//! `sluice explain`: what it says, and that it says what the filter does.

#![cfg(test)]

use std::path::Path;

use serde_json::json;
use sluice::check::check;
use sluice::explain::{Explanation, Question, explain};
use sluice::gateway::{CheckOptions, Gateway};

const FILE: &str = "
providers:
  openai: {url: https://api.openai.com/v1}
  pai: {url: [http://10.0.0.8:8000/v1, http://10.0.0.9:8000/v1]}
models:
  - match: gpt-4*
    when: {headers: {x-team: s*}, min_input_tokens: 10, has: [tools]}
    sticky: header:x-user
    targets: [{provider: openai, weight: 2}, {provider: pai, model: deepseek-r1, weight: 1}]
    fallback: [{provider: pai, model: qwen-max}]
  - {match: openai/*, strip_prefix: openai/, targets: [{provider: openai}]}
";

fn gateway(more: &str) -> Gateway {
    let yaml = format!("{FILE}{more}");
    let loaded = check(Path::new("x.yaml"), yaml.as_bytes(), &CheckOptions { env: &|_| None });
    loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report))
}

fn ask(model: &str, headers: &[(&str, &str)]) -> Question {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Question { model: model.to_owned(), headers, input_tokens: 10, tools: true, ..Question::default() }
}

fn answer(question: &Question) -> Explanation {
    explain(&gateway(""), question).unwrap()
}

#[test]
fn each_rule_that_does_not_match_says_why() {
    for (question, reason) in [
        (ask("gpt-4o", &[]), "header x-team does not match \"s*\""),
        (
            Question { input_tokens: 9, ..ask("gpt-4o", &[("x-team", "s")]) },
            "about 9 input tokens are fewer than 10",
        ),
        (Question { tools: false, ..ask("gpt-4o", &[("x-team", "s")]) }, "the request offers no tools"),
        (ask("o1", &[("x-team", "s")]), "no glob in `match` matches the model"),
    ] {
        let explanation = answer(&question);
        assert_eq!(explanation.passed[0].reason, reason);
        assert_eq!(explanation.served, None);
        assert!(explanation.to_string().ends_with("answer  404 model_not_found: no rule matches\n"));
    }
}

#[test]
fn the_prefix_is_taken_off_the_model() {
    let served = answer(&ask("openai/gpt-4o", &[])).served.unwrap();
    assert_eq!((served.rule.as_str(), served.picked, served.attempts), ("models[1]", Some(0), 2));
    assert_eq!(served.targets[0].steps[0].model, "gpt-4o");
}

#[test]
fn a_header_settles_the_split_and_nothing_does_without_it() {
    let picked = |user| answer(&ask("gpt-4o", &[("x-team", "s"), ("x-user", user)])).served.unwrap().picked;
    let users: Vec<String> = (0..300).map(|at| format!("user-{at}")).collect();
    let first = users.iter().filter(|user| picked(user) == Some(0)).count();
    assert!((150..250).contains(&first), "{first} of 300");
    assert!(users.iter().all(|user| picked(user) == picked(user)));
    let served = answer(&ask("gpt-4o", &[("x-team", "s")])).served.unwrap();
    assert_eq!((served.picked, served.targets[0].share, served.targets[1].share), (None, 6667, 3333));
    assert_eq!(served.unsplit.as_deref(), Some("this request has no header x-user"));
}

#[test]
fn the_json_holds_the_whole_chain() {
    let json = answer(&ask("gpt-4o", &[("x-team", "s")])).to_json();
    let urls = json!(["http://10.0.0.8:8000/v1", "http://10.0.0.9:8000/v1"]);
    assert_eq!(
        json["served"]["targets"][0]["chain"],
        json!([
            {"provider": "openai", "model": "gpt-4o", "urls": ["https://api.openai.com/v1"], "attempts": 2},
            {"provider": "pai", "model": "qwen-max", "urls": urls, "attempts": 2},
        ])
    );
    assert_eq!(json["served"]["targets"][1]["share"], json!(0.3333));
    assert_eq!((&json["served"]["attempts"], &json["error"]), (&json!(4), &json!(null)));
}

#[test]
fn the_text_reads_like_this() {
    let text = answer(&ask("gpt-4o", &[("x-team", "s")])).to_string();
    assert_eq!(
        text,
        "model   gpt-4o\n\
         caller  no consumers are configured: everybody is anonymous\n\
         rule    models[0] (gpt-4*)\n\
         split   by header x-user; this request has no header x-user, so each is split by itself\n\
         target  66.67 % openai as gpt-4o, up to 2 times, at https://api.openai.com/v1\n        \
         then pai as qwen-max, up to 2 times, at http://10.0.0.8:8000/v1 or http://10.0.0.9:8000/v1\n\
         target  33.33 % pai as deepseek-r1, up to 2 times, at http://10.0.0.8:8000/v1 or http://10.0.0.9:8000/v1\n        \
         then pai as qwen-max, up to 2 times, at http://10.0.0.8:8000/v1 or http://10.0.0.9:8000/v1\n        \
         at most 4 attempts in all\n"
    );
}

#[test]
fn attempts_that_end_early_are_seen() {
    let question = ask("gpt-4o", &[("x-team", "s")]);
    let served = explain(&gateway("retry: {attempts: 2}"), &question).unwrap().served.unwrap();
    assert_eq!(served.targets[0].steps[1].attempts, 0);
    let text = explain(&gateway("retry: {attempts: 9}"), &question).unwrap().to_string();
    assert!(text.contains("then again from the top, at most 9 attempts in all"), "{text}");
}

#[test]
fn a_key_is_taken_and_never_repeated() {
    let question = Question { key: Some("sk-canary".into()), ..ask("openai/x", &[]) };
    let explanation = answer(&question);
    assert!(explanation.caller.contains("the key changes nothing"), "{}", explanation.caller);
    assert!(!format!("{explanation} {}", explanation.to_json()).contains("canary"));
}
