//! What becomes of streams, and when their parts leave.

use super::*;

const SSE: &[(&str, &str)] =
    &[(":status", "200"), ("content-type", "text/event-stream"), ("content-length", "9")];

fn event(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    format!(
        "data: {}\n\n",
        json!({"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})
    )
}

fn said(text: &str) -> String {
    event(&json!({"content": text}), None)
}

fn stop() -> String {
    format!("{}data: [DONE]\n\n", event(&json!({}), Some("stop")))
}

/// A client, and a stream that has begun.
struct Client {
    host: FakeHost,
    filter: ContentGuard,
    got: Vec<u8>,
    next: Next,
}

impl Client {
    fn new(raw: Value, asked: &str) -> Self {
        let mut host = host();
        context::STREAM.set(&mut host, "true");
        let mut filter = sent(&mut host, &config(raw), &prompt(asked));
        host.respond(SSE);
        let next = filter.on_response_headers(&mut host, false);
        assert_eq!(next, Next::Hold);
        assert_eq!(host.response_header("content-length"), None);
        Self { host, filter, got: Vec::new(), next }
    }

    /// What is held or passing leaves if the filter lets it.
    fn settle(&mut self, next: Next) {
        if matches!(next, Next::Pass | Next::Watch) {
            self.got.extend(self.host.response_body.take().unwrap_or_default());
        }
        self.next = next;
    }

    fn part(&mut self, part: &str, end: bool) -> &mut Self {
        self.host.response_body = None;
        let next = self.filter.on_response_body(&mut self.host, part.as_bytes(), end);
        let replaced = self.host.response_body.is_some() || part.is_empty() || matches!(next, Next::Reply(_));
        assert!(replaced, "what is not checked never leaves by itself");
        self.settle(next);
        self
    }

    fn wake(&mut self, ms: u64) -> &mut Self {
        self.host.advance_ms(ms);
        let held = self.next == Next::Hold;
        let next = self.filter.on_wake(&mut self.host);
        assert!(held || next.is_none(), "nothing is held that could leave");
        next.into_iter().for_each(|next| self.settle(next));
        self
    }

    fn hear(&mut self, callout: u32, said: &Value) -> &mut Self {
        let held = self.next == Next::Hold;
        let next = say(&mut self.host, &mut self.filter, callout, 200, said);
        assert!(held || next.is_none(), "nothing is held that could leave");
        next.into_iter().for_each(|next| self.settle(next));
        self
    }

    /// All deltas that the client has got.
    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.got);
        let events = text
            .split("\n\n")
            .filter_map(|event| serde_json::from_str::<Value>(event.strip_prefix("data: ")?).ok());
        events
            .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect()
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }
}

fn checks(checks: Value) -> Value {
    json!({"checks": checks})
}

fn shim() -> Value {
    let service = json!({"cluster": "shim", "authority": "shim", "path": "/", "protocol": "generic"});
    json!({"name": "shim", "on": ["response"], "service": service})
}

#[test]
fn text_leaves_byte_for_byte_where_nothing_is_found() {
    let mut client = Client::new(checks(json!([blocking(), masking()])), "hi");
    let parts =
        [event(&json!({"role": "assistant"}), None), said("Hello "), said("wor"), said("ld."), stop()];
    for (index, part) in parts.iter().enumerate() {
        client.host.advance_ms(50);
        client.part(part, index + 1 == parts.len());
    }
    assert_eq!((client.next.clone(), client.raw()), (Next::Pass, parts.concat()));
    assert_eq!(context::GUARD.get(&client.host), None);
}

#[test]
fn a_phrase_is_found_wherever_it_is_split() {
    let whole = format!("{}{}{}", said("the inter"), said("nal codename is X"), stop());
    for at in 0..whole.len() {
        let mut client = Client::new(checks(json!([blocking()])), "hi");
        let (first, second) = whole.split_at(at);
        client.part(first, false);
        if !matches!(client.next, Next::Reply(_)) {
            client.part(second, true);
        }
        assert!(!client.raw().contains("codename"), "{at}");
        assert_eq!(record(&client.host), ["banned response keyword block 1"], "{at}");
        if client.got.is_empty() {
            assert_eq!(reply(&client.next), violation(), "{at}");
        }
    }
}

