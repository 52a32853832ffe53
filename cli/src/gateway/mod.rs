//! The checked model of `gateway.yaml`: once a [`Gateway`] exists, nothing in it is left to be refused.
//!
//! Fields and defaults: `docs/gateway.md`. Every part is read by the module that defines it; `lint` then
//! looks at the parts together for what is allowed but does nothing.

mod address;
mod cache;
mod consumer;
mod guard;
mod http;
mod limit;
mod line;
mod lint;
mod listen;
mod metrics;
mod pattern;
mod policy;
mod price;
mod provider;
mod redis;
mod rule;
mod secret;
mod tracing;
mod url;

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub use address::{Endpoint, Host, Scheme};
pub use cache::{Cache, Scope};
pub use consumer::{Consumer, ConsumerKey, Credentials, Origin, sha256_hex};
pub use guard::{Action, Check, Contract, Failure, Finder, Form, Guard, Refusal, Risk, Service};
pub use limit::{Amount, Dimension, Limit, Weights};
pub use listen::Tls;
pub use metrics::Metrics;
pub use policy::{Filters, Hold, HoldUntil, Log, Prompts, Retry, Timeouts};
pub use price::Price;
pub use provider::{Balance, Key, Protocol, Provider, Rotation};
pub use redis::{OnError, Redis};
pub use rule::{Hop, Rule, Sticky, Target, When};
pub use secret::Secret;
pub use tracing::Tracing;

use sluice_core::config::shown;

use crate::file::{Cursor, Fields, Place, Report, tree};

/// Clients connect here unless the file says otherwise.
pub const LISTEN: &str = "127.0.0.1:10000";
/// Envoy's admin interface unless the file says otherwise.
pub const ADMIN: &str = "127.0.0.1:9901";
/// Largest request body in bytes unless the file says otherwise: some images in base64.
pub const MAX_REQUEST_BODY: u64 = 32 << 20;

/// Everything that one `gateway.yaml` says, defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Where clients connect.
    pub listen: std::net::SocketAddr,
    /// Certificate for clients that speak https; `None`: http.
    pub tls: Option<Tls>,
    /// Where Envoy's admin interface listens.
    pub admin: std::net::SocketAddr,
    /// Largest request body in bytes.
    pub max_request_body: u64,
    /// Who may call, in the order of the file; names are unique. Empty: everybody, as `anonymous`.
    pub consumers: Vec<Consumer>,
    /// The consumer that callers without a key are; `None`: they are refused, where there are consumers.
    pub anonymous: Option<String>,
    /// Where keys are looked for besides the usual headers.
    pub credentials: Credentials,
    /// Who serves models, in the order of the file; names are unique.
    pub providers: Vec<Provider>,
    /// The rules, in the order of the file; the first that matches wins. At least one.
    pub models: Vec<Rule>,
    /// How long to wait for a provider.
    pub timeouts: Timeouts,
    /// When an attempt is followed by another.
    pub retry: Retry,
    /// How long an answer is held back until it is known to be good.
    pub hold: Hold,
    /// How much may be used, in the order of the file; all that apply to a request must admit it.
    pub limits: Vec<Limit>,
    /// What tokens cost, in the order of the file; the first that matches counts.
    pub prices: Vec<Price>,
    /// Where limits are counted and answers kept; `None`: in Envoy's own memory.
    pub redis: Option<Redis>,
    /// Which answers are given again; `None`: none.
    pub cache: Option<Cache>,
    /// What may go to a model and come back; `None`: everything.
    pub guard: Option<Guard>,
    /// What the access log holds.
    pub log: Log,
    /// How the plugins are loaded.
    pub filters: Filters,
    /// How many series clients can make.
    pub metrics: Metrics,
    /// Where spans of requests go; `None`: nowhere.
    pub tracing: Option<Tracing>,
}

impl Gateway {
    /// The provider of that name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// Attempts that a request gets when `rule` serves it: `retry.attempts`, or enough to reach the end of
    /// the rule's chain. At least 1.
    #[must_use]
    pub fn attempts(&self, rule: &Rule) -> u32 {
        let hops = u32::try_from(rule.fallback.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.retry.attempts.unwrap_or_else(|| self.retry.per_target.saturating_mul(hops))
    }
}

/// What a check may look at besides the file.
pub struct CheckOptions<'a> {
    /// Looks up an environment variable.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl CheckOptions<'static> {
    /// The environment of this process.
    #[must_use]
    pub fn process() -> Self {
        Self { env: &|name| std::env::var(name).ok() }
    }
}

