//! The labels that a request's metrics have in common, and their bounds.

use std::collections::BTreeSet;

use sluice_core::filter::Host;
use sluice_core::metric::{self, Label};

use crate::entry::Entry;
use crate::object::clip;
use crate::registry::Registry;

/// The value of a label that gave way.
pub(crate) const OTHER: &str = "other";

/// Different categories of findings, for services may name any.
const MAX_CATEGORIES: usize = 64;

/// Different statuses of errors, for providers may answer with any number.
const MAX_STATUSES: usize = 32;

/// What has series of its own.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Models that rules name literally: they always have.
    literal: BTreeSet<String>,
    models: Registry,
    sets: Registry,
    categories: Registry,
    statuses: Registry,
}

impl Bounds {
    /// With room for so many more models and so many sets of labels.
    pub(crate) fn new(literal: Vec<String>, max_models: usize, max_sets: usize) -> Self {
        Self {
            literal: literal.into_iter().collect(),
            models: Registry::new("ai-log/models", max_models),
            sets: Registry::new("ai-log/sets", max_sets),
            categories: Registry::new("ai-log/categories", MAX_CATEGORIES),
            statuses: Registry::new("ai-log/statuses", MAX_STATUSES),
        }
    }

    /// Whether the model of the request has series of its own. Only one that is offered and was answered gets them.
    fn admits_model(&mut self, host: &mut dyn Host, entry: &Entry, model: &str) -> bool {
        if self.literal.contains(model) {
            return true;
        }
        let model = clip(model, metric::MAX_VALUE);
        if entry.question.rule.is_none() {
            return false;
        }
        if entry.is_answered_by_model() {
            self.models.admits(host, model)
        } else {
            self.models.knows(host, model)
        }
    }

    /// The category if it has series of its own.
    pub(crate) fn category(&mut self, host: &mut dyn Host, category: String) -> Option<String> {
        self.categories.admits(host, &category).then_some(category)
    }
}

/// The labels of one request.
pub(crate) struct Labels<'a> {
    consumer: &'a str,
    route: &'a str,
    model: &'a str,
    operation: &'a str,
    /// Whether the model's name gave way.
    pub(crate) lost_model: bool,
    /// Whether a set of labels gave way.
    pub(crate) lost_set: bool,
    /// Whether a status gave way.
    pub(crate) lost_status: bool,
}

impl<'a> Labels<'a> {
    /// Those of the request that all its metrics have.
    pub(crate) fn of(host: &mut dyn Host, bounds: &mut Bounds, entry: &'a Entry) -> Self {
        let model = entry.question.model.as_deref().unwrap_or_default();
        let lost_model = !model.is_empty() && !bounds.admits_model(host, entry, model);
        Self {
            consumer: entry.caller.consumer.as_deref().unwrap_or_default(),
            route: entry.question.rule.as_deref().unwrap_or_default(),
            model: if lost_model { OTHER } else { model },
            operation: entry.asked.as_ref().map_or("", |asked| asked.operation.name()),
            lost_model,
            lost_set: false,
            lost_status: false,
        }
    }

    /// The part of a series' name that holds them, with this provider.
    pub(crate) fn at(&mut self, host: &mut dyn Host, bounds: &mut Bounds, provider: &str) -> String {
        let own = self.joined(self.consumer, self.model, provider);
        if bounds.sets.admits(host, &own) {
            return own;
        }
        let other = |value: &'a str| if value.is_empty() { value } else { OTHER };
        let shared = self.joined(other(self.consumer), other(self.model), provider);
        self.lost_set |= shared != own;
        shared
    }

    /// A verdict or an error; of a status without series of its own no more than that.
    pub(crate) fn kind<'n>(&mut self, host: &mut dyn Host, bounds: &mut Bounds, name: &'n str) -> &'n str {
        if !name.starts_with("status_") || bounds.statuses.admits(host, name) {
            return name;
        }
        self.lost_status = true;
        OTHER
    }

    fn joined(&self, consumer: &str, model: &str, provider: &str) -> String {
        let mut labels = String::with_capacity(192);
        for (label, value) in [
            (Label::Consumer, consumer),
            (Label::Route, self.route),
            (Label::Model, model),
            (Label::Provider, provider),
            (Label::Operation, self.operation),
        ] {
            metric::add(&mut labels, label, value);
        }
        labels
    }
}
