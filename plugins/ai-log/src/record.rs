//! The record: which members it has, and in which order.

use sluice_core::openai::error::Code;
use sluice_core::price::{NANO, decimal};

use crate::attempt::Attempt;
use crate::conversation::Said;
use crate::entry::Entry;
use crate::excerpt::Excerpt;
use crate::finding::Finding;
use crate::object::Object;
use crate::times::Times;
use crate::usage::Source;

/// Version of the record's shape.
const VERSION: u64 = 1;

/// One JSON object on one line, made of all that is known of the request.
pub(crate) fn write(entry: &Entry, said: &Said) -> String {
    let mut record = Object::new();
    record.number("version", Some(VERSION));
    if let Some(asked) = &entry.asked {
        record.word("request_id", Some(&asked.request_id));
        record.word("method", Some(&asked.method));
        record.text("path", Some(&asked.path));
        record.word("operation", Some(asked.operation.name()));
    }
    who(&mut record, entry);
    what(&mut record, entry);
    decisions(&mut record, entry);
    usage(&mut record, entry);
    times(&mut record, entry);
    record.number("status", Some(entry.status));
    record.word("finish_reason", entry.finish_reason.as_deref());
    record.word("error", entry.error.map(Code::name));
    record.word("end", Some(entry.end.name()));
    excerpt(&mut record, "prompt", "prompt_chars", said.prompt.as_ref());
    excerpt(&mut record, "answer", "answer_chars", said.answer.as_ref());
    record.finish()
}

fn who(record: &mut Object, entry: &Entry) {
    record.flag("stream", entry.question.stream);
    record.word("consumer", entry.caller.consumer.as_deref());
    record.word("tier", entry.caller.tier.as_deref());
    record.word("key_id", entry.caller.key_id.as_deref());
    record.json("metadata", entry.caller.metadata.as_deref());
    let headers = entry.asked.as_ref().map_or(&[][..], |asked| &asked.headers);
    if !headers.is_empty() {
        record.object("headers", |object| {
            for (name, value) in headers {
                object.named(name, |object| object.quoted(value));
            }
        });
    }
}

fn what(record: &mut Object, entry: &Entry) {
    let question = &entry.question;
    record.word("model", question.model.as_deref());
    record.words("has", &question.has);
    record.number("input_estimate", question.input_estimate);
    record.number("max_output", question.max_output);
    record.number("choices", question.choices);
    record.word("response_model", entry.response_model.as_deref());
    record.word("provider", entry.provider.as_deref());
    record.word("provider_model", entry.provider_model.as_deref());
    record.word("rule", question.rule.as_deref());
    record.word("target", question.target.as_deref());
}

fn decisions(record: &mut Object, entry: &Entry) {
    record.word("limit", entry.limit.as_deref());
    if let Some(fill) = &entry.fill {
        record.object("limit_fill", |object| {
            object.word("limit", Some(&fill.limit));
            object.number("percent", Some(fill.percent));
        });
    }
    record.word("cache", entry.cache.as_deref());
    record.word("cache_key", entry.cache_key.as_deref());
    record.number("cache_bytes", entry.cache_bytes);
    record.list("guard", &entry.findings, |object, finding: &Finding| finding.write(object));
    record.list("attempts", &entry.attempts.list, |object, attempt: &Attempt| attempt.write(object));
}

fn usage(record: &mut Object, entry: &Entry) {
    let usage = &entry.usage;
    record.number("input_tokens", usage.input);
    record.number("output_tokens", usage.output);
    record.number("cached_tokens", usage.cached);
    record.number("reasoning_tokens", usage.reasoning);
    record.word("usage_source", usage.source.map(Source::name));
    record.json("cost_usd", entry.cost.nano().map(|nano| decimal(nano, NANO)).as_deref());
    record.number("ttft_ms", usage.ttft_ms);
}

fn times(record: &mut Object, entry: &Entry) {
    let Times { upload_ms, provider_ms, gateway_ms, duration_ms, waits, limited_us, ended_us } = &entry.times;
    record.number("upload_ms", *upload_ms);
    record.number("provider_ms", *provider_ms);
    record.number("gateway_ms", *gateway_ms);
    record.number("duration_ms", *duration_ms);
    if !waits.is_empty() {
        record.object("waits", |object| {
            for (plugin, ms) in waits {
                object.named(plugin, |object| object.digits(*ms));
            }
        });
    }
    record.object("times", |object| {
        object.number("started_us", entry.asked.as_ref().map(|asked| asked.started_us));
        object.number("limited_us", *limited_us);
        object.number("ended_us", Some(*ended_us));
    });
}

/// A text of any length, and how long it was if it is cut.
fn excerpt(record: &mut Object, name: &str, length: &str, excerpt: Option<&Excerpt>) {
    if let Some(Excerpt { text, chars }) = excerpt {
        record.named(name, |object| object.quoted(text)); // an empty one is told, too
        record.number(length, *chars);
    }
}