/// What became of a gateway.yaml.
#[derive(Debug)]
pub struct Loaded {
    /// There exactly when the report holds no mistake.
    pub gateway: Option<Gateway>,
    /// Every finding.
    pub report: Report,
    /// Files that it names besides itself, each once, even those that could not be read: secrets, certificates. A
    /// change of one is a change of the configuration.
    pub files: Vec<PathBuf>,
}

/// Reads `file` and checks it by itself; see [`mod@crate::check`] for the whole check.
#[must_use]
pub fn load(file: &Path, options: &CheckOptions<'_>) -> Loaded {
    match std::fs::read(file) {
        Ok(bytes) => check(file, &bytes, options),
        Err(error) => {
            let report = Report::new(file);
            let why = secret::why(&error);
            report.mistake(Place::START, "file", format!("{why}; name a file that can be read"));
            Loaded { gateway: None, report, files: Vec::new() }
        }
    }
}

/// Checks `bytes` as the content of `file`, whose directory relative paths in it start from.
#[must_use]
pub fn check(file: &Path, bytes: &[u8], options: &CheckOptions<'_>) -> Loaded {
    let report = Report::new(file);
    let directory = file.parent().unwrap_or(Path::new(""));
    let sources = Sources { directory, env: options.env, files: RefCell::default() };
    let root = tree::parse(bytes, &report);
    let gateway = root.and_then(|root| read(&Cursor::root(root, &report), &sources));
    if let Some(gateway) = gateway.as_ref().filter(|_| !report.has_mistakes()) {
        lint::literal_secrets_in(file, gateway, &report);
    }
    let gateway = gateway.filter(|_| !report.has_mistakes());
    Loaded { gateway, report, files: sources.files.into_inner().all }
}

/// Where values outside the file come from, and which files were asked for.
struct Sources<'a> {
    directory: &'a Path,
    env: &'a dyn Fn(&str) -> Option<String>,
    files: RefCell<Files>,
}

/// Files in the order in which they were first asked for. There may be one for each of many consumers.
#[derive(Default)]
struct Files {
    all: Vec<PathBuf>,
    known: HashSet<PathBuf>,
}

impl Sources<'_> {
    /// Adds a file to those that were asked for.
    fn note(&self, path: &Path) {
        let mut files = self.files.borrow_mut();
        if files.known.insert(path.to_owned()) {
            files.all.push(path.to_owned());
        }
    }
}

fn read(root: &Cursor<'_>, sources: &Sources<'_>) -> Option<Gateway> {
    let mut fields = root.fields("sections such as `providers` and `models`")?;
    version(&mut fields);
    let listen = listen::read(&mut fields, sources);
    let max_request_body =
        fields.optional("max_request_body").map_or(Some(MAX_REQUEST_BODY), |at| at.size(1 << 10..=1 << 30));
    let providers = provider::read(&mut fields, sources);
    let (known, callers) = consumer::read(&mut fields, sources);
    let models = rule::read(&mut fields, &providers.names, &known);
    let timeouts = policy::timeouts(&mut fields);
    let retry = policy::retry(&mut fields);
    let hold = policy::hold(&mut fields);
    let limits = limit::read(&mut fields, &known);
    let prices = price::read(&mut fields);
    let redis = redis::read(&mut fields, sources);
    let cache = cache::read(&mut fields);
    let guard = guard::read(&mut fields, &known, sources);
    let log = policy::log(&mut fields);
    let filters = policy::filters(&mut fields);
    let metrics = metrics::read(&mut fields);
    let tracing = tracing::read(&mut fields, sources);
    fields.finish();
    let (listen, callers, providers, models) = (listen?, callers?, providers.all?, models?);
    let gateway = Gateway {
        listen: listen.address,
        tls: listen.tls,
        admin: listen.admin,
        max_request_body: max_request_body?,
        consumers: callers.consumers,
        anonymous: callers.anonymous,
        credentials: callers.credentials,
        providers,
        models,
        timeouts: timeouts?,
        retry: retry?,
        hold: hold?,
        limits: limits?,
        prices: prices?,
        redis: redis?,
        cache: cache?,
        guard: guard?,
        log: log?,
        filters: filters?,
        metrics: metrics?,
        tracing: tracing?,
    };
    lint::look(root, &gateway);
    Some(gateway)
}

/// The file's format; there is one.
fn version(fields: &mut Fields<'_>) {
    if let Some(at) = fields.optional("version")
        && let Some(text) = at.text("1")
        && text != "1"
    {
        at.refuse::<()>(format!("{:?} is no version that this sluice reads; write 1", shown(text)));
    }
}
