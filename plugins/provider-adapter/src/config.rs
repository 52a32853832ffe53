//! What an operator writes, and what the filter makes of it.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_core::config::{Env, HeaderValue, shown};

/// Headers that are not the operator's to pass or to set: Envoy frames the message with them, the client's
/// credentials stand in them (`key-rotation` writes the provider's), or the answer could not be read.
const RESERVED: &[&str] =
    &["accept-encoding", "connection", "content-length", "cookie", "host", "transfer-encoding", "upgrade"];

/// The configuration as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    #[serde(default)]
    providers: BTreeMap<String, RawProvider>,
    #[serde(default)]
    pass_headers: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvider {
    #[serde(default)]
    headers: BTreeMap<String, HeaderValue>,
}

/// The configuration in use.
#[derive(Debug, Default)]
pub struct Config {
    /// Headers to add, names in lower case, by provider.
    pub(crate) headers: BTreeMap<String, Vec<(String, String)>>,
    /// Client headers to let through besides the built-in ones, in lower case.
    pub(crate) pass_headers: Vec<String>,
    /// This worker has warned of a missing target.
    pub(crate) warned: Cell<bool>,
}

impl Config {
    /// Checks `raw`.
    ///
    /// # Errors
    /// The first part that does not hold, as `path: what is wrong`; never a header's value.
    pub(crate) fn check(raw: RawConfig, env: &Env<'_>) -> Result<Self, String> {
        let mut config = Self::default();
        for (index, name) in raw.pass_headers.iter().enumerate() {
            let name = header_name(name).map_err(|why| format!("pass_headers[{index}]: {why}"))?;
            if name == "authorization" {
                return Err(format!("pass_headers[{index}]: the client's credential is not the provider's"));
            }
            config.pass_headers.push(name);
        }
        for (provider, RawProvider { headers }) in raw.providers {
            let headers = headers.into_iter().map(|(name, value)| {
                read(value, env)
                    .and_then(|value| header(&name, value))
                    .map_err(|why| format!("providers.{provider}.headers.{name}: {why}"))
            });
            let headers = headers.collect::<Result<_, _>>()?;
            config.headers.insert(provider, headers);
        }
        Ok(config)
    }
}

fn read(value: HeaderValue, env: &Env<'_>) -> Result<String, String> {
    match value {
        HeaderValue::Text(text) => Ok(text),
        HeaderValue::Secret(secret) => Ok(secret.read(env)?.expose().to_owned()),
    }
}

fn header(name: &str, value: String) -> Result<(String, String), String> {
    if value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("the value holds a control character".to_owned());
    }
    Ok((header_name(name)?, value))
}

/// A header's name in lower case, if it is a token (RFC 9110 section 5.6.2) and not reserved.
fn header_name(name: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{:?} is no header name", shown(name)));
    }
    let name = name.to_ascii_lowercase();
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("{name} is reserved"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<Config, String> {
        let env = |name: &str| (name == "TEAM_KEY").then(|| "from-env".to_owned());
        Config::check(serde_json::from_str(json).map_err(|error| error.to_string())?, &env)
    }

    #[test]
    fn header_names_are_kept_in_lower_case() {
        let config =
            check(r#"{"providers":{"a":{"headers":{"X-Team":"search"}}},"pass_headers":["X-Mine"]}"#)
                .unwrap();
        assert_eq!(config.headers["a"], [("x-team".to_owned(), "search".to_owned())]);
        assert_eq!(config.pass_headers, ["x-mine"]);
        assert!(check("{}").unwrap().headers.is_empty());
    }

    #[test]
    fn a_header_can_be_a_secret() {
        let of =
            |secret: &str| check(&format!(r#"{{"providers":{{"a":{{"headers":{{"x-key":{secret}}}}}}}}}"#));
        assert_eq!(of(r#"{"env":"TEAM_KEY"}"#).unwrap().headers["a"], [("x-key".into(), "from-env".into())]);
        let missing = of(r#"{"env":"NOBODY"}"#).unwrap_err();
        assert_eq!(missing, "providers.a.headers.x-key: environment variable NOBODY is not set");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (json, want) in [
            (r#"{"pass_headers":["x y"]}"#, r#"pass_headers[0]: "x y" is no header name"#),
            (r#"{"pass_headers":["a",":path"]}"#, r#"pass_headers[1]: ":path" is no header name"#),
            (r#"{"pass_headers":["sk-x y"]}"#, r#"pass_headers[0]: "***" is no header name"#),
            (r#"{"pass_headers":[""]}"#, r#"pass_headers[0]: "" is no header name"#),
            (r#"{"pass_headers":["Cookie"]}"#, "pass_headers[0]: cookie is reserved"),
            (
                r#"{"pass_headers":["authorization"]}"#,
                "pass_headers[0]: the client's credential is not the provider's",
            ),
            (r#"{"providers":{"a":{"headers":{"Host":"b"}}}}"#, "providers.a.headers.Host: host is reserved"),
            (
                r#"{"providers":{"a":{"headers":{"x":"b\nc"}}}}"#,
                "providers.a.headers.x: the value holds a control character",
            ),
        ] {
            assert_eq!(check(json).unwrap_err(), want);
        }
        assert!(check(r#"{"providers":{"a":{"header":{}}}}"#).unwrap_err().contains("header"));
    }
}
