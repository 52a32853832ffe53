//! What tokens cost: an ordered table of globs, and what a request comes to by it.

use std::cell::LazyCell;

use serde::{Deserialize, Serialize};

use crate::digits::Digits;
use crate::glob::Glob;

/// Nano-dollars in a dollar.
pub const NANO: u64 = 1_000_000_000;

/// Prices are kept in pico-dollars per token: six digits after the point of a micro-dollar.
const PICO_PER_MICRO: u64 = 1_000_000;

/// Pico-dollars in a nano-dollar.
const PICO_PER_NANO: u64 = 1_000;

/// Up to here doubles, and Redis' Lua with them, count exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Tokens of one answer, or of what one is expected to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Of these, those that the provider read from its cache.
    pub cached: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
}

impl Usage {
    /// Input tokens that the provider had to read anew.
    #[must_use]
    pub fn uncached(&self) -> u64 {
        self.input.saturating_sub(self.cached)
    }

    /// Sums each kind of token (uncached input, cached input, output) times its factor, and divides, rounding half up;
    /// at most `u64::MAX`.
    #[must_use]
    pub fn sum(&self, [input, cached, output]: [u64; 3], divisor: u64) -> u64 {
        let product = |tokens: u64, factor: u64| u128::from(tokens).saturating_mul(u128::from(factor));
        let sum = product(self.uncached(), input)
            .saturating_add(product(self.cached.min(self.input), cached))
            .saturating_add(product(self.output, output));
        let rounded = sum.saturating_add(u128::from(divisor / 2)).checked_div(u128::from(divisor));
        rounded.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(u64::MAX)
    }
}

/// A request that is over, as far as what it cost depends on it. Limits book by it and records tell it, so that both
/// come to the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served<'a> {
    /// Whether a provider has got to see the request.
    pub reached_provider: bool,
    /// The client got an error, and not in the place of an answer that a provider gave: what an attempt that failed has
    /// published does not count, for no provider charges for it.
    pub is_error: bool,
    /// Input tokens as metered.
    pub input: Option<u64>,
    /// Input tokens as estimated: of an answer that nobody metered, and of one that the client did not wait for, the
    /// provider has read the input all the same.
    pub input_estimate: u64,
    /// Of the input, the tokens that the provider read from its cache.
    pub cached: u64,
    /// Output tokens.
    pub output: u64,
    /// Provider of the last attempt.
    pub provider: &'a str,
    /// Model that was sent, model that the provider says it answered with, model that was asked for.
    pub models: [Option<&'a str>; 3],
}

impl Served<'_> {
    /// The tokens that the provider charges for; `None`: it charges for none.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let Self { input, input_estimate, cached, output, .. } = *self;
        let charged = self.reached_provider && !self.is_error;
        charged.then(|| Usage { input: input.unwrap_or(input_estimate), cached, output })
    }
}

/// A price as written, in micro-dollars per token (so dollars per million tokens).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawPrice {
    /// Glob on the model that served, or on `provider/model`.
    #[serde(rename = "match")]
    pub glob: String,
    /// For an input token.
    pub input: f64,
    /// For an input token that the provider read from its cache; that of `input` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// For an output token.
    pub output: f64,
}

/// A price in pico-dollars per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// For an input token.
    pub input: u64,
    /// For a cached input token.
    pub cached: u64,
    /// For an output token.
    pub output: u64,
}

impl Price {
    /// Nano-dollars that `usage` costs, rounded half up once per request.
    #[must_use]
    pub fn of(&self, usage: &Usage) -> u64 {
        usage.sum([self.input, self.cached, self.output], PICO_PER_NANO)
    }
}

/// The price table: the first glob that matches counts.
#[derive(Clone, Debug, Default)]
pub struct Prices(Vec<(Glob, Price)>);

impl Prices {
    /// Checks the table.
    ///
    /// # Errors
    /// The entry that does not hold, as `[0].input: what is wrong`.
    pub fn check(raw: Vec<RawPrice>) -> Result<Self, String> {
        let check = |(index, raw)| check(raw).map_err(|error| format!("[{index}].{error}"));
        raw.into_iter().enumerate().map(check).collect::<Result<_, _>>().map(Self)
    }

    /// The price of `model` at `provider`.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<&Price> {
        let qualified = LazyCell::new(|| [provider, "/", model].concat());
        let found = self.0.iter().find(|(glob, _)| glob.matches(model) || glob.matches(&qualified));
        found.map(|(_, price)| price)
    }

    /// The price of the model that served, whatever was asked for.
    #[must_use]
    pub fn of(&self, served: &Served<'_>) -> Option<&Price> {
        let model = served.models.iter().find_map(|model| *model).unwrap_or_default();
        self.find(served.provider, model)
    }

    /// Whether nothing has a price.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The dearest price, for a model that the table does not hold: a cost that cannot be told is not taken for none.
    #[must_use]
    pub fn dearest(&self) -> Option<&Price> {
        self.0.iter().map(|(_, price)| price).max_by_key(|price| price.output.max(price.input))
    }
}

fn check(raw: RawPrice) -> Result<(Glob, Price), String> {
    let glob = raw.glob.parse().map_err(|error| format!("match: {error}"))?;
    let pico = |name: &str, price| {
        let pico = scaled(price, PICO_PER_MICRO);
        pico.ok_or_else(|| format!("{name}: must be 0 or more micro-dollars per token, at most 9007199254"))
    };
    let input = pico("input", raw.input)?;
    let cached = raw.cached.map_or(Ok(input), |cached| pico("cached", cached))?;
    Ok((glob, Price { input, cached, output: pico("output", raw.output)? }))
}

