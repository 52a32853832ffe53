//! Meters the answer where no filter nearer to the provider does: `ai-log` loaded alone.

use sluice_core::context;
use sluice_core::filter::{Host, Side};
use sluice_core::meter::{Meter, Seen, Source, StreamEnd};
use sluice_core::openai::Operation;
use sluice_core::sse::Splitter;

use crate::record::Asked;

/// Largest JSON answer that is kept to be read at its end, in bytes; a chat answer has a few thousand.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The meter of one answer.
pub(crate) struct Metering {
    operation: Operation,
    started_ms: u64,
    meter: Meter,
    shape: Shape,
}

enum Shape {
    Stream(Splitter),
    Json(Vec<u8>),
    TooLarge,
}

impl Metering {
    /// Claims the answer whose headers have just come, if it is a readable one and still free.
    pub(crate) fn claim(host: &mut dyn Host, asked: &Asked) -> Option<Self> {
        if context::METER.get(host).is_some() || context::ERROR.get(host).is_some() {
            return None;
        }
        let headers = host.headers(Side::Response);
        let encoding = headers.text("content-encoding").unwrap_or("identity");
        let succeeded = headers.text(":status").is_some_and(|status| status.starts_with('2'));
        let media_type = headers.text("content-type")?.split(';').next()?.trim().to_ascii_lowercase();
        let shape = match media_type.as_str() {
            _ if !succeeded || encoding != "identity" => return None,
            "text/event-stream" => Shape::Stream(Splitter::default()),
            "application/json" => Shape::Json(Vec::new()),
            _ => return None,
        };
        context::METER.set(host, "ai-log");
        let operation = context::OPERATION.get(host).map(|name| Operation::from_name(&name));
        let operation = operation.unwrap_or_else(|| asked.operation());
        Some(Self { operation, started_ms: asked.started_ms, meter: Meter::new(operation), shape })
    }

    /// Takes the next part of the body.
    pub(crate) fn feed(&mut self, host: &mut dyn Host, part: &[u8], end: bool) {
        let had_content = self.meter.has_content();
        let ended = match &mut self.shape {
            Shape::Stream(splitter) => {
                splitter.feed(part, |piece| _ = self.meter.piece(piece));
                if end {
                    splitter.finish(|piece| _ = self.meter.piece(piece));
                }
                end || self.meter.is_terminated()
            }
            Shape::Json(body) if body.len().saturating_add(part.len()) <= MAX_BODY_BYTES => {
                body.extend_from_slice(part);
                end && self.meter.body(body) != Seen::Invalid
            }
            Shape::Json(_) | Shape::TooLarge => {
                self.shape = Shape::TooLarge;
                end
            }
        };
        if matches!(self.shape, Shape::Stream(_)) && self.meter.has_content() && !had_content {
            let ttft_ms = host.now_ms().saturating_sub(self.started_ms);
            context::TTFT_MS.set_number(host, ttft_ms);
        }
        if ended {
            context::STREAM_END.set(host, self.end().name());
        }
    }

    fn end(&self) -> StreamEnd {
        match self.shape {
            Shape::TooLarge => StreamEnd::Complete,
            _ => self.meter.end(),
        }
    }

    /// Publishes what has been seen so far.
    pub(crate) fn publish(&self, host: &mut dyn Host) {
        for (fact, value) in [
            (context::RESPONSE_MODEL, self.meter.model()),
            (context::FINISH_REASON, self.meter.finish_reason()),
        ] {
            if let Some(value) = value {
                fact.set(host, value);
            }
        }
        // What has no tokens (`GET /v1/models`) and what was not read has none to estimate either.
        let unread = matches!(self.shape, Shape::TooLarge) || !self.meter.has_content();
        if self.meter.has_usage() || self.operation != Operation::Other && !unread {
            self.publish_usage(host);
        }
    }

    fn publish_usage(&self, host: &mut dyn Host) {
        let estimate = context::INPUT_ESTIMATE.number(host);
        let usage = self.meter.usage(estimate.unwrap_or(0));
        let input_known = usage.source == Source::Reported || usage.input > 0;
        for (fact, value) in [
            (context::INPUT_TOKENS, input_known.then_some(usage.input)),
            (context::OUTPUT_TOKENS, Some(usage.output)),
            (context::CACHED_TOKENS, usage.cached),
            (context::REASONING_TOKENS, usage.reasoning),
        ] {
            if let Some(value) = value {
                fact.set_number(host, value);
            }
        }
        context::USAGE_SOURCE.set(host, usage.source.name());
    }
}
