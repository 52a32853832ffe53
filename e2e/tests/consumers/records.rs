//! What the record tells of a caller.

use serde_json::{Value, json};

use crate::people::{self, CHAT, bearer, key, sha256};

#[test]
fn the_record_names_consumer_tier_key_and_metadata() {
    let people = people::shared();
    for (presented, consumer, tier, metadata) in [
        ("gold", "gold", json!("gold"), json!({"team": "search", "floor": "3"})),
        ("hashed", "hashed", json!("silver"), Value::Null),
        ("twin-new", "twins", Value::Null, Value::Null),
        ("env", "env", Value::Null, Value::Null),
    ] {
        let model = format!("recorded-{presented}");
        people::ask_as(&people.gateway, presented, &model);
        let record = people.gateway.ai_log(&model);
        let key_id = &sha256(&key(presented))[..8];
        assert_eq!((&record["consumer"], &record["key_id"]), (&json!(consumer), &json!(key_id)), "{record}");
        assert_eq!((&record["tier"], &record["metadata"]), (&tier, &metadata), "{record}");
        assert_eq!((&record["status"], &record["end"]), (&json!(200), &json!("complete")), "{record}");
    }
}

#[test]
fn the_record_of_a_refusal_names_who_it_was_if_that_is_known() {
    let people = people::shared();
    for (presented, status, error, is_known) in [
        ("nobody", 401, "invalid_api_key", false),
        ("disabled", 401, "invalid_api_key", true),
        ("expired", 401, "expired_api_key", true),
        ("elsewhere", 403, "ip_not_allowed", true),
        ("embedder", 403, "route_not_allowed", true),
    ] {
        // The path is what tells one refused request from another: its model was never read.
        let path = format!("/v1/refused/{presented}");
        let reply = people::ask(&people.gateway, &path, &[("authorization", &bearer(presented))], "any");
        assert_eq!(reply.status, status);
        let line = people.gateway.log_line(presented, |line| line["ai_log"]["path"] == path);
        let record = &line["ai_log"];
        assert_eq!((&record["status"], &record["error"]), (&json!(status), &json!(error)), "{record}");
        assert_eq!(record["end"], "refused");
        let known = is_known.then(|| (json!(presented), json!(sha256(&key(presented))[..8])));
        let (consumer, key_id) = known.unwrap_or_default();
        assert_eq!((&record["consumer"], &record["key_id"]), (&consumer, &key_id), "{record}");
    }
    people::ask(&people.gateway, "/v1/refused/unnamed", &[], "any");
    let line = people.gateway.log_line("no key", |line| line["ai_log"]["path"] == "/v1/refused/unnamed");
    assert_eq!(
        (&line["ai_log"]["error"], &line["ai_log"]["consumer"]),
        (&json!("missing_api_key"), &Value::Null)
    );
}

#[test]
fn the_record_of_a_model_that_is_not_allowed_names_both() {
    let people = people::shared();
    let reply = people::ask(&people.gateway, CHAT, &[("x-api-key", &key("small"))], "large-forbidden");
    assert_eq!((reply.status, reply.json()["error"]["param"].as_str()), (403, Some("model")));
    let record = people.gateway.ai_log("large-forbidden");
    assert_eq!((&record["consumer"], &record["error"]), (&json!("small"), &json!("model_not_allowed")));
    assert!(people.seen("large-forbidden").is_empty());
}
