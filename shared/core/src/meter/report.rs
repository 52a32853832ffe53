//! Publishes what the meter knows, as soon as it is worth a host call.
//!
//! The record is written, and the limits are settled, by filters of the other stage: when the client leaves in
//! mid-stream, before this filter hears of it. So the usage of a stream is published with each of its parts (a third of
//! a microsecond): were it published more rarely, whoever leaves in between would have had the rest for nothing.

use super::{Meter, Source, StreamEnd, Usage};
use crate::context::{self, Fact};
use crate::filter::Host;

/// When the request began, and what has been published of its answer.
#[derive(Debug)]
pub(super) struct Report {
    began_ms: u64,
    input_estimate: u64,
    streams: bool,
    first_token: bool,
    model: bool,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl Report {
    pub(super) fn begin(host: &dyn Host, began_ms: u64, input_estimate: u64, streams: bool) -> Self {
        Self {
            began_ms: context::STARTED.number(host).unwrap_or(began_ms),
            input_estimate,
            streams,
            first_token: false,
            model: false,
            finish_reason: None,
            usage: None,
        }
    }

    /// Publishes what is new after a part of the answer; `ended` once it is known how it ends, all of it with the
    /// `last` part.
    pub(super) fn update(
        &mut self,
        host: &mut dyn Host,
        meter: &Meter,
        ended: Option<StreamEnd>,
        last: bool,
    ) {
        if self.streams && !self.first_token && meter.has_content() {
            self.first_token = true;
            let ttft_ms = host.now_ms().saturating_sub(self.began_ms);
            context::TTFT_MS.set_number(host, ttft_ms);
        }
        if let Some(model) = meter.model().filter(|_| !self.model) {
            self.model = true;
            context::RESPONSE_MODEL.set(host, model);
        }
        if self.finish_reason.as_deref() != meter.finish_reason() {
            self.finish_reason = meter.finish_reason().map(str::to_owned);
            context::FINISH_REASON.set(host, self.finish_reason.as_deref().unwrap_or_default());
        }
        if let Some(end) = ended {
            context::STREAM_END.set(host, end.name());
        }
        if last || meter.has_usage() || meter.has_content() || meter.is_terminated() {
            self.settle(host, meter);
        }
    }

    /// Publishes usage as it stands.
    pub(super) fn settle(&mut self, host: &mut dyn Host, meter: &Meter) {
        let usage = meter.usage(self.input_estimate);
        let before = self.usage.replace(usage);
        let mut set = |fact: Fact, count: Option<u64>, old: Option<u64>| {
            if let Some(count) = count.filter(|_| count != old) {
                fact.set_number(host, count);
            }
        };
        let input_known = usage.source == Source::Reported || usage.input > 0;
        set(context::INPUT_TOKENS, input_known.then_some(usage.input), before.map(|old| old.input));
        set(context::OUTPUT_TOKENS, Some(usage.output), before.map(|old| old.output));
        set(context::CACHED_TOKENS, usage.cached, before.and_then(|old| old.cached));
        set(context::REASONING_TOKENS, usage.reasoning, before.and_then(|old| old.reasoning));
        if before.map(|old| old.source) != Some(usage.source) {
            context::USAGE_SOURCE.set(host, usage.source.name());
        }
    }
}
