//! Redis dead, hanging, slow, full, locked, talking nonsense and flapping, in each mode of `on_error`.

use std::time::Duration;

use redis::Connection;
use serde_json::json;
use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::{self, Gateway};
use sluice_e2e::redis::{Fault, Faults, Options, Redis};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{self, Ledger, Stream, TOTAL};

/// The gateway's deadline for Redis.
const DEADLINE: Duration = Duration::from_millis(50);

/// What one request may take longer than its deadline on a machine that builds.
const SLACK: Duration = Duration::from_secs(1);

/// Requests during each outage.
const REQUESTS: usize = 24;

/// What is wrong with Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    Dead,
    Hanging,
    Slow,
    Nonsense,
    Full,
    Locked,
}

impl Outage {
    const ALL: [Self; 6] = [Self::Dead, Self::Hanging, Self::Slow, Self::Nonsense, Self::Full, Self::Locked];

    /// What failed calls are counted as.
    const fn kind(self) -> &'static str {
        match self {
            Self::Dead | Self::Nonsense => "not_reachable",
            Self::Hanging | Self::Slow => "timed_out",
            Self::Full => "out_of_memory",
            Self::Locked => "auth",
        }
    }
}

/// A gateway, and a Redis that fails as told.
struct Bed {
    mode: &'static str,
    gateway: Gateway,
    faults: Faults,
    connection: Connection,
    _redis: Redis,
    _provider: Upstream,
}

impl Bed {
    #[track_caller]
    fn start(mode: &'static str) -> Self {
        let (redis, provider) = (Redis::start(&Options::default()), Upstream::start("a"));
        let faults = Faults::before(redis.address());
        let limits = "limits:
  - {name: requests, requests: 100000, per: 1h}
  - {name: total, total_tokens: 1000000, per: 1h}\n";
        let settings = format!("timeout: {}ms, on_error: {mode}", DEADLINE.as_millis());
        let yaml = bed::yaml(&provider, &(limits.to_owned() + &bed::redis(faults.address(), &settings)));
        let gateway = Gateway::start(&yaml);
        Self { mode, gateway, faults, connection: redis.connect(), _redis: redis, _provider: provider }
    }

    fn set(&mut self, key: &str, value: &str) {
        redis::cmd("CONFIG").arg("SET").arg(key).arg(value).exec(&mut self.connection).expect("a setting");
    }

    fn fail(&mut self, outage: Outage) {
        match outage {
            Outage::Dead => self.faults.set(Fault::Reset),
            Outage::Hanging => self.faults.set(Fault::Hang),
            Outage::Slow => self.faults.set(Fault::Delay(Duration::from_millis(200))),
            Outage::Nonsense => self.faults.set(Fault::Instead(b"\0\x17 what?\r\n".to_vec())),
            Outage::Full => self.set("maxmemory", "1"),
            Outage::Locked => {
                self.set("requirepass", "another");
                self.faults.set(Fault::Reset);
                self.faults.set(Fault::None);
            }
        }
    }

    fn mend(&mut self) {
        self.faults.set(Fault::None);
        self.set("maxmemory", "0");
        self.set("requirepass", "");
    }

    fn ask(&self, model: &str) -> Reply {
        self.gateway.chat(&bed::chat(model, &json!({})))
    }

    /// Waits until Redis decides again; nobody tells the gateway that it can.
    #[track_caller]
    fn recovers(&self, tag: &str) {
        let mut tries = 0;
        wait::until("Redis to be asked again", || {
            tries += 1;
            let model = format!("gpt-{tag}-recovers-{tries}");
            self.ask(&model);
            (bed::decisions(&self.gateway, &model, 1) == ["admitted"]).then_some(())
        });
    }

    /// What the mode does to a request that Redis does not decide on.
    #[track_caller]
    fn assert_degraded(&self, reply: &Reply) {
        if self.mode != "deny" {
            assert_eq!(reply.status, 200, "{}", reply.text());
            let is_counted = reply.header("x-ratelimit-limit-requests").is_some();
            assert_eq!(is_counted, self.mode == "local", "{:?}", reply.headers);
            return;
        }
        assert_eq!((reply.status, reply.code().as_str()), (503, "limits_unavailable"));
        assert_eq!((reply.header("retry-after"), reply.header("x-should-retry")), (Some("1"), None));
    }

