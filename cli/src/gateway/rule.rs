//! Section `models`: which target serves a request.

mod reader;
mod when;

use std::collections::BTreeMap;

pub(super) use reader::{globs, model, read};
pub(super) use when::read as when;

/// One rule: what it matches, and who then serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Globs, of which the model as asked must match one. At least one.
    pub matches: Vec<String>,
    /// What else must hold.
    pub when: When,
    /// Taken off the model's name before it is sent; not empty.
    pub strip_prefix: Option<String>,
    /// What the split over the targets hashes.
    pub sticky: Sticky,
    /// Who serves, by weight; at least one, not all of weight 0, no two alike.
    pub targets: Vec<Target>,
    /// Who is tried in order when the picked target fails; no two alike.
    pub fallback: Vec<Hop>,
}

/// Conditions of a rule or a limit; all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Name of a consumer in the file.
    pub consumer: Option<String>,
    /// A tier; some consumer's, or the condition never holds.
    pub tier: Option<String>,
    /// Globs by header name in lower case.
    pub headers: BTreeMap<String, String>,
    /// Least estimated input tokens.
    pub min_input_tokens: Option<u64>,
    /// Most estimated input tokens, at least the minimum.
    pub max_input_tokens: Option<u64>,
    /// The request offers tools.
    pub has_tools: bool,
    /// The request holds images.
    pub has_images: bool,
}

impl When {
    /// Whether every request passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the split over the targets hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// The consumer; without one the request.
    Consumer,
    /// The request: no two are alike.
    Request,
    /// The value of a header, named in lower case; without one the request.
    Header(String),
}

/// One choice of the split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who serves, with which model.
    pub hop: Hop,
    /// Its share, relative to the other targets' weights; 1 each when none is written.
    pub weight: u32,
}

/// A provider, and the model to ask it for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Name of a provider in the file.
    pub provider: String,
    /// Model to send; `None`: as asked, less `strip_prefix`.
    pub model: Option<String>,
}

impl Rule {
    /// Every provider and model that may serve: the targets, then the fallbacks in order.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.targets.iter().map(|target| &target.hop).chain(&self.fallback)
    }
}
