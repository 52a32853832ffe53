//! Sends a request on its way: facts for the other filters, headers for Envoy's router.

use std::borrow::Cow;

use sluice_core::context;
use sluice_core::filter::{Headers, Host, Side};
use sluice_core::when::Caller;

use crate::config::Config;
use crate::head;
use crate::models::Allowed;
use crate::refusal::Refusal;
use crate::request::RequestFacts;
use crate::rules::{Decision, decide};

/// Names the cluster, for a route with `cluster_header`.
const CLUSTER_HEADER: &str = "x-ai-cluster";

/// `true` on streams, for the route whose timeouts suit them.
const STREAM_HEADER: &str = "x-ai-stream";

/// Retries that Envoy's router may make, 0 included
/// (<https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter#x-envoy-max-retries>).
const RETRIES_HEADER: &str = "x-envoy-max-retries";

/// What no client may send: our own headers, and those by which a request overrides Envoy's retries and timeouts,
/// which Envoy itself takes only off requests from outside (same page as [`RETRIES_HEADER`]).
const INTERNAL_PREFIXES: [&str; 5] =
    ["x-ai-", RETRIES_HEADER, "x-envoy-retr", "x-envoy-upstream-", "x-envoy-hedge-"];

/// Longest model name that is looked up, in bytes; it goes into facts and so into the log. The longest in use,
/// ARNs of inference profiles, stay under 200.
const MAX_MODEL_BYTES: usize = 1024;

/// Removes the headers that only the gateway itself may set.
pub(crate) fn strip_internal(host: &mut dyn Host, headers: &Headers) {
    let internal = |name: &&str| INTERNAL_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    headers.iter().map(|(name, _)| name).filter(internal).for_each(|name| {
        host.remove_header(Side::Request, name);
    });
}

/// Decides where the request goes, and says so in facts and headers.
///
/// # Errors
/// It names no model, one that no rule takes, or one that the caller may not use.
pub(crate) fn send(
    host: &mut dyn Host,
    config: &Config,
    headers: Headers,
    facts: &RequestFacts,
) -> Result<(), Refusal> {
    let model = facts.model.clone().or_else(|| head::path_model(&headers));
    let model = model.ok_or_else(Refusal::missing_model)?;
    if model.len() > MAX_MODEL_BYTES {
        return Err(Refusal::model_not_found(&model));
    }
    publish(host, &model, facts);
    let asker = Asker::of(host, &headers);
    let decision = asker.with(|caller| decide(config, &model, facts, caller, &asker.request_id));
    let decision = decision.ok_or_else(|| Refusal::model_not_found(&model))?;
    if !Allowed::of(host).has(&model) {
        return Err(Refusal::model_not_allowed(&model));
    }
    drop(headers); // they change, and nobody is to pay for the old ones
    apply(host, &model, &decision);
    if facts.stream {
        host.set_header(Side::Request, STREAM_HEADER, "true");
    }
    Ok(())
}

/// Takes back where the request goes, and leaves the facts: whoever answers it is a filter. Where there is none, no
/// provider is asked what no limit counts.
pub(crate) fn stay(host: &mut dyn Host) {
    host.remove_header(Side::Request, CLUSTER_HEADER);
}

fn publish(host: &mut dyn Host, model: &str, facts: &RequestFacts) {
    context::MODEL.set(host, model);
    context::STREAM.set(host, if facts.stream { "true" } else { "false" });
    context::INPUT_ESTIMATE.set_number(host, facts.input_tokens);
    let has: Vec<&str> = [("tools", facts.tools), ("images", facts.images)]
        .iter()
        .filter(|(_, has)| *has)
        .map(|(name, _)| *name)
        .collect();
    if !has.is_empty() {
        context::HAS.set(host, &has.join(","));
    }
    if let Some(max) = facts.max_output {
        context::MAX_OUTPUT.set_number(host, max);
    }
    if facts.choices > 1 {
        context::CHOICES.set_number(host, facts.choices);
    }
}

fn apply(host: &mut dyn Host, model: &str, decision: &Decision<'_>) {
    let Decision { rule, target, base_model } = decision;
    context::RULE.set(host, &rule.name);
    context::TARGET.set(host, &target.name);
    if *base_model != model {
        context::BASE_MODEL.set(host, base_model);
    }
    host.set_header(Side::Request, CLUSTER_HEADER, &target.cluster);
    host.set_header(Side::Request, RETRIES_HEADER, &target.attempts.saturating_sub(1).to_string());
}

/// Who asks, as the host tells it.
pub(crate) struct Asker<'a> {
    consumer: Option<String>,
    tier: Option<String>,
    request_id: Cow<'a, str>,
    headers: &'a Headers,
}

impl<'a> Asker<'a> {
    pub(crate) fn of(host: &dyn Host, headers: &'a Headers) -> Self {
        let request_id = headers.text("x-request-id").filter(|id| !id.is_empty()).map(Cow::Borrowed);
        Self {
            consumer: context::CONSUMER.get(host),
            tier: context::TIER.get(host),
            request_id: request_id.unwrap_or_else(|| host.now_ns().to_string().into()),
            headers,
        }
    }

    /// Shows the asker to the policy.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Caller<'_>) -> T) -> T {
        ask(&Caller {
            consumer: self.consumer.as_deref(),
            tier: self.tier.as_deref(),
            header: &|name| self.headers.text(name),
        })
    }
}