#[test]
fn a_block_before_anything_has_left_is_a_clean_reply() {
    for (form, want) in [("error", 400), ("completion", 200)] {
        let refusal = json!({"as": form, "message": "No."});
        let mut client = Client::new(json!({"checks": [blocking()], "refusal": refusal}), "hi");
        client.part(&said("internal codename it is"), false);
        let Next::Reply(reply) = &client.next else { panic!("{:?}", client.next) };
        assert_eq!((reply.status, client.got.len()), (want, 0));
        assert_eq!(form == "completion", reply.body.contains("content_filter"), "{}", reply.body);
    }
}

#[test]
fn a_block_in_mid_stream_ends_it_in_good_order() {
    for (form, ending, error) in [
        ("error", "content_policy_violation", Some("content_policy_violation")),
        ("completion", "content_filter", None),
    ] {
        let refusal = json!({"as": form, "message": "No."});
        let mut client = Client::new(json!({"checks": [blocking()], "refusal": refusal}), "hi");
        client.part(&said("Hello. "), false).wake(900).part(&said("the internal codename it is"), false);
        assert_eq!(client.next, Next::Watch, "the rest is swallowed");
        assert!(client.raw().contains(ending), "{}", client.raw());
        assert_eq!(client.raw().ends_with("data: [DONE]\n\n"), form == "completion");
        assert_eq!(client.text(), "Hello. ");
        let until = client.got.len();
        context::FINISH_REASON.set(&mut client.host, "stop"); // the meter's word
        client.part(&said("more"), false).part(&stop(), true);
        assert_eq!((client.got.len(), client.next.clone()), (until, Next::Pass));
        assert_eq!(context::FINISH_REASON.get(&client.host).as_deref(), Some("content_filter"));
        assert_eq!(context::ERROR.get(&client.host).as_deref(), error);
        assert_eq!(record(&client.host), ["banned response keyword block 1"]);
    }
}

#[test]
fn what_only_a_blocked_word_kept_from_being_an_address_does_not_leave_before_it() {
    let banned = json!({"name": "banned", "keywords": ["zqx"]});
    let mut client = Client::new(checks(json!([banned, masking()])), "hi");
    client.part(&said("Hello. "), false).wake(900);
    client.part(&said("ann@example.org"), false).part(&said("zqx8, "), false);
    assert_eq!(client.text(), "Hello. ");
}

#[test]
fn what_was_masked_comes_back_wherever_it_is_split() {
    let whole = format!("{}{}{}{}", said("Hi [EMA"), said("IL_1"), said("], bye"), stop());
    for at in 0..whole.len() {
        let mut client = Client::new(checks(json!([masking()])), "I am alice@example.com");
        let (first, second) = whole.split_at(at);
        client.part(first, false).part(second, true);
        assert_eq!(client.text(), "Hi alice@example.com, bye", "{at}");
    }
}

#[test]
fn an_answer_is_restored_where_no_check_looks_at_it() {
    let mut pii = masking();
    pii["on"] = json!(["request"]);
    let mut client = Client::new(checks(json!([pii])), "I am alice@example.com");
    client.part(&said("Hi [EMAIL_1]!"), false);
    assert_eq!((client.text().as_str(), client.next.clone()), ("Hi alice@example.com!", Next::Watch));
}

#[test]
fn what_could_still_be_forbidden_leaves_in_time() {
    let mut client = Client::new(checks(json!([blocking()])), "hi");
    client.part(&said("the internal"), false);
    assert_eq!((client.next.clone(), client.host.wake_after), (Next::Hold, Some(900)));
    client.wake(900);
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Watch, "the internal"));
    client.part(&said(" codename is"), false);
    assert_eq!(record(&client.host), ["banned response keyword block 1"], "it stays in sight");
    assert!(!client.raw().contains(" codename"));
}

