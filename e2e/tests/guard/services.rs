//! Checks that ask a moderation service.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_e2e::client::Reply;
use sluice_e2e::moderation::texts;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Seen;
use sluice_e2e::wait;

use crate::bed::{Guarded, SERVICE_KEY, TIMEOUT_MS, allow, beds, chat, chat_told, deny};
use crate::speech::{self, Speech};

/// What one call may take longer than its deadline on a machine that builds.
const SLACK: Duration = Duration::from_secs(1);

fn answer(bed: &Guarded, model: &str, stream: bool, text: &str) -> Reply {
    let pieces: Vec<&str> = text.split_inclusive(' ').collect();
    let body = if stream { Speech::Chat.stream(&pieces) } else { Speech::Chat.whole(text) };
    bed.gateway.chat(&chat_told(model, "hi", stream, json!({"body": body})))
}

/// Calls that show the service this text.
fn calls(bed: &Guarded, text: &str) -> Vec<Seen> {
    bed.services.good.tagged(text)
}

#[test]
fn a_service_of_either_protocol_blocks_both_ways() {
    let bed = deny();
    for (group, protocol) in [("mod", "openai"), ("own", "generic")] {
        let model = format!("gpt-{group}-request");
        let reply = bed.gateway.chat(&chat(&model, &format!("please no violence, {protocol}")));
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "content_policy_violation"),
            "{}",
            reply.text()
        );
        assert_eq!(bed.asked(&model).len(), 0);
        assert_eq!(bed.verdicts(&model), [format!("{group} request violence high block 1")]);
        for stream in [false, true] {
            let model = format!("gpt-{group}-answer-{stream}");
            let reply = answer(&bed, &model, stream, "Here is some violence for you");
            assert_eq!(reply.status, 400, "{}", reply.text());
            assert_eq!(bed.verdicts(&model), [format!("{group} response violence high block 1")]);
            let model = format!("gpt-{group}-fine-{stream}");
            let reply = answer(&bed, &model, stream, "Here is some peace for you");
            assert_eq!(Speech::Chat.said(&reply), "Here is some peace for you", "{}", reply.text());
            assert_eq!(bed.record(&model)["guard"], Value::Null);
        }
    }
}

#[test]
fn a_service_is_asked_as_its_protocol_says() {
    let bed = deny();
    let parts =
        json!([{"role": "system", "content": "the zebra one"}, {"role": "user", "content": "the zebra two"}]);
    assert_eq!(bed.gateway.chat(&json!({"model": "gpt-mod-asked", "messages": parts})).status, 200);
    let calls = calls(&bed, "the zebra");
    assert_eq!(calls.len(), 1, "all texts in one call");
    let call = &calls[0];
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/v1/moderations"));
    assert_eq!(call.key(), Some(SERVICE_KEY));
    assert_eq!(
        (call.header("x-team"), call.header("content-type")),
        (Some("search"), Some("application/json"))
    );
    assert_eq!(call.header("host"), Some(bed.services.good.address().to_string().as_str()));
    assert_eq!(
        call.json(),
        json!({"model": "omni-moderation-latest", "input": ["the zebra one", "the zebra two"]})
    );

    let body = json!({"model": "gpt-own-asked", "messages": [{"role": "system", "content": "the yak one"}, {"role": "user", "content": "the yak two"}]});
    assert_eq!(bed.post("/chat/completions", &[("authorization", "Bearer sk-ann")], &body).status, 200);
    let calls = self::calls(&bed, "the yak");
    let mut texts: Vec<String> = calls.iter().flat_map(|call| texts(&call.json())).collect();
    texts.sort();
    assert_eq!(texts, ["the yak one", "the yak two"], "one text a call");
    let call = calls.iter().find(|call| call.json()["text"] == "the yak one").expect("a call");
    let want = json!({"version": 1, "direction": "request", "consumer": "ann", "model": "gpt-own-asked", "text": "the yak one"});
    assert_eq!((call.json(), call.header("authorization"), call.path.as_str()), (want, None, "/check"));
}

