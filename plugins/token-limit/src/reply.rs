//! What a client is told of its limits: headers on every answer, and the error of a refusal.

use sluice_core::digits::Digits;
use sluice_core::openai::error::{Code, LocalReply};

use crate::config::Limit;
use crate::measure::{MILLI, Measure};
use crate::store::Standing;

/// Milliseconds after which a client may ask again for a place among the requests in flight: nobody knows when one ends.
const IN_FLIGHT_RETRY_MS: u64 = 1_000;

/// The `x-ratelimit-*` headers, as OpenAI names and writes them
/// (<https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>), of the tightest limit of each
/// kind.
pub fn headers<'a>(
    standings: impl Iterator<Item = (&'a Limit, &'a Standing)>,
) -> Vec<(&'static str, String)> {
    let mut tightest: [Option<(&Limit, &Standing)>; 4] = [None; 4];
    for (limit, standing) in standings {
        let kind = Kind::of(limit.measure);
        if let Some(place) = tightest.get_mut(kind.index())
            && place.is_none_or(|known| is_tighter((limit, standing), known))
        {
            *place = Some((limit, standing));
        }
    }
    let kinds = Kind::ALL.iter().zip(tightest);
    kinds
        .filter_map(|(kind, found)| Some((kind, found?)))
        .flat_map(|(kind, found)| kind.headers(found))
        .collect()
}

/// Whether less is left, as a share of the whole.
fn is_tighter((limit, standing): (&Limit, &Standing), (other, than): (&Limit, &Standing)) -> bool {
    let share = |left: u64, of: &Limit| u128::from(left).saturating_mul(u128::from(of.amount));
    share(standing.remaining(), other) < share(than.remaining(), limit)
}

/// Limits that share a set of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Requests,
    Tokens,
    InFlight,
    Cost,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Requests, Self::Tokens, Self::InFlight, Self::Cost];

    const fn of(measure: Measure) -> Self {
        match measure {
            Measure::Requests => Self::Requests,
            Measure::InFlight => Self::InFlight,
            Measure::Cost => Self::Cost,
            _ => Self::Tokens,
        }
    }

    fn index(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or(0)
    }

    /// Limit, what remains, and when it is whole again.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Requests => {
                ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
            }
            Self::Tokens => {
                ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
            }
            Self::InFlight => [
                "x-ratelimit-limit-in-flight",
                "x-ratelimit-remaining-in-flight",
                "x-ratelimit-reset-in-flight",
            ],
            Self::Cost => {
                ["x-ratelimit-limit-cost-usd", "x-ratelimit-remaining-cost-usd", "x-ratelimit-reset-cost-usd"]
            }
        }
    }

    fn headers(self, (limit, standing): (&Limit, &Standing)) -> impl Iterator<Item = (&'static str, String)> {
        let whole = |amount: u64| match limit.measure {
            Measure::Weighted(_) => (amount / MILLI).to_string(),
            measure => measure.shown(amount),
        };
        let values = [whole(limit.amount), whole(standing.remaining()), clock(standing.resets_in_ms)];
        // nobody knows when a request in flight ends
        let count = if self == Self::InFlight { 2 } else { 3 };
        self.names().into_iter().zip(values).take(count)
    }
}

/// The error for a request that needs `asked` of `limit`, which does not admit it.
#[must_use]
pub fn refusal(limit: &Limit, standing: &Standing, asked: u64) -> LocalReply {
    let code = match limit.measure {
        _ if limit.terminal => Code::InsufficientQuota,
        Measure::InFlight => Code::ConcurrencyLimitExceeded,
        _ => Code::RateLimitExceeded,
    };
    let message = limit.message.clone().unwrap_or_else(|| message(limit, standing, asked));
    let mut reply = LocalReply::error(code, None, &message);
    if !code.is_terminal() {
        reply.headers.extend(retry_after(retry_ms(limit, standing)));
    }
    reply
}

/// Milliseconds after which asking again makes sense.
fn retry_ms(limit: &Limit, standing: &Standing) -> u64 {
    match limit.measure {
        Measure::InFlight => IN_FLIGHT_RETRY_MS,
        _ => standing.frees_in_ms.max(1),
    }
}

