//! The gateway that most tests share: one provider, several callers, two workers.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::bed::tag;
use sluice_e2e::cache::{self, Caller};
use sluice_e2e::client::Reply;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::script::Script;
use sluice_e2e::upstream::{Seen, Upstream};

/// Callers, of whom `dora` and `gold` have no tier.
pub(crate) const CONSUMERS: &str = "consumers:
  - {name: ann, keys: [sk-ann, sk-ann-too], tier: gold}
  - {name: bob, keys: [sk-bob], tier: gold}
  - {name: cat, keys: [sk-cat], tier: iron}
  - {name: dora, keys: [sk-dora]}
  - {name: gold, keys: [sk-gold]}
  - {name: nobody}
anonymous: nobody
";

const SECTIONS: &str = "
cache: {models: [\"gpt-*\", \"o3\"], max_entry: 64KiB, memory: 16MiB}
limits:
  - {name: total, by: [model], models: \"gpt-limited-*\", total_tokens: 1000, per: 1h}
  - {name: calls, by: [model], models: \"gpt-limited-*\", requests: 1000, per: 1h}
";

/// gateway.yaml: every model at one provider, asked once, with further top-level `sections`.
pub(crate) fn yaml(provider: &Upstream, sections: &str) -> String {
    format!(
        "providers: {{a: {{url: \"{}\", keys: [sk-secret]}}}}
models: [{{match: \"*\", targets: [{{provider: a}}]}}]
timeouts: {{connect: 500ms, first_token: 4s, idle: 2s, request: 20s}}
retry: {{attempts: 1}}
{sections}\n",
        provider.url()
    )
}

/// A provider and a gateway that keeps its answers.
pub(crate) struct Bed {
    pub(crate) gateway: Gateway,
    pub(crate) provider: Upstream,
}

impl Bed {
    #[track_caller]
    pub(crate) fn start(options: &Options, sections: &str) -> Self {
        let provider = Upstream::start("a");
        let gateway = options.start(&yaml(&provider, sections));
        Self { gateway, provider }
    }

    /// Asks as nobody for a chat of `test`; what it says of the cache.
    #[track_caller]
    pub(crate) fn chat(&self, test: &str, members: &Value) -> Asked {
        self.chat_as(&Caller::nobody(&self.gateway), test, members)
    }

    #[track_caller]
    pub(crate) fn chat_as(&self, caller: &Caller<'_>, test: &str, members: &Value) -> Asked {
        let (reply, record) = caller.ask(&cache::body(test, members));
        Asked { reply, record }
    }

    /// From now on the provider answers requests of `test` by these scripts, the last of them again and again.
    pub(crate) fn tell(&self, test: &str, scripts: &[Value]) {
        self.provider.tell(&tag(test), scripts.iter().cloned().map(Script::json));
    }

    /// Requests of `test` that the provider got.
    pub(crate) fn seen(&self, test: &str) -> Vec<Seen> {
        self.provider.of_user(&tag(test))
    }
}

/// An answer and, unless it was a hit, its record.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) reply: Reply,
    pub(crate) record: Value,
}

impl Asked {
    /// What the answer says of the cache; the record, where there is one, must say the same.
    #[track_caller]
    pub(crate) fn label(&self) -> &str {
        let label = cache::label(&self.reply);
        assert!(self.record.is_null() || self.record["cache"] == label, "{label}: {}", self.record);
        label
    }
}

/// One test's use of a gateway that several tests share; shows its logs if the test fails.
pub(crate) struct Shared<B: Deref<Target = Bed>>(B);

impl<B: Deref<Target = Bed>> Deref for Shared<B> {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.0
    }
}

impl<B: Deref<Target = Bed>> Drop for Shared<B> {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.0.gateway.show(),
            false => self.0.gateway.assert_no_trap(),
        }
    }
}

/// A gateway that one test uses at a time.
pub(crate) type Held = Shared<MutexGuard<'static, Bed>>;

/// Waits until no other test uses the gateway.
pub(crate) fn hold(bed: &'static Mutex<Bed>) -> Held {
    Shared(bed.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The gateway that all tests of this suite share; it has two workers.
#[track_caller]
pub(crate) fn shared() -> Shared<&'static Bed> {
    static BED: OnceLock<Bed> = OnceLock::new();
    Shared(BED.get_or_init(|| Bed::start(&Options::default().workers(2), &[CONSUMERS, SECTIONS].concat())))
}

/// How long a follower waits at the gateway of one worker.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(4);

/// A gateway of one worker, at which all who ask meet, also those who ask for streams; one test uses it at a time.
#[track_caller]
pub(crate) fn one_worker() -> Held {
    static BED: OnceLock<Mutex<Bed>> = OnceLock::new();
    let cache = format!("cache: {{coalesce_streams: true, max_wait: {}ms}}\n", MAX_WAIT.as_millis());
    hold(BED.get_or_init(|| Mutex::new(Bed::start(&Options::default(), &[CONSUMERS, &cache].concat()))))
}

/// Members that ask for a stream.
pub(crate) fn stream() -> Value {
    json!({"stream": true})
}

/// Members that ask for a stream with usage.
pub(crate) fn stream_with_usage() -> Value {
    json!({"stream": true, "stream_options": {"include_usage": true}})
}
