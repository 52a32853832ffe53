//! The configuration of a chain: several filters that the proxy runs as one.
//!
//! ```json
//! { "filters": [ { "name": "consumer-auth", "config": { "consumers": [] } }, { "name": "model-router", "config": {} } ],
//!   "publish": ["ai.consumer"] }
//! ```

use serde::Deserialize;
use serde_json::value::RawValue;

/// `root_id` of a chain: several filters of a module in one filter of the proxy.
pub const ROOT_ID: &str = "chain";

/// What the name of a cluster ends with that leads Envoy's main thread, which reaches no internal listener, to where the
/// cluster of the name before leads workers.
pub const OF_MAIN_THREAD: &str = ".main";

/// Most filters in one chain.
pub const MAX_FILTERS: usize = 32;

/// A chain as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain<'a> {
    /// The filters: the first is the outermost, which sees a request first and its answer last.
    #[serde(borrow)]
    pub filters: Vec<Link<'a>>,
    /// Facts that stand in the proxy's filter state as well, where access logs, traces and other filters read them; the
    /// rest are known to the chains of this module and VM only. Absent: all facts are in filter state, and nowhere else.
    #[serde(default)]
    pub publish: Option<Vec<String>>,
    /// The facts are those of the chain that the request has passed before, in the stage before: that of the gateway.
    #[serde(default)]
    pub joins: bool,
}

/// One filter of a chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link<'a> {
    /// Its plugin name.
    pub name: String,
    /// Its own configuration; absent: `{}`.
    #[serde(borrow, default)]
    config: Option<&'a RawValue>,
}

impl Link<'_> {
    /// The filter's own configuration, unread.
    #[must_use]
    pub fn config(&self) -> &str {
        self.config.map_or("{}", RawValue::get)
    }
}

impl<'a> Chain<'a> {
    /// Reads a chain; the configurations of its filters stay unread.
    ///
    /// # Errors
    /// What does not hold. Nothing of the configuration but a name is repeated, for it may be a secret in the wrong place.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let chain: Self = serde_json::from_slice(bytes).map_err(|error| match error.is_data() {
            true => format!(
                r#"must be {{"filters": [{{"name": PLUGIN, "config": {{…}}}}], "publish": [FACT], "joins": BOOL}} (line {}, column {})"#,
                error.line(),
                error.column()
            ),
            false => format!("configuration is not a JSON object: {error}"),
        })?;
        if chain.filters.is_empty() {
            return Err("filters: must not be empty".to_owned());
        }
        if chain.filters.len() > MAX_FILTERS {
            return Err(format!("filters: must be at most {MAX_FILTERS}"));
        }
        Ok(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_keep_their_order_and_their_configuration_as_written() {
        let text =
            br#"{"filters": [{"name": "b", "config": {"x": 1.0}}, {"name": "a"}], "publish": ["ai.tier"]}"#;
        let chain = Chain::parse(text).unwrap();
        let filters: Vec<_> = chain.filters.iter().map(|link| (link.name.as_str(), link.config())).collect();
        assert_eq!(filters, [("b", r#"{"x": 1.0}"#), ("a", "{}")]);
        assert_eq!(chain.publish.as_deref(), Some(&["ai.tier".to_owned()][..]));
        assert_eq!(Chain::parse(br#"{"filters": [{"name": "a"}]}"#).unwrap().publish, None);
    }

    #[test]
    fn a_mistake_is_told_without_what_it_holds() {
        let many = format!(r#"{{"filters": [{}]}}"#, vec![r#"{"name": "a"}"#; 33].join(","));
        for (text, want) in [
            ("", "configuration is not a JSON object: EOF while parsing a value at line 1 column 0"),
            (r#"{"filters": []}"#, "filters: must not be empty"),
            (&many, "filters: must be at most 32"),
            (r#"{"filters": [{"name": "a", "key": "sk-secret"}]}"#, "(line 1, column 32)"),
            (r#"{"filters": ["sk-secret"]}"#, "(line 1, column 24)"),
            ("[]", "must be {"),
        ] {
            let told = Chain::parse(text.as_bytes()).unwrap_err();
            assert!(told.contains(want) && !told.contains("sk-"), "{text}: {told}");
        }
    }
}
