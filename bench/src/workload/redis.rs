//! What Redis costs: limits counted there, near, far and dead, and answers kept there.

use std::time::Duration;

use sluice_e2e::gateway::closed_port;
use sluice_e2e::redis::{Options, Redis};

use super::cpu::Chat;
use crate::lab::Lab;
use crate::subject::{Around, Subject, Variant};
use crate::{Failure, delay};

/// Connections that keep one worker busy while it waits for a Redis far away.
const CONNECTIONS: u32 = 32;

/// How much later a Redis far away answers.
const FAR: Duration = Duration::from_millis(10);

/// Hits of the cache, in Envoy's memory and in Redis.
pub(super) fn cache_hit(lab: &mut Lab) -> Result<(), Failure> {
    let redis = Redis::start(&Options::default());
    let around = Around { redis: Some(redis.address()), ..lab.around };
    let variants = ["bare", "cache", "cache-native", "cache-redis", "cache-redis-native"].map(Variant::parse);
    let subjects = super::start_all(&variants, around)?;
    Chat { connections: CONNECTIONS, same: true, ..Chat::whole("cache-hit", 1_024) }.measure(lab, &subjects)
}

/// Limits counted in Envoy's memory, in Redis, in one that is far, and with one that is dead.
pub(super) fn cost(lab: &mut Lab) -> Result<(), Failure> {
    let redis = Redis::start(&Options::default());
    let dead = closed_port();
    let at = |redis| Around { redis: Some(redis), ..lab.around };
    let far = at(delay::start(redis.address(), FAR)?);
    let dead = at(([127, 0, 0, 1], dead.number()).into());
    let subjects = [
        ("bare", "bare", lab.around),
        ("local", "whole", lab.around),
        ("local, native", "whole-native", lab.around),
        ("redis", "whole-redis", at(redis.address())),
        ("redis, native", "whole-redis-native", at(redis.address())),
        ("redis +10 ms", "whole-redis", far),
        ("redis dead", "whole-redis", dead),
    ]
    .map(|(name, file, around)| {
        Subject::start(&Variant { name: name.to_owned(), ..Variant::parse(file) }, around)
    });
    let subjects = subjects.into_iter().collect::<Result<Vec<_>, _>>()?;
    Chat { connections: CONNECTIONS, ..Chat::whole("redis", 1_024) }.measure(lab, &subjects)
}
