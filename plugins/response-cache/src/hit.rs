//! Gives a kept answer to a client.

use sluice_core::context;
use sluice_core::filter::{Filter as _, Host, Next};
use sluice_core::openai::error::LocalReply;

use crate::ResponseCache;
use crate::entry::Entry;
use crate::form::Form;
use crate::label::{HEADER, Label};
use crate::question::Question;

/// Answers `question` with `entry`.
///
/// # Errors
/// Why it cannot.
pub(crate) fn reply(
    host: &mut dyn Host,
    question: &Question,
    entry: &Entry,
    coalesced: bool,
) -> Result<Next, &'static str> {
    let now_ms = host.now_ms();
    let body = question.answer(entry, now_ms)?;
    let label = Label::Hit { coalesced };
    publish(host, entry, label);
    let age_s = now_ms.saturating_sub(entry.stored_ms) / 1_000;
    let headers = vec![
        ("content-type", content_type(question, entry)),
        (HEADER, label.to_string()),
        ("age", age_s.to_string()),
    ];
    Ok(Next::Reply(LocalReply { status: 200, headers, body }))
}

fn content_type(question: &Question, entry: &Entry) -> String {
    let form = if question.wanted.stream { Form::Stream } else { Form::Document };
    if form == entry.form { entry.content_type.clone() } else { form.content_type().to_owned() }
}

/// A hit costs no tokens, and says what it has saved. How the stream ended is left out: it would teach token-limit that
/// answers have no length.
fn publish(host: &mut dyn Host, entry: &Entry, label: Label) {
    label.publish(host);
    context::METER.set(host, ResponseCache::NAME);
    context::USAGE_SOURCE.set(host, "cache");
    context::INPUT_TOKENS.set_number(host, 0);
    context::OUTPUT_TOKENS.set_number(host, 0);
    for (fact, text) in
        [(context::FINISH_REASON, &entry.finish_reason), (context::RESPONSE_MODEL, &entry.model)]
    {
        if !text.is_empty() {
            fact.set(host, text);
        }
    }
    host.count("response_cache_saved_input_tokens_total", entry.input_tokens);
    host.count("response_cache_saved_output_tokens_total", entry.output_tokens);
}
