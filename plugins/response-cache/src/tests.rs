//! The filter against [`sluice_core::testing::FakeHost`].

mod bed;

use serde_json::json;
use sluice_core::context;
use sluice_core::filter::Next;

use self::bed::{Bed, document, question, stream, streamed};

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
    let second = bed.ask(&question("hi"));
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
    bed.host.advance_ms(3_600_000);
    assert_eq!(bed.ask(&question("hi")).hit(), None, "too old");
}

#[test]
fn each_form_serves_the_other_with_and_without_usage() {
    let _ = (stream(&["a"]), streamed("b"), json!({}));
}
