//! Faults of the Redis that answers are kept in.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::cache::{self, Caller, label};
use sluice_e2e::gateway::Options;
use sluice_e2e::redis::{Fault, Faults, Options as RedisOptions, Redis};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use super::table::Row;
use crate::bed::{Bed, yaml};

/// The gateway's deadline for Redis: one that a busy machine keeps.
const DEADLINE: Duration = Duration::from_millis(600);

/// What a request may take beside it.
const SLACK: Duration = Duration::from_secs(3);

/// A gateway and a Redis that fails as told.
struct Kept {
    bed: Bed,
    redis: Redis,
    faults: Faults,
}

impl Kept {
    #[track_caller]
    fn start() -> Self {
        let (redis, provider) = (Redis::start(&RedisOptions::default()), Upstream::start("a"));
        let faults = Faults::before(redis.address());
        let sections = format!(
            "cache: {{}}\nredis: {{url: \"redis://{}\", timeout: {}ms}}\n",
            faults.address(),
            DEADLINE.as_millis()
        );
        let gateway = Options::default().start(&yaml(&provider, &sections));
        Self { bed: Bed { gateway, provider }, redis, faults }
    }

    fn set(&self, name: &str, value: &str) {
        let mut connection = self.redis.connect();
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).expect("a setting");
    }

    fn fail(&self, fault: &str) {
        match fault {
            "none" => {}
            "Redis is dead" => self.faults.set(Fault::Reset),
            "Redis hangs" => self.faults.set(Fault::Hang),
            "Redis is slow" => self.faults.set(Fault::Delay(DEADLINE * 2)),
            "Redis talks nonsense" => self.faults.set(Fault::Instead(b"\0\x17 what?\r\n".to_vec())),
            "Redis is full" => self.set("maxmemory", "1"),
            other => panic!("{other}"),
        }
    }

    /// Mends it, and waits until the gateway has found out.
    #[track_caller]
    fn mend(&self) {
        self.faults.set(Fault::None);
        self.set("maxmemory", "0");
        wait::until("Redis to be asked again", || {
            let test = format!("mended-{:?}", std::time::Instant::now());
            let body = cache::body(&test, &json!({})).to_string();
            let labels = [(); 2].map(|()| label(&Caller::nobody(&self.bed.gateway).send(&body)).to_owned());
            labels.iter().all(|label| label == "miss" || label == "hit").then_some(())
        });
    }

    /// One request that meets the fault: at its begin, or once the provider is asked (`late`).
    #[track_caller]
    fn row(&self, fault: &str, late: bool, stream: bool) -> Row {
        self.mend();
        let name = if late { format!("{fault} when the answer is to be kept") } else { fault.to_owned() };
        let test = name.replace(' ', "-") + if stream { "-stream" } else { "" };
        let script = if late { json!({"delay_ms": 400}) } else { json!({}) };
        self.bed.tell(&test, &[script]);
        let members: Value = if stream { json!({"stream": true}) } else { json!({}) };
        let body = cache::body(&test, &members).to_string();
        let caller = Caller::nobody(&self.bed.gateway);
        if !late {
            self.fail(fault);
        }
        let reply = std::thread::scope(|scope| {
            let asked = scope.spawn(|| caller.send(&body));
            if late {
                wait::until("the provider to be asked", || (!self.bed.seen(&test).is_empty()).then_some(()));
                self.fail(fault);
            }
            asked.join().expect("an answer")
        });
        assert!(reply.took < DEADLINE + SLACK, "{name}: {:?}", reply.took);
        let record = cache::wait_records(&self.bed.gateway, &format!("gpt-{test}"), 1).remove(0);
        self.mend();
        let again = caller.send(&body);
        Row::new(&name, stream, Some(&reply), &record, &again)
    }
}

pub(super) fn rows() -> Vec<Row> {
    let kept = Kept::start();
    let faults =
        ["none", "Redis is dead", "Redis hangs", "Redis is slow", "Redis talks nonsense", "Redis is full"];
    let mut rows = Vec::new();
    for fault in faults {
        rows.extend([false, true].map(|stream| kept.row(fault, false, stream)));
    }
    for fault in ["Redis is dead", "Redis is full"] {
        rows.push(kept.row(fault, true, false));
    }
    rows
}
