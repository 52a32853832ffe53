//! Section `limits`: how much of what anyone may use in which time.

mod reader;

use std::time::Duration;

use super::When;
use crate::file::Decimal;

pub(super) use reader::read;
pub use token_limit::config::Dimension;

/// One limit. All that apply to a request must admit it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name in errors, metrics and keys of Redis; unique.
    pub name: String,
    /// What gets a bucket of its own, each once; empty: one bucket for all.
    pub by: Vec<Dimension>,
    /// Globs, of which the model as asked, with or without the prefix that its rule takes off, must match one; empty:
    /// every model.
    pub models: Vec<String>,
    /// What else must hold.
    pub when: When,
    /// What is counted, and the most of it.
    pub amount: Amount,
    /// The window that slides, 1 s to 366 days; `None` exactly for requests in flight.
    pub per: Option<Duration>,
    /// A quota: the client is told not to ask again.
    pub terminal: bool,
    /// What the client is told, in one line of at most 500 characters; `None`: the gateway's own words.
    pub message: Option<String>,
}

/// What a limit counts, and the most of it: at least 1, no more than the ledger counts exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Input tokens.
    InputTokens(u64),
    /// Output tokens.
    OutputTokens(u64),
    /// Both.
    TotalTokens(u64),
    /// Tokens, each kind times its weight.
    Weighted(u64, Weights),
    /// Requests.
    Requests(u64),
    /// Requests at the same time.
    InFlight(u64),
    /// Dollars, in nano-dollars.
    CostUsd(Decimal),
}

/// What each kind of token counts, to 3 places; not all 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// An input token.
    pub input: Decimal,
    /// An input token that the provider had cached; `None`: as `input`.
    pub cached: Option<Decimal>,
    /// An output token.
    pub output: Decimal,
}

impl Amount {
    /// The name in gateway.yaml.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InputTokens(_) => "input_tokens",
            Self::OutputTokens(_) => "output_tokens",
            Self::TotalTokens(_) | Self::Weighted(..) => "total_tokens",
            Self::Requests(_) => "requests",
            Self::InFlight(_) => "in_flight",
            Self::CostUsd(_) => "cost_usd",
        }
    }

    /// Whether tokens are counted, and the most of them.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        match self {
            Self::InputTokens(most) | Self::OutputTokens(most) | Self::TotalTokens(most) => Some(*most),
            _ => None,
        }
    }
}

impl Limit {
    /// Whether dollars are counted.
    #[must_use]
    pub fn is_cost(&self) -> bool {
        matches!(self.amount, Amount::CostUsd(_))
    }
}
