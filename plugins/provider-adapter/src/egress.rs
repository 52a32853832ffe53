//! What of a request's head goes to the provider, and what of an answer's head to the client.

use sluice_core::filter::Headers;
use sluice_core::openai::error::ERROR_HEADER;

/// Whether a provider may see this request header. All others stop here: cookies, the client's credentials and address,
/// and what proxies in front of us added are no business of a third party. The client's `openai-organization`
/// and `openai-project` are not passed either, for the key they would go with is the operator's.
fn is_for_providers(name: &str) -> bool {
    matches!(
        name,
        // how the message is framed and what it is
        "content-type" | "content-length" | "content-encoding" | "transfer-encoding" | "accept" | "user-agent"
        // finding the request again in the provider's logs, and in traces
        | "x-request-id" | "traceparent" | "tracestate"
        // a repeated request is answered once (Stripe's convention, followed by OpenAI and Anthropic)
        | "idempotency-key"
        // what the request's fields mean
        | "openai-beta" | "anthropic-version" | "anthropic-beta"
    )
}

/// Headers of the official SDKs that name language, version and retry count, for the provider's support.
const EGRESS_PREFIX: &str = "x-stainless-";

/// Answer headers that mean something to our filters, to Envoy or to clients when *we* write them. With
/// `x-envoy-ratelimited`, a provider behind an Envoy of its own would keep ours from trying the next one
/// (<https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter#x-envoy-ratelimited>).
const OURS_PREFIXES: [&str; 2] = ["x-ai-", "x-envoy-"];

/// Answer headers that are between the provider and the operator: whose account it is, a session with it, how to log
/// in to it.
const OPERATORS: [&str; 5] =
    ["openai-organization", "openai-project", "set-cookie", "www-authenticate", "proxy-authenticate"];

/// Answer headers by which the provider speaks of its own host, or sends elsewhere: to the client they would be the
/// gateway's word. Who follows a redirect takes the prompt along, and a key in any header but `authorization`
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-15.4>, step 2.2).
const HOSTS: [&str; 8] = [
    "alt-svc",
    "clear-site-data",
    "content-location",
    "location",
    "nel",
    "refresh",
    "report-to",
    "strict-transport-security",
];

/// Names of the request headers to remove. `has_key`: `authorization` was written for this attempt.
pub(crate) fn unwanted<'a>(headers: &'a Headers, pass: &[String], has_key: bool) -> Vec<&'a str> {
    let passes = |name: &str| match name {
        "authorization" => has_key,
        _ if name.starts_with(':') || name.starts_with(EGRESS_PREFIX) => true,
        _ => is_for_providers(name) || pass.iter().any(|passed| passed == name),
    };
    headers.iter().map(|(name, _)| name).filter(|name| !passes(name)).collect()
}

/// Names of the answer's headers that stop here.
pub(crate) fn withheld(headers: &Headers) -> Vec<&str> {
    let stops = |name: &&str| {
        *name == ERROR_HEADER
            || OPERATORS.contains(name)
            || HOSTS.contains(name)
            || OURS_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    headers.iter().map(|(name, _)| name).filter(stops).collect()
}

/// The path at the provider: `base` in place of the client's `/v1`, or of Azure's `/openai/deployments/{model}`.
/// The query stays.
pub(crate) fn path(base: &str, client: &str) -> String {
    let rest = after_deployment(client).or_else(|| after_segment(client, "/v1")).unwrap_or(client);
    [base, rest].concat()
}

/// The model in a path of Azure's kind, as it stands there.
/// <https://learn.microsoft.com/azure/ai-services/openai/reference#chat-completions>
pub(crate) fn deployment(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/openai/deployments/")?;
    rest.split(['/', '?']).next().filter(|model| !model.is_empty())
}

fn after_deployment(path: &str) -> Option<&str> {
    path.strip_prefix("/openai/deployments/")?.strip_prefix(deployment(path)?)
}

/// What follows `prefix`, if that ends a path segment.
fn after_segment<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_takes_the_place_of_v1() {
        for (base, client, want) in [
            ("/v1", "/v1/chat/completions", "/v1/chat/completions"),
            (
                "/compatible-mode/v1",
                "/v1/chat/completions?a=/v1/b",
                "/compatible-mode/v1/chat/completions?a=/v1/b",
            ),
            ("", "/v1/embeddings", "/embeddings"),
            ("/v1", "/chat/completions", "/v1/chat/completions"),
            ("/v1", "/v10/chat/completions", "/v1/v10/chat/completions"),
            ("/v1", "/v1", "/v1"),
            ("/v1", "/v1?x=1", "/v1?x=1"),
            (
                "/v1",
                "/openai/deployments/gpt-4o/chat/completions?api-version=1",
                "/v1/chat/completions?api-version=1",
            ),
            ("/v1", "/openai/deployments/", "/v1/openai/deployments/"),
        ] {
            assert_eq!(path(base, client), want, "{client}");
        }
        assert_eq!(deployment("/openai/deployments/gpt-4o/chat/completions"), Some("gpt-4o"));
        assert_eq!(deployment("/v1/chat/completions"), None);
    }

    #[test]
    fn what_speaks_of_the_provider_s_own_host_or_account_stops_here() {
        let stopped = [
            "location",
            "alt-svc",
            "strict-transport-security",
            "set-cookie",
            "www-authenticate",
            "x-ai-retry",
        ];
        let passed = ["content-type", "retry-after", "x-request-id", "openai-processing-ms", "cf-ray"];
        let all = stopped.iter().chain(&passed).map(|name| ((*name).to_owned(), b"x".to_vec()));
        assert_eq!(withheld(&Headers::new(all.collect())), stopped);
    }
}
