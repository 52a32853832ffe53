//! Names of HTTP headers in gateway.yaml.

/// Headers that belong to one connection (RFC 9110 section 7.6.1) or that the gateway writes itself.
const OURS: [(&str, &str); 13] = [
    ("authorization", "the provider's `keys` are sent in it; write them there"),
    ("host", "it comes from `url`; remove it"),
    ("content-length", "the gateway counts the body; remove it"),
    ("content-type", "it comes from the client; remove it"),
    ("cookie", "cookies are the client's and reach no provider; remove it"),
    ("accept-encoding", "the gateway must be able to read the answer; remove it"),
    ("connection", "it belongs to one connection; remove it"),
    ("keep-alive", "it belongs to one connection; remove it"),
    ("proxy-connection", "it belongs to one connection; remove it"),
    ("te", "it belongs to one connection; remove it"),
    ("trailer", "it belongs to one connection; remove it"),
    ("transfer-encoding", "it belongs to one connection; remove it"),
    ("upgrade", "it belongs to one connection; remove it"),
];

/// Prefixes of headers that Envoy or the filters use among themselves.
const INTERNAL: [&str; 2] = ["x-envoy-", "x-ai-"];

/// A header's name in lower case.
///
/// # Errors
/// It is no token (RFC 9110 section 5.1); what to write instead.
pub(super) fn header_name(name: &str) -> Result<String, String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.starts_with(':') {
        return Err("is a pseudo-header; name an ordinary header such as x-team".into());
    }
    if name.is_empty() || !name.chars().all(token) {
        return Err("is no name of a header; write letters, digits and - as in x-team".into());
    }
    Ok(name.to_ascii_lowercase())
}

/// As [`header_name`], for headers that are added to a provider's requests.
///
/// # Errors
/// It is no name, or a header that must not be added; what to write instead.
pub(super) fn provider_header(name: &str) -> Result<String, String> {
    let name = header_name(name)?;
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Err(format!("cannot be added: {why}"));
    }
    if INTERNAL.iter().any(|prefix| name.starts_with(prefix)) {
        return Err("cannot be added: the gateway uses the name itself; choose another".into());
    }
    Ok(name)
}

/// As [`header_name`], for headers that are added to calls of a moderation service.
///
/// # Errors
/// It is no name, or a header that the gateway writes itself; what to write instead.
pub(super) fn service_header(name: &str) -> Result<String, String> {
    let name = header_name(name)?;
    if name == "authorization" {
        return Err("cannot be added: `key` is sent in it; write it there".into());
    }
    let ours = OURS.iter().any(|(ours, _)| *ours == name);
    if ours || INTERNAL.iter().any(|prefix| name.starts_with(prefix)) {
        return Err("cannot be added: the gateway writes it itself; remove it".into());
    }
    Ok(name)
}

/// As [`header_name`], for headers that are added to exports of spans.
///
/// # Errors
/// It is no name, or a header that Envoy writes itself; what to write instead.
pub(super) fn collector_header(name: &str) -> Result<String, String> {
    let name = header_name(name)?;
    let ours = OURS.iter().any(|(ours, _)| *ours == name && name != "authorization");
    if ours || INTERNAL.iter().any(|prefix| name.starts_with(prefix)) {
        return Err("cannot be added: Envoy writes it itself; remove it".into());
    }
    Ok(name)
}

/// Headers in which keys are looked for anyway.
const USUAL: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// Headers that hold something else, besides [`OURS`] and [`INTERNAL`]: consumer-auth takes none of them for a key.
const NO_KEYS: [&str; 4] = ["accept", "content-encoding", "x-mse-consumer", "x-request-id"];

/// As [`header_name`], for headers that hold the key of a consumer.
///
/// # Errors
/// It is no name, or a header that holds something else; what to write instead.
pub(super) fn credential_header(name: &str) -> Result<String, String> {
    let name = header_name(name)?;
    if USUAL.contains(&name.as_str()) {
        return Err("is looked at anyway; remove it".into());
    }
    let ours = OURS.iter().map(|(ours, _)| ours).chain(&NO_KEYS).any(|ours| *ours == name);
    if ours || INTERNAL.iter().any(|prefix| name.starts_with(prefix)) {
        return Err("holds something else; choose another name such as x-my-key".into());
    }
    Ok(name)
}
