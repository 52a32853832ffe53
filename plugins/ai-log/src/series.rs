//! Writes metrics that have their labels in common.

use sluice_core::filter::Host;
use sluice_core::metric::{self, Label};

/// A host, and the labels that all series written through it have.
pub(crate) struct Series<'a> {
    host: &'a mut dyn Host,
    labels: &'a str,
    name: String, // kept for its memory
}

impl<'a> Series<'a> {
    /// Series with these labels, as they stand in a name.
    pub(crate) fn new(host: &'a mut dyn Host, labels: &'a str) -> Self {
        Self { host, labels, name: String::with_capacity(384) }
    }

    fn name(&mut self, metric: &str, more: &[(Label, &str)]) {
        self.name.clear();
        self.name.push_str(metric);
        self.name.push_str(self.labels);
        for (label, value) in more {
            metric::add(&mut self.name, *label, value);
        }
    }

    /// Adds to a counter; nothing makes no series.
    pub(crate) fn count(&mut self, metric: &str, more: &[(Label, &str)], by: u64) {
        if by > 0 {
            self.name(metric, more);
            self.host.count(&self.name, by);
        }
    }

    /// Records a value that is there.
    pub(crate) fn observe(&mut self, metric: &str, more: &[(Label, &str)], value: Option<u64>) {
        if let Some(value) = value {
            self.name(metric, more);
            self.host.observe(&self.name, value);
        }
    }
}
