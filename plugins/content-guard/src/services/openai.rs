//! OpenAI's moderations (<https://platform.openai.com/docs/api-reference/moderations>).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Garbage, Opinion, Risk};
use crate::config::Action;

/// Texts of one call. OpenAI names no bound; servers that speak its protocol have some, and this many fit a model's
/// batch.
pub(super) const MAX_TEXTS: usize = 32;

/// From which score on a category is a medium or a high risk.
const MEDIUM: f64 = 0.5;
const HIGH: f64 = 0.8;

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    input: &'a [&'a str],
}

#[derive(Deserialize)]
struct Reply {
    results: Vec<Verdict>,
}

/// What it says of one text. Categories that a model does not know are `null`.
#[derive(Deserialize)]
struct Verdict {
    flagged: bool,
    #[serde(default)]
    categories: BTreeMap<String, Option<bool>>,
    #[serde(default)]
    category_scores: BTreeMap<String, Option<f64>>,
}

pub(super) fn encode(model: Option<&str>, texts: &[&str]) -> Vec<u8> {
    serde_json::to_vec(&Request { model, input: texts }).unwrap_or_default()
}

pub(super) fn read(body: &[u8]) -> Result<Vec<Opinion>, Garbage> {
    let reply: Reply = serde_json::from_slice(body).map_err(|_| Garbage)?;
    Ok(reply.results.into_iter().map(Verdict::opinion).collect())
}

impl Verdict {
    fn opinion(self) -> Opinion {
        if !self.flagged {
            return Opinion::harmless();
        }
        let score = |category: &String| self.category_scores.get(category).copied().flatten();
        let flagged =
            self.categories.iter().filter(|(_, is)| **is == Some(true)).map(|(category, _)| category);
        let gravest = flagged.max_by(|a, b| score(a).unwrap_or(1.0).total_cmp(&score(b).unwrap_or(1.0)));
        let risk = match gravest.and_then(score) {
            Some(score) if score < MEDIUM => Risk::Low,
            Some(score) if score < HIGH => Risk::Medium,
            _ => Risk::High,
        };
        let category = gravest.cloned().unwrap_or_else(|| "flagged".to_owned());
        Opinion { action: Some(Action::Block), category, risk, replacement: None }
    }
}
