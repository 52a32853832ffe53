//! Conditions on a request, written the same way wherever a rule or a limit has some: who calls, with which headers,
//! asking for what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::shown;
use crate::glob::Glob;

/// Conditions as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWhen {
    /// Tier of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Name of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Globs by header name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Least estimated input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_input_tokens: Option<u64>,
    /// Most estimated input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// `tools`, `images` or both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub has: Vec<String>,
}

/// Conditions, of which all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Tier of the caller.
    pub tier: Option<String>,
    /// Name of the caller.
    pub consumer: Option<String>,
    /// Header names in lower case, each with a glob for its value.
    pub headers: Vec<(String, Glob)>,
    /// Least estimated input tokens.
    pub min_input_tokens: Option<u64>,
    /// Most estimated input tokens.
    pub max_input_tokens: Option<u64>,
    /// The request must offer tools.
    pub tools: bool,
    /// The request must hold images.
    pub images: bool,
}

/// Who asks, as far as conditions look at it.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Name of the caller, if known.
    pub consumer: Option<&'a str>,
    /// Tier of the caller, if known.
    pub tier: Option<&'a str>,
    /// Looks up a request header by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// What is asked for, as far as conditions look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Estimated input tokens.
    pub input_tokens: u64,
    /// Whether it offers tools.
    pub tools: bool,
    /// Whether it holds images.
    pub images: bool,
}

/// The condition that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet<'a> {
    /// Another tier, or none.
    #[error("the caller's tier is not {0:?}")]
    Tier(&'a str),
    /// Another caller, or an unknown one.
    #[error("the consumer is not {0:?}")]
    Consumer(&'a str),
    /// The header is missing or its value does not match.
    #[error("header {name} does not match {glob:?}")]
    Header {
        /// Its name.
        name: &'a str,
        /// What it should match.
        glob: &'a str,
    },
    /// The request is too short.
    #[error("about {found} input tokens are fewer than {min}")]
    TooFewTokens {
        /// Estimate.
        found: u64,
        /// Least.
        min: u64,
    },
    /// The request is too long.
    #[error("about {found} input tokens are more than {max}")]
    TooManyTokens {
        /// Estimate.
        found: u64,
        /// Most.
        max: u64,
    },
    /// It offers no tools.
    #[error("the request offers no tools")]
    NoTools,
    /// It holds no images.
    #[error("the request holds no images")]
    NoImages,
}

impl TryFrom<RawWhen> for When {
    type Error = String;

    /// # Errors
    /// The member that does not hold, as `headers.x: what is wrong`.
    fn try_from(raw: RawWhen) -> Result<Self, String> {
        if let (Some(min), Some(max)) = (raw.min_input_tokens, raw.max_input_tokens)
            && min > max
        {
            return Err(format!("min_input_tokens: {min} is more than max_input_tokens, {max}"));
        }
        let header = |(name, glob): (String, String)| match glob.parse() {
            Ok(glob) => Ok((name.to_ascii_lowercase(), glob)),
            Err(error) => Err(format!("headers.{name}: {error}")),
        };
        let mut when = Self {
            tier: raw.tier,
            consumer: raw.consumer,
            headers: raw.headers.into_iter().map(header).collect::<Result<_, _>>()?,
            min_input_tokens: raw.min_input_tokens,
            max_input_tokens: raw.max_input_tokens,
            ..Self::default()
        };
        for (index, feature) in raw.has.iter().enumerate() {
            match feature.as_str() {
                "tools" => when.tools = true,
                "images" => when.images = true,
                other => {
                    return Err(format!("has[{index}]: {:?} is neither tools nor images", shown(other)));
                }
            }
        }
        Ok(when)
    }
}

impl When {
    /// The first condition that does not hold; `None` where all do.
    #[must_use]
    pub fn unmet(&self, caller: &Caller<'_>, content: &Content) -> Option<Unmet<'_>> {
        self.unmet_by_caller(caller).or_else(|| self.unmet_by_content(content))
    }

    /// The condition on the caller that does not hold.
    #[must_use]
    pub fn unmet_by_caller(&self, caller: &Caller<'_>) -> Option<Unmet<'_>> {
        if let Some(tier) = self.tier.as_deref().filter(|tier| caller.tier != Some(*tier)) {
            return Some(Unmet::Tier(tier));
        }
        if let Some(name) = self.consumer.as_deref().filter(|name| caller.consumer != Some(*name)) {
            return Some(Unmet::Consumer(name));
        }
        let unlike =
            |(name, glob): &&(String, Glob)| !(caller.header)(name).is_some_and(|value| glob.matches(value));
        let (name, glob) = self.headers.iter().find(unlike)?;
        Some(Unmet::Header { name, glob: glob.as_str() })
    }

    /// The condition on what is asked that does not hold.
    fn unmet_by_content(&self, content: &Content) -> Option<Unmet<'_>> {
        let found = content.input_tokens;
        if let Some(min) = self.min_input_tokens.filter(|min| found < *min) {
            return Some(Unmet::TooFewTokens { found, min });
        }
        if let Some(max) = self.max_input_tokens.filter(|max| found > *max) {
            return Some(Unmet::TooManyTokens { found, max });
        }
        if self.tools && !content.tools {
            return Some(Unmet::NoTools);
        }
        (self.images && !content.images).then_some(Unmet::NoImages)
    }
}
