use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use std::ops::Range;

use sluice_core::detect::{Detector, Form};

use super::*;
use crate::local::{Applies, Local, LocalCheck, LocalRule};
use crate::mask::Vault;

/// Words to look for, as they stand.
struct Words(Vec<(&'static str, Act)>);

impl Words {
    fn occurrences(&self, text: &str, from: usize) -> Vec<(usize, Range<usize>)> {
        let mut found = Vec::new();
        for (check, (word, _)) in self.0.iter().enumerate() {
            let hits = (from..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(word.as_bytes()));
            found.extend(hits.map(|at| (check, at..at.saturating_add(word.len()))));
        }
        found
    }
}

impl Checks for Words {
    fn find(&self, _: Form, text: &str, from: usize) -> Vec<Finding> {
        let finding = |(check, range): (usize, Range<usize>)| {
            let (category, act) = ("keyword".to_owned(), self.0[check].1);
            Finding { range, check, category, label: "word".to_owned(), act }
        };
        self.occurrences(text, from).into_iter().map(finding).collect()
    }

    fn settled(&self, _: Form, text: &str, from: usize) -> (usize, usize) {
        let open = |at: &usize| {
            let tail = &text[*at..];
            self.0.iter().any(|(word, _)| tail.len() < word.len() && word.starts_with(tail))
        };
        let borders = (from..text.len()).filter(|at| text.is_char_boundary(*at));
        let mut until = borders.clone().find(open).unwrap_or(text.len());
        let across = |range: &Range<usize>, until| range.start < until && until < range.end;
        while let Some((_, range)) =
            self.occurrences(text, from).into_iter().find(|(_, range)| across(range, until))
        {
            until = range.start;
        }
        (until, until)
    }
}

fn words(words: &[(&'static str, Act)]) -> Words {
    Words(words.to_vec())
}

fn setup() -> Setup {
    Setup { max_hold_ms: 1_000, window_chars: 8, ..Setup::default() }
}

/// Feeds the chunks at time 0; all that is released, and how it stands.
fn run<'a>(
    setup: Setup,
    checks: &Words,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, State, Vec<Finding>) {
    let mut streamed = Streamed::new(setup);
    let (mut out, mut found) = (Vec::new(), Vec::new());
    for chunk in chunks {
        let step = streamed.feed(checks, 0, chunk, false);
        out.extend(step.release);
        found.extend(step.findings);
    }
    let step = streamed.feed(checks, 0, b"", true);
    out.extend(step.release);
    found.extend(step.findings);
    assert!(!step.retained);
    (out, step.state, found)
}

fn streams() -> BTreeMap<String, Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/core/testdata/streams");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

#[test]
fn every_split_of_a_harmless_stream_leaves_as_it_came() {
    let checks = words(&[("Hello, world peace", Act::Block), (" is not", Act::Mask), ("There", Act::Log)]);
    for (name, stream) in streams() {
        let mut vault = Vault::default();
        vault.placeholder("email", "a@b.c");
        let all = |chunks: Vec<&[u8]>| {
            let (out, state, found) = run(Setup { vault: vault.clone(), ..setup() }, &checks, chunks);
            assert_eq!((state, found.len()), (State::Over, 0), "{name}");
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&stream), "{name}");
        };
        all(stream.chunks(1).collect());
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            all(vec![head, tail]);
        }
    }
}

/// An event of a chat with these deltas of its choices.
fn chat(deltas: &[(u64, Value)]) -> String {
    let choices: Vec<_> = deltas
        .iter()
        .map(|(index, delta)| json!({"index": index, "delta": delta, "finish_reason": null}))
        .collect();
    format!("data: {}\n\n", json!({"id": "c", "choices": choices}))
}

fn content(text: &str) -> String {
    chat(&[(0, json!({"content": text}))])
}

const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What each member of each choice says, deltas put together.
fn said(stream: &[u8]) -> BTreeMap<(u64, String), String> {
    let mut said: BTreeMap<(u64, String), String> = BTreeMap::new();
    for event in std::str::from_utf8(stream).unwrap().split("\n\n") {
        let Some(data) = event.strip_prefix("data: ").filter(|data| *data != "[DONE]") else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        for choice in data["choices"].as_array().unwrap() {
            for (name, text) in choice["delta"].as_object().unwrap() {
                let text = text.as_str().or(text[0]["function"]["arguments"].as_str()).unwrap_or_default();
                said.entry((choice["index"].as_u64().unwrap(), name.clone())).or_default().push_str(text);
            }
        }
    }
    said
}

