//! The pure cores under the filters.

use std::error::Error;
use std::hint::black_box;
use std::rc::Rc;

use consumer_auth::{ConsumerAuth, places::Presented};
use content_guard::local::{Applies, Local, LocalCheck, LocalRule};
use model_router::ModelRouter;
use model_router::request::{self, RequestFacts};
use model_router::rules;
use response_cache::fingerprint::{self, Circumstances, Scope};
use serde::de::IgnoredAny;
use serde_json::Value;
use sluice_core::detect::{Detector, Form};
use sluice_core::filter::Filter;
use sluice_core::glob::GlobSet;
use sluice_core::json::Reader;
use sluice_core::meter::Meter;
use sluice_core::openai::Operation;
use sluice_core::sse::Splitter;
use sluice_core::when::Caller;
use sluice_core::window::{Ledger, Window, lease_end};
use token_limit::store::{self, Owed, Want, local};

use crate::bed::{Bed, State};
use crate::harness::{Case, Work};
use crate::{policy, texts};

/// Every core, at the sizes that matter.
pub(crate) fn cases() -> Result<Vec<Case>, Box<dyn Error>> {
    let mut cases = bodies();
    cases.extend(streams());
    cases.extend(routing()?);
    cases.push(limit_decision());
    cases.push(ledger());
    cases.push(consumer(100_000)?);
    cases.extend(guard()?);
    Ok(cases)
}

/// What reads a request's body, beside `serde_json` over the same one.
fn bodies() -> Vec<Case> {
    let mut cases = Vec::new();
    for (size, called) in [(1 << 10, "1 KB"), (16 << 10, "16 KB"), (128 << 10, "128 KB")] {
        let body: Rc<[u8]> = texts::chat(size, false).into_bytes().into();
        let mut add = |what: &str, read: fn(&[u8])| {
            let body = Rc::clone(&body);
            let work = Work::Bytes(body.len());
            cases.push(Case::new(format!("{what}, {called}"), work, move || read(black_box(&body))));
        };
        add("json scan", |body| {
            black_box(Reader::new(body).object(|_, _| Ok(())).is_ok());
        });
        add("request facts", |body| {
            let _ = black_box(request::scan(body));
        });
        add("fingerprint", |body| {
            let _ = black_box(fingerprint::read(&circumstances(), body));
        });
        add("serde_json, nothing kept", |body| {
            black_box(serde_json::from_slice::<IgnoredAny>(body).is_ok());
        });
        add("serde_json, a tree", |body| {
            let _ = black_box(serde_json::from_slice::<Value>(body));
        });
    }
    cases
}

fn circumstances() -> Circumstances<'static> {
    Circumstances {
        scope: Scope::Consumer,
        scope_value: "consumer-2",
        path: "/v1/chat/completions",
        rule: Some("gpt-4*"),
        target: Some("openai"),
        base_model: None,
        cluster: Some(b"rule-1.openai"),
        headers: Vec::new(),
    }
}

/// A stream of a thousand events, in chunks as they come from a socket.
fn streams() -> Vec<Case> {
    let stream: Rc<[u8]> = texts::events(1000).concat().into_bytes().into();
    let (cut, metered) = (Rc::clone(&stream), Rc::clone(&stream));
    let split = move || {
        let (mut splitter, mut bytes) = (Splitter::default(), 0);
        cut.chunks(4096).for_each(|chunk| splitter.feed(chunk, |piece| bytes += piece.bytes().len()));
        black_box(bytes);
    };
    let meter = move || {
        let (mut splitter, mut meter) = (Splitter::default(), Meter::new(Operation::Chat));
        for chunk in metered.chunks(4096) {
            splitter.feed(chunk, |piece| {
                black_box(meter.piece(piece));
            });
        }
        black_box(meter.usage(100));
    };
    let work = Work::Bytes(stream.len());
    vec![Case::new("sse split", work, split), Case::new("sse split and meter", work, meter)]
}

/// Whether one of a hundred globs matches, and which of a hundred rules applies.
fn routing() -> Result<Vec<Case>, Box<dyn Error>> {
    let globs: Vec<String> = (0..100).map(|number| format!("vendor-{number}/model-*-{{a,b}}")).collect();
    let globs = GlobSet::parse(&globs).map_err(|(_, error)| error)?;
    let matches = move || {
        black_box(globs.matches(black_box("vendor-99/model-large-b")));
    };
    let raw = serde_json::from_value(policy::rules(100))?;
    let config = ModelRouter::check(raw, &|_| None)?;
    let facts = RequestFacts { input_tokens: 200, ..RequestFacts::default() };
    let decide = move || {
        let caller = Caller { consumer: Some("consumer-2"), tier: Some("gold"), header: &|_| None };
        black_box(rules::decide(&config, black_box("gpt-4o-mini"), &facts, &caller, "r-1").is_some());
    };
    Ok(vec![
        Case::new("glob set of 100, the last matches", Work::Decision, matches),
        Case::new("rule of 100, the 99th applies", Work::Decision, decide),
    ])
}