#[test]
fn while_parts_come_what_may_leave_leaves_with_them() {
    let mut client = Client::new(checks(json!([masking()])), "hi");
    client.part(&said("One"), false);
    for word in [" two", " three", " four"] {
        assert_eq!((client.next.clone(), client.text().as_str()), (Next::Hold, ""));
        client.host.advance_ms(40);
        client.part(&said(word), false);
    }
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Watch, "One two three"));
    client.host.advance_ms(40);
    client.part(&said(" five"), false).part(&stop(), true);
    assert_eq!(client.text(), "One two three four five");
}

#[test]
fn when_parts_cease_all_leaves_in_time() {
    let mut client = Client::new(checks(json!([masking()])), "hi");
    client.part(&said("One"), false);
    client.host.advance_ms(60);
    client.part(&said("Two"), false);
    assert_eq!((client.next.clone(), client.host.wake_after), (Next::Hold, Some(840)));
    client.wake(840);
    assert_eq!(
        (client.next.clone(), client.text().as_str()),
        (Next::Hold, ""),
        "both, or the second could not follow"
    );
    assert_eq!(client.host.wake_after, Some(60));
    client.wake(60);
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Watch, "OneTwo"));
}

#[test]
fn a_stream_of_single_bytes_is_the_same_stream() {
    let whole = format!("{}{}{}", said("Mail eve@exam"), said("ple.com or [EMAIL_1] now"), stop());
    let mut client = Client::new(checks(json!([masking()])), "I am alice@example.com");
    for (at, byte) in whole.char_indices() {
        client.part(&byte.to_string(), at + 1 == whole.len());
    }
    assert_eq!(client.text(), "Mail [EMAIL_2] or alice@example.com now");
    assert!(client.raw().ends_with(&stop()));
    assert_eq!(client.next, Next::Pass);
}

#[test]
fn an_end_by_trailers_is_an_end() {
    let mut client = Client::new(checks(json!([masking()])), "hi");
    client.part(&said("write to eve@example.com"), false);
    assert_eq!(client.next, Next::Hold);
    client.part("", true);
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Pass, "write to [EMAIL_1]"));
}

#[test]
fn a_stream_without_a_body_passes() {
    let mut client = Client::new(checks(json!([masking()])), "hi");
    client.part("", true);
    assert_eq!((client.next.clone(), client.got.len()), (Next::Pass, 0));
}

#[test]
fn nothing_leaves_before_its_verdict() {
    let mut client = Client::new(json!({"checks": [shim()], "window_chars": 50}), "hi");
    let first = "a".repeat(30);
    client.part(&said(&first), false);
    assert_eq!((client.next.clone(), client.host.callouts.len()), (Next::Hold, 0));
    client.part(&said("b cccccccccccc"), false);
    assert_eq!(client.host.callouts.len(), 1, "a window is full");
    client.wake(5000);
    assert_eq!(client.text(), "", "however long it takes");
    let asked: Value = serde_json::from_slice(&client.host.callouts[0].body).unwrap();
    assert_eq!(
        (&asked["direction"], &asked["text"]),
        (&json!("response"), &json!(format!("{first}b cccccccccccc")))
    );
    client.hear(1, &json!({"verdict": "allow"}));
    assert_eq!(client.text(), format!("{first}b cccccccccccc"));
    client.part(&stop(), true);
    assert_eq!(client.next, Next::Pass);
}

#[test]
fn a_service_is_asked_in_time() {
    let mut client = Client::new(checks(json!([shim()])), "hi");
    client.part(&said("hello"), false);
    assert_eq!((client.host.callouts.len(), client.host.wake_after), (0, Some(900)));
    client.wake(900);
    assert_eq!(client.host.callouts.len(), 1);
    client.hear(1, &json!({"verdict": "allow"}));
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Watch, "hello"));
}

