//! What the content checks found, as they tell it.

use serde::Deserialize;
use sluice_core::metric;

use crate::object::Object;

/// What one check found in one direction; never the text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Finding {
    /// The check's name.
    pub(crate) check: String,
    /// `request` or `response`.
    pub(crate) on: String,
    category: String,
    #[serde(default)]
    risk: String,
    /// What was done.
    pub(crate) action: String,
    /// How often.
    pub(crate) count: u64,
}

impl Finding {
    /// Reads the fact `ai.guard`; empty if it is no such list.
    pub(crate) fn list(fact: &str) -> Vec<Self> {
        serde_json::from_str(fact).unwrap_or_default()
    }

    /// The category as the value of a label, as `content-guard`'s own counters have it.
    pub(crate) fn category(&self) -> String {
        metric::word(&self.category)
    }

    /// Its members in the record.
    pub(crate) fn write(&self, object: &mut Object) {
        object.word("check", Some(&self.check));
        object.word("on", Some(&self.on));
        object.word("category", Some(&self.category));
        object.word("risk", Some(&self.risk));
        object.word("action", Some(&self.action));
        object.number("count", Some(self.count));
    }
}
