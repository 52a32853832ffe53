//! Families of metrics, and the names of their series, labels in them.
//!
//! A Wasm plugin's metric is a name and nothing else. Labels therefore stand in it, `name;label=value;label=value`, and
//! the proxy takes them out again by [`tags`], in its `stats_config.stats_tags`
//! (<https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/metrics/v3/stats.proto#config-metrics-v3-tagspecifier>).
//! Whoever makes series bounds them: the proxy keeps each until it ends.

/// Longest value of a label, in bytes.
pub const MAX_VALUE: usize = 128;

/// Longest [`word`], in characters.
const MAX_WORD: usize = 32;

macro_rules! labels {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A label, by the name that a query knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Label { $($(#[$doc])* $variant,)* }

        impl Label {
            /// Every label.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

labels! {
    /// Who asked.
    Consumer = "consumer",
    /// The rule that matched: its first glob.
    Route = "route",
    /// Model as asked; `other` where it has no series of its own.
    Model = "gen_ai_request_model",
    /// Provider by its name in the configuration.
    Provider = "gen_ai_provider_name",
    /// [`crate::openai::Operation`] by name.
    Operation = "gen_ai_operation_name",
    /// `input`, `output`; `cached` is part of the input, `reasoning` of the output.
    TokenType = "gen_ai_token_type",
    /// `reported` or `estimated`.
    UsageSource = "usage_source",
    /// Whose error it is.
    ErrorClass = "error_class",
    /// Which error it is.
    ErrorType = "error_type",
    /// How an attempt ended.
    Verdict = "verdict",
    /// The provider that was turned to.
    To = "to",
    /// Why.
    Reason = "reason",
    /// A limit by name.
    Limit = "limit",
    /// `hit`, `miss` or `bypass`.
    Result = "result",
    /// A check by name.
    Check = "check",
    /// `request` or `response`.
    On = "on",
    /// What a check found.
    Category = "category",
    /// What was done about it.
    Action = "action",
    /// How something failed.
    Kind = "kind",
    /// Which label gave way.
    Label = "label",
}

/// What becomes of the values that a metric is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// They add up.
    Counter,
    /// They add up, and may be negative.
    Gauge,
    /// Their distribution is kept.
    Histogram,
}

/// All series of one name. A plugin declares those that it may make, for a proxy that wants to know before the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name of the metric.
    pub name: &'static str,
    /// What becomes of its values.
    pub kind: Kind,
    /// Labels of its series, in the order in which they stand in them. A series may leave out any.
    pub labels: &'static [Label],
}

/// Bytes of bodies that the proxy holds for filters, in all workers. Whoever runs filters adjusts it, none of them does.
pub const HELD_BYTES: Family = Family::gauge("sluice_held_bytes", &[]);

impl Family {
    /// Counters of this name.
    #[must_use]
    pub const fn counter(name: &'static str, labels: &'static [Label]) -> Self {
        Self { name, kind: Kind::Counter, labels }
    }

    /// Gauges of this name.
    #[must_use]
    pub const fn gauge(name: &'static str, labels: &'static [Label]) -> Self {
        Self { name, kind: Kind::Gauge, labels }
    }

    /// Histograms of this name.
    #[must_use]
    pub const fn histogram(name: &'static str, labels: &'static [Label]) -> Self {
        Self { name, kind: Kind::Histogram, labels }
    }

    /// Whether a series of this kind is one of the family: no other labels, none twice, in this order.
    #[must_use]
    pub fn holds(&self, kind: Kind, series: &str) -> bool {
        let (name, mut labels) = parse(series);
        let mut declared = self.labels.iter();
        let is_declared = |(label, _): (&str, &str)| declared.any(|declared| declared.name() == label);
        (name, kind) == (self.name, self.kind) && labels.all(is_declared)
    }
}

/// The name of the series of `metric` with these labels. An empty value leaves its label out; what would end a
/// value, and control characters, become `_`; longer values than 128 bytes are cut.
#[must_use]
pub fn series(metric: &str, labels: &[(Label, &str)]) -> String {
    let mut name = metric.to_owned();
    for (label, value) in labels {
        add(&mut name, *label, value);
    }
    name
}

/// Adds a label to a series, as [`series`] does.
pub fn add(series: &mut String, label: Label, value: &str) {
    let value = value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or_default();
    if value.is_empty() {
        return;
    }
    series.push(';');
    series.push_str(label.name());
    series.push('=');
    // Without a way out at the first of them, many bytes are compared at once.
    let is_odd = |byte: u8| !(0x20..0x7f).contains(&byte) || byte == b';';
    if !value.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        return series.push_str(value);
    }
    series.extend(value.chars().map(|char| if char == ';' || char.is_control() { '_' } else { char }));
}

/// Takes a [`series`] apart again: its metric, and the names of its labels with their values, in order.
pub fn parse(series: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = series.split(';');
    let metric = parts.next().unwrap_or_default();
    (metric, parts.map(|label| label.split_once('=').unwrap_or((label, ""))))
}

/// A word that somebody outside chose, as the value of a label: at most 32 characters, lower case letters, digits, `-` and
/// `_`; `none` where it is empty. Whoever counts by it bounds how many there are.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |char: char| match char.to_ascii_lowercase() {
        char if char.is_ascii_alphanumeric() || char == '-' => char,
        _ => '_',
    };
    let word: String = text.chars().take(MAX_WORD).map(plain).collect();
    if word.is_empty() { "none".to_owned() } else { word }
}

/// The expressions by which the proxy takes the labels out of names: label, and a regular expression whose first group
/// is what leaves the name and whose second is the value.
pub fn tags() -> impl Iterator<Item = (&'static str, String)> {
    Label::ALL.iter().map(|label| (label.name(), format!("^wasmcustom\\..*?(;{}=([^;]*))", label.name())))
}

#[cfg(test)]
mod tests;
