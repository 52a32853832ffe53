//! Gateways that share a Redis: what one has heard, all know; what one asks, no other does.

use std::process::Command;

use serde_json::json;
use sluice_e2e::cache::{self, Caller, at_once, label};
use sluice_e2e::client::Connection;
use sluice_e2e::gateway::{self, Gateway, Options};
use sluice_e2e::redis::{Options as RedisOptions, Redis};
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{sse, wait};

use crate::bed::{self, PATIENT};

struct Bed {
    redis: Redis,
    provider: Upstream,
    gateways: [Gateway; 2],
}

/// Two gateways, the first of them with two workers.
#[track_caller]
fn start() -> Bed {
    let (redis, provider) = (Redis::start(&RedisOptions::default()), Upstream::start("a"));
    let sections = "cache: {ttl: 1h, max_wait: 20s}\n".to_owned() + &bed::redis(redis.address(), PATIENT);
    let yaml = bed::yaml(&provider, &sections);
    let gateways = std::thread::scope(|scope| {
        [2, 1]
            .map(|workers| {
                scope.spawn({
                    let yaml = &yaml;
                    move || Options::default().workers(workers).start(yaml)
                })
            })
            .map(|started| started.join().expect("a gateway"))
    });
    Bed { redis, provider, gateways }
}

#[test]
fn gateways_that_share_a_redis_share_answers() {
    let bed = start();
    what_one_has_heard_the_other_knows(&bed);
    consumers_stay_apart(&bed);
    a_hundred_at_once_are_one(&bed);
    a_leader_that_leaves_is_followed_by_another(&bed);
    keys_expire_and_tell_nothing(&bed);
    what_is_cleared_at_one_is_gone_at_the_other(&bed);
}

fn what_one_has_heard_the_other_knows(bed: &Bed) {
    let [one, two] = &bed.gateways;
    for (test, members, other) in [
        ("shared-document", json!({}), json!({"stream": true})),
        ("shared-stream", json!({"stream": true}), json!({})),
    ] {
        let body = cache::body(test, &members);
        let (first, _) = Caller::nobody(one).ask(&body);
        assert_eq!(label(&first), "miss");
        let again = wait::until("the answer at the other gateway", || {
            let reply = Caller::nobody(two).send(&body.to_string());
            (label(&reply) == "hit").then_some(reply)
        });
        assert_eq!(again.body, first.body);
        let converted = Caller::nobody(two).send(&cache::body(test, &other).to_string());
        assert_eq!(label(&converted), "hit");
        assert_eq!(sse::is_done(&converted.events()), other["stream"] == true, "{}", converted.text());
        assert!(converted.text().contains("café"));
    }
}

fn consumers_stay_apart(bed: &Bed) {
    let [one, two] = &bed.gateways;
    assert_eq!(bed::ask_as(&Caller::named(one, "ann"), "apart", &json!({})), "miss");
    wait::until("ann's hit", || {
        (bed::ask_as(&Caller::named(two, "ann"), "apart", &json!({})) == "hit").then_some(())
    });
    assert_eq!(bed::ask_as(&Caller::named(two, "bob"), "apart", &json!({})), "miss");
    assert_eq!(bed::seen(&bed.provider, "apart").len(), 2);
}

fn a_hundred_at_once_are_one(bed: &Bed) {
    bed.provider.tell("user-hundred", [Script::json(json!({"delay_ms": 1_000}))]);
    let request = Caller::nobody(&bed.gateways[0]).request(&cache::body("hundred", &json!({})).to_string());
    let halves = std::thread::scope(|scope| {
        bed.gateways
            .each_ref()
            .map(|gateway| {
                let requests = vec![request.clone(); 50];
                scope.spawn(move || at_once(gateway.address(), &requests))
            })
            .map(|half| half.join().expect("answers"))
    });
    let replies = halves.concat();
    assert_eq!(bed::seen(&bed.provider, "hundred").len(), 1, "three workers of two gateways");
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.body == replies[0].body));
    assert_eq!(replies.iter().filter(|reply| label(reply) == "miss").count(), 1);
    assert!(replies.iter().filter(|reply| label(reply) == "hit; reason=coalesced").count() >= 50);
}

/// Who leads at one gateway leaves: who waits at the other asks, long before the lease would end.
fn a_leader_that_leaves_is_followed_by_another(bed: &Bed) {
    let [one, two] = &bed.gateways;
    bed.provider.tell("user-leaver", [json!({"hang": true}), json!({})].map(Script::json));
    let body = cache::body("leaver", &json!({})).to_string();
    let mut leader = Connection::open(one.address()).expect("the gateway listens");
    leader.write(&Caller::nobody(one).request(&body)).expect("a request");
    wait::until("the leader to ask", || (!bed::seen(&bed.provider, "leaver").is_empty()).then_some(()));
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| Caller::nobody(two).send(&body));
        wait::until("the follower to wait", || {
            let active =
                sluice_e2e::client::get(two.admin(), "/stats?filter=http.*downstream_rq_active").text();
            let gauges = active.lines().filter(|line| !line.contains("admin"));
            gauges.clone().any(|line| line.ends_with(": 1")).then_some(())
        });
        leader.abort();
        let reply = follower.join().expect("an answer");
        assert_eq!((reply.status, label(&reply)), (200, "miss"), "{}", reply.text());
        assert!(reply.took < std::time::Duration::from_secs(8), "{:?}", reply.took);
    });
    assert_eq!(bed::seen(&bed.provider, "leaver").len(), 2);
}

fn keys_expire_and_tell_nothing(bed: &Bed) {
    let mut redis = bed.redis.connect();
    let [one, _] = &bed.gateways;
    let secret = "a-prompt-that-nobody-may-read";
    let members = json!({"messages": [{"role": "user", "content": secret}]});
    assert_eq!(bed::ask(one, "secret", &members), "miss");
    wait::until("it to be kept", || (bed::ask(one, "secret", &members) == "hit").then_some(()));
    let keys = bed::keys(&mut redis);
    assert!(keys.len() >= 4, "{keys:?}");
    for key in &keys {
        let ttl: i64 = redis::cmd("PTTL").arg(key).query(&mut redis).expect("a time");
        assert!((1..=3_600_000).contains(&ttl), "{key}: {ttl}");
        let hex = key.strip_prefix("sluice:cache:{").and_then(|rest| rest.split('}').next());
        assert!(
            hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())),
            "{key}"
        );
        let value: Vec<u8> = redis::cmd("GET").arg(key).query(&mut redis).expect("a value");
        let text = String::from_utf8_lossy(&value).into_owned();
        assert!(!text.contains(secret) && !text.contains("sk-"), "{key}");
    }
}

fn what_is_cleared_at_one_is_gone_at_the_other(bed: &Bed) {
    let [one, two] = &bed.gateways;
    for test in ["cleared", "stays"] {
        bed::ask(one, test, &json!({}));
        bed::until_hit(two, test);
    }
    let mut command = Command::new(gateway::binary());
    command.args(["cache", "clear", "--model", "gpt-cleared"]).arg(one.folder().join("gateway.yaml"));
    let output = command.output().expect("sluice runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(bed::ask(two, "stays", &json!({})), "hit");
    assert_eq!(bed::ask(two, "cleared", &json!({})), "miss");
}
