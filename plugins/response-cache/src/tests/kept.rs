//! Which answers are kept.

use serde_json::json;
use sluice_core::context;
use sluice_core::filter::Filter as _;

use super::bed::{Bed, document, question, stream, streamed};

#[test]
fn only_whole_good_answers_are_kept() {
    let whole = document("Hello");
    let words = stream(&["Hel", "lo"]);
    let cut = &words[..words.len() - "data: [DONE]\n\n".len()];
    let error = format!("{cut}data: {{\"error\":{{\"message\":\"no\"}}}}\n\n");
    let long = document(&"x".repeat(2 << 10));
    let length = whole.replace("\"stop\"", "\"length\"");
    let sse = ("content-type", "text/event-stream");
    for (what, headers, body, kept) in [
        ("a document", &[][..], &*whole, true),
        ("a stream", &[sse], &*words, true),
        ("other words for caching", &[("cache-control", "private, no-cache")], &*whole, true),
        ("no-store", &[("cache-control", "No-Store")], &*whole, false),
        ("no-store of a stream", &[sse, ("cache-control", "no-store")], &*words, false),
        ("another status", &[(":status", "201")], &*whole, false),
        ("an error", &[(":status", "500")], &*whole, false),
        ("no body", &[], "", false),
        ("encoded", &[("content-encoding", "gzip")], &*whole, false),
        ("another type", &[("content-type", "text/html")], &*whole, false),
        ("no JSON", &[], "<html>", false),
        ("half a document", &[], &whole[..40], false),
        ("a stream cut off", &[sse], cut, false),
        ("an error in the stream", &[sse], &*error, false),
        ("an error in a document", &[], r#"{"error":{"message":"no"}}"#, false),
        ("an unfinished answer", &[], &*length, false),
        ("too large", &[], &*long, false),
        ("too large, as announced", &[("content-length", "3000")], &*long, false),
    ] {
        let is_stream = headers.contains(&sse);
        let asked = if is_stream { streamed("hi") } else { question("hi") };
        for size in [1, 100, 1 << 20] {
            let mut bed = Bed::new(json!({"max_entry_bytes": 2048}));
            let mut client = bed.ask(&asked);
            bed.serve(&mut client, headers, body, size);
            assert_eq!(client.label().as_deref(), Some("miss"), "{what}");
            assert_eq!(client.got == body.as_bytes(), !is_stream, "{what}: usage is taken out of streams");
            assert!(!is_stream || !String::from_utf8_lossy(&client.got).contains("usage"), "{what}");
            let fit = client.fact(context::CACHE_BYTES);
            assert_eq!(fit, kept.then(|| body.len().to_string()), "{what}");
            bed.done(&mut client);
            assert_eq!(bed.ask(&asked).hit().is_some(), kept, "{what}");
            assert_eq!(bed.count("stored"), u64::from(kept), "{what}");
        }
    }
}

#[test]
fn what_the_client_did_not_wait_for_is_not_kept() {
    let words = stream(&["Hel", "lo"]);
    for until in 0..words.len() {
        let mut bed = Bed::default();
        let mut client = bed.ask(&streamed("hi"));
        bed.on(&mut client, |filter, host| {
            host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
            filter.on_response_headers(host, false);
            filter.on_response_body(host, &words.as_bytes()[..until], false);
            filter.on_done(host);
        });
        assert_eq!(bed.ask(&streamed("hi")).hit(), None, "{until}");
        assert_eq!(bed.count("stored"), 0);
    }
}

#[test]
fn only_the_answer_of_the_target_that_was_picked_is_kept() {
    // the bed's requests are for gpt-4o at the target `openai`
    for (target, base_model, provider, served, kept) in [
        ("openai", "", "openai", "gpt-4o", true),
        ("openai", "", "openai", "gpt-4o-mini", false), // another model of the same provider stood in
        ("openai", "", "bailian", "gpt-4o", false),
        ("openai", "4o", "openai", "4o", true), // as asked, less the rule's prefix
        ("pai/deepseek-r1", "", "pai", "deepseek-r1", true),
        ("pai/deepseek-r1", "", "pai", "other", false),
        ("pai/deepseek-r1", "", "bailian", "qwen-max", false),
        ("openai", "", "", "", true), // nobody says
        ("", "", "openai", "x", true),
    ] {
        let mut bed = Bed::default();
        let mut client = bed.ask(&question("hi"));
        for (fact, value) in [
            (context::TARGET, target),
            (context::BASE_MODEL, base_model),
            (context::PROVIDER, provider),
            (context::PROVIDER_MODEL, served),
        ] {
            client.set_fact(fact, value);
        }
        bed.answer(&mut client, "Hello");
        bed.done(&mut client);
        assert_eq!(bed.count("stored"), u64::from(kept), "{target} {provider}/{served}");
    }
}

#[test]
fn what_the_checks_withhold_is_not_kept() {
    let finding = |on: &str, action: &str| {
        json!([{"check": "pii", "on": "request", "category": "email", "action": "mask", "count": 1},
               {"check": "banned", "on": on, "category": "keyword", "action": action, "count": 1}])
        .to_string()
    };
    for (fact, value, kept) in [
        (context::GUARD, finding("response", "block"), false),
        (context::GUARD, finding("response", "mask"), true),
        (context::GUARD, finding("request", "block"), true),
        (context::GUARD, "[]".to_owned(), true),
        (context::ERROR, "content_policy_violation".to_owned(), false),
        (context::ERROR, "guard_unavailable".to_owned(), false),
    ] {
        let mut bed = Bed::default();
        let mut client = bed.ask(&question("hi"));
        bed.answer(&mut client, "Hello");
        client.set_fact(fact, &value);
        bed.done(&mut client);
        assert_eq!(bed.ask(&question("hi")).hit().is_some(), kept, "{value}");
    }
}

#[test]
fn of_an_answer_that_is_too_large_nothing_is_held() {
    let mut bed = Bed::new(json!({"max_entry_bytes": 1024}));
    let mut client = bed.ask(&question("hi"));
    let watched = bed.on(&mut client, |filter, host| {
        host.respond(&[(":status", "200"), ("content-type", "application/json")]);
        filter.on_response_headers(host, false);
        (0..3).map(|_| filter.on_response_body(host, &[b' '; 500], false)).collect::<Vec<_>>()
    });
    use sluice_core::filter::Next::{Pass, Watch};
    assert_eq!(watched, [Watch, Watch, Pass], "the rest is not even shown");
}
