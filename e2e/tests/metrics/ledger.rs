//! Counts from the access log alone what the metrics ought to say, series by series.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_e2e::exposition::{Metrics, Series};

/// What is counted, by series.
pub(crate) type Counts = BTreeMap<Series, u64>;

/// What the log does not tell.
pub(crate) struct Rules<'a> {
    /// Whether a model that a rule matched has series of its own.
    pub(crate) is_named: &'a dyn Fn(&str) -> bool,
}

/// The count of every record.
pub(crate) fn count(rules: &Rules<'_>, log: &[Value]) -> Counts {
    let mut counts = Counts::new();
    for record in log {
        Entry { rules, record, counts: &mut counts }.count();
    }
    for (provider, _, reason) in rests(log) {
        let series = Series::new("key_rotation_rests_total").with("gen_ai_provider_name", &provider);
        *counts.entry(series.with("reason", reason)).or_default() += 1;
    }
    counts
}

/// Provider, key and reason of each rest; no rest may end before the log does.
fn rests(log: &[Value]) -> BTreeSet<(String, String, &'static str)> {
    let attempts = log.iter().filter_map(|record| record["attempts"].as_array()).flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rest = |attempt: &Value| {
        let reason = match attempt["verdict"].as_str()? {
            "status_429" => "limited",
            "status_401" | "status_403" => "refused",
            _ => return None,
        };
        Some((text(&attempt["provider"]), text(&attempt["key"]), reason))
    };
    attempts.filter_map(rest).collect()
}

/// One record on its way into the counts.
struct Entry<'a> {
    rules: &'a Rules<'a>,
    record: &'a Value,
    counts: &'a mut Counts,
}

/// Metrics whose series carry the labels of a request.
pub(crate) const OF_REQUESTS: [&str; 2] = ["ai_log_", "gen_ai_"];

/// Metrics of other plugins that the log tells, too.
pub(crate) const OF_OTHERS: [&str; 9] = [
    "token_limit_admitted_total",
    "token_limit_refused_total",
    "response_cache_hits_total",
    "response_cache_misses_total",
    "response_cache_bypasses_total",
    "response_cache_coalesced_total",
    "content_guard_verdicts_total",
    "consumer_auth_refused_total",
    "key_rotation_rests_total",
];

/// What the gateway counts of all that, histograms by how often they were told something.
pub(crate) fn counted(metrics: &Metrics) -> Counts {
    let ours = |name: &str| {
        let of_requests = OF_REQUESTS.iter().any(|prefix| name.starts_with(prefix));
        (of_requests && !name.ends_with("_bucket") && !name.ends_with("_sum")) || OF_OTHERS.contains(&name)
    };
    // A native filter's metric without labels is there before it has counted.
    let found = metrics.iter().filter(|(series, value)| ours(&series.name) && *value != 0.0);
    found.map(|(series, value)| (series.clone(), whole(series, value))).collect()
}

#[track_caller]
fn whole(series: &Series, value: f64) -> u64 {
    assert!(value >= 0.0 && value.fract() == 0.0 && value < 9e15, "{series} is {value}");
    value as u64
}

/// Where the two differ, in words.
pub(crate) fn differences(log: &Counts, metrics: &Counts) -> Vec<String> {
    let all = log.keys().chain(metrics.keys().filter(|series| !log.contains_key(series)));
    let differ = all.filter(|series| log.get(series) != metrics.get(series));
    differ
        .map(|series| format!("{series}: log {:?}, metrics {:?}", log.get(series), metrics.get(series)))
        .collect()
}