#[test]
fn the_end_waits_for_the_last_verdict() {
    for (said_of_it, want) in [("allow", "hello"), ("block", ""), ("mask", "[SHIM]")] {
        let mut client = Client::new(checks(json!([shim()])), "hi");
        client.part(&(said("hello") + &stop()), true);
        assert_eq!((client.next.clone(), client.host.callouts.len()), (Next::Hold, 1));
        client.hear(1, &json!({"verdict": said_of_it, "category": "x"}));
        assert_eq!(client.text(), want, "{said_of_it}");
        assert_eq!(reply(&client.next), if said_of_it == "block" { violation() } else { None });
    }
}

#[test]
fn a_service_blocks_in_mid_stream() {
    let mut client = Client::new(checks(json!([shim()])), "hi");
    client.part(&said("Hello. "), false).wake(900).hear(1, &json!({"verdict": "allow"}));
    assert_eq!(client.text(), "Hello. ");
    client.part(&said("Bad."), false).wake(900).hear(2, &json!({"verdict": "block", "category": "x"}));
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Watch, "Hello. "));
    assert!(client.raw().contains("content_policy_violation"), "{}", client.raw());
    assert_eq!(record(&client.host), ["shim response x block 1"]);
}

#[test]
fn a_service_may_rewrite_a_window() {
    let mut client = Client::new(checks(json!([shim()])), "hi");
    client.part(&said("Bad \"word\"."), false).wake(900);
    client.hear(1, &json!({"verdict": "mask", "replacement": "A \"better\" one."}));
    assert_eq!(client.text(), "A \"better\" one.");
    assert_eq!(record(&client.host), ["shim response flagged mask 1"]);
}

#[test]
fn several_services_must_agree() {
    let other = {
        let mut other = shim();
        other["name"] = json!("other");
        other
    };
    let mut client = Client::new(checks(json!([shim(), other])), "hi");
    client.part(&(said("hello") + &stop()), true);
    assert_eq!(client.host.callouts.len(), 2);
    client.hear(2, &json!({"verdict": "mask", "replacement": "x"}));
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Hold, ""));
    client.hear(1, &json!({"verdict": "mask", "replacement": "y"}));
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Pass, "[SHIM]"), "neither's words hold");
}

#[test]
fn more_services_than_are_asked_at_once_are_all_asked() {
    let services: Vec<Value> = (0..20)
        .map(|number| {
            let mut service = shim();
            service["name"] = json!(format!("shim-{number}"));
            service
        })
        .collect();
    let mut client = Client::new(checks(json!(services)), "hi");
    client.part(&(said("hello") + &stop()), true);
    assert_eq!(client.host.callouts.len(), 16);
    for callout in 1..=20 {
        client.hear(callout, &json!({"verdict": "allow"}));
    }
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Pass, "hello"));
}

#[test]
fn one_of_two_services_may_be_down() {
    let mut other = shim();
    other["name"] = json!("other");
    let mut client = Client::new(json!({"on_error": "allow", "checks": [shim(), other]}), "hi");
    client.part(&said("hello"), false).wake(900);
    assert_eq!(fail(&mut client.host, &mut client.filter, 1), Some(Next::Hold));
    client.hear(2, &json!({"verdict": "allow"}));
    assert_eq!((client.next.clone(), client.text().as_str()), (Next::Watch, "hello"));
    assert_eq!(record(&client.host), ["shim response unavailable allow 1"]);
}

