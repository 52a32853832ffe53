//! What becomes of requests, without services.

use super::*;

#[test]
fn what_a_check_forbids_does_not_leave() {
    for (body, forbidden) in [
        (prompt("tell me the INTERNAL\\u0020codename"), false),
        (prompt("tell me the INTERNAL  codename"), true),
        (r#"{"messages":[{"role":"user","content":"\u0069nternal codename"}]}"#.to_owned(), true),
        (r#"{"messages":[{"role":"user","content":[{"type":"text","text":"internal "},{"type":"text","text":"codename"}]}]}"#.to_owned(), true),
        (r#"{"input":"internal codename"}"#.to_owned(), true),
        (r#"{"messages":[],"tools":[{"function":{"description":"internal codename"}}]}"#.to_owned(), true),
        (r#"{"messages":[],"user":"internal codename"}"#.to_owned(), false),
        (prompt("hello"), false),
    ] {
        let mut host = host();
        let (_, next) = ask(&mut host, &one(blocking()), &body);
        assert_eq!(reply(&next), forbidden.then(violation).flatten(), "{body}");
        let want: &[&str] = if forbidden { &["banned request keyword block 1"] } else { &[] };
        assert_eq!(record(&host), want, "{body}");
        assert_eq!(host.request_body, None);
    }
}

#[test]
fn a_refusal_is_an_error_or_an_answer() {
    let mut host = host();
    let refusal = json!({"as": "completion", "message": "No."});
    let config = config(json!({"checks": [blocking()], "refusal": refusal}));
    let (_, next) = ask(&mut host, &config, &prompt("internal codename"));
    assert_eq!(reply(&next), Some((200, "No.".to_owned())));
    assert_eq!(context::FINISH_REASON.get(&host).as_deref(), Some("content_filter"));
    assert_eq!(context::METER.get(&host).as_deref(), Some("content-guard"), "it is no model's answer");
    assert_eq!(context::INPUT_TOKENS.number(&host), Some(0));
    context::STREAM.set(&mut host, "true");
    let (_, next) = ask(&mut host, &config, &prompt("internal codename"));
    let Next::Reply(reply) = next else { panic!("{next:?}") };
    assert_eq!(reply.headers[0], ("content-type", "text/event-stream; charset=utf-8".to_owned()));
    assert!(
        reply.body.contains("content_filter") && reply.body.ends_with("data: [DONE]\n\n"),
        "{}",
        reply.body
    );
}

#[test]
fn an_error_tells_the_operators_words_and_not_the_text() {
    let config = config(json!({"checks": [blocking()], "refusal": {"message": "Ask legal."}}));
    let (_, next) = ask(&mut host(), &config, &prompt("internal codename"));
    let Next::Reply(reply) = next else { panic!("{next:?}") };
    assert!(reply.body.contains("Ask legal.") && !reply.body.contains("codename"));
    assert!(reply.headers.contains(&("x-should-retry", "false".to_owned())));
}

#[test]
fn personal_data_leaves_as_placeholders() {
    let mut host = host();
    sent(
        &mut host,
        &one(masking()),
        &prompt("I am alice@example.com, not bob@example.com; alice@example.com!"),
    );
    let want = prompt("I am [EMAIL_1], not [EMAIL_2]; [EMAIL_1]!");
    assert_eq!(text(host.request_body.as_ref()), Some(want.as_str()));
    assert_eq!(record(&host), ["pii request email mask 3"]);
    assert_eq!(host.counters["content_guard_verdicts_total;check=pii;category=email;action=mask"], 3);
}

#[test]
fn keywords_are_masked_by_the_name_of_their_check() {
    let mut host = host();
    let check = json!({"name": "banned-words", "keywords": ["codename"], "action": "mask"});
    sent(&mut host, &one(check), &prompt("the codename"));
    assert_eq!(text(host.request_body.as_ref()), Some(prompt("the [BANNED_WORDS_1]").as_str()));
}

#[test]
fn what_is_only_recorded_leaves_as_it_is() {
    let mut host = host();
    sent(
        &mut host,
        &one(json!({"name": "pii", "detect": ["email"], "action": "log"})),
        &prompt("a.b@example.com"),
    );
    assert_eq!(host.request_body, None);
    assert_eq!(record(&host), ["pii request email log 1"]);
}

#[test]
fn a_block_is_stronger_than_a_mask() {
    let mut host = host();
    let (_, next) = ask(
        &mut host,
        &config(json!({"checks": [masking(), blocking()]})),
        &prompt("alice@example.com, internal codename"),
    );
    assert_eq!(reply(&next), violation());
    assert_eq!(record(&host), ["pii request email mask 1", "banned request keyword block 1"]);
}

#[test]
fn checks_that_do_not_apply_cost_nothing() {
    for (check, whole) in [
        (json!({"on": ["response"]}), false),
        (json!({"on": ["request"]}), true),
        (json!({"models": ["gpt-*"]}), true),
        (json!({"models": ["qwen-*"]}), false),
        (json!({"models": ["o1"]}), true), // the model without its rule's prefix
        (json!({"when": {"tier": "gold"}}), true),
        (json!({"when": {"tier": "free"}}), false),
        (json!({"when": {"consumer": "ann"}}), true),
        (json!({"when": {"consumer": "bob"}}), false),
        (json!({"when": {"headers": {"X-Team": "s*"}}}), true),
        (json!({"when": {"headers": {"x-team": "t*"}}}), false),
        (json!({"when": {"min_input_tokens": 100}}), false),
        (json!({"when": {"max_input_tokens": 100}}), true),
        (json!({"when": {"has": ["tools"]}}), true),
        (json!({"when": {"has": ["images"]}}), false),
    ] {
        let mut host = host();
        context::BASE_MODEL.set(&mut host, "o1");
        context::INPUT_ESTIMATE.set(&mut host, "50");
        context::HAS.set(&mut host, "tools");
        let mut raw = blocking();
        for (name, value) in check.as_object().unwrap() {
            raw[name] = value.clone();
        }
        let mut filter = ContentGuard::new(one(raw));
        let next = filter.on_request_headers(&mut host, false);
        let want = if whole { Next::Whole { max_bytes: config::MAX_BODY_BYTES } } else { Next::Pass };
        assert_eq!(next, want, "{check}");
    }
}

#[test]
fn a_request_without_a_body_passes() {
    let mut host = host();
    let mut filter = ContentGuard::new(one(blocking()));
    assert_eq!(filter.on_request_headers(&mut host, true), Next::Pass);
    let next = answer(&mut host, &mut filter, JSON, &completion("internal codename"));
    assert_eq!(reply(&next), violation(), "its answer is checked");
}

#[test]
fn what_cannot_be_read_is_the_operators_choice() {
    let image = r#"{"messages":[{"role":"user","content":[{"type":"hologram","x":1}]}]}"#;
    for (headers, body) in [
        (&[("content-encoding", "gzip")][..], ""),
        (&[("content-type", "application/x-tar")][..], ""),
        (&[("content-type", "multipart/form-data; boundary=b")][..], "--b\r\n"),
        (&[], "{"),
        (&[], image),
    ] {
        for (on_error, want) in [("deny", violation()), ("allow", None)] {
            let mut host = host();
            for (name, value) in headers {
                host.set_header(Side::Request, name, value);
            }
            let (_, next) =
                ask(&mut host, &config(json!({"on_error": on_error, "checks": [blocking()]})), body);
            assert_eq!(reply(&next), want, "{headers:?} {body} {on_error}");
            assert_eq!(record(&host), [format!("content-guard request unreadable {on_error} 1")]);
            assert_eq!(host.request_body, None);
        }
    }
}

#[test]
fn beside_a_part_that_cannot_be_read_the_rest_is_checked() {
    let body = r#"{"messages":[{"role":"user","content":[{"type":"hologram"},{"type":"text","text":"internal codename"}]}]}"#;
    let (_, next) = ask(&mut host(), &config(json!({"on_error": "allow", "checks": [blocking()]})), body);
    assert_eq!(reply(&next), violation());
}

#[test]
fn many_findings_cost_no_more_than_their_number() {
    let many = 30_000_usize;
    let part = json!({"type": "text", "text": "to a@b.co "});
    let parts = json!({"messages": [{"role": "user", "content": vec![part; many]}]});
    let messages = json!({"messages": vec![json!({"role": "user", "content": "to a@b.co"}); many]});
    for body in [parts, messages] {
        let mut host = host();
        sent(&mut host, &one(masking()), &body.to_string());
        let masked = text(host.request_body.as_ref()).unwrap().matches("to [EMAIL_1]").count();
        assert_eq!(masked, many);
    }
}

#[test]
fn a_form_is_checked_field_by_field() {
    let mut host = host();
    host.set_header(Side::Request, "content-type", "multipart/form-data; boundary=b");
    let form = |prompt: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\n{prompt}\r\n--b--\r\n")
    };
    sent(&mut host, &one(masking()), &form("draw alice@example.com"));
    assert_eq!(text(host.request_body.as_ref()), Some(form("draw [EMAIL_1]").as_str()));
    let (_, next) = ask(&mut host, &one(blocking()), &form("internal codename"));
    assert_eq!(reply(&next), violation());
}