#[test]
fn the_services_key_reaches_nobody_else() {
    let bed = deny();
    assert_eq!(bed.gateway.chat(&chat("gpt-mod-key", "hello")).status, 200);
    assert_eq!(bed.gateway.chat(&chat("gpt-mod-key-blocked", "violence")).status, 400);
    assert!(!bed.gateway.everything_readable().contains(SERVICE_KEY));
    for provider in &bed.providers {
        let seen = provider.requests();
        assert!(seen.iter().all(|seen| seen.headers.iter().all(|(_, value)| !value.contains(SERVICE_KEY))));
    }
    let others = bed.services.good.requests().into_iter().filter(|call| call.path == "/check");
    assert!(others.into_iter().all(|call| call.key().is_none()));
    // nor do keys of providers or callers reach a service
    let headers: String =
        bed.services.good.requests().iter().map(|call| format!("{:?}", call.headers)).collect();
    assert!(!headers.contains("sk-secret") && !headers.contains("sk-ann"), "{headers}");
}

#[test]
fn what_is_not_grave_enough_passes() {
    let bed = deny();
    for (text, status) in [("a nuisance", 200), ("an insult", 400), ("violence", 400)] {
        let model = format!("gpt-medium-{}", text.len());
        let reply = bed.gateway.chat(&chat(&model, text));
        assert_eq!(reply.status, status, "{text}: {}", reply.text());
        assert_eq!(bed.record(&model)["guard"].is_null(), status == 200);
    }
    let model = "gpt-mod-low";
    assert_eq!(
        bed.gateway.chat(&chat(model, "a nuisance")).status,
        400,
        "all that is flagged, without min_risk"
    );
    assert_eq!(bed.verdicts(model), ["mod request spam low block 1"]);
}

#[test]
fn a_verdict_does_no_more_than_its_check_may() {
    let bed = deny();
    // models are named by number: the scripted provider repeats the name with a sign that makes it text
    for (n, (group, text, verdict)) in [
        ("watch", "violence", "watch request violence high log 1"),
        ("heard", "violence", "heard request violence high log 1"),
        ("heard", "realname", "heard request name high log 1"),
        ("own", "gossip", "own request rumour low log 1"),
        ("rewrite", "gossip", "rewrite request rumour low log 1"),
    ]
    .into_iter()
    .enumerate()
    {
        let model = format!("gpt-{group}-log-{n}");
        let body = chat(&model, text);
        assert_eq!(bed.gateway.chat(&body).status, 200);
        assert_eq!(bed.sent(&model), body.to_string(), "untouched");
        assert_eq!(bed.verdicts(&model), [verdict]);
    }
}

#[test]
fn a_service_may_rewrite_what_it_objects_to() {
    let bed = deny();
    let model = "gpt-rewrite-request";
    assert_eq!(bed.gateway.chat(&chat(model, "he is realname, a hero")).status, 200);
    assert!(bed.sent(model).contains("\"he is stagename, a hero\""), "{}", bed.sent(model));
    assert_eq!(bed.verdicts(model), ["rewrite request name high mask 1"]);
    let model = "gpt-rewrite-alias";
    let reply = bed.gateway.chat(&chat_told(
        model,
        "his alias is X",
        false,
        json!({"body": Speech::Chat.whole("So [REWRITE_1]!")}),
    ));
    assert!(
        bed.sent(model).contains("\"[REWRITE_1]\""),
        "without a replacement, a placeholder: {}",
        bed.sent(model)
    );
    assert_eq!(Speech::Chat.said(&reply), "So his alias is X!");
    for stream in [false, true] {
        let model = format!("gpt-rewrite-answer-{stream}");
        let reply = answer(&bed, &model, stream, "It was realname who came");
        assert_eq!(Speech::Chat.said(&reply), "It was stagename who came", "{}", reply.text());
        assert_eq!(bed.verdicts(&model), ["rewrite response name high mask 1"]);
    }
    let model = "gpt-rewrite-more";
    let reply = bed.gateway.chat(&chat(model, "violence"));
    assert_eq!(reply.status, 200, "a check that masks does not block: {}", reply.text());
    assert!(!bed.sent(model).contains("violence"), "{}", bed.sent(model));
}

