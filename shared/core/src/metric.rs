//! Names of metrics, their labels in them.
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
    series.extend(value.chars().map(|char| if char == ';' || char.is_control() { '_' } else { char }));
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
mod tests {
    use super::*;

    #[test]
    fn labels_stand_in_the_name() {
        let labels = [(Label::Consumer, "mobile app"), (Label::Limit, ""), (Label::Model, "gpt-4.1;x=y\n")];
        assert_eq!(
            series("a_total", &labels),
            "a_total;consumer=mobile app;gen_ai_request_model=gpt-4.1_x=y_"
        );
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let name = series("a", &[(Label::Check, &"é".repeat(100))]);
        assert_eq!(name, format!("a;check={}", "é".repeat(64)));
    }

    #[test]
    fn each_label_has_a_name_of_its_own_that_no_other_ends_with() {
        for label in Label::ALL {
            let same = Label::ALL.iter().filter(|other| other.name() == label.name());
            assert_eq!(same.count(), 1, "{label:?}");
            assert!(label.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{label:?}");
        }
    }
}
