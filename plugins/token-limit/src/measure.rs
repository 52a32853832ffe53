//! What a limit counts, in whole units of its ledger.

use serde::{Deserialize, Serialize};
use sluice_core::price::{NANO, Price, Usage, decimal};

/// Ledger units in a weighted token.
pub const MILLI: u64 = 1_000;

/// Weights of the kinds of tokens, as written.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawWeights {
    /// Weight of an input token.
    #[serde(default = "one")]
    pub input: f64,
    /// Weight of a cached input token; that of `input` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Weight of an output token.
    #[serde(default = "one")]
    pub output: f64,
}

fn one() -> f64 {
    1.0
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Both.
    Total,
    /// Weighted tokens in thousandths: weights of uncached input, cached input, output.
    Weighted([u64; 3]),
    /// Requests that reached a provider.
    Requests,
    /// Requests at the same time.
    InFlight,
    /// Nano-dollars.
    Cost,
}

impl Measure {
    /// Its name in gateway.yaml and in answers of `/v1/limits`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input_tokens",
            Self::Output => "output_tokens",
            Self::Total => "total_tokens",
            Self::Weighted(_) => "weighted_tokens",
            Self::Requests => "requests",
            Self::InFlight => "in_flight",
            Self::Cost => "cost_usd",
        }
    }

    /// What `usage` comes to in the ledger's units; a price is needed for costs only.
    #[must_use]
    pub fn amount(self, usage: &Usage, price: Option<&Price>) -> u64 {
        match self {
            Self::Input => usage.input,
            Self::Output => usage.output,
            Self::Total => usage.input.saturating_add(usage.output),
            Self::Weighted(weights) => usage.sum(weights, 1),
            Self::Requests | Self::InFlight => 1,
            Self::Cost => price.map_or(0, |price| price.of(usage)),
        }
    }

    /// Ledger units in the unit that people read.
    #[must_use]
    pub const fn scale(self) -> u64 {
        match self {
            Self::Weighted(_) => MILLI,
            Self::Cost => NANO,
            _ => 1,
        }
    }

    /// An amount as people read it: `1200`, `0.5`.
    #[must_use]
    pub fn shown(self, amount: u64) -> String {
        decimal(amount, self.scale())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage { input: 100, cached: 40, output: 7 };

    #[test]
    fn each_measure_counts_its_own() {
        let price = Price { input: 2_500_000, cached: 1_250_000, output: 10_000_000 };
        for (measure, want) in [
            (Measure::Input, 100),
            (Measure::Output, 7),
            (Measure::Total, 107),
            (Measure::Weighted([1000, 100, 4000]), 60_000 + 4_000 + 28_000),
            (Measure::Requests, 1),
            (Measure::InFlight, 1),
            // 60 x 2.5 + 40 x 1.25 + 7 x 10 = 270 micro-dollars
            (Measure::Cost, 270_000),
        ] {
            assert_eq!(measure.amount(&USAGE, Some(&price)), want, "{measure:?}");
        }
    }

    #[test]
    fn more_cached_than_input_is_never_negative() {
        let odd = Usage { input: 10, cached: 40, output: 0 };
        assert_eq!(Measure::Weighted([1000, 100, 0]).amount(&odd, None), 1000);
    }

    #[test]
    fn amounts_saturate() {
        let all = Usage { input: u64::MAX, cached: 0, output: u64::MAX };
        assert_eq!(Measure::Total.amount(&all, None), u64::MAX);
        assert_eq!(Measure::Weighted([u64::MAX; 3]).amount(&all, None), u64::MAX);
    }

    #[test]
    fn amounts_are_shown_as_people_write_them() {
        for (measure, amount, want) in [
            (Measure::Total, 1200, "1200"),
            (Measure::Cost, 50 * NANO, "50"),
            (Measure::Cost, 1, "0.000000001"),
            (Measure::Cost, 1_500_000_000, "1.5"),
            (Measure::Weighted([0; 3]), 1_100, "1.1"),
        ] {
            assert_eq!(measure.shown(amount), want);
        }
    }
}
