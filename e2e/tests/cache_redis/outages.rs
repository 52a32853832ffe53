//! Redis dead, slow, hanging, locked, talking nonsense, started again: a miss within the deadline, never an error.

use std::time::Duration;

use serde_json::json;
use sluice_e2e::cache;
use sluice_e2e::gateway::{self, Gateway};
use sluice_e2e::redis::{Fault, Faults, Options, Redis};
use sluice_e2e::upstream::Upstream;

use crate::bed;

/// The gateway's deadline for Redis.
const DEADLINE: Duration = Duration::from_millis(200);

/// What a request may take beside it on a machine that builds.
const SLACK: Duration = Duration::from_secs(2);

/// Requests during each outage.
const REQUESTS: usize = 12;

struct Bed {
    redis: Redis,
    faults: Faults,
    gateway: Gateway,
    provider: Upstream,
}

#[track_caller]
fn start() -> Bed {
    let (redis, provider) = (Redis::start(&Options::default()), Upstream::start("a"));
    let faults = Faults::before(redis.address());
    let settings = format!("timeout: {}ms", DEADLINE.as_millis());
    let sections = "cache: {ttl: 1h}\n".to_owned() + &bed::redis(faults.address(), &settings);
    let gateway = Gateway::start(&bed::yaml(&provider, &sections));
    Bed { redis, faults, gateway, provider }
}

/// Asks during an outage: every request is answered by the provider, in time.
#[track_caller]
fn endure(bed: &Bed, name: &str) {
    for n in 0..REQUESTS {
        let test = format!("{name}-{n}");
        let members = if n % 2 == 0 { json!({}) } else { json!({"stream": true}) };
        let began = std::time::Instant::now();
        assert_eq!(bed::ask(&bed.gateway, &test, &members), "miss; reason=redis", "{name}");
        assert!(began.elapsed() < DEADLINE + SLACK, "{name}: {:?}", began.elapsed());
        assert_eq!(bed::seen(&bed.provider, &test).len(), 1, "{name}");
    }
}

#[test]
fn whatever_redis_does_requests_are_answered_and_it_is_used_again_when_it_can_be() {
    let mut bed = start();
    bed::ask(&bed.gateway, "kept", &json!({}));
    bed::until_hit(&bed.gateway, "kept");
    for (name, fault) in [
        ("dead", Fault::Reset),
        ("hanging", Fault::Hang),
        ("slow", Fault::Delay(DEADLINE * 3)),
        ("nonsense", Fault::Instead(b"\0\x17 what?\r\n".to_vec())),
        ("null", Fault::Instead(b"$-1\r\n".to_vec())),
        ("odd", Fault::Instead(b"*2\r\n*2\r\n$3\r\nhit\r\n$4\r\nnope\r\n$-1\r\n".to_vec())),
    ] {
        bed.faults.set(fault);
        endure(&bed, name);
        bed.faults.set(Fault::None);
        bed::until_mended(&bed.gateway);
        assert_eq!(bed::ask(&bed.gateway, "kept", &json!({})), "hit", "{name}: Redis has it still");
    }

    bed.redis.restart();
    bed.faults.set(Fault::Reset);
    bed.faults.set(Fault::None);
    bed::until_mended(&bed.gateway);
    assert_eq!(bed::ask(&bed.gateway, "kept", &json!({})), "miss", "it has come back empty");
    bed::until_hit(&bed.gateway, "kept");

    let mut connection = bed.redis.connect();
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("requirepass")
        .arg("secret")
        .exec(&mut connection)
        .expect("a setting");
    bed.faults.set(Fault::Reset);
    bed.faults.set(Fault::None);
    endure(&bed, "locked");
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").exec(&mut connection).expect("a setting");
    bed::until_mended(&bed.gateway);
    assert_eq!(bed::ask(&bed.gateway, "kept", &json!({})), "hit");
    assert!(cache::counter(&bed.gateway, "response_cache_misses_total") >= 50);
}

#[test]
fn a_gateway_starts_without_redis_and_finds_it_later() {
    let (mut redis, provider) = (Redis::start(&Options::password("secret")), Upstream::start("a"));
    redis.kill();
    let nobody = gateway::closed_port();
    let settings = "password: env:REDIS_PASSWORD, timeout: 500ms";
    let yaml = |address| bed::yaml(&provider, &("cache: {}\n".to_owned() + &bed::redis(address, settings)));
    let options = gateway::Options::default().env("REDIS_PASSWORD", "secret");
    let gateway = options.start(&yaml(redis.address()));
    for n in 0..6 {
        assert_eq!(bed::ask(&gateway, &format!("early-{n}"), &json!({})), "miss; reason=redis");
    }
    redis.restart();
    bed::until_mended(&gateway);
    bed::ask(&gateway, "found", &json!({}));
    bed::until_hit(&gateway, "found");
    // and it may be moved away, and back
    gateway.rewrite_and_wait(&yaml(([127, 0, 0, 1], nobody.number()).into()), |gateway| {
        bed::ask(gateway, "found", &json!({})) == "miss; reason=redis"
    });
    gateway
        .rewrite_and_wait(&yaml(redis.address()), |gateway| bed::ask(gateway, "found", &json!({})) == "hit");
}