/// A request's way through one limit: its bucket's name, its reservation, and what it has used.
fn limit_decision() -> Case {
    let mut bed = Bed::default();
    bed.enter(&Rc::new(State::default()));
    let window = Some(Window::new(60_000));
    let (mut now_ms, mut caller) = (1_700_000_000_000, 0_usize);
    let names: Vec<String> = (0..1000).map(|number| format!("consumer-{number}")).collect();
    Case::new("limit: reserve and settle in shared data", Work::Decision, move || {
        now_ms += 1;
        caller = (caller + 1) % names.len();
        let name = names.get(caller).map(String::as_str).unwrap_or_default();
        let key = store::key(name, "tokens", &[name]);
        let (limit, expires_ms) = (1_000_000_000, lease_end(now_ms, 30_000));
        let wants = [Want::new(&key, window, limit, 500)];
        black_box(local::reserve(&mut bed, &wants, expires_ms, now_ms));
        let owed = [Owed { key: &key, window, limit, held: 500, actual: 370 }];
        black_box(local::settle(&mut bed, &owed, expires_ms, now_ms));
    })
}

/// The decision alone, of a ledger at hand: all slots of its window in use, requests in flight.
fn ledger() -> Case {
    let mut now_ms = 1_700_000_000_000;
    let mut ledger = Ledger::new(Some(Window::new(60_000)), now_ms);
    for _ in 0..120 {
        now_ms += 500;
        ledger.advance(now_ms);
        ledger.book(300, 1_000_000_000);
    }
    Case::new("limit: decide, hold, release, book", Work::Decision, move || {
        now_ms += 1;
        ledger.advance(now_ms);
        if black_box(ledger.admits(1_000_000_000, 500)) {
            let expires_ms = lease_end(now_ms, 30_000);
            ledger.hold(500, expires_ms);
            ledger.release(500, expires_ms);
            ledger.book(370, 1_000_000_000);
        }
    })
}

/// Who has this key, of so many: its digest, and where that stands.
fn consumer(count: usize) -> Result<Case, Box<dyn Error>> {
    let raw = serde_json::from_value(policy::consumers(count))?;
    let config = ConsumerAuth::check(raw, &|_| None)?;
    let keys: Vec<Presented> =
        (0..count).step_by(97).map(|number| Presented::One(texts::key(number).into_bytes())).collect();
    let mut at = 0;
    Ok(Case::new(format!("consumer by key, of {count}"), Work::Decision, move || {
        at = (at + 1) % keys.len();
        let found = keys.get(at).is_some_and(|key| config.identify(key).is_ok());
        black_box(found);
    }))
}

/// The guard's local checks over prose in which they find nothing or little.
fn guard() -> Result<Vec<Case>, Box<dyn Error>> {
    let mut cases = Vec::new();
    let keywords = |count| LocalRule::Keywords { words: texts::keywords(count), whole_words: false };
    let checks = [
        ("1,000 keywords", vec![keywords(1_000)]),
        ("10,000 keywords", vec![keywords(10_000)]),
        ("all detectors", vec![LocalRule::Detect(Detector::ALL.to_vec())]),
        ("10,000 keywords, all detectors", vec![keywords(10_000), LocalRule::Detect(Detector::ALL.to_vec())]),
    ];
    for (called, rules) in checks {
        let applies = Rc::new(Applies::new(0..rules.len()));
        let rules = rules.into_iter().enumerate().map(|(check, rule)| LocalCheck { check, rule });
        let local = Rc::new(Local::new(rules.collect())?);
        for (size, bytes) in [(1 << 10, "1 KB"), (16 << 10, "16 KB")] {
            let (local, applies, text) = (Rc::clone(&local), Rc::clone(&applies), texts::prose(size));
            cases.push(Case::new(format!("guard: {called}, {bytes}"), Work::Bytes(text.len()), move || {
                black_box(local.find(&applies, Form::Plain, black_box(&text), 0).len());
            }));
        }
    }
    Ok(cases)
}
