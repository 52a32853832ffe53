//! The limits, decided by token-limit itself, over the ledgers of a [`Virtual`] Envoy.

use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::{Filter as _, Next};
use sluice_core::openai::error::{Code, ERROR_HEADER};
use token_limit::{Config, TokenLimit};

use super::decision::Refusal;
use super::host::Virtual;
use super::policy::Routed;
use super::provider::Outcome;
use super::record::Entry;

/// A request that the limits have let pass, until it is over.
pub(super) struct Held(TokenLimit);

/// Asks the limits of `config`; `None`: none applies.
///
/// # Errors
/// The limit that refuses, and how.
pub(super) fn ask(
    host: &mut Virtual,
    config: &Rc<Config>,
    entry: &Entry,
    routed: &Routed<'_>,
) -> Result<Held, Refusal> {
    present(host, entry, routed);
    let mut filter = TokenLimit::new(Rc::clone(config));
    match filter.on_request_headers(host, false) {
        Next::Reply(reply) => {
            let code = reply.headers.iter().find(|(name, _)| *name == ERROR_HEADER);
            let code = code.map_or(Code::RateLimitExceeded.name(), |(_, code)| code);
            let limit = context::LIMIT.get(host);
            let limit = limit.as_deref().and_then(|limit| limit.strip_prefix("refused:"));
            Err(Refusal { code: code.to_owned(), limit: limit.map(str::to_owned) })
        }
        _ => Ok(Held(filter)),
    }
}

/// Shows a request as the filters before token-limit leave it.
fn present(host: &mut Virtual, Entry { client, record }: &Entry, routed: &Routed<'_>) {
    host.set_request(routed.headers.clone());
    host.set_address(*client);
    host.publish(context::CONSUMER, Some(routed.caller.name()));
    host.publish(context::TIER, routed.caller.tier());
    host.publish(context::KEY_ID, record.key_id.as_deref());
    host.publish(context::MODEL, record.model.as_deref());
    let base_model = Some(routed.base_model.as_str());
    host.publish(context::BASE_MODEL, base_model.filter(|base| Some(*base) != record.model.as_deref()));
    host.publish(context::RULE, Some(&routed.rule));
    host.publish(context::TARGET, Some(&routed.target));
    host.publish(context::OPERATION, record.operation.as_deref());
    host.publish(context::HAS, Some(&record.has.join(",")));
    host.publish_number(context::INPUT_ESTIMATE, record.input_estimate);
    host.publish_number(context::MAX_OUTPUT, record.max_output);
    host.publish_number(context::CHOICES, record.choices);
}

impl Held {
    /// The time has come to renew what is held.
    pub(super) fn renew(&mut self, host: &mut Virtual) {
        self.0.on_wake(host);
    }

    /// The request is over: what was reserved gives way to what was used.
    pub(super) fn settle(mut self, host: &mut Virtual, Entry { record, .. }: &Entry, outcome: &Outcome) {
        host.set_reached_provider(outcome.reached_provider);
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let step = outcome.served.as_ref();
        let provider = step.map(|step| step.provider.as_str());
        host.publish(context::PROVIDER, provider);
        host.publish(context::PROVIDER_MODEL, step.map(|step| step.model.as_str()));
        host.publish(context::RESPONSE_MODEL, text(&outcome.response_model).as_deref());
        host.publish(context::MODEL, record.model.as_deref());
        host.publish(context::ERROR, outcome.error.as_deref());
        host.publish(context::METER, outcome.tokens.output.and(provider));
        host.publish(context::STREAM_END, outcome.complete.then_some("complete"));
        host.publish_number(context::INPUT_TOKENS, outcome.tokens.input);
        host.publish_number(context::CACHED_TOKENS, outcome.tokens.cached);
        host.publish_number(context::OUTPUT_TOKENS, outcome.tokens.output);
        host.publish_number(context::INPUT_ESTIMATE, record.input_estimate);
        host.publish_number(context::CHOICES, record.choices);
        if outcome.status > 0 {
            host.set_status(outcome.status);
            self.0.on_response_headers(host, true);
        }
        self.0.on_done(host);
    }
}