    fn decision(&self) -> &'static str {
        match self.mode {
            "local" => "admitted_locally",
            "allow" => "admitted_unchecked",
            _ => "refused_unchecked",
        }
    }

    fn failures(&self, kind: &str) -> u64 {
        bed::counter(&self.gateway, &format!("redis_failures_total;kind={kind}"))
    }

    /// One outage, from the stream that was admitted before it to the first request that Redis decides on after it.
    #[track_caller]
    fn endure(&mut self, outage: Outage) {
        let tag = format!("{outage:?}").to_lowercase();
        self.recovers(&format!("{tag}-before"));
        let healthy: Vec<Reply> = (0..REQUESTS).map(|n| self.ask(&format!("gpt-{tag}-well-{n}"))).collect();
        let stream = Stream::begin(&self.gateway, &format!("gpt-{tag}-stream"), &json!({"gap_ms": 60}));
        let before = ["token_limit_degraded_total", "redis_breaker_opened_total"]
            .map(|name| bed::counter(&self.gateway, name));
        let [failed, held_back] = [outage.kind(), "breaker_open"].map(|kind| self.failures(kind));

        self.fail(outage);
        stream.end();
        let model = format!("gpt-{tag}");
        let replies: Vec<Reply> = (0..REQUESTS).map(|_| self.ask(&model)).collect();
        replies.iter().for_each(|reply| self.assert_degraded(reply));
        let decisions = bed::decisions(&self.gateway, &model, REQUESTS);
        assert!(decisions.iter().all(|decision| *decision == self.decision()), "{outage:?}: {decisions:?}");

        assert_in_time(outage, &healthy, &replies);
        // What has been counted is seen a little later, where filters are native.
        wait::until("every degraded request to be counted", || {
            let degraded = bed::counter(&self.gateway, "token_limit_degraded_total") - before[0];
            (degraded >= count(REQUESTS)).then_some(())
        });
        let all = || client::get(self.gateway.admin(), "/stats?filter=redis_failures_total").text();
        assert!(self.failures(outage.kind()) > failed, "{outage:?}: {failed} before, now {}", all());
        // A full Redis answers at once and gives leases back: there is no reason to leave it alone.
        if outage != Outage::Full {
            let opened = bed::counter(&self.gateway, "redis_breaker_opened_total") - before[1];
            let withheld = self.failures("breaker_open") - held_back;
            assert!(opened >= 1 && withheld >= count(REQUESTS / 2), "{outage:?}: {opened}, {withheld}");
        }
        self.mend();
        self.recovers(&format!("{tag}-after"));
    }

    /// What Redis has admitted, and nothing else, is booked there, once.
    #[track_caller]
    fn assert_booked_once(&mut self) {
        let decided = |line: &serde_json::Value| line["ai_log"]["limit"] == "admitted";
        let admitted = count(self.gateway.access_log().iter().filter(|line| decided(line)).count());
        Ledger::settled(admitted).becomes(&mut self.connection, "requests");
        Ledger::settled(admitted * TOTAL).becomes(&mut self.connection, "total");
        assert_eq!(bed::counter(&self.gateway, "token_limit_unsettled_total"), 0);
    }
}

/// None waits longer than the deadline, and most wait for nothing.
#[track_caller]
fn assert_in_time(outage: Outage, healthy: &[Reply], replies: &[Reply]) {
    let slowest = replies.iter().map(|reply| reply.took).max().expect("replies");
    assert!(slowest < DEADLINE + SLACK, "{outage:?}: {slowest:?}");
    let [well, ill] = [median(healthy), median(replies)];
    assert!(ill < well + DEADLINE, "{outage:?}: {ill:?} instead of {well:?}");
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a small number")
}

fn median(replies: &[Reply]) -> Duration {
    let mut times: Vec<Duration> = replies.iter().map(|reply| reply.took).collect();
    times.sort();
    times[times.len() / 2]
}

#[track_caller]
fn endures_every_outage(mode: &'static str) {
    let mut bed = Bed::start(mode);
    for outage in Outage::ALL {
        bed.endure(outage);
    }
    flap(&mut bed);
    bed.assert_booked_once();
}

/// Redis comes and goes while requests come.
fn flap(bed: &mut Bed) {
    for n in 0..40 {
        bed.faults.set(if n % 8 < 4 { Fault::Reset } else { Fault::None });
        let reply = bed.ask("gpt-flapping");
        let allowed: &[u16] = if bed.mode == "deny" { &[200, 503] } else { &[200] };
        assert!(
            allowed.contains(&reply.status) && reply.took < DEADLINE + SLACK,
            "{:?} {}",
            reply.took,
            reply.text()
        );
    }
    bed.mend();
    bed.recovers("flapped");
}

#[test]
fn with_on_error_local_a_gateway_counts_by_itself_until_redis_is_back() {
    endures_every_outage("local");
}

#[test]
fn with_on_error_allow_requests_pass_uncounted_until_redis_is_back() {
    endures_every_outage("allow");
}

#[test]
fn with_on_error_deny_requests_are_refused_until_redis_is_back() {
    endures_every_outage("deny");
}

#[test]
fn counting_by_itself_a_gateway_still_limits() {
    let provider = Upstream::start("a");
    let nobody = gateway::closed_port();
    let address = ([127, 0, 0, 1], nobody.number()).into();
    let sections = "limits: [{name: requests, requests: 3, per: 1h}]\n".to_owned()
        + &bed::redis(address, "timeout: 50ms, on_error: local");
    let gateway = Gateway::start(&bed::yaml(&provider, &sections));
    let statuses: Vec<u16> =
        (0..6).map(|_| gateway.chat(&bed::chat("gpt-local", &json!({}))).status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429, 429]);
    assert_eq!(provider.requests().len(), 3);
    let decisions = bed::decisions(&gateway, "gpt-local", 6);
    assert_eq!(decisions[2..4], ["admitted_locally", "refused:requests"]);
}