impl Entry<'_> {
    fn count(&mut self) {
        self.requests();
        self.tokens();
        self.attempts();
        self.decisions();
        self.times();
    }

    fn requests(&mut self) {
        self.add("ai_log_requests_total", &[], 1);
        let error = self.error();
        if let Some((class, kind)) = &error {
            self.add("ai_log_errors_total", &[("error_class", class), ("error_type", kind)], 1);
            if kind.ends_with("_api_key") || ["ip_not_allowed", "route_not_allowed"].contains(&kind.as_str())
            {
                self.plain("consumer_auth_refused_total", &[("error_type", kind)], 1);
            }
        }
        let kind = error.map(|(_, kind)| kind).unwrap_or_default();
        let duration = "gen_ai_client_operation_duration_milliseconds_count";
        self.add(duration, &[("error_type", &kind)], u64::from(self.number("duration_ms").is_some()));
        if self.model() == "other" {
            self.plain("ai_log_labels_replaced_total", &[("label", "model")], 1);
        }
    }

    fn tokens(&mut self) {
        let source = self.text("usage_source");
        for kind in ["input", "output", "cached", "reasoning"] {
            let tokens = self.number(&format!("{kind}_tokens")).unwrap_or(0);
            let labels = [("gen_ai_token_type", kind), ("usage_source", source.as_str())];
            self.add("ai_log_tokens_total", &labels, tokens);
            if source == "reported" && ["input", "output"].contains(&kind) && tokens > 0 {
                self.add("gen_ai_client_token_usage_count", &[("gen_ai_token_type", kind)], 1);
            }
        }
        let cost = self.record["cost_usd"].as_f64();
        self.add("ai_log_cost_nanodollars_total", &[], cost.map_or(0, |usd| (usd * 1e9).round() as u64));
        let used = ["input_tokens", "output_tokens"].iter().any(|name| self.number(name).unwrap_or(0) > 0);
        self.add("ai_log_unpriced_requests_total", &[], u64::from(used && cost.is_none()));
    }

    fn attempts(&mut self) {
        let attempts = self.record["attempts"].as_array().cloned().unwrap_or_default();
        let of = |attempt: &Value, name: &str| attempt[name].as_str().unwrap_or_default().to_owned();
        for attempt in &attempts {
            let (provider, verdict) = (of(attempt, "provider"), of(attempt, "verdict"));
            self.at(&provider, "ai_log_attempts_total", &[("verdict", &verdict)], 1);
        }
        for pair in attempts.windows(2) {
            let [provider, to] = [0, 1].map(|n| of(&pair[n], "provider"));
            if provider != to || pair[0]["model"] != pair[1]["model"] {
                let labels = [("to", to.as_str()), ("reason", &of(&pair[0], "verdict"))];
                self.at(&provider, "ai_log_fallbacks_total", &labels, 1);
            }
        }
    }

    fn decisions(&mut self) {
        let limit = self.text("limit");
        if let Some(name) = limit.strip_prefix("refused:") {
            self.add("ai_log_limit_refusals_total", &[("limit", name)], 1);
            self.plain("token_limit_refused_total", &[("limit", name)], 1);
        }
        if limit.starts_with("admitted") {
            self.plain("token_limit_admitted_total", &[], 1);
            let fill = &self.record["limit_fill"];
            if fill["percent"].as_u64() >= Some(90) {
                let name = fill["limit"].as_str().expect("a limit").to_owned();
                self.add("ai_log_limits_nearly_used_total", &[("limit", &name)], 1);
            }
        }
        self.cache();
        for finding in self.record["guard"].as_array().cloned().unwrap_or_default() {
            let of = |name: &str| finding[name].as_str().unwrap_or_default();
            let count = finding["count"].as_u64().expect("a count");
            let [check, on, category, action] =
                ["check", "on", "category", "action"].map(|name| (name, of(name)));
            self.add("ai_log_guard_findings_total", &[check, on, category, action], count);
            self.plain("content_guard_verdicts_total", &[check, category, action], count);
        }
    }

    fn cache(&mut self) {
        let label = self.text("cache");
        let (result, reason) = label.split_once("; reason=").unwrap_or((&label, ""));
        if result.is_empty() {
            return;
        }
        self.add("ai_log_cache_total", &[("result", result), ("reason", reason)], 1);
        let counter = match result {
            "hit" => "response_cache_hits_total",
            "miss" => "response_cache_misses_total",
            _ => "response_cache_bypasses_total",
        };
        self.plain(counter, &[], 1);
        self.plain("response_cache_coalesced_total", &[], u64::from(reason == "coalesced"));
    }

    fn times(&mut self) {
        let [ttft, gateway, duration, output] =
            ["ttft_ms", "gateway_ms", "duration_ms", "output_tokens"].map(|name| self.number(name));
        let any = |time: Option<u64>| u64::from(time.is_some());
        self.add("gen_ai_server_time_to_first_token_milliseconds_count", &[], any(ttft));
        self.add("ai_log_gateway_milliseconds_count", &[], any(gateway));
        let reported = self.text("usage_source") == "reported" && self.text("end") == "complete";
        let (Some(ttft), Some(duration), Some(2..), true) = (ttft, duration, output, reported) else {
            return;
        };
        self.add("gen_ai_server_time_per_output_token_microseconds_count", &[], 1);
        self.add("ai_log_output_tokens_per_second_count", &[], u64::from(duration > ttft));
    }

    /// Whose error it is, and which.
    fn error(&self) -> Option<(&'static str, String)> {
        let (end, code) = (self.text("end"), self.text("error"));
        let status = self.number("status").unwrap_or(0);
        if end == "client_gone" {
            return Some(("client", end));
        }
        if !code.is_empty() {
            return Some((class(&code), code));
        }
        match end.as_str() {
            "refused" if status >= 500 => Some(("gateway", format!("status_{status}"))),
            "refused" => Some(("caller", format!("status_{status}"))),
            _ if status >= 400 => Some(("provider", format!("status_{status}"))),
            "complete" => None,
            _ => Some(("provider", end)),
        }
    }

    /// The model's label; empty for a request without one.
    fn model(&self) -> String {
        let model = self.text("model");
        let named = model.is_empty() || (self.record["rule"].is_string() && (self.rules.is_named)(&model));
        if named { model.replace(';', "_") } else { "other".to_owned() }
    }

    fn text(&self, name: &str) -> String {
        self.record[name].as_str().unwrap_or_default().to_owned()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.record[name].as_u64()
    }

    /// Adds to a series with the labels of this request and further ones.
    fn add(&mut self, name: &str, labels: &[(&str, &str)], by: u64) {
        let provider = self.text("provider");
        self.at(&provider, name, labels, by);
    }

    /// As [`Self::add`], with a provider that is not its last one.
    fn at(&mut self, provider: &str, name: &str, labels: &[(&str, &str)], by: u64) {
        let [consumer, route, operation] = ["consumer", "rule", "operation"].map(|name| self.text(name));
        let request = [
            ("consumer", consumer.as_str()),
            ("route", &route),
            ("gen_ai_request_model", &self.model()),
            ("gen_ai_provider_name", provider),
            ("gen_ai_operation_name", &operation),
        ];
        self.plain(name, &[&request, labels].concat(), by);
    }

    fn plain(&mut self, name: &str, labels: &[(&str, &str)], by: u64) {
        if by > 0 {
            let series =
                labels.iter().fold(Series::new(name), |series, (name, value)| series.with(name, value));
            *self.counts.entry(series).or_default() += by;
        }
    }
}

/// Whose error a code of the gateway is.
fn class(code: &str) -> &'static str {
    match code {
        "rate_limit_exceeded" | "concurrency_limit_exceeded" | "insufficient_quota" => "limit",
        "content_policy_violation" => "content",
        "guard_unavailable" | "limits_unavailable" => "gateway",
        "upstream_error" | "upstream_timeout" | "no_healthy_target" => "provider",
        _ => "caller",
    }
}
