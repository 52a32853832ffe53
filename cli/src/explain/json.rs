//! An explanation as JSON for programs.

use serde_json::{Value, json};

use super::{Chain, Explanation, Passed, Served, Step};

impl Explanation {
    /// The explanation as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let passed = |rule: &Passed| json!({"rule": rule.rule, "match": rule.globs, "reason": rule.reason});
        json!({
            "model": self.model,
            "caller": self.caller,
            "not_matched": self.passed.iter().map(passed).collect::<Vec<_>>(),
            "served": self.served.as_ref().map(Served::to_json),
            "error": self.served.is_none().then(|| json!({"status": 404, "code": "model_not_found"})),
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