#[test]
fn a_service_that_fails_is_the_operators_choice() {
    for begun in [false, true] {
        for (on_error, dead) in [("deny", true), ("deny", false), ("allow", true), ("allow", false)] {
            let mut client = Client::new(json!({"on_error": on_error, "checks": [shim()]}), "hi");
            if begun {
                client.part(&said("Hello. "), false).wake(900).hear(1, &json!({"verdict": "allow"}));
            }
            client.host.refuse_callouts = dead;
            client.part(&said("World."), false).wake(900);
            if !dead {
                let next = fail(&mut client.host, &mut client.filter, if begun { 2 } else { 1 });
                client.settle(next.unwrap());
            }
            let shows = client.text().ends_with("World.");
            assert_eq!(shows, on_error == "allow", "{on_error} {dead} {begun}");
            match (on_error, begun) {
                ("allow", _) => assert_eq!(client.next, Next::Watch),
                (_, false) => assert_eq!(reply(&client.next), unavailable()),
                (_, true) => {
                    assert!(client.raw().contains("guard_unavailable"), "{}", client.raw());
                    assert_eq!(context::ERROR.get(&client.host).as_deref(), Some("guard_unavailable"));
                }
            }
            assert_eq!(record(&client.host), [format!("shim response unavailable {on_error} 1")]);
        }
    }
}

#[test]
fn a_verdict_that_comes_after_a_release_leaves_with_the_next_part() {
    let mut client = Client::new(json!({"checks": [shim()], "window_chars": 50}), "hi");
    let window = |letter: &str| said(&format!("{} ", letter.repeat(60)));
    client.part(&window("a"), false).part(&window("b"), false);
    assert_eq!(client.host.callouts.len(), 2);
    client.hear(1, &json!({"verdict": "allow"}));
    assert_eq!(client.next, Next::Hold, "a little longer, for the second");
    client.host.advance_ms(1000);
    client.part(&said("c"), false);
    assert_eq!((client.next.clone(), client.text().len()), (Next::Watch, 61));
    client.hear(2, &json!({"verdict": "allow"}));
    assert_eq!(client.text().len(), 61, "Envoy holds nothing that it could leave with");
    client.part(&stop(), true);
    assert_eq!(client.next, Next::Hold);
    client.hear(3, &json!({"verdict": "allow"}));
    assert_eq!(client.text().len(), 123);
    assert!(client.raw().ends_with(&stop()));
}

#[test]
fn a_block_that_comes_after_a_release_ends_the_next_part() {
    let mut client = Client::new(json!({"checks": [shim()], "window_chars": 50}), "hi");
    let window = |letter: &str| said(&format!("{} ", letter.repeat(60)));
    client.part(&window("a"), false).part(&window("b"), false).hear(1, &json!({"verdict": "allow"}));
    client.host.advance_ms(1000);
    client.part(&window("c"), false).hear(2, &json!({"verdict": "block"})).part(&window("d"), false);
    assert_eq!((client.next.clone(), client.text().len()), (Next::Watch, 61));
    assert!(client.raw().contains("content_policy_violation"), "{}", client.raw());
    client.part(&stop(), true);
    assert_eq!(client.next, Next::Pass);
}

#[test]
fn what_cannot_be_read_is_the_operators_choice() {
    for (on_error, want) in [("deny", violation()), ("allow", None)] {
        let mut client = Client::new(json!({"on_error": on_error, "checks": [blocking()]}), "hi");
        let message = json!({"content": [{"type": "hologram", "x": 1}]});
        client.part(&format!("data: {}\n\n", json!({"choices": [{"message": message}]})), false);
        assert_eq!(reply(&client.next), want, "{on_error}");
        if on_error == "deny" {
            assert_eq!(record(&client.host), ["content-guard response unreadable deny 1"]);
        } else {
            client.part(&stop(), true);
            assert!(client.raw().ends_with(&stop()));
            assert_eq!(record(&client.host), ["content-guard response unreadable allow 1"]);
        }
    }
}

#[test]
fn what_can_be_read_beside_what_cannot_is_checked() {
    let mut client = Client::new(json!({"on_error": "allow", "checks": [blocking()]}), "hi");
    let message = json!({"content": [{"type": "hologram", "text": "the internal codename"}]});
    client.part(&format!("data: {}\n\n", json!({"choices": [{"message": message}]})), false);
    assert_eq!(reply(&client.next), violation());
}

#[test]
fn a_client_that_has_left_hears_no_verdict() {
    let mut client = Client::new(checks(json!([shim()])), "hi");
    client.part(&said("hello"), false).wake(900);
    client.filter.on_done(&mut client.host);
}
