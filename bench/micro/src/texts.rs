//! Requests, answers and word lists to measure with, the same in every run.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::Random;

const PARAGRAPH: &str = "Please summarise the notes of our meeting on Tuesday (see v1.2.3 of the document): Alice wrote about \
    invoice 2024-0117, the project costs $12,400.50, of which 30% is due by 2025-03-01.\n- Nobody knows \"whether\" the migration \
    (commit 9f86d081) will be done in time; wir hören später davon.\n\n";
const SYLLABLES: [&str; 24] = [
    "in", "ter", "nal", "co", "de", "na", "me", "pro", "ject", "con", "fi", "den", "tial", "ra", "lu", "mi",
    "so", "ka", "vex", "tor", "ban", "el", "qui", "zon",
];

/// `bytes` of prose, but for less than a character.
pub(crate) fn prose(bytes: usize) -> String {
    let text = PARAGRAPH.repeat(bytes / PARAGRAPH.len() + 1);
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// A chat request of about `bytes`.
pub(crate) fn chat(bytes: usize, is_stream: bool) -> String {
    let body = |content: &str| {
        let mut body = json!({"model": "gpt-4o-mini", "temperature": 0.2, "max_tokens": 256, "user": "u-1",
            "messages": [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": content}]});
        if let (true, Value::Object(body)) = (is_stream, &mut body) {
            body.insert("stream".into(), true.into());
        }
        body.to_string()
    };
    // What is escaped takes a second byte.
    let fits = |take: &usize| body(&prose(*take)).len() <= bytes;
    let room = bytes.saturating_sub(body("").len());
    let take = (room / 2..=room).rev().find(fits).unwrap_or(room);
    body(&prose(take))
}

/// A provider's whole answer, of about 1 KB.
pub(crate) fn answer() -> String {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": prose(600), "refusal": null}, "logprobs": null,
                     "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 230, "completion_tokens": 140, "total_tokens": 370,
                  "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                  "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0}},
        "system_fingerprint": "fp_1"})
    .to_string()
}

/// A provider's stream of so many events with content, and the usual ones around them.
pub(crate) fn events(count: usize) -> Vec<String> {
    let event = |delta: Value, finish: Value| {
        let data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]});
        format!("data: {data}\n\n")
    };
    let mut all = vec![event(json!({"role": "assistant", "content": ""}), Value::Null)];
    all.extend((0..count).map(|at| event(json!({"content": format!("word{at} ")}), Value::Null)));
    all.push(event(json!({}), json!("stop")));
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18", "choices": [],
        "usage": {"prompt_tokens": 230, "completion_tokens": count, "total_tokens": 230 + count}});
    all.push(format!("data: {usage}\n\n"));
    all.push("data: [DONE]\n\n".to_owned());
    all
}

/// Words and phrases of three to six syllables.
pub(crate) fn keywords(count: usize) -> Vec<String> {
    let mut random = Random(7);
    let mut words = BTreeSet::new();
    while words.len() < count {
        let mut word = String::new();
        for at in 0..3 + random.below(4) {
            let gap = if at == 3 && random.below(2) == 0 { " " } else { "" };
            let syllable = SYLLABLES.get(random.below(SYLLABLES.len())).copied().unwrap_or_default();
            let _ = write!(word, "{gap}{syllable}");
        }
        words.insert(word);
    }
    words.into_iter().collect()
}

/// The key of the consumer with this number.
pub(crate) fn key(number: usize) -> String {
    format!("sk-consumer-{number:06}-0123456789abcdef")
}
