//! What is told of another configuration.

use serde_json::json;
use sluice::replay::{Change, Note, Report};

use super::bed::{Answer, Ask, Bed, replayed};

const FILE: &str = "
providers: {a: {url: http://a/v1}, b: {url: http://b/v1}}
consumers:
  - {name: app, tier: gold, keys: [sk-app-0123456789abcdef]}
  - {name: bot, keys: [sk-bot-0123456789abcdef]}
models:
  - {match: gpt-*, targets: [{provider: a}], fallback: [{provider: b, model: small}]}
retry: {per_target: 1}
limits:
  - {name: pace, by: [consumer], requests: 3, per: 10s}
prices: {'*': {input: 2.5, output: 10}}
cache: {ttl: 1h, scope: consumer}
";

const APP: &str = "sk-app-0123456789abcdef";
const BOT: &str = "sk-bot-0123456789abcdef";

fn question(key: &'static str, text: &str) -> Ask {
    Ask { key: Some(key), model: "gpt-4o", text: text.to_owned(), ..Ask::default() }
}

/// A second between requests, and half a second for each answer.
fn log(asked: &[Ask]) -> Vec<String> {
    let mut bed = Bed::new(FILE);
    for ask in asked {
        bed.advance_ms(500);
        let id = bed.ask(ask);
        bed.advance_ms(500);
        if let Some(id) = id {
            let (target, _) = bed.route(id);
            bed.answer(id, &[target], Answer::default());
        }
    }
    bed.lines
}

/// Five different questions of `app`, of which the limit refuses two.
fn paced() -> Vec<String> {
    log(&["a", "b", "c", "d", "e"].map(|text| question(APP, text)))
}

/// What changes when `from` becomes `to`: what, from, to, and which requests.
fn changes(log: &[String], from: &str, to: &str) -> (Vec<(Change, String, String, String)>, Report) {
    assert!(FILE.contains(from), "{from}");
    let report = replayed(log, &FILE.replacen(from, to, 1));
    let told = report
        .changes
        .iter()
        .map(|((change, from, to), group)| (*change, from.clone(), to.clone(), group.examples.join(" ")));
    (told.collect(), report)
}

#[test]
fn each_change_is_told_with_requests_it_befalls() {
    let log = paced();
    let refused = "rate_limit_exceeded by limit pace";
    for (from, to, want) in [
        ("requests: 3", "requests: 3", vec![]),
        ("requests: 3", "requests: 4", vec![(Change::Admitted, refused, "", "request-4")]),
        ("requests: 3", "requests: 2", vec![(Change::Refused, "", refused, "request-3")]),
        ("per: 10s", "per: 1s", vec![(Change::Admitted, refused, "", "request-4 request-5")]),
        (
            "name: pace",
            "name: rush",
            vec![(
                Change::RefusedOtherwise,
                refused,
                "rate_limit_exceeded by limit rush",
                "request-4 request-5",
            )],
        ),
        (
            "{match: gpt-*,",
            "{match: 'gpt-[3]*',",
            vec![
                (Change::Refused, "", "model_not_found", "request-1 request-2 request-3"),
                (Change::RefusedOtherwise, refused, "model_not_found", "request-4 request-5"),
            ],
        ),
        (
            "[{provider: a}]",
            "[{provider: b}]",
            vec![(Change::Routed, "gpt-* to a", "gpt-* to b", "request-1 request-2 request-3")],
        ),
        ("output: 10", "output: 11", vec![(Change::Cost, "", "", "request-1 request-2 request-3")]),
        (
            "keys: [sk-app-0123456789abcdef]}",
            "keys: [sk-app-0123456789abcdef], models: [o*]}",
            vec![
                (Change::Refused, "", "model_not_allowed", "request-1 request-2 request-3"),
                (Change::RefusedOtherwise, refused, "model_not_allowed", "request-4 request-5"),
            ],
        ),
    ] {
        let (told, report) = changes(&log, from, to);
        let owned = |(change, from, to, ids): &(Change, &str, &str, &str)| {
            (*change, (*from).to_owned(), (*to).to_owned(), (*ids).to_owned())
        };
        let want: Vec<_> = want.iter().map(owned).collect();
        assert_eq!(told, want, "{to}\n{report}");
    }
}

#[test]
fn a_callers_key_may_change_but_not_go() {
    let log = paced();
    let (told, report) = changes(&log, "sk-app-0123456789abcdef", "sk-app-new-0123456789abc");
    assert_eq!((told, report.notes.get(&Note::ByName)), (vec![], Some(&5)));
    let (told, _) = changes(
        &log,
        "{name: app, tier: gold, keys: [sk-app-0123456789abcdef]}",
        "{name: new, keys: [sk-new-0123456789abcdef]}",
    );
    assert_eq!(told[0].2, "invalid_api_key");
}

#[test]
fn answers_are_shared_as_far_as_the_scope_goes_and_as_long_as_they_last() {
    let log = log(&[question(APP, "x"), question(APP, "x"), question(BOT, "x"), question(BOT, "x")]);
    let hits = |report: &Report| (report.caches.hits.before, report.caches.hits.after);
    let (told, report) = changes(&log, "scope: consumer", "scope: everyone");
    assert_eq!((told[0].0, told[0].3.as_str(), hits(&report)), (Change::Hit, "request-3", (2, 3)));
    assert_eq!(report.cost.after * 2, report.cost.before);
    let (told, report) = changes(&log, "cache: {ttl: 1h, scope: consumer}", "");
    assert_eq!(
        (told[0].0, told[0].3.as_str(), hits(&report)),
        (Change::Missed, "request-2 request-4", (2, 0))
    );
    assert_eq!(report.notes.get(&Note::Estimated), Some(&2));
    assert_eq!(report.cost.after, report.cost.before * 2, "they cost what the others did");
    let (told, _) = changes(&log, "ttl: 1h", "ttl: 1s, max_entry: 1KiB");
    assert_eq!(told, [], "half a second is not too old");
}

#[test]
fn what_was_kept_before_the_log_begins_is_still_there() {
    let log = log(&[question(APP, "x"), question(APP, "x"), question(APP, "x")]);
    let report = replayed(&log[1..], FILE);
    assert_eq!((report.changed(), report.caches.hits.after), (0, 2), "{report}");
}

#[test]
fn a_provider_that_is_not_asked_any_more_is_stood_in_for() {
    let mut bed = Bed::new(FILE);
    let id = bed.ask(&question(APP, "x")).unwrap();
    let (_, chain) = bed.route(id);
    let chain = [chain[0].clone(), ("b".to_owned(), "small".to_owned())];
    bed.advance_ms(10);
    bed.answer(id, &chain, Answer::default());
    let (told, _) = changes(&bed.lines, ", fallback: [{provider: b, model: small}]", "");
    let kinds: Vec<_> = told.iter().map(|told| (told.0, told.2.as_str())).collect();
    assert_eq!(kinds, [(Change::Refused, "upstream_error"), (Change::Served, "a/gpt-4o")]);
    let (told, report) = changes(&bed.lines, "fallback: [", "fallback: [{provider: b, model: large}, ");
    assert_eq!(told[0].2, "b/large");
    assert_eq!(report.notes.get(&Note::Assumed), Some(&1));
}

#[test]
fn headers_that_no_record_holds_are_named() {
    let when = "{match: gpt-*, when: {headers: {x-team: s*}}, targets: [{provider: b}]}\n  - {match: gpt-*,";
    let (told, report) = changes(&paced(), "{match: gpt-*,", when);
    assert_eq!((told, report.unseen_headers), (vec![], vec!["x-team".to_owned()]));
}

#[test]
fn a_report_is_written_for_people_and_for_programs() {
    let mut log = paced();
    log.insert(1, "{\"ai_log\":null}\n".to_owned());
    log.push("{\"ai_log\":{\"version\":2}}\n{\"ai_l".to_owned());
    let (_, report) = changes(&log, "requests: 3", "requests: 4");
    let want = "\
read    5 requests, 2023-11-14 22:13:20 to 2023-11-14 22:13:24
skip    1 line without a record: 2
skip    1 line of another version: 7
skip    1 line that cannot be read: 8
same    4 (80.0 %)
change  1 (20.0 %)

got an error, and do not: 1 request
         1  rate_limit_exceeded by limit pace
            such as request-4

cache                            before          after
  hits                                0              0
  misses                              3              4
  bypasses                            0              0

cost in US dollars               before          after
  in all                       0.000233       0.000288  +23.7 %
  consumer app                 0.000233       0.000288  +23.7 %
  model gpt-4o                 0.000233       0.000288  +23.7 %

note    1 request: nobody answered then: tokens and time are those of other answers by the rule
note    1 request: taken for misses, as the log does not tell what they asked
";
    assert_eq!(report.to_string(), want);
    let json = report.to_json();
    assert_eq!(
        json["changes"],
        json!([{
            "change": "admitted", "from": "rate_limit_exceeded by limit pace", "to": null,
            "requests": 1, "examples": ["request-4"],
        }])
    );
    assert_eq!((&json["requests"], &json["changed"]), (&json!(5), &json!(1)));
    assert_eq!(json["skipped"][0], json!({"why": "no_record", "count": 1, "lines": [2]}));
    assert_eq!(json["assumed"], json!({"no_answer_recorded": 1, "cache_key_not_recorded": 1}));
}
