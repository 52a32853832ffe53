//! How a caller's buckets stand in a running gateway: it is asked with the caller's own key.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Number;

use super::{Explanation, Question};

/// Longest wait for the gateway.
const ANSWER: Duration = Duration::from_secs(5);
/// Largest answer in bytes: some hundred bytes for each limit.
const MAX_ANSWER: u64 = 16 << 20;

/// How a bucket stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Level {
    /// Name of the limit.
    pub name: String,
    /// Used within the window.
    pub used: Number,
    /// Held for requests in flight.
    pub held: Number,
    /// Left for others.
    pub remaining: Number,
    /// Milliseconds until nothing is used any more; `None` for requests in flight.
    pub resets_in_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Answer {
    limits: Vec<Level>,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusedBecause,
}

#[derive(Deserialize)]
struct RefusedBecause {
    code: Option<String>,
    message: String,
}

/// Adds the levels that the gateway at `url` tells to the limits of `explanation` that apply. Asks nothing where none
/// does.
///
/// # Errors
/// It cannot be asked, or refuses to answer.
pub fn add_levels(explanation: &mut Explanation, question: &Question, url: &str) -> Result<(), String> {
    if explanation.limits.iter().all(|limit| limit.outside.is_some()) {
        return Ok(());
    }
    let mut levels = ask(question, url)?;
    for limit in explanation.limits.iter_mut().filter(|limit| limit.outside.is_none()) {
        let told = levels.iter().position(|level| level.name == limit.name);
        limit.level = told.map(|at| levels.swap_remove(at));
    }
    Ok(())
}

fn ask(question: &Question, url: &str) -> Result<Vec<Level>, String> {
    if !url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")) {
        return Err(format!("--at {url:?} does not begin with http://; write http://127.0.0.1:10000"));
    }
    let place = format!("{}/v1/limits", url.trim_end_matches('/'));
    let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).proxy(None);
    let agent: ureq::Agent = config.http_status_as_error(false).max_redirects(0).build().into();
    let tokens = question.input_tokens.to_string();
    let mut request = agent.get(&place).query("model", &question.model).query("input_tokens", tokens);
    if let Some(key) = &question.key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    for (name, value) in &question.headers {
        request = request.header(name, value);
    }
    let mut response = request.call().map_err(|error| format!("{place}: {error}"))?;
    let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
    let body = body.map_err(|error| format!("{place}: {error}"))?;
    match response.status().as_u16() {
        200 => levels(&body).ok_or_else(|| format!("{place}: what answers is no Sluice with limits")),
        status => Err(format!("{place}: {}", refusal(status, &body))),
    }
}

fn levels(body: &[u8]) -> Option<Vec<Level>> {
    Some(serde_json::from_slice::<Answer>(body).ok()?.limits)
}

/// What the gateway says in its own words.
fn refusal(status: u16, body: &[u8]) -> String {
    let error = serde_json::from_slice::<Refusal>(body).ok().map(|refusal| refusal.error);
    match (status, error) {
        (404, error) if error.as_ref().and_then(|error| error.code.as_deref()) != Some("model_not_found") => {
            "it answered 404, so the gateway that runs there has no limits".to_owned()
        }
        (_, Some(RefusedBecause { code: Some(code), message })) => {
            format!("it answered {status} {code}: {message}")
        }
        (_, Some(RefusedBecause { code: None, message })) => format!("it answered {status}: {message}"),
        _ => format!("it answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_gateways_words() {
        let error =
            |code: &str| format!(r#"{{"error": {{"message": "No.", "type": "x", "code": "{code}"}}}}"#);
        for (status, body, want) in [
            (401, error("invalid_api_key"), "it answered 401 invalid_api_key: No."),
            (404, error("model_not_found"), "it answered 404 model_not_found: No."),
            (404, error("not_found"), "it answered 404, so the gateway that runs there has no limits"),
            (503, error("limits_unavailable"), "it answered 503 limits_unavailable: No."),
            (500, r#"{"error": {"message": "No."}}"#.to_owned(), "it answered 500: No."),
            (502, "<html>".to_owned(), "it answered 502"),
        ] {
            assert_eq!(refusal(status, body.as_bytes()), want);
        }
    }

    #[test]
    fn only_an_answer_of_limits_is_taken() {
        let one = r#"{"limits": [{"name": "a", "measure": "cost_usd", "limit": 50, "used": 0.25, "held": 0,
                      "remaining": 49.75, "resets_in_ms": 5, "per_ms": 60000, "later": 1}]}"#;
        let levels_of = |text: &str| levels(text.as_bytes()).map(|levels| levels.len());
        assert_eq!(levels_of(one), Some(1));
        assert_eq!(
            levels_of(r#"{"limits": [{"name": "a", "used": 1, "held": 0, "remaining": 4}]}"#),
            Some(1)
        );
        for other in ["", "[]", "{}", r#"{"limits": 5}"#, r#"{"object": "list", "data": []}"#] {
            assert_eq!(levels_of(other), None, "{other}");
        }
    }
}
