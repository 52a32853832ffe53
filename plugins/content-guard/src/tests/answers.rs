//! What becomes of whole answers, without services.

use super::*;

#[test]
fn what_was_masked_comes_back() {
    let mut host = host();
    let mut filter = sent(&mut host, &one(masking()), &prompt("I am alice@example.com"));
    let next = answer(&mut host, &mut filter, JSON, &completion("Hello [EMAIL_1], not [EMAIL_2]!"));
    assert_eq!(next, Next::Pass);
    let want = completion("Hello alice@example.com, not [EMAIL_2]!");
    assert_eq!(text(host.response_body.as_ref()), Some(want.as_str()));
}

#[test]
fn what_was_masked_comes_back_where_no_check_looks_at_answers() {
    let mut host = host();
    let check = json!({"name": "pii", "on": ["request"], "detect": ["email"], "action": "mask"});
    let mut filter = sent(&mut host, &one(check.clone()), &prompt("I am alice@example.com"));
    answer(&mut host, &mut filter, JSON, &completion("[EMAIL_1]"));
    assert_eq!(text(host.response_body.as_ref()), Some(completion("alice@example.com").as_str()));
    let mut filter = sent(&mut host, &one(check), &prompt("I am nobody"));
    host.respond(JSON);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass, "nothing to put back: not held");
}

#[test]
fn a_providers_error_is_checked_and_restored() {
    let mut host = host();
    let error = |text: &str| json!({"error": {"message": text, "type": "invalid_request_error"}}).to_string();
    let bad = &[(":status", "400"), ("content-type", "application/json")];
    let checks = config(json!({"checks": [masking(), blocking()]}));
    let mut filter = sent(&mut host, &checks, &prompt("I am alice@example.com"));
    assert_eq!(answer(&mut host, &mut filter, bad, &error("who is [EMAIL_1]?")), Next::Pass);
    assert_eq!(text(host.response_body.as_ref()), Some(error("who is alice@example.com?").as_str()));
    let mut filter = sent(&mut host, &checks, &prompt("hello"));
    let next = answer(&mut host, &mut filter, bad, &error("internal codename"));
    assert_eq!(reply(&next), violation());
}

#[test]
fn what_the_model_makes_up_is_blocked_or_masked_for_good() {
    let mut host = host();
    let mut filter = sent(&mut host, &one(blocking()), &prompt("hello"));
    let next = answer(&mut host, &mut filter, JSON, &completion("the internal codename"));
    assert_eq!(reply(&next), violation());
    assert_eq!(record(&host), ["banned response keyword block 1"]);
    let mut filter = sent(&mut host, &one(masking()), &prompt("I am alice@example.com"));
    answer(&mut host, &mut filter, JSON, &completion("[EMAIL_1], write to eve@example.com"));
    let want = completion("alice@example.com, write to [EMAIL_2]");
    assert_eq!(text(host.response_body.as_ref()), Some(want.as_str()));
}

#[test]
fn a_refusal_in_the_place_of_an_answer_looks_like_one() {
    let mut host = host();
    let config = config(json!({"checks": [blocking()], "refusal": {"as": "completion", "message": "No."}}));
    let mut filter = sent(&mut host, &config, &prompt("hello"));
    let next = answer(&mut host, &mut filter, JSON, &completion("the internal codename"));
    assert_eq!(reply(&next), Some((200, "No.".to_owned())));
    assert_eq!(context::FINISH_REASON.get(&host).as_deref(), Some("content_filter"));
}

#[test]
fn only_answers_that_hold_text_are_held() {
    let vtt = "WEBVTT\n\n00:00 --> 00:01\ninternal codename\n";
    for (status, kind, encoding, operation, want) in [
        ("200", "application/json", "", "chat", Some(400)),
        ("200", "application/json", "", "embeddings", None),
        ("400", "application/json", "", "embeddings", Some(400)),
        ("200", "text/vtt", "", "other", Some(400)),
        ("200", "", "", "other", Some(400)),
        ("200", "audio/mpeg", "", "other", None),
        ("200", "image/png", "", "other", None),
        ("101", "", "", "other", None),
        ("200", "application/json", "gzip", "chat", Some(400)),
        ("200", "text/event-stream", "br", "chat", Some(400)),
    ] {
        let mut host = host();
        context::OPERATION.set(&mut host, operation);
        let mut filter = sent(&mut host, &one(blocking()), &prompt("hello"));
        let headers = [(":status", status), ("content-type", kind), ("content-encoding", encoding)];
        let body = if kind == "application/json" { completion("internal codename") } else { vtt.to_owned() };
        let next = answer(&mut host, &mut filter, &headers, &body);
        assert_eq!(reply(&next).map(|(status, _)| status), want, "{kind} {encoding} {operation}");
        if want.is_none() {
            assert_eq!(next, Next::Pass, "{kind} {encoding} {operation}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_the_operators_choice() {
    let unknown = r#"{"choices":[{"message":{"role":"assistant","content":[{"type":"hologram","x":1}]}}]}"#;
    for (body, end) in [("{", true), (unknown, true), ("[1", false)] {
        for (on_error, want) in [("deny", violation()), ("allow", None)] {
            let mut host = host();
            let raw = json!({"on_error": on_error, "checks": [blocking()]});
            let mut filter = sent(&mut host, &config(raw), &prompt("hello"));
            host.respond(JSON);
            assert_eq!(
                filter.on_response_headers(&mut host, false),
                Next::Whole { max_bytes: config::MAX_ANSWER_BYTES }
            );
            let next = filter.on_response_body(&mut host, body.as_bytes(), end);
            assert_eq!(reply(&next), want, "{body} {on_error}");
            assert_eq!(record(&host), [format!("content-guard response unreadable {on_error} 1")]);
            assert_eq!(host.response_body, None);
        }
    }
}

#[test]
fn the_gateways_own_errors_pass_unread() {
    let mut host = host();
    let mut filter = sent(&mut host, &one(blocking()), &prompt("hello"));
    let headers =
        [(":status", "502"), ("content-type", "application/json"), ("x-sluice-error", "upstream_error")];
    let next = answer(&mut host, &mut filter, &headers, "internal codename");
    assert_eq!((next, host.response_body), (Next::Pass, None));
}

#[test]
fn its_own_reply_is_none_of_its_business() {
    let mut host = host();
    let (mut filter, next) = ask(&mut host, &one(blocking()), &prompt("internal codename"));
    assert_eq!(reply(&next), violation());
    let next = answer(&mut host, &mut filter, JSON, &completion("internal codename"));
    assert_eq!(next, Next::Pass);
    assert_eq!(record(&host), ["banned request keyword block 1"]);
}

#[test]
fn an_answer_before_any_request_passes() {
    let mut host = host();
    let mut filter = ContentGuard::new(one(blocking()));
    assert_eq!(answer(&mut host, &mut filter, JSON, &completion("internal codename")), Next::Pass);
}

#[test]
fn an_answer_without_a_body_passes() {
    let mut host = host();
    let mut filter = sent(&mut host, &one(blocking()), &prompt("hello"));
    host.respond(&[(":status", "204")]);
    assert_eq!(filter.on_response_headers(&mut host, true), Next::Pass);
}

#[test]
fn an_answer_that_nothing_is_found_in_stays_as_it_is() {
    let mut host = host();
    let mut filter = sent(&mut host, &config(json!({"checks": [masking(), blocking()]})), &prompt("hello"));
    assert_eq!(answer(&mut host, &mut filter, JSON, &completion("hello")), Next::Pass);
    assert_eq!(context::GUARD.get(&host), None);
    assert_eq!(host.response_body, None);
}
