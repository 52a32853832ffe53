//! What operators ask and order.

use serde_json::{Value, json};
use sluice_core::filter::{Filter as _, Next};
use sluice_core::testing::FakeHost;

use super::bed::{Bed, config};
use super::redis::{integer, nil, reply};
use crate::ResponseCache;

/// Status and body of the answer to an operator.
fn told(next: &Next) -> (u16, Value) {
    let Next::Reply(reply) = next else { panic!("{next:?}") };
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

/// An operator asks the gateway of `bed`.
fn order(bed: &mut Bed, method: &str, path: &str) -> (u16, Value) {
    let mut filter = ResponseCache::new(config(json!({"operator": true})));
    bed.host.request = FakeHost::with_request(&[(":method", method), (":path", path)]).request;
    told(&filter.on_request_headers(&mut bed.host, true))
}

/// Ann and Bob have asked two models each.
fn filled() -> Bed {
    let mut bed = Bed::default();
    for consumer in ["ann", "bob"] {
        for model in ["gpt-4o", "o3 mini"] {
            let mut client = bed.send_of(consumer, model);
            bed.answer(&mut client, "Hello");
            bed.done(&mut client);
        }
    }
    bed
}

#[test]
fn what_is_held_is_told() {
    let mut bed = filled();
    let (status, told) = order(&mut bed, "GET", "/cache");
    assert_eq!((status, &told["store"], &told["entries"]), (200, &json!("memory"), &json!(4)));
    assert!(told["bytes"].as_u64() > Some(0) && told["capacity_bytes"].as_u64() > told["bytes"].as_u64());
}

#[test]
fn what_is_named_is_cleared_and_nothing_else() {
    for (query, left) in [
        ("", [0, 0, 0, 0]),
        ("?consumer=ann", [0, 0, 1, 1]),
        ("?model=o3%20mini", [1, 0, 1, 0]),
        ("?consumer=bob&model=gpt-4o", [1, 1, 0, 1]),
        ("?consumer=nobody", [1, 1, 1, 1]),
    ] {
        let mut bed = filled();
        bed.host.advance_ms(1);
        assert_eq!(order(&mut bed, "DELETE", &format!("/cache{query}")), (200, json!({"cleared": true})));
        let asked = [("ann", "gpt-4o"), ("ann", "o3 mini"), ("bob", "gpt-4o"), ("bob", "o3 mini")];
        let hits = asked.map(|(consumer, model)| usize::from(bed.send_of(consumer, model).hit().is_some()));
        assert_eq!(hits, left, "{query}");
    }
}

#[test]
fn a_slip_of_the_pen_clears_nothing() {
    for (method, path) in [
        ("DELETE", "/cache?cosnumer=ann"),
        ("DELETE", "/cache?consumer"),
        ("DELETE", "/cache?consumer="),
        ("DELETE", "/cache?consumer=ann&consumer=bob"),
        ("DELETE", "/cache?model=%ff"),
        ("DELETE", "/cache/ann"),
        ("POST", "/cache"),
        ("GET", "/"),
    ] {
        let mut bed = filled();
        bed.host.advance_ms(1);
        let (status, told) = order(&mut bed, method, path);
        assert_eq!((status, &told["error"]["code"]), (404, &json!("not_found")), "{method} {path}");
        assert!(bed.send_of("ann", "gpt-4o").hit().is_some(), "{method} {path}");
    }
}

#[test]
fn redis_is_told_what_to_forget() {
    for (answers, want) in [
        (vec![Some(nil()), Some(integer(1))], 200),
        (vec![Some(nil()), Some(integer(0)), Some(nil()), Some(integer(1))], 200),
        (vec![None], 502),
        (vec![Some(nil()), None], 502),
        (vec![Some(nil()), Some(b"-ERR no\r\n".to_vec())], 502),
        (vec![[Some(nil()), Some(integer(0))]; 10].concat(), 502),
    ] {
        let mut bed = Bed::new(json!({"operator": true, "redis": {"cluster": "r"}}));
        let mut client = bed.send("", &[(":method", "DELETE"), (":path", "/cache?consumer=ann")], b"");
        let count = answers.len();
        for answer in answers {
            assert_eq!(client.next, Next::Wait);
            let (id, _) = bed.callouts(0).pop().unwrap();
            bed.reply(&mut client, id, reply(answer));
        }
        assert_eq!((told(&client.next).0, bed.host.callouts.len()), (want, count));
    }
    let mut bed = Bed::new(json!({"operator": true, "redis": {"cluster": "r"}}));
    let client = bed.send("", &[(":method", "GET"), (":path", "/cache")], b"");
    assert_eq!(told(&client.next).1["store"], "redis");
}
