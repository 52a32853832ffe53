//! Paths in disguise: what a caller may not ask for it does not get by writing it in another way.

use sluice_e2e::bed::Bed;
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::upstream::{Seen, Upstream};

use crate::bed::shared;
use crate::raw::{CHAT, question};

/// Ways to write the path of a chat completion: of a caller who may ask for embeddings alone, none leads there.
const DISGUISES: [&str; 40] = [
    "/v1/embeddings/../chat/completions",
    "/v1/embeddings/./../chat/completions",
    "/v1/embeddings/%2e%2e/chat/completions",
    "/v1/embeddings/%2E%2E/chat/completions",
    "/v1/embeddings/.%2e/chat/completions",
    "/v1/embeddings/%252e%252e/chat/completions",
    "/v1/embeddings%2f..%2fchat/completions",
    "/v1/embeddings%2F%2E%2E%2Fchat%2Fcompletions",
    "/v1/embeddings%252f..%252fchat%252fcompletions",
    "/v1/embeddings/..;/chat/completions",
    "/v1/embeddings/..;a=b/chat/completions",
    "/v1/embeddings/.;/..;/chat/completions",
    "/v1/embeddings/%2e%2e;/chat/completions",
    "/v1/embeddings/..%3b/chat/completions",
    "/v1/embeddings/..%00/chat/completions",
    "/v1/embeddings/..%20/chat/completions",
    "/v1/embeddings/..%09/chat/completions",
    "/v1/embeddings\\..\\chat\\completions",
    "/v1/embeddings/..\\chat/completions",
    "/v1/embeddings/..%5cchat%5ccompletions",
    "/v1/embeddings/..%c0%afchat/completions",
    "/v1/embeddings/%c0%ae%c0%ae/chat/completions",
    "/v1/embeddings/\u{ff0e}\u{ff0e}/chat/completions",
    "/v1/embeddings%00/../chat/completions",
    "/v1/embeddings?/../chat/completions",
    "/v1/embeddings#/../chat/completions",
    "/v1/embeddings/%23/../../chat/completions",
    "//v1/chat/completions",
    "///v1//chat///completions",
    "/v1//chat/completions",
    "/V1/Chat/Completions",
    "/v1/chat/completions/",
    "/v1/chat/completions.",
    "/v1/chat/completions;a=b",
    "/v1/chat/completions%00",
    "/v1/chat/completions%20",
    "/v1/ch%61t/completions",
    "/v1/x/../chat/completions",
    "/chat/completions",
    "/openai/deployments/gpt-1/chat/completions",
];

/// Ways to ask for what Envoy's admin interface or the gateway's inner listeners answer.
const INNER: [&str; 16] = [
    "/config_dump",
    "/config_dump?include_eds",
    "/stats",
    "/stats/prometheus",
    "/clusters",
    "/certs",
    "/server_info",
    "/quitquitquit",
    "/logging?level=trace",
    "/healthcheck/fail",
    "/ready",
    "/v1/../config_dump",
    "/v1/%2e%2e/stats",
    "/v1/cache",
    "/cache/stats",
    "/redis",
];

fn post(bed: &Bed, path: &str, model: &str) -> Option<Reply> {
    let headers = [("content-type", "application/json"), ("authorization", "Bearer sk-embedder")];
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    client.write(&client::request("POST", path, &headers, question(model).as_bytes())).ok()?;
    client.read().ok()
}

fn seen(bed: &Bed, model: &str) -> Vec<Seen> {
    bed.providers.iter().flat_map(|provider| provider.of_user(model)).collect()
}

/// Whether a provider, however leniently it reads, might take `path` for a chat completion.
fn is_chat(path: &str) -> bool {
    let mut path = path.split(['?', '#']).next().unwrap_or_default().to_lowercase();
    for _ in 0..2 {
        for (from, to) in
            [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/"), ("%3b", ";"), ("%25", "%"), ("%61", "a")]
        {
            path = path.replace(from, to);
        }
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    segments.ends_with(&["chat", "completions"])
}

#[test]
fn no_disguise_of_a_path_leads_where_its_caller_may_not_go() {
    let bed = shared();
    assert!(is_chat(CHAT) && is_chat("/v1/x/..;/chat/completions") && !is_chat("/v1/embeddings"));
    for (n, path) in DISGUISES.into_iter().enumerate() {
        let model = format!("gpt-path-{n}");
        let reply = post(&bed, path, &model);
        let seen = seen(&bed, &model);
        for one in &seen {
            assert!(one.path.starts_with("/v1/embeddings") && !is_chat(&one.path), "{path}: {}", one.path);
        }
        assert_eq!(seen.is_empty(), reply.is_none_or(|reply| reply.status >= 400), "{path}");
    }
}

#[test]
fn a_path_as_long_as_may_be_is_refused_or_one_request() {
    let bed = shared();
    for length in [1_000, 10_000, 59_000, 70_000, 1_000_000] {
        let model = format!("gpt-long-{length}");
        let reply = post(&bed, &format!("/v1/embeddings/{}", "a".repeat(length)), &model);
        let seen = seen(&bed, &model).len();
        assert_eq!(seen, usize::from(reply.is_some_and(|reply| reply.status == 200)), "{length}");
    }
}

#[test]
fn what_is_inside_cannot_be_asked_for_from_outside() {
    let bed = shared();
    for path in INNER {
        for method in ["GET", "POST", "DELETE"] {
            let headers = [("content-type", "application/json"), ("authorization", "Bearer sk-embedder")];
            let reply = client::send(bed.gateway.address(), method, path, &headers, b"{}");
            assert!((400..500).contains(&reply.status), "{method} {path}: {}", reply.status);
            assert!(reply.text().contains("\"error\""), "{method} {path}: {}", reply.text());
        }
    }
    let ready = client::get(bed.gateway.admin(), "/ready");
    assert_eq!(ready.text().trim(), "LIVE", "nothing of it was done");
}

/// A key in a query, in whatever spelling, is in no record, log or request to a provider.
#[test]
fn a_key_in_a_query_is_told_nowhere() {
    let bed = shared();
    let key = "sk-embedder";
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let queries = [
        format!("?key={key}"),
        format!("?a=b&key={key}&c=d"),
        format!("?k%65y={encoded}"),
        format!("?key={key}&key={key}"),
    ];
    for (n, query) in queries.iter().enumerate() {
        let headers = [("content-type", "application/json")];
        let body = question(&format!("gpt-query-{n}"));
        let path = format!("/v1/embeddings{query}");
        let reply = client::send(bed.gateway.address(), "POST", &path, &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    }
    for n in 0..queries.len() {
        bed.gateway.ai_log(&format!("gpt-query-{n}"));
    }
    let asked = bed.providers.iter().flat_map(Upstream::requests);
    for text in [asked.map(|seen| seen.path).collect(), bed.gateway.everything_readable()] {
        let found = [key, &encoded].into_iter().find(|key| text.contains(*key));
        assert_eq!(found, None);
    }
}