/// Runs the stream in every way of cutting it once, and by bytes; all give the same, which is handed out.
fn every_split(setup: impl Fn() -> Setup, checks: &Words, stream: &str) -> (Vec<u8>, State, Vec<Finding>) {
    let whole = run(setup(), checks, [stream.as_bytes()]);
    for at in 0..=stream.len() {
        let (head, tail) = stream.as_bytes().split_at(at);
        let (out, state, found) = run(setup(), checks, [head, tail]);
        assert_eq!((said(&out), state, found.len()), (said(&whole.0), whole.1, whole.2.len()), "at {at}");
    }
    let (out, state, _) = run(setup(), checks, stream.as_bytes().chunks(1));
    assert_eq!((said(&out), state), (said(&whole.0), whole.1), "by bytes");
    whole
}

fn text_of(stream: &[u8], index: u64, name: &str) -> String {
    said(stream).remove(&(index, name.to_owned())).unwrap_or_default()
}

#[test]
fn a_phrase_over_several_events_is_replaced_once() {
    let checks = words(&[("internal", Act::Mask)]);
    let stream =
        [content("an int"), content("ern"), content("al in"), content("ter inte"), FINISH.to_owned()]
            .concat();
    let (out, state, found) = every_split(setup, &checks, &stream);
    assert_eq!(text_of(&out, 0, "content"), "an [WORD_1] inter inte");
    assert_eq!((state, found.len()), (State::Over, 1));
}

#[test]
fn nothing_of_a_blocked_phrase_leaves() {
    let checks = words(&[("internal", Act::Block)]);
    let stream =
        [content("fine. "), content("an int"), content("ern"), content("al memo"), FINISH.to_owned()]
            .concat();
    let (out, state, found) = every_split(setup, &checks, &stream);
    assert_eq!(state, State::Blocked);
    assert_eq!(found.len(), 1);
    assert!(!text_of(&out, 0, "content").contains("an i"));
}

#[test]
fn choices_and_members_do_not_mix() {
    let checks = words(&[("internal", Act::Mask)]);
    let stream = [
        chat(&[(0, json!({"content": "inter"})), (1, json!({"content": "nal"}))]),
        chat(&[(1, json!({"content": " inter", "reasoning": "inter"})), (0, json!({"refusal": "nal"}))]),
        chat(&[(1, json!({"reasoning": "nal"})), (0, json!({"content": "nal"}))]),
        FINISH.to_owned(),
    ]
    .concat();
    let (out, ..) = every_split(setup, &checks, &stream);
    for (index, name, want) in [
        (0, "content", "[WORD_1]"),
        (1, "content", "nal inter"),
        (1, "reasoning", "[WORD_1]"),
        (0, "refusal", "nal"),
    ] {
        assert_eq!(text_of(&out, index, name), want);
    }
}

#[test]
fn placeholders_become_values_again_wherever_they_are_cut() {
    let value = "\"é\"\n\\";
    let restoring = || {
        let mut vault = Vault::default();
        vault.placeholder("secret", value);
        Setup { vault, ..setup() }
    };
    let arguments =
        |part: &str| chat(&[(0, json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}))]);
    let stream = [
        content("it is [SEC"),
        content("RET_1], not [SECRET_2] or [SECRET"),
        arguments("{\"a\":\"[SECR"),
        arguments("ET_1]\"}"),
        FINISH.to_owned(),
    ]
    .concat();
    let (out, state, _) = every_split(restoring, &words(&[("[SECRET_1]!", Act::Block)]), &stream);
    assert_eq!(state, State::Over);
    assert_eq!(text_of(&out, 0, "content"), format!("it is {value}, not [SECRET_2] or [SECRET"));
    let arguments: Value = serde_json::from_str(&text_of(&out, 0, "tool_calls")).unwrap();
    assert_eq!(arguments, json!({"a": value}));
}