/// `amount` over `scale` (a power of ten) as a decimal number without needless zeros: `1200`, `0.5`.
#[must_use]
pub fn decimal(amount: u64, scale: u64) -> String {
    let whole = amount.checked_div(scale).unwrap_or(amount);
    let rest = amount.checked_rem(scale).unwrap_or(0);
    let mut decimal = String::with_capacity(24);
    decimal.push_str(Digits::of(whole).as_str());
    if rest > 0 {
        // With the scale on top, the rest has all its digits behind the first.
        let rest = Digits::of(scale.saturating_add(rest));
        decimal.push('.');
        decimal.push_str(rest.as_str().get(1..).unwrap_or_default().trim_end_matches('0'));
    }
    decimal
}

/// A decimal number in whole units of 1 over `scale`; `None` when it is negative, no number or too large to stay exact.
#[must_use]
pub fn scaled(number: f64, scale: u64) -> Option<u64> {
    #[expect(clippy::as_conversions, reason = "the scale is a power of ten far below 2^53")]
    let scaled = (number * scale as f64).round();
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in range"
    )]
    (0.0..=EXACT).contains(&scaled).then_some(scaled as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(table: serde_json::Value) -> Result<Prices, String> {
        Prices::check(serde_json::from_value(table).unwrap())
    }

    #[test]
    fn the_first_glob_that_matches_sets_the_price() {
        let prices = prices(serde_json::json!([
            {"match": "pai/*", "input": 0, "output": 0},
            {"match": "gpt-4*", "input": 2.5, "cached": 1.25, "output": 10},
            {"match": "gpt-*", "input": 0.15, "output": 0.6},
        ]))
        .unwrap();
        let output = |provider, model| prices.find(provider, model).map(|price| price.output);
        assert_eq!(output("openai", "gpt-4o"), Some(10_000_000));
        assert_eq!(output("openai", "gpt-3.5"), Some(600_000));
        assert_eq!(output("pai", "gpt-4o"), Some(0));
        assert_eq!(output("openai", "qwen"), None);
        assert_eq!(prices.find("a", "gpt-3.5").map(|price| price.cached), Some(150_000));
        assert_eq!(prices.dearest().map(|price| price.output), Some(10_000_000));
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_rounded_once_per_request() {
        let price = Price { input: 37_500, cached: 0, output: 0 }; // 0.0375 micro-dollars
        assert_eq!(price.of(&Usage { input: 1, ..Usage::default() }), 38);
        assert_eq!(price.of(&Usage { input: 1000, ..Usage::default() }), 37_500);
    }

    #[test]
    fn a_price_that_cannot_be_is_refused_with_its_place() {
        for (entry, want) in [
            (serde_json::json!({"match": "*", "input": -1, "output": 1}), "[0].input: must be 0 or more"),
            (serde_json::json!({"match": "*", "input": 1, "cached": 1e300, "output": 1}), "[0].cached: must"),
            (serde_json::json!({"match": "[", "input": 1, "output": 1}), "[0].match: "),
        ] {
            let refused = prices(serde_json::json!([entry])).unwrap_err();
            assert!(refused.starts_with(want), "{refused}");
        }
    }

    #[test]
    fn decimals_become_whole_units_or_nothing() {
        for (number, want) in [
            (0.1, Some(100_000_000)),
            (50.0, Some(50_000_000_000)),
            (9_007_199.0, Some(9_007_199_000_000_000)),
            (9_007_200.0, None),
            (-0.1, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(scaled(number, NANO), want, "{number}");
        }
    }

    #[test]
    fn whole_units_become_decimals() {
        for (amount, want) in [
            (0, "0"),
            (1, "0.000000001"),
            (NANO, "1"),
            (1_500_000_000, "1.5"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(decimal(amount, NANO), want);
        }
    }

    #[test]
    fn only_what_a_provider_charges_for_is_used() {
        let answered = Served {
            reached_provider: true,
            input: Some(9),
            input_estimate: 7,
            cached: 2,
            output: 3,
            ..Served::default()
        };
        let usage = Usage { input: 9, cached: 2, output: 3 };
        for (name, served, want) in [
            ("answered", answered, Some(usage)),
            ("not metered", Served { input: None, ..answered }, Some(Usage { input: 7, ..usage })),
            ("an error", Served { is_error: true, ..answered }, None),
            ("refused before", Served { reached_provider: false, ..answered }, None),
        ] {
            assert_eq!(served.usage(), want, "{name}");
        }
    }

    #[test]
    fn the_model_that_served_sets_the_price() {
        let prices = prices(serde_json::json!([
            {"match": "qwen-max", "input": 1, "output": 1},
            {"match": "ali/gpt-4o", "input": 2, "output": 2},
        ]))
        .unwrap();
        for (models, want) in [
            ([Some("qwen-max"), Some("qwen-max-2025"), Some("gpt-4o")], Some(1_000_000)),
            ([None, Some("qwen-max-2025"), Some("gpt-4o")], None),
            ([None, None, Some("gpt-4o")], Some(2_000_000)),
            ([None; 3], None),
        ] {
            let served = Served { provider: "ali", models, ..Served::default() };
            assert_eq!(prices.of(&served).map(|price| price.input), want, "{models:?}");
        }
    }
}