#[test]
fn a_service_sees_what_is_masked_already_and_nothing_more() {
    let bed = deny();
    let model = "gpt-both-masked";
    let script = json!({"body": Speech::Chat.stream(&["the quagga [EMA", "IL_1] says hello"])});
    let reply = bed.gateway.chat(&chat_told(model, "the quagga is alice@example.com", true, script));
    assert_eq!(Speech::Chat.said(&reply), "the quagga alice@example.com says hello", "{}", reply.text());
    let texts: Vec<String> = calls(&bed, "the quagga").iter().flat_map(|call| texts(&call.json())).collect();
    assert!(texts.contains(&"the quagga is [EMAIL_1]".to_owned()), "{texts:?}");
    assert!(texts.contains(&"the quagga [EMAIL_1] says hello".to_owned()), "{texts:?}");
    assert!(texts.iter().all(|text| !text.contains("alice")), "{texts:?}");
    let model = "gpt-both-blocked";
    let reply = bed.gateway.chat(&chat(model, "violence by bob@example.com"));
    assert_eq!(reply.status, 400);
    let mut verdicts = bed.verdicts(model);
    verdicts.sort();
    assert_eq!(verdicts, ["both request violence high block 1", "masked-first request email high mask 1"]);
}

#[test]
fn a_local_block_asks_no_service() {
    let bed = deny();
    let reply = bed.gateway.chat(&chat("gpt-alike-local", "the internal codename of the okapi"));
    assert_eq!((reply.status, calls(&bed, "okapi").len()), (400, 0));
    let reply = bed.gateway.chat(&chat("gpt-alike-asked", "the name of the okapi"));
    assert_eq!((reply.status, calls(&bed, "okapi").len()), (200, 1));
}

#[test]
fn a_phrase_across_windows_of_a_stream_is_found() {
    let bed = deny();
    for at in [150, 290, 293, 296, 299, 302, 450, 593, 600, 1190] {
        let model = format!("gpt-mod-window-{at}");
        let mut text = "lorem ipsum ".repeat(150);
        text.replace_range(at..at + 10, " violence ");
        let pieces: Vec<&str> =
            text.as_bytes().chunks(9).map(|piece| std::str::from_utf8(piece).expect("ASCII")).collect();
        let reply =
            bed.gateway.chat(&chat_told(&model, "hi", true, json!({"body": Speech::Chat.stream(&pieces)})));
        let said = Speech::Chat.said(&reply);
        assert!(!said.contains("violence"), "at {at}: {said}");
        let ending = if reply.status == 400 { reply.code() } else { Speech::Chat.ending(&reply) };
        assert!(ending.ends_with("content_policy_violation"), "at {at}: {ending}");
        assert!(text.starts_with(&said), "nothing else was changed");
    }
}

#[test]
fn a_long_stream_is_asked_about_in_windows_that_overlap() {
    let bed = deny();
    let text: String = (0..300).map(|n| format!("gnu{n:04} ")).collect();
    let script = json!({"say": text, "gap_ms": 3});
    let reply = bed.gateway.chat(&chat_told("gpt-mod-overlap", "hi", true, script));
    assert_eq!(Speech::Chat.said(&reply), text);
    let mut windows: Vec<String> = calls(&bed, "gnu0").iter().flat_map(|call| texts(&call.json())).collect();
    windows.sort_by_key(|window| text.find(window.as_str()));
    assert!(windows.len() >= 4, "{}", windows.len());
    for pair in windows.windows(2) {
        let tail: String = pair[0].chars().rev().take(90).collect::<Vec<_>>().into_iter().rev().collect();
        assert!(pair[1].contains(&tail), "the next shows the end of the one before: {pair:?}");
    }
    assert!(windows.iter().all(|window| window.len() <= 16 * 1024));
}