#[test]
fn texts_that_are_repeated_as_a_whole_are_changed_alike() {
    let mut vault = Vault::default();
    vault.placeholder("email", "a@b.c");
    let event = |data: Value| format!("event: {}\r\ndata: {data}\r\n\r\n", data["type"].as_str().unwrap());
    let delta = |text: &str| {
        event(
            json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text, "logprobs": [1]}),
        )
    };
    let stream = |texts: [&str; 3]| {
        let item = json!({"type": "message", "content": [{"type": "output_text", "text": texts[2]}]});
        [
            delta(texts[0]),
            delta(texts[1]),
            event(json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": texts[2]})),
            event(json!({"type": "response.completed", "response": {"output": [item]}})),
        ]
        .concat()
    };
    let (out, state, found) = run(
        Setup { vault, ..setup() },
        &words(&[("secret", Act::Mask)]),
        [stream(["a sec", "ret of [EMAIL_1]", "a secret of [EMAIL_1]"]).as_bytes()],
    );
    let want = stream(["a [WORD_1]", " of a@b.c", "a [WORD_1] of a@b.c"])
        .replace("[1]", "[]")
        .replace("WORD_1", "@")
        .replace("[@]", "[WORD_1]");
    assert_eq!(String::from_utf8(out).unwrap(), want);
    assert_eq!((state, found.len()), (State::Over, 1));
}

#[test]
fn what_stays_back_too_long_leaves_but_stays_in_sight() {
    let checks = words(&[("internal", Act::Block)]);
    let mut streamed = Streamed::new(setup());
    let step = streamed.feed(&checks, 5, content("an inter").as_bytes(), false);
    assert_eq!((step.release.len(), step.due_ms, step.retained), (0, Some(1_005), true));
    assert_eq!(streamed.tick(&checks, 1_004).release.len(), 0);
    assert!(streamed.shown().is_empty());
    let step = streamed.tick(&checks, 1_005);
    assert_eq!(
        (text_of(&step.release, 0, "content").as_str(), step.due_ms, step.retained),
        ("an inter", None, false)
    );
    assert!(!streamed.shown().is_empty());
    let step = streamed.feed(&checks, 1_006, content("nal memo").as_bytes(), false);
    assert_eq!((step.release.len(), step.state), (0, State::Blocked));
    let step = streamed.feed(&checks, 1_007, content("more").as_bytes(), true);
    assert_eq!((step.release.len(), step.state), (0, State::Blocked));
}

#[test]
fn a_thought_keeps_what_is_said_after_it_back_no_longer() {
    let checks = words(&[("internal", Act::Block)]);
    let mut vault = Vault::default();
    vault.placeholder("email", "a@b.c");
    for tail in ["an inter", "see [", "see [EMAIL_"] {
        let mut streamed = Streamed::new(Setup { vault: vault.clone(), ..setup() });
        let step = streamed.feed(&checks, 0, chat(&[(0, json!({"reasoning": tail}))]).as_bytes(), false);
        assert!(step.retained, "{tail}");
        let both = chat(&[(0, json!({"reasoning": "", "content": "Hi "}))]);
        let got = said(&streamed.feed(&checks, 1, both.as_bytes(), false).release);
        assert_eq!(got.get(&(0, "reasoning".to_owned())).map(String::as_str), Some(tail));
        assert_eq!(got.get(&(0, "content".to_owned())).map(String::as_str), Some("Hi "));
        let step = streamed.feed(&checks, 2, chat(&[(0, json!({"reasoning": "nal"}))]).as_bytes(), false);
        assert_eq!(step.state == State::Blocked, tail == "an inter", "it stays in sight");
    }
    // what goes on side by side from the first, and what another choice says, ends nothing
    let mut streamed = Streamed::new(setup());
    let side = chat(&[(0, json!({"reasoning": "inter", "reasoning_content": "inter"}))]);
    assert_eq!(streamed.feed(&checks, 0, side.as_bytes(), false).release.len(), 0);
    let other = chat(&[(1, json!({"content": "Hi "}))]);
    assert_eq!(streamed.feed(&checks, 0, other.as_bytes(), false).release.len(), 0);
}

#[test]
fn nothing_leaves_before_services_have_passed_it() {
    let checks = words(&[("secret", Act::Mask)]);
    let mut vault = Vault::default();
    vault.placeholder("email", "a@b.c");
    let mut streamed = Streamed::new(Setup { services: true, vault, ..setup() });
    let step = streamed.feed(&checks, 0, content("abc").as_bytes(), false);
    assert_eq!((step.asks.len(), step.release.len(), step.due_ms), (0, 0, Some(1_000)));
    let step = streamed.feed(&checks, 0, content(" secret [EMAIL_1] ").as_bytes(), false);
    assert_eq!(step.asks, [Ask { id: 1, text: "abc [WORD_1] [EMAIL_1] ".to_owned() }]);
    assert_eq!((step.release.len(), step.due_ms, step.retained), (0, None, true));
    let step = streamed.feed(&checks, 0, content("tail").as_bytes(), true);
    assert_eq!(step.asks, [Ask { id: 2, text: "] tail".to_owned() }]);
    assert_eq!(streamed.answer(&checks, 0, 2, Answer::Rewrite("] T".to_owned())).release.len(), 0);
    assert_eq!(streamed.answer(&checks, 0, 9, Answer::Block).state, State::Open);
    assert_eq!(streamed.tick(&checks, 9_000).release.len(), 0);
    let step = streamed.answer(&checks, 0, 1, Answer::Pass);
    assert_eq!(text_of(&step.release, 0, "content"), "abc [WORD_1] a@b.c T");
    assert_eq!(step.state, State::Over);
}

