//! An explanation as JSON for programs.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Cached, Chain, Check, Explanation, Level, Limit, Passed, Refused, Served, Step};

impl Explanation {
    /// The explanation as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let refused = |refused: &Refused| json!({"status": refused.status, "code": refused.code, "reason": refused.reason});
        let passed = |rule: &Passed| json!({"rule": rule.rule, "match": rule.globs, "reason": rule.reason});
        json!({
            "model": self.model,
            "caller": self.caller.text,
            "consumer": self.caller.consumer,
            "tier": self.caller.tier,
            "key_id": self.caller.key_id,
            "allowed": self.refused.is_none(),
            "not_matched": self.passed.iter().map(passed).collect::<Vec<_>>(),
            "served": self.served.as_ref().map(Served::to_json),
            "limits": self.limits.iter().map(Limit::to_json).collect::<Vec<_>>(),
            "checks": self.checks.iter().map(Check::to_json).collect::<Vec<_>>(),
            "cache": self.cached.as_ref().map(Cached::to_json),
            "error": self.refused.as_ref().map(refused),
        })
    }
}

impl Check {
    fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "name": self.name,
            "applies": self.outside.is_none(),
            "reason": self.outside,
            "on": self.on,
            "by": self.by,
            "action": self.action,
        })
    }
}

impl Cached {
    fn to_json(&self) -> Value {
        json!({
            "looked_up": self.bypass.is_none() && !self.refresh,
            "kept": self.bypass.is_none(),
            "bypass": self.bypass,
            "max_age_ms": self.max_age.map(millis),
            "scope": self.scope,
            "of": self.of,
            "ttl_ms": millis(self.ttl),
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Limit {
    fn to_json(&self) -> Value {
        let bucket: Map<String, Value> =
            self.bucket.iter().map(|(dimension, value)| (dimension.clone(), value.as_str().into())).collect();
        let level = |level: &Level| {
            json!({
                "used": level.used, "held": level.held, "remaining": level.remaining,
                "resets_in_ms": level.resets_in_ms,
            })
        };
        json!({
            "limit": self.limit,
            "name": self.name,
            "applies": self.outside.is_none(),
            "reason": self.outside,
            "measure": self.measure,
            "most": self.most,
            "per_ms": self.per.map(millis),
            "terminal": self.terminal,
            "bucket": bucket,
            "level": self.level.as_ref().map(level),
        })
    }
}

impl Served {
    fn to_json(&self) -> Value {
        let step = |step: &Step| {
            json!({
                "provider": step.provider, "model": step.model, "urls": step.urls, "attempts": step.attempts,
            })
        };
        let chain = |chain: &Chain| {
            json!({
                "weight": chain.weight,
                "share": f64::from(chain.share) / 10_000.0,
                "chain": chain.steps.iter().map(step).collect::<Vec<_>>(),
            })
        };
        json!({
            "rule": self.rule,
            "match": self.globs,
            "split_by": self.split_by,
            "picked": self.picked,
            "targets": self.targets.iter().map(chain).collect::<Vec<_>>(),
            "attempts": self.attempts,
        })
    }
}
