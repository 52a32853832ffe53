//! Section `metrics`: how many series clients can make.

use std::ops::RangeInclusive;

use crate::file::Fields;

/// Bounds of `max_models`, as ai-log has them.
const MODELS: RangeInclusive<u32> = 1..=100_000;
/// Bounds of `max_label_sets`, as ai-log has them.
const LABEL_SETS: RangeInclusive<u32> = 1..=1_000_000;

/// How many series clients can make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Most models with a name of their own, besides those that rules name literally; 1 to 100,000.
    pub max_models: u32,
    /// Most combinations of consumer, route, model, provider and operation; 1 to 1,000,000.
    pub max_label_sets: u32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { max_models: 100, max_label_sets: 1000 }
    }
}

/// Reads the section.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Metrics> {
    let default = Metrics::default();
    let Some(at) = fields.optional("metrics") else {
        return Some(default);
    };
    let mut fields = at.fields("`{max_models: 100, max_label_sets: 1000}`")?;
    let models = fields.optional("max_models");
    let max_models = models.map_or(Some(default.max_models), |at| at.number32(MODELS));
    let sets = fields.optional("max_label_sets");
    let max_label_sets = sets.map_or(Some(default.max_label_sets), |at| at.number32(LABEL_SETS));
    fields.finish();
    Some(Metrics { max_models: max_models?, max_label_sets: max_label_sets? })
}
