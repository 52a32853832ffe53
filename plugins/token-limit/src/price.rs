//! What tokens cost: an ordered table of globs.

use serde::{Deserialize, Serialize};
use sluice_core::glob::Glob;

use crate::measure::{Usage, scaled};

/// Prices are kept in pico-dollars per token: six digits after the point of a micro-dollar.
const PICO_PER_MICRO: u64 = 1_000_000;

/// Pico-dollars in a nano-dollar.
const PICO_PER_NANO: u64 = 1_000;

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
        let qualified = format!("{provider}/{model}");
        let found = self.0.iter().find(|(glob, _)| glob.matches(model) || glob.matches(&qualified));
        found.map(|(_, price)| price)
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
}
