//! The metrics of a request: each is what a count over the records comes to.

use sluice_core::filter::Host;
use sluice_core::metric::{self, Family, Label};

use crate::blame::Class;
use crate::entry::Entry;
use crate::labels::{Bounds, Labels, OTHER};
use crate::outcome::End;
use crate::series::Series;
use crate::usage::{Cost, Source};

/// The labels that all metrics of a request have in common, and further ones.
macro_rules! labels {
    ($($more:ident),*) => {
        &[Label::Consumer, Label::Route, Label::Model, Label::Provider, Label::Operation, $(Label::$more),*]
    };
}

/// All that is written here.
pub(crate) const FAMILIES: &[Family] = &[
    Family::counter("ai_log_requests_total", labels![]),
    Family::counter("ai_log_errors_total", labels![ErrorClass, ErrorType]),
    Family::counter("ai_log_tokens_total", labels![TokenType, UsageSource]),
    Family::counter("ai_log_cost_nanodollars_total", labels![]),
    Family::counter("ai_log_unpriced_requests_total", labels![]),
    Family::counter("ai_log_attempts_total", labels![Verdict]),
    Family::counter("ai_log_fallbacks_total", labels![To, Reason]),
    Family::counter("ai_log_limit_refusals_total", labels![Limit]),
    Family::counter("ai_log_limits_nearly_used_total", labels![Limit]),
    Family::counter("ai_log_cache_total", labels![Result, Reason]),
    Family::counter("ai_log_guard_findings_total", labels![Check, On, Category, Action]),
    Family::counter("ai_log_labels_replaced_total", &[Label::Label]),
    Family::histogram("gen_ai_client_operation_duration_milliseconds", labels![ErrorType]),
    Family::histogram("gen_ai_client_token_usage", labels![TokenType]),
    Family::histogram("gen_ai_server_time_to_first_token_milliseconds", labels![]),
    Family::histogram("gen_ai_server_time_per_output_token_microseconds", labels![]),
    Family::histogram("ai_log_output_tokens_per_second", labels![]),
    Family::histogram("ai_log_gateway_milliseconds", labels![]),
];

/// From here on, in percent, a limit counts as nearly used.
const NEARLY: u64 = 90;

/// Counts the request.
pub(crate) fn write(host: &mut dyn Host, bounds: &mut Bounds, entry: &Entry) {
    let mut labels = Labels::of(host, bounds, entry);
    let provider = entry.provider.as_deref().unwrap_or_default();
    let own = labels.at(host, bounds, provider);
    attempts(host, bounds, &mut labels, (provider, &own), entry);
    let lost_category = findings(host, bounds, &own, entry);
    let error = entry.blame.as_ref().map(|blame| (blame.class, labels.kind(host, bounds, &blame.kind)));
    let mut series = Series::new(host, &own);
    outcome(&mut series, error, entry.times.duration_ms);
    usage(&mut series, entry);
    decisions(&mut series, entry);
    times(&mut series, entry);
    let lost = [
        ("model", labels.lost_model),
        ("set", labels.lost_set),
        ("status", labels.lost_status),
        ("category", lost_category),
    ];
    for (label, _) in lost.into_iter().filter(|(_, lost)| *lost) {
        host.count(&metric::series("ai_log_labels_replaced_total", &[(Label::Label, label)]), 1);
    }
}

/// `error`: whose, and which.
fn outcome(series: &mut Series<'_>, error: Option<(Class, &str)>, duration_ms: Option<u64>) {
    const DURATION: &str = "gen_ai_client_operation_duration_milliseconds";
    series.count("ai_log_requests_total", &[], 1);
    let Some((class, kind)) = error else {
        return series.observe(DURATION, &[], duration_ms);
    };
    let kind = (Label::ErrorType, kind);
    series.count("ai_log_errors_total", &[(Label::ErrorClass, class.name()), kind], 1);
    series.observe(DURATION, &[kind], duration_ms);
}

