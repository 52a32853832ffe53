//! The filter against [`sluice_core::testing::FakeHost`].

mod bed;
mod bypass;
mod flights;
mod kept;
mod operator;
mod redis;

use serde_json::json;
use sluice_core::context;
use sluice_core::filter::{Filter as _, Next};

use self::bed::{Bed, document, question, stream, streamed};
use crate::ResponseCache;

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(ResponseCache::METRICS);
}

#[test]
fn an_answer_is_given_again() {
    let mut bed = Bed::default();
    let mut first = bed.ask(&question("hi"));
    assert_eq!((&first.next, first.fact(context::CACHE).as_deref()), (&Next::Pass, Some("miss")));
    assert_eq!(first.fact(context::RECORDER).as_deref(), Some("response-cache"));
    bed.answer(&mut first, "Hello");
    assert_eq!(first.label().as_deref(), Some("miss"));
    assert_eq!(first.got, document("Hello").as_bytes());
    bed.done(&mut first);
    bed.host.advance_ms(61_500);
    let mut second = bed.ask(&question("hi"));
    assert_eq!(second.hit(), Some(document("Hello").as_str()));
    assert_eq!((second.label().as_deref(), second.header("age").as_deref()), (Some("hit"), Some("61")));
    assert_eq!(second.header("content-type").as_deref(), Some("application/json"));
    for (fact, want) in [
        (context::CACHE, "hit"),
        (context::METER, "response-cache"),
        (context::INPUT_TOKENS, "0"),
        (context::OUTPUT_TOKENS, "0"),
        (context::USAGE_SOURCE, "cache"),
        (context::FINISH_REASON, "stop"),
        (context::RESPONSE_MODEL, "gpt-4o-2024-08-06"),
    ] {
        assert_eq!(second.fact(fact).as_deref(), Some(want), "{fact:?}");
    }
    assert_eq!((second.fact(context::STREAM_END), second.fact(context::RECORDER)), (None, None));
    let counts = ["hits", "misses", "stored", "coalesced", "saved_input_tokens", "saved_output_tokens"];
    assert_eq!(counts.map(|name| bed.count(name)), [1, 1, 1, 0, 11, 5]);
    bed.replayed(&mut second);
    bed.host.advance_ms(3_600_000);
    assert_eq!(bed.ask(&question("hi")).hit(), None, "too old");
}

#[test]
fn each_form_serves_the_other_with_and_without_usage() {
    let stream_with_usage = |text: &str| {
        let mut question = streamed(text);
        question["stream_options"] = json!({"include_usage": true});
        question
    };
    let words = stream(&["Hel", "lo"]);
    for recorded_as_stream in [true, false] {
        let mut bed = Bed::default();
        let mut first = bed.ask(&if recorded_as_stream { streamed("hi") } else { question("hi") });
        match recorded_as_stream {
            true => bed.stream(&mut first, &words, 4096),
            false => bed.answer(&mut first, "Hello"),
        }
        bed.done(&mut first);
        let asked = bed.ask(&stream_with_usage("hi"));
        let hit = asked.hit().unwrap();
        assert!(hit.contains("\"usage\"") && hit.ends_with("data: [DONE]\n\n"), "{hit}");
        assert_eq!(hit == words, recorded_as_stream, "as it was recorded");
        let unasked = bed.ask(&streamed("hi"));
        let hit = unasked.hit().unwrap();
        assert!(!hit.contains("usage") && hit.ends_with("data: [DONE]\n\n"), "{hit}");
        assert!(unasked.header("content-type").unwrap().starts_with("text/event-stream"));
        if recorded_as_stream {
            assert_eq!(hit.as_bytes(), first.got, "what the first client got");
        }
        let asked = bed.ask(&question("hi"));
        let document: serde_json::Value = serde_json::from_str(asked.hit().unwrap()).unwrap();
        assert_eq!(document["choices"][0]["message"]["content"], "Hello");
        assert_eq!(document["usage"]["total_tokens"], 16);
        assert_eq!(asked.header("content-type").as_deref(), Some("application/json"));
    }
}

#[test]
fn chunks_of_any_size_make_no_difference() {
    let (words, whole) = (stream(&["Hel", "lo é"]), document("Hello é"));
    let mut without_usage = None;
    for size in (1..40).chain([words.len() - 1, words.len()]) {
        let mut bed = Bed::default();
        let mut client = bed.ask(&streamed("hi"));
        bed.stream(&mut client, &words, size);
        bed.done(&mut client);
        let got = String::from_utf8(client.got).unwrap();
        assert!(!got.contains("usage") && got.ends_with("data: [DONE]\n\n"), "{size}: {got}");
        assert_eq!(without_usage.get_or_insert_with(|| got.clone()), &got, "{size}");
        assert_eq!(bed.ask(&streamed("hi")).hit(), Some(got.as_str()), "{size}");
        let mut client = bed.ask(&question("ho"));
        bed.serve(&mut client, &[], &whole, size);
        bed.done(&mut client);
        assert_eq!(
            (client.got.as_slice(), bed.ask(&question("ho")).hit()),
            (whole.as_bytes(), Some(&*whole))
        );
    }
}

#[test]
fn a_body_that_trailers_end_is_complete() {
    let (words, whole) = (stream(&["Hel", "lo"]), document("Hello"));
    for (body, kind) in [(&words, "text/event-stream"), (&whole, "application/json")] {
        let mut bed = Bed::default();
        let mut client = bed.ask(&streamed("hi"));
        bed.on(&mut client, |filter, host| {
            host.respond(&[(":status", "200"), ("content-type", kind), ("content-length", "9")]);
            use sluice_core::filter::Filter as _;
            assert_eq!(filter.on_response_headers(host, false), Next::Watch);
        });
        let is_stream = kind == "text/event-stream";
        assert_eq!(client.header("content-length").is_none(), is_stream, "what the client gets is shorter");
        bed.part(&mut client, body.as_bytes(), false, true);
        bed.part(&mut client, b"", true, true);
        bed.done(&mut client);
        assert!(bed.ask(&streamed("hi")).hit().is_some());
    }
}

#[test]
fn usage_that_was_asked_for_reaches_the_client() {
    let mut bed = Bed::default();
    let mut question = streamed("hi");
    question["stream_options"] = json!({"include_usage": true});
    let mut client = bed.ask(&question);
    let words = stream(&["Hello"]);
    bed.stream(&mut client, &words, 7);
    assert_eq!(client.got, words.as_bytes());
}