/// `retry-after` in whole seconds (RFC 9110 section 10.2.3), and in milliseconds as the SDKs of OpenAI and Anthropic
/// read it.
#[must_use]
pub fn retry_after(ms: u64) -> [(&'static str, String); 2] {
    [("retry-after", ms.div_ceil(1_000).to_string()), ("retry-after-ms", ms.to_string())]
}

fn message(limit: &Limit, standing: &Standing, asked: u64) -> String {
    let (name, amount) = (&limit.name, limit.measure.shown(limit.amount));
    if limit.measure == Measure::InFlight {
        return format!(
            "Limit `{name}` is reached: {amount} requests at the same time. Try again in a moment."
        );
    }
    let unit = match limit.measure {
        Measure::Input => "input tokens",
        Measure::Output => "output tokens",
        Measure::Weighted(_) => "weighted tokens",
        Measure::Requests => "requests",
        Measure::Cost => "US dollars",
        Measure::Total | Measure::InFlight => "tokens",
    };
    let [level, asked] = [standing.level, asked].map(|amount| limit.measure.shown(amount));
    let per = span(limit.per_ms);
    let frees = span(retry_ms(limit, standing));
    let what = if limit.terminal { "Quota" } else { "Limit" };
    format!(
        "{what} `{name}` is reached: {amount} {unit} in {per}, of which {level} are used or reserved; this request \
         needs {asked}. It frees in {frees}."
    )
}

/// A duration as OpenAI writes it: `250ms`, `12s`, `6m0s`, `720h0m0s`; from a second on in whole seconds, rounded up.
#[must_use]
pub fn clock(ms: u64) -> String {
    if ms < 1_000 {
        return [Digits::of(ms).as_str(), "ms"].concat();
    }
    let seconds = ms.div_ceil(1_000);
    let parts = [(seconds / 3_600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(0);
    let mut clock = String::with_capacity(16);
    for (count, unit) in parts.iter().skip(first) {
        clock.push_str(Digits::of(*count).as_str());
        clock.push_str(unit);
    }
    clock
}

/// A duration as gateway.yaml writes it: `12s`, `1m`, `1h30m`, `30d`; rounded up to a second.
fn span(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    let parts =
        [(seconds / 86_400, 'd'), (seconds / 3_600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RawConfig};

    fn limits(limits: serde_json::Value) -> Vec<Limit> {
        let raw = serde_json::json!({"limits": limits, "prices": [{"match": "*", "input": 1, "output": 1}]});
        let raw: RawConfig = serde_json::from_value(raw).unwrap();
        Config::try_from(raw).unwrap().limits
    }

    #[test]
    fn the_tightest_limit_of_each_kind_is_shown() {
        let limits = limits(serde_json::json!([
            {"name": "minute", "total_tokens": 1000, "per_ms": 60000},
            {"name": "day", "total_tokens": 10000, "per_ms": 86400000},
            {"name": "rpm", "requests": 10, "per_ms": 60000},
            {"name": "now", "in_flight": 4},
            {"name": "budget", "cost_usd": 50, "per_ms": 86400000},
        ]));
        let standing =
            |limit, level, resets_in_ms| Standing { limit, level, held: 0, frees_in_ms: 0, resets_in_ms };
        let standings = [
            standing(1_000, 500, 42_500),
            standing(10_000, 9_000, 80_000_000),
            standing(10, 1, 900),
            standing(4, 4, 0),
            standing(50_000_000_000, 1_500_000_000, 1),
        ];
        let headers: Vec<_> = headers(limits.iter().zip(&standings))
            .into_iter()
            .map(|(name, value)| format!("{}={value}", name.strip_prefix("x-ratelimit-").unwrap()))
            .collect();
        let want = "limit-requests=10 remaining-requests=9 reset-requests=900ms \
                    limit-tokens=10000 remaining-tokens=1000 reset-tokens=22h13m20s \
                    limit-in-flight=4 remaining-in-flight=0 \
                    limit-cost-usd=50 remaining-cost-usd=48.5 reset-cost-usd=1ms";
        assert_eq!(headers.join(" "), want);
    }

    #[test]
    fn a_refusal_says_which_limit_and_when_it_frees() {
        let limits = limits(serde_json::json!([
            {"name": "minute", "total_tokens": 1000, "per_ms": 60000},
            {"name": "now", "in_flight": 4},
            {"name": "budget", "cost_usd": 50, "per_ms": 2592000000_u64, "terminal": true},
            {"name": "own", "requests": 1, "per_ms": 1000, "message": "Ask platform@example.com."},
        ]));
        let standing = Standing { limit: 1_000, level: 900, held: 0, frees_in_ms: 12_001, resets_in_ms: 0 };
        for (limit, code, retry, want) in [
            (
                &limits[0],
                Code::RateLimitExceeded,
                Some("13 12001"),
                "Limit `minute` is reached: 1000 tokens in 1m, of which 900 are used or reserved; this request needs \
                 200. It frees in 13s.",
            ),
            (
                &limits[1],
                Code::ConcurrencyLimitExceeded,
                Some("1 1000"),
                "Limit `now` is reached: 4 requests at the same time. Try again in a moment.",
            ),
            (
                &limits[2],
                Code::InsufficientQuota,
                None,
                "Quota `budget` is reached: 50 US dollars in 30d, of which 0.0000009 are used or reserved; this \
                 request needs 0.0000002. It frees in 13s.",
            ),
            (&limits[3], Code::RateLimitExceeded, Some("13 12001"), "Ask platform@example.com."),
        ] {
            let reply = refusal(limit, &standing, 200);
            let header = |name| {
                reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
            };
            let after = header("retry-after").map(|s| format!("{s} {}", header("retry-after-ms").unwrap()));
            assert_eq!(after.as_deref(), retry);
            assert_eq!(header("x-should-retry"), retry.is_none().then_some("false"));
            assert_eq!((reply.status, header("x-sluice-error")), (429, Some(code.name())));
            let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!(body["error"]["message"], want);
        }
    }

    #[test]
    fn durations_are_written_as_openai_does() {
        for (ms, want) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_001, "2s"),
            (60_000, "1m0s"),
            (3_599_001, "1h0m0s"),
        ] {
            assert_eq!(clock(ms), want);
        }
    }
}