#[test]
fn a_long_answer_that_comes_at_once_waits_for_its_verdicts() {
    let checks = words(&[("secret", Act::Block)]);
    let stream = content(&"some words ".repeat(40)).repeat(500);
    let mut streamed = Streamed::new(Setup { services: true, window_chars: 400, ..setup() });
    let mut step = streamed.feed(&checks, 0, stream.as_bytes(), true);
    assert_eq!((step.state, step.release.len()), (State::Open, 0));
    let mut out = Vec::new();
    for ask in mem::take(&mut step.asks) {
        out.extend(streamed.answer(&checks, 0, ask.id, Answer::Pass).release);
    }
    assert_eq!(out, stream.as_bytes());
}

#[test]
fn what_a_service_blocks_does_not_leave() {
    let checks = words(&[]);
    let mut streamed = Streamed::new(Setup { services: true, ..setup() });
    let events = [content("12345678"), content("abcdefgh")].concat();
    let step = streamed.feed(&checks, 0, events.as_bytes(), false);
    assert_eq!(step.asks.len(), 1);
    let step = streamed.answer(&checks, 0, 1, Answer::Block);
    assert_eq!((step.release.len(), step.state), (0, State::Blocked));

    let mut streamed = Streamed::new(Setup { services: true, ..setup() });
    streamed.feed(&checks, 0, content("12345678").as_bytes(), false);
    streamed.feed(&checks, 0, content("abcdefgh").as_bytes(), false);
    assert!(streamed.answer(&checks, 0, 1, Answer::Pass).release.len() > 10);
    let step = streamed.answer(&checks, 0, 2, Answer::Block);
    assert_eq!((step.release.len(), step.state), (0, State::Blocked));
}

/// Checks that never come to an end.
struct Undecided;

impl Checks for Undecided {
    fn find(&self, _: Form, _: &str, _: usize) -> Vec<Finding> {
        Vec::new()
    }

    fn settled(&self, _: Form, _: &str, from: usize) -> (usize, usize) {
        (from, 0)
    }
}

#[test]
fn what_cannot_be_read_ends_the_stream_or_passes() {
    let unknown = "data: {\"type\":\"content_block_start\",\"index\":0,\"part\":{\"content\":[{\"type\":\"hologram\"}]}}\n\n";
    let long = format!("data: {}\n\n", "x".repeat(MAX_EVENT_BYTES));
    for stream in [unknown.as_bytes(), long.as_bytes(), b"data: \xff\n\n"] {
        assert_eq!(run(setup(), &words(&[]), [stream]).1, State::Unreadable);
        let (out, state, _) = run(Setup { lenient: true, ..setup() }, &words(&[]), [stream]);
        assert_eq!((out.as_slice(), state), (stream, State::Over));
    }
    let mut streamed = Streamed::new(Setup { services: true, ..setup() });
    let step = streamed.feed(&Undecided, 0, content(&"x".repeat(MAX_HELD_TEXT + 1)).as_bytes(), false);
    assert_eq!((step.state, step.asks.len()), (State::Unreadable, 0));
}

/// The checks as they are configured.
struct Real(Local, Applies);

impl Real {
    fn new() -> Self {
        let words = vec!["internal".to_owned(), "top secret".to_owned()];
        let rules =
            [LocalRule::Keywords { words, whole_words: false }, LocalRule::Detect(vec![Detector::Email])];
        let checks = rules.into_iter().enumerate().map(|(check, rule)| LocalCheck { check, rule });
        Self(Local::new(checks.collect()).unwrap(), Applies::new([0, 1]))
    }
}

