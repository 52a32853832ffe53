//! Any answer through the guard: what is banned does not leave, what is personal does not either, and what is neither
//! leaves as it came.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use content_guard::{Config, ContentGuard};
use serde_json::Value;
use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::detect::{Detector, Form, fold};
use sluice_core::filter::{Filter, Side};
use sluice_core::sse::{Piece, Splitter, parse};
use sluice_core::testing::FakeHost;

use crate::exchange::{Gone, pass};
use crate::parts::{chunks, first};

/// Short, so that they are found by chance.
const BANNED: &str = "zqx";

const CONFIG: &str = r#"{"checks": [
    {"name": "banned", "keywords": ["zqx"]},
    {"name": "pii", "detect": ["email"], "action": "mask"},
    {"name": "seen", "regex": ["k[0-9]+"], "action": "log"}
]}"#;

thread_local! {
    static CHECKED: LazyCell<Rc<Config>> = const {
        LazyCell::new(|| {
            RouteConfigs::parse(CONFIG.as_bytes(), |raw| ContentGuard::check(raw, &|_| None)).unwrap().get("")
        })
    };
}

fn run(stream: bool, body: &[u8], size: usize) -> (Gone, FakeHost) {
    let mut host = FakeHost::with_request(&[
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("content-type", "application/json"),
    ]);
    context::OPERATION.set(&mut host, "chat");
    context::STREAM.set(&mut host, if stream { "true" } else { "false" });
    let mut filter = CHECKED.with(|config| ContentGuard::new(Rc::clone(config)));
    let asked = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(pass(&mut filter, &mut host, Side::Request, asked, 1_000), Gone::On(asked.to_vec()));
    let kind = if stream { "text/event-stream" } else { "application/json" };
    host.respond(&[(":status", "200"), ("content-type", kind)]);
    let gone = pass(&mut filter, &mut host, Side::Response, body, size);
    filter.on_done(&mut host);
    (gone, host)
}

/// The text of each choice, as a client puts it together; none where a client could not read the stream.
fn said(stream: &[u8]) -> Option<BTreeMap<u64, String>> {
    let (mut texts, mut readable): (BTreeMap<u64, String>, bool) = (BTreeMap::new(), true);
    let mut splitter = Splitter::default();
    let mut each = |piece: Piece<'_>| {
        let Some(data) = parse(piece.bytes()).data else { return };
        if &*data == b"[DONE]" {
            return;
        }
        let Ok(event) = serde_json::from_slice::<Value>(&data) else {
            readable = false;
            return;
        };
        for choice in event["choices"].as_array().into_iter().flatten() {
            let text = choice["delta"]["content"].as_str().unwrap_or_default();
            match choice["index"].as_u64() {
                Some(index) => texts.entry(index).or_default().push_str(text),
                None => readable = false,
            }
        }
    };
    splitter.feed(stream, &mut each);
    splitter.finish(&mut each);
    readable.then_some(texts)
}

/// The addresses in a text, as a detector finds them that sees it whole: `ann@example.org8` holds none.
fn addresses(text: &str) -> Vec<String> {
    let (folded, mut found) = (fold(text, Form::Plain), Vec::new());
    Detector::Email.find(folded.text(), 0, &mut found);
    found.into_iter().map(|range| folded.text()[range].to_owned()).collect()
}

/// First byte: odd for a stream; second: size of a chunk; the rest: the answer.
pub fn check(input: &[u8]) {
    let (number, input) = first(input);
    let (size, body) = chunks(input);
    let stream = number % 2 == 1;
    let (gone, host) = run(stream, body, body.len().max(1));
    let (in_chunks, other) = run(stream, body, size);
    if !stream {
        assert_eq!((&gone, &host.facts), (&in_chunks, &other.facts));
    }
    for (gone, host) in [(gone, host), (in_chunks, other)] {
        assert_ne!(gone, Gone::Waits);
        let (Gone::On(out) | Gone::Broke(out)) = gone else { continue };
        if context::GUARD.get(&host).is_none() {
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(body));
        }
        for text in said(&out).filter(|_| stream).into_iter().flat_map(BTreeMap::into_values) {
            assert!(!text.contains(BANNED), "{text}");
            assert_eq!(addresses(&text), [""; 0], "{text}");
        }
    }
}
