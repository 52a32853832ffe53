//! A service as an operator writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_core::config::{Env, HeaderValue, Secret, SecretSource};

/// Headers that are not the operator's to set: they frame the call, or `key` writes them.
const RESERVED: &[&str] =
    &["authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"];

/// A moderation service as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawService {
    /// Envoy cluster.
    pub cluster: String,
    /// `host` or `host:port`, for `:authority`.
    pub authority: String,
    /// Path, with a query if need be.
    pub path: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Deadline of one call, in milliseconds; left out: 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// Sent as `authorization: Bearer …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretSource>,
    /// Further headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderValue>,
    /// Model to name to it; protocol `openai` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// <https://platform.openai.com/docs/api-reference/moderations/create>
    #[default]
    Openai,
    /// Ours, for shims: one text a call, and what to replace it by.
    Generic,
}

/// A header's name in lower case, if it is a token (RFC 9110 section 5.6.2) and not reserved, with its value.
pub(super) fn header(name: &str, value: HeaderValue, env: &Env<'_>) -> Result<(String, Secret), String> {
    let name = name.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("headers: a name is no header name".to_owned());
    }
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("headers.{name}: is reserved"));
    }
    let source = match value {
        HeaderValue::Text(text) => SecretSource::Value(text),
        HeaderValue::Secret(source) => source,
    };
    let value = source.read(env).map_err(|error| format!("headers.{name}: {error}"))?;
    Ok((name, value))
}
