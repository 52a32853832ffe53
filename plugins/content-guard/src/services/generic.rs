//! The contract for services behind a small shim; `docs/plugins/content-guard.md` describes it.

use serde::{Deserialize, Serialize};

use super::{About, Garbage, Opinion, Risk};
use crate::config::Action;

#[derive(Serialize)]
struct Request<'a> {
    version: u32,
    direction: &'a str,
    consumer: &'a str,
    model: &'a str,
    text: &'a str,
}

/// Members that it does not know are let be: a service may say more.
#[derive(Deserialize)]
struct Reply {
    verdict: Verdict,
    #[serde(default)]
    category: Option<String>,
    #[serde(default, alias = "risk_level")]
    risk: Option<Risk>,
    #[serde(default)]
    replacement: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Allow,
    Log,
    Mask,
    Block,
}

pub(super) fn encode(about: &About<'_>, texts: &[&str]) -> Vec<u8> {
    let text = texts.first().copied().unwrap_or_default();
    let direction = about.direction.name();
    let request = Request { version: 1, direction, consumer: about.consumer, model: about.model, text };
    serde_json::to_vec(&request).unwrap_or_default()
}

/// A replacement is meant, whatever the verdict; only a block leaves nothing to replace.
pub(super) fn read(body: &[u8]) -> Result<Opinion, Garbage> {
    let reply: Reply = serde_json::from_slice(body).map_err(|_| Garbage)?;
    let action = match (reply.verdict, &reply.replacement) {
        (Verdict::Block, _) => Action::Block,
        (Verdict::Mask, _) | (_, Some(_)) => Action::Mask,
        (Verdict::Log, None) => Action::Log,
        (Verdict::Allow, None) => return Ok(Opinion::harmless()),
    };
    let category = reply.category.filter(|category| !category.is_empty());
    Ok(Opinion {
        action: Some(action),
        category: category.unwrap_or_else(|| "flagged".to_owned()),
        risk: reply.risk.unwrap_or_default(),
        replacement: reply.replacement.filter(|_| action == Action::Mask),
    })
}
