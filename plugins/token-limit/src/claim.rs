//! What a request asks of each limit that applies to it, and what it comes to in the end.

use serde_json::Value;
use sluice_core::content::Shape;
use sluice_core::context;
use sluice_core::filter::{Headers, Host};
use sluice_core::openai::Operation;
use sluice_core::openai::error::Code;
use sluice_core::price::{Price, Served, Usage};
use sluice_core::window::Window;

use crate::config::{Config, Limit};
use crate::learnt;
use crate::measure::Measure;
use crate::store::{self, Owed, Want};
use crate::subject::Subject;

/// The tag of decisions that share no dimension: an empty one would be none to Redis.
const SHARED: &str = "all";

/// One bucket that a request takes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Which limit it is of.
    pub(crate) limit: usize,
    /// The bucket, in either store.
    pub(crate) key: String,
    /// What is reserved, in units of the ledger; at most the limit's amount.
    pub(crate) amount: u64,
}

/// What a request asks of each limit that applies to `subject`.
pub(crate) fn of(host: &dyn Host, config: &Config, subject: &Subject) -> Vec<Claim> {
    let limits: Vec<(usize, &Limit)> =
        config.limits.iter().enumerate().filter(|(_, limit)| limit.outside(subject).is_none()).collect();
    if limits.is_empty() {
        return Vec::new();
    }
    let usage = expected(host, subject);
    let price = needs_price(&limits).then(|| price_of_target(host, config, subject)).flatten();
    let tag = tag(config, subject);
    let claim = |(index, limit): (usize, &Limit)| Claim {
        limit: index,
        key: store::key(&tag, &limit.ledger, &subject.values(&limit.by)),
        amount: needed(limit, &usage, price.as_ref()).min(limit.amount),
    };
    limits.into_iter().map(claim).collect()
}

/// What `usage` needs of `limit`. Every request has some input, also one whose input cannot be estimated: it must not
/// pass where nothing is left.
fn needed(limit: &Limit, usage: &Usage, price: Option<&Price>) -> u64 {
    let amount = limit.measure.amount(usage, price);
    if matches!(limit.measure, Measure::Input | Measure::Total) { amount.max(1) } else { amount }
}

fn tag(config: &Config, subject: &Subject) -> String {
    if config.common.is_empty() { SHARED.to_owned() } else { subject.values(&config.common).join("|") }
}

fn needs_price(limits: &[(usize, &Limit)]) -> bool {
    limits.iter().any(|(_, limit)| limit.measure == Measure::Cost)
}

/// The tokens that a request will probably use: its input as estimated, and as much output as the model's answers have
/// had lately, but no more than the request allows.
fn expected(host: &dyn Host, subject: &Subject) -> Usage {
    let output = expected_output(host, subject.model.as_deref().unwrap_or_default());
    Usage { input: subject.content.input_tokens, cached: 0, output }
}

/// Answers that the request asks for at once; of more than OpenAI grants, the provider will have none.
/// <https://platform.openai.com/docs/api-reference/chat/create#chat-create-n>
pub(crate) fn choices(host: &dyn Host) -> u64 {
    context::CHOICES.number(host).unwrap_or(1).clamp(1, 128)
}

fn expected_output(host: &dyn Host, model: &str) -> u64 {
    let has_output = !context::OPERATION.is(host, Operation::Embeddings.name());
    let learnt = if has_output { learnt::expected(host, model) } else { 0 };
    let each = context::MAX_OUTPUT.number(host).map_or(learnt, |max| max.min(learnt));
    each.saturating_mul(choices(host))
}

/// The price of the target that was picked; where the table has none, the dearest.
fn price_of_target(host: &dyn Host, config: &Config, subject: &Subject) -> Option<Price> {
    let target = context::TARGET.get(host).unwrap_or_default();
    let (provider, model) = target.split_once('/').map_or((target.as_str(), None), |(p, m)| (p, Some(m)));
    let asked = || context::BASE_MODEL.get(host).or_else(|| subject.model.clone());
    let model = model.map(str::to_owned).or_else(asked).unwrap_or_default();
    config.prices.find(provider, &model).or_else(|| config.prices.dearest()).copied()
}

/// The wants of `claims`, for the stores.
pub(crate) fn wants<'a>(config: &Config, claims: &'a [Claim]) -> Vec<Want<'a>> {
    let want = |claim: &'a Claim| {
        let limit = config.limits.get(claim.limit)?;
        Some(Want::new(&claim.key, window(limit), limit.amount, claim.amount))
    };
    claims.iter().filter_map(want).collect()
}