fn usage(series: &mut Series<'_>, entry: &Entry) {
    let usage = &entry.usage;
    let source = (Label::UsageSource, usage.source.map_or("", Source::name));
    for (kind, tokens) in [
        ("input", usage.input),
        ("output", usage.output),
        ("cached", usage.cached),
        ("reasoning", usage.reasoning),
    ] {
        series.count("ai_log_tokens_total", &[(Label::TokenType, kind), source], tokens.unwrap_or(0));
    }
    if usage.source == Some(Source::Reported) {
        for (kind, tokens) in [("input", usage.input), ("output", usage.output)] {
            // An embedding has no output; a 0 for each would hide how long answers are.
            let tokens = tokens.filter(|tokens| *tokens > 0);
            series.observe("gen_ai_client_token_usage", &[(Label::TokenType, kind)], tokens);
        }
    }
    match entry.cost {
        Cost::Nano(nano) => series.count("ai_log_cost_nanodollars_total", &[], nano),
        Cost::Unpriced => series.count("ai_log_unpriced_requests_total", &[], 1),
        Cost::None => {}
    }
}

fn decisions(series: &mut Series<'_>, entry: &Entry) {
    if let Some(limit) = entry.refused_by() {
        series.count("ai_log_limit_refusals_total", &[(Label::Limit, limit)], 1);
    } else if let Some(fill) =
        entry.fill.as_ref().filter(|fill| fill.percent >= NEARLY && entry.is_admitted())
    {
        series.count("ai_log_limits_nearly_used_total", &[(Label::Limit, &fill.limit)], 1);
    }
    if let Some(cache) = &entry.cache {
        let (result, reason) = cache.split_once("; reason=").unwrap_or((cache, ""));
        series.count("ai_log_cache_total", &[(Label::Result, result), (Label::Reason, reason)], 1);
    }
}

fn times(series: &mut Series<'_>, entry: &Entry) {
    let times = &entry.times;
    series.observe("gen_ai_server_time_to_first_token_milliseconds", &[], entry.usage.ttft_ms);
    series.observe("ai_log_gateway_milliseconds", &[], times.gateway_ms);
    let pace = entry.usage.pace(times.duration_ms).filter(|_| entry.end == End::Complete);
    if let Some((tokens, ms)) = pace {
        let per_token_us = ms.saturating_mul(1_000).checked_div(tokens);
        series.observe("gen_ai_server_time_per_output_token_microseconds", &[], per_token_us);
        let per_second = tokens.saturating_mul(1_000).checked_div(ms);
        series.observe("ai_log_output_tokens_per_second", &[], per_second);
    }
}

/// Each attempt counts for its own provider; `own` are provider and labels of the request.
fn attempts(
    host: &mut dyn Host,
    bounds: &mut Bounds,
    labels: &mut Labels<'_>,
    own: (&str, &str),
    entry: &Entry,
) {
    let list = &entry.attempts.list;
    for (index, attempt) in list.iter().enumerate() {
        let elsewhere = (attempt.provider != own.0).then(|| labels.at(host, bounds, &attempt.provider));
        let verdict = labels.kind(host, bounds, &attempt.verdict);
        let mut series = Series::new(host, elsewhere.as_deref().unwrap_or(own.1));
        series.count("ai_log_attempts_total", &[(Label::Verdict, verdict)], 1);
        let next = index.checked_add(1).and_then(|next| list.get(next));
        if let Some(next) = next.filter(|next| attempt.gives_way_to(next)) {
            let more = [(Label::To, next.provider.as_str()), (Label::Reason, verdict)];
            series.count("ai_log_fallbacks_total", &more, 1);
        }
    }
}

/// Whether a category gave way.
fn findings(host: &mut dyn Host, bounds: &mut Bounds, own: &str, entry: &Entry) -> bool {
    let mut lost = false;
    for finding in &entry.findings {
        let category = bounds.category(host, finding.category());
        lost |= category.is_none();
        let more = [
            (Label::Check, finding.check.as_str()),
            (Label::On, &finding.on),
            (Label::Category, category.as_deref().unwrap_or(OTHER)),
            (Label::Action, &finding.action),
        ];
        Series::new(host, own).count("ai_log_guard_findings_total", &more, finding.count);
    }
    lost
}

#[cfg(test)]
mod tests;
