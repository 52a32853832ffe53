//! Several gateways with one Redis.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::redis::{Options as RedisOptions, Redis};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{self, Ledger, OUTPUT, PATIENT, Stream, TOTAL};

/// How long what a dead gateway held stays held.
const LEASE: Duration = Duration::from_secs(30);

#[test]
fn two_gateways_admit_exactly_their_common_limit_and_book_what_was_used() {
    let (redis, provider) = (Redis::start(&RedisOptions::default()), Upstream::start("a"));
    let limits = format!(
        "limits:
  - {{name: output, output_tokens: {}, per: 1h}}
  - {{name: total, total_tokens: 1000000, per: 1h}}\n",
        10 * OUTPUT
    );
    let yaml = bed::yaml(&provider, &(limits + &bed::redis(redis.address(), PATIENT)));
    let gateways = [(); 2].map(|()| Options::default().workers(2).start(&yaml));
    let ask = |n: usize| {
        let script = json!({"stream": n.is_multiple_of(4), "x_mock": {"a": {"first_token_ms": 100}}});
        gateways[n % 2].chat(&bed::chat(&format!("gpt-{}", n % 7), &script))
    };
    let replies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..200).map(|n| scope.spawn(move || ask(n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let admitted = replies.iter().filter(|reply| reply.status == 200).count();
    let refused =
        replies.iter().filter(|reply| (reply.status, reply.code().as_str()) == (429, "rate_limit_exceeded"));
    assert_eq!((admitted, refused.count()), (10, 190));
    assert_eq!(provider.requests().len(), 10, "nobody else has reached the provider");

    let mut connection = redis.connect();
    Ledger::settled(10 * OUTPUT).becomes(&mut connection, "output");
    Ledger::settled(10 * TOTAL).becomes(&mut connection, "total");
    for gateway in &gateways {
        assert_eq!(bed::shown(gateway, "", "output"), (10 * OUTPUT, 0));
        assert_eq!(bed::shown(gateway, "", "total"), (10 * TOTAL, 0));
    }
    let sum = |name: &str| gateways.iter().map(|gateway| bed::counter(gateway, name)).sum::<u64>();
    // What has been counted is seen a little later, where filters are native.
    wait::until("every request to be counted", || {
        let counted = ["token_limit_admitted_total", "token_limit_refused_total;limit=output"].map(sum);
        (counted == [10, 190]).then_some(())
    });
    assert_eq!(sum("token_limit_degraded_total"), 0);
}

#[test]
fn what_a_killed_gateway_held_is_free_when_its_lease_ends_and_is_never_charged() {
    let (redis, provider) = (Redis::start(&RedisOptions::default()), Upstream::start("a"));
    let limits = "limits:
  - {name: at-once, in_flight: 2}
  - {name: total, total_tokens: 1000000, per: 1h}\n";
    let yaml = bed::yaml(&provider, &(limits.to_owned() + &bed::redis(redis.address(), PATIENT)));
    let [doomed, other] = [(); 2].map(|()| Gateway::start(&yaml));
    let mut connection = redis.connect();
    // Older than the stream that dies: it would be free first if leases were not renewed.
    let survivor = Stream::begin(&other, "gpt-survivor", &json!({"hang_after": 2}));
    let mine = Ledger::read(&mut connection, "total");
    let _lost = Stream::begin(&doomed, "gpt-lost", &json!({"hang_after": 2}));
    let both = Ledger { held: 2, leases: 2, used: 0 };
    both.becomes(&mut connection, "at-once");
    let killed = Instant::now();
    doomed.kill_envoy();
    let refused = other.chat(&bed::chat("gpt-early", &json!({})));
    assert_eq!((refused.status, refused.code().as_str()), (429, "concurrency_limit_exceeded"));
    assert_eq!(bed::shown(&other, "", "at-once"), (0, 2));

    let freed = wait::poll(2 * LEASE, || (Ledger::read(&mut connection, "at-once").leases < 2).then_some(()));
    assert!(freed.is_some() && killed.elapsed() < LEASE + Duration::from_secs(2), "{:?}", killed.elapsed());
    assert_eq!(bed::shown(&other, "", "at-once"), (0, 1), "the other's stream still runs");
    let admitted = other.chat(&bed::chat("gpt-late", &json!({})));
    assert_eq!(admitted.status, 200, "{}", admitted.text());
    Ledger { used: TOTAL, ..mine }.becomes(&mut connection, "total");
    survivor.abort();
    Ledger::default().becomes(&mut connection, "at-once");
    let total = wait::until("the survivor's settlement", || {
        Some(Ledger::read(&mut connection, "total")).filter(|total| total.held == 0)
    });
    assert!((TOTAL + 1..3 * TOTAL).contains(&total.used) && total.leases == 0, "{total:?}");
    assert_eq!(bed::shown(&other, "", "total"), (total.used, 0));
}