/// What `claims` come to, for the stores: `actual` says it for each limit.
pub(crate) fn owed<'a>(
    config: &Config,
    claims: &'a [Claim],
    actual: impl Fn(&Limit) -> u64,
) -> Vec<Owed<'a>> {
    let owed = |claim: &'a Claim| {
        let limit = config.limits.get(claim.limit)?;
        let (window, held) = (window(limit), claim.amount);
        Some(Owed { key: &claim.key, window, limit: limit.amount, held, actual: actual(limit) })
    };
    claims.iter().filter_map(owed).collect()
}

fn window(limit: &Limit) -> Option<Window> {
    (limit.per_ms > 0).then(|| Window::new(limit.per_ms))
}

/// What the client got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Got {
    /// Nothing yet.
    #[default]
    Nothing,
    /// An error, which no provider charges for.
    Error,
    /// An answer.
    Answer,
    /// An answer that is compressed, though nobody asked for that, so that nobody here can count it.
    Unread,
}

impl Got {
    pub(crate) fn of(headers: &Headers) -> Self {
        let status = headers.text(":status").and_then(|status| status.parse::<u16>().ok());
        match status {
            Some(400..) => Self::Error,
            _ if Shape::of(headers) == Shape::Unread => Self::Unread,
            _ => Self::Answer,
        }
    }
}

/// What a request has used when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    usage: Usage,
    price: Option<Price>,
    reached_provider: bool,
}

impl Used {
    /// Reads what the meter and the provider stage have published of a request to `model`.
    pub(crate) fn of(host: &mut dyn Host, config: &Config, got: Got, model: &str) -> Self {
        let number = |fact: context::Fact| fact.number(host).unwrap_or(0);
        let costs = config.limits.iter().any(|limit| limit.measure == Measure::Cost);
        let text = |fact: context::Fact| if costs { fact.get(host) } else { None };
        let [provider, sent, answered, asked] =
            [context::PROVIDER, context::PROVIDER_MODEL, context::RESPONSE_MODEL, context::MODEL].map(text);
        let served = Served {
            reached_provider: reached_provider(host),
            is_error: is_error(host, got) && !is_withheld(host),
            input: context::INPUT_TOKENS.number(host),
            input_estimate: number(context::INPUT_ESTIMATE),
            cached: number(context::CACHED_TOKENS),
            output: match got {
                Got::Unread => expected_output(host, model),
                _ => number(context::OUTPUT_TOKENS),
            },
            provider: provider.as_deref().unwrap_or_default(),
            models: [sent.as_deref(), answered.as_deref(), asked.as_deref()],
        };
        let reached_provider = served.reached_provider;
        let Some(usage) = served.usage() else {
            return Self { reached_provider, ..Self::default() };
        };
        let price = costs.then(|| price_of_server(host, config, &served)).flatten();
        Self { usage, price, reached_provider }
    }

    /// What it comes to for `limit`, in units of its ledger.
    pub(crate) fn amount(&self, limit: &Limit) -> u64 {
        match limit.measure {
            Measure::Requests => self.reached_provider.into(),
            Measure::InFlight => 0,
            measure => measure.amount(&self.usage, self.price.as_ref()),
        }
    }
}

/// Whether the client got an error. A reply that Envoy sends while another filter holds the answer's headers does not come
/// past here: of that, Envoy itself knows the status.
fn is_error(host: &dyn Host, got: Got) -> bool {
    match got {
        Got::Nothing => host.attribute_number(&["response", "code"]).is_some_and(|status| status >= 400),
        Got::Error => true,
        Got::Answer | Got::Unread => false,
    }
}

/// Whether the error that the client got stands in the place of an answer that a provider gave.
fn is_withheld(host: &dyn Host) -> bool {
    context::METER.is_set(host) && context::ERROR.read(host, Code::withholds) == Some(true)
}

/// Whether a provider has got to see the request. Envoy knows its own address in a connection once there is one, not
/// while it tries; it speaks of the last attempt, and those before are on `fallback`'s list.
fn reached_provider(host: &dyn Host) -> bool {
    // What a meter counted, a provider has answered, if not the cache: this is told more cheaply.
    let is_metered = context::USAGE_SOURCE.read(host, |source| source != "cache") == Some(true);
    if is_metered || host.attribute(&["upstream", "local_address"]).is_some() {
        return true;
    }
    let attempts =
        context::ATTEMPTS.read(host, |list| serde_json::from_str::<Vec<Value>>(list).ok()).flatten();
    let verdict =
        |attempt: &Value| attempt.get("verdict").is_some_and(|verdict| verdict != "connect_failure");
    attempts.iter().flatten().any(verdict)
}

/// The price of the model that served; where the table has none, the dearest.
fn price_of_server(host: &mut dyn Host, config: &Config, served: &Served<'_>) -> Option<Price> {
    let price = config.prices.of(served);
    if price.is_none() {
        host.count("token_limit_unpriced_total", 1);
    }
    price.or_else(|| config.prices.dearest()).copied()
}