#[test]
fn long_texts_are_asked_about_in_pieces() {
    let bed = deny();
    let text = format!("{}violence{}", "puma ".repeat(10_000), " cat".repeat(5_000));
    let model = "gpt-mod-long";
    let reply = bed.gateway.chat(&chat(model, &text));
    assert_eq!(reply.status, 400, "{}", reply.text());
    let pieces: Vec<String> = calls(&bed, "puma puma").iter().flat_map(|call| texts(&call.json())).collect();
    assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() <= 16 * 1024), "{}", pieces.len());
}

#[test]
fn texts_of_tool_calls_and_reasoning_are_asked_about() {
    let bed = deny();
    for (what, delta) in [
        (
            "arguments",
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"do\": \"violence\"}"}}]}),
        ),
        ("reasoning", json!({"reasoning_content": "so much violence"})),
    ] {
        let body = speech::chunks(&[delta], "stop");
        let reply =
            bed.gateway.chat(&chat_told(&format!("gpt-mod-{what}"), "hi", true, json!({"body": body})));
        assert_eq!(reply.status, 400, "{what}: {}", reply.text());
    }
}

#[test]
fn what_fails_denies_or_allows_within_its_deadline() {
    for (bed, name) in [(deny(), "deny"), (allow(), "allow")] {
        for fault in crate::bed::FAULTS {
            let model = format!("gpt-{fault}q-failing-{name}");
            let reply = bed.gateway.chat(&chat(&model, "hello"));
            assert!(reply.took < Duration::from_millis(TIMEOUT_MS) + SLACK, "{fault}: {:?}", reply.took);
            assert_eq!(bed.verdicts(&model), [format!("{fault}-q request unavailable none {name} 1")]);
            if name == "allow" {
                assert_eq!(reply.status, 200, "{fault}: {}", reply.text());
                continue;
            }
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (503, "guard_unavailable"),
                "{fault}: {}",
                reply.text()
            );
            assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), (Some("1"), None));
            assert_eq!(bed.record(&model)["error"], "guard_unavailable");
            assert_eq!(bed.asked(&model).len(), 0);
        }
    }
}

#[test]
fn a_breaker_opens_and_closes_again() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        let flaky = &bed.services.flaky;
        flaky.script(Script::json(json!({"hang": true})));
        let ask = |n: usize| {
            bed.gateway.chat(&chat(&format!("gpt-flaky-{name}-{n}"), &format!("flamingo {name} {n}")))
        };
        let opened = || bed.counter("content_guard_breaker_opened_total;check=flaky");
        let mut n = 0;
        wait::until("the breaker to open", || {
            n += 1;
            ask(n);
            (opened() > 0).then_some(())
        });
        let (before, start) = (flaky.requests().len(), Instant::now());
        let replies: Vec<Reply> = (1..=10).map(|more| ask(n + more)).collect();
        let status = if name == "deny" { 503 } else { 200 };
        assert!(replies.iter().all(|reply| reply.status == status));
        // a probe at 0.5 s, 1 s and so on is all that is sent
        let probes = flaky.requests().len() - before;
        assert!(
            probes <= 1 + start.elapsed().as_millis() as usize / 500,
            "{probes} of 10 in {:?}",
            start.elapsed()
        );
        wait::until("what is refused at once to be counted", || {
            (bed.counter("content_guard_service_failures_total;check=flaky;kind=breaker_open") > 0)
                .then_some(())
        });
        flaky.script(Script::default());
        n += 10;
        wait::until("the service to be asked again", || {
            n += 1;
            let reply = ask(n);
            (!flaky.tagged(&format!("flamingo {name} {n}")).is_empty() && reply.status == 200).then_some(())
        });
        let reply = bed.gateway.chat(&chat(&format!("gpt-flaky-{name}-closed"), "violence"));
        assert_eq!(reply.status, if name == "deny" { 400 } else { 200 });
        assert_eq!(
            bed.verdicts(&format!("gpt-flaky-{name}-closed")),
            ["flaky request violence high block 1"]
        );
    }
}