impl Checks for Real {
    fn find(&self, form: Form, text: &str, from: usize) -> Vec<Finding> {
        let finding = |finding: crate::local::Finding| Finding {
            range: finding.range,
            check: finding.check,
            category: finding.category.to_owned(),
            label: finding.category.to_owned(),
            act: Act::Mask,
        };
        self.0.find(&self.1, form, text, from).into_iter().map(finding).collect()
    }

    fn settled(&self, form: Form, text: &str, from: usize) -> (usize, usize) {
        let settled = self.0.settled(&self.1, form, text, from);
        (settled.until, settled.keep)
    }
}

#[test]
fn the_real_checks_find_in_a_stream_what_they_find_in_a_text() {
    let checks = Real::new();
    let text =
        "ask alice@example.com or b\u{200b}ob@example.org: TOP\n secret, i-n-t-e-r-n-a-l, ｉnternalise; é";
    let want = "ask [EMAIL_1] or [EMAIL_2]: [KEYWORD_1], [KEYWORD_2], [KEYWORD_3]ise; é";
    let arguments = json!({"to": "alice\u{40}example.com", "n": "inter"}).to_string().replace('@', "\\u0040");
    for size in 1..40 {
        let (mut stream, chars) = (String::new(), text.chars().collect::<Vec<_>>());
        for part in chars.chunks(size) {
            stream.push_str(&content(&part.iter().collect::<String>()));
        }
        for part in arguments.as_bytes().chunks(size) {
            let part = std::str::from_utf8(part).unwrap();
            let call = json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]});
            stream.push_str(&chat(&[(0, call)]));
        }
        let mut streamed = Streamed::new(setup());
        let step = streamed.feed(&checks, 0, stream.as_bytes(), false);
        let mut out = step.release;
        out.extend(streamed.feed(&checks, 0, FINISH.as_bytes(), true).release);
        assert_eq!(text_of(&out, 0, "content"), want, "{size}");
        let got: Value = serde_json::from_str(&text_of(&out, 0, "tool_calls")).unwrap();
        assert!(got["to"].as_str().unwrap().starts_with("[EMAIL_"), "{size} {got}");

        let mut streamed = Streamed::new(setup());
        let mut out = Vec::new();
        for chunk in stream.as_bytes().chunks(97).chain([FINISH.as_bytes()]) {
            out.extend(streamed.feed(&checks, 0, chunk, false).release);
        }
        out.extend(streamed.feed(&checks, 0, b"", true).release);
        assert_eq!(text_of(&out, 0, "content"), want, "{size} in pieces");
    }
}

proptest! {
    #[test]
    fn released_text_is_the_text_with_findings_replaced(
        parts in proptest::collection::vec((0_u64..3, "[abé\\[]{0,4}|ab|\\[W_1\\]"), 0..12),
        cuts in proptest::collection::vec(1_usize..80, 1..20),
    ) {
        let checks = words(&[("aba", Act::Mask), ("abé", Act::Log), ("bbb", Act::Block)]);
        let mut texts: BTreeMap<u64, String> = BTreeMap::new();
        let mut stream = String::new();
        for (index, part) in &parts {
            texts.entry(*index).or_default().push_str(part);
            stream.push_str(&chat(&[(*index, json!({"content": part}))]));
        }
        stream.push_str("data: [DONE]\n\n");
        let mut vault = Vault::default();
        vault.placeholder("w", "a\"b");
        let mut rest = stream.as_bytes();
        let mut chunks = Vec::new();
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            chunks.push(head);
            rest = tail;
            if rest.is_empty() { break; }
        }
        let (out, state, _) = run(Setup { vault, ..setup() }, &checks, chunks);
        let is_blocked = texts.values().any(|text| text.contains("bbb"));
        prop_assert_eq!(state == State::Blocked, is_blocked);
        let got = said(&out);
        for (index, text) in &texts {
            let got = got.get(&(*index, "content".to_owned())).cloned().unwrap_or_default();
            if is_blocked {
                prop_assert!(!got.contains("bbb"));
            } else {
                prop_assert_eq!(got, masked(text).replace("[W_1]", "a\"b"));
            }
        }
    }
}

/// The text with every `aba`, and all that overlap as one, replaced.
fn masked(text: &str) -> String {
    let (mut out, mut done) = (String::new(), 0);
    for at in (0..text.len()).filter(|at| text.as_bytes()[*at..].starts_with(b"aba")) {
        if at >= done {
            out.push_str(&text[done..at]);
            out.push_str("[WORD_1]");
        }
        done = at.saturating_add(3);
    }
    out.push_str(&text[done..]);
    out
}
