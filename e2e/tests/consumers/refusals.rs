//! The table of refusals: who may not call is told so, in the client's own shape, before a body is read.

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection, Reply};

use crate::people::{self, CHAT, JSON, MESSAGES, SIGN, bearer, chat, key};

/// One request that must be refused.
struct Refused {
    what: &'static str,
    headers: Vec<(&'static str, String)>,
    query: String,
    body: Value,
    status: u16,
    code: &'static str,
}

impl Refused {
    fn new(what: &'static str, headers: &[(&'static str, &str)], status: u16, code: &'static str) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { what, headers, query: String::new(), body: chat("large-1"), status, code }
    }

    fn query(mut self, query: String) -> Self {
        self.query = query;
        self
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        let own = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        std::iter::once(JSON).chain(own).collect()
    }
}

/// Every refusal that needs no body.
fn by_headers() -> Vec<Refused> {
    let gold = bearer("gold");
    let mut all = without_a_key();
    all.extend([
        Refused::new("an unknown key", &[("authorization", &bearer("nobody"))], 401, "invalid_api_key"),
        Refused::new("a key cut short", &[("x-api-key", &key("gold")[..20])], 401, "invalid_api_key"),
        Refused::new(
            "a key in capitals",
            &[("api-key", &key("gold").to_uppercase())],
            401,
            "invalid_api_key",
        ),
        Refused::new("a key's hash", &[("api-key", &people::sha256(&key("gold")))], 401, "invalid_api_key"),
        Refused::new(
            "a disabled consumer",
            &[("authorization", &bearer("disabled"))],
            401,
            "invalid_api_key",
        ),
        Refused::new("an expired consumer", &[("authorization", &bearer("expired"))], 401, "expired_api_key"),
        Refused::new(
            "different keys in two headers",
            &[("authorization", &gold), ("x-api-key", &key("hashed"))],
            401,
            "ambiguous_api_key",
        ),
        Refused::new(
            "a good key and one that is nobody's",
            &[("authorization", &gold), ("x-goog-api-key", &key("nobody"))],
            401,
            "ambiguous_api_key",
        ),
        Refused::new(
            "different keys under one name",
            &[("authorization", &gold), ("authorization", &bearer("hashed"))],
            401,
            "ambiguous_api_key",
        ),
        Refused::new("another key in the query", &[("authorization", &gold)], 401, "ambiguous_api_key")
            .query(format!("?key={}", key("hashed"))),
        Refused::new("a wrong address", &[("authorization", &bearer("elsewhere"))], 403, "ip_not_allowed"),
        Refused::new("a wrong route", &[("authorization", &bearer("embedder"))], 403, "route_not_allowed"),
    ]);
    all
}

/// Keys that do not stand where keys belong.
fn without_a_key() -> Vec<Refused> {
    let (plain, basic) = (key("gold"), format!("Basic {}", key("gold")));
    let cookie = format!("authorization={0}; api_key={0}", key("gold"));
    let rows: [(_, &[(&str, &str)]); 6] = [
        ("no key", &[]),
        ("an empty key", &[("authorization", "Bearer ")]),
        ("a key in a cookie", &[("cookie", &cookie)]),
        ("a key without Bearer", &[("authorization", &plain)]),
        ("a key under another scheme", &[("authorization", &basic)]),
        (
            "a key in a header for nothing of the kind",
            &[("x-auth-token", &plain), ("proxy-authorization", &plain)],
        ),
    ];
    let mut all: Vec<Refused> =
        rows.into_iter().map(|(what, headers)| Refused::new(what, headers, 401, "missing_api_key")).collect();
    let other = Refused::new("a key in another parameter", &[], 401, "missing_api_key");
    all.push(other.query(format!("?api_key={plain}&Key={plain}")));
    let mut in_body = Refused::new("a key in the body", &[], 401, "missing_api_key");
    in_body.body["key"] = json!(plain);
    all.push(in_body);
    all
}

fn by_model() -> Vec<Refused> {
    let small = bearer("small");
    ["large-1", "SMALL-1", "small", "gpt-4o"]
        .map(|model| Refused {
            body: chat(model),
            ..Refused::new("a wrong model", &[("authorization", &small)], 403, "model_not_allowed")
        })
        .into()
}

/// What any refusal has, whatever its shape.
#[track_caller]
fn assert_refused(row: &Refused, reply: &Reply) {
    let what = row.what;
    assert_eq!(
        (reply.status, reply.header("x-sluice-error")),
        (row.status, Some(row.code)),
        "{what}: {}",
        reply.text()
    );
    assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(reply.header("x-should-retry"), Some("false"), "{what}");
    assert_eq!(reply.header("retry-after"), None, "{what}");
    assert_eq!(reply.header("www-authenticate"), (row.status == 401).then_some("Bearer"), "{what}");
    let told = format!("{:?} {}", reply.headers, reply.text());
    assert!(!told.contains(SIGN) && !told.to_lowercase().contains("sk-"), "{what}: {told}");
}

#[track_caller]
fn assert_openai_shape(row: &Refused, reply: &Reply) {
    let error = &reply.json()["error"];
    assert_eq!(error["code"], row.code, "{}", row.what);
    assert_eq!(error["type"], "invalid_request_error", "{}", row.what);
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
    assert!(error.get("param").is_some(), "{error}");
}

#[track_caller]
fn assert_anthropic_shape(row: &Refused, reply: &Reply) {
    let body = reply.json();
    let kind = if row.status == 401 { "authentication_error" } else { "permission_error" };
    assert_eq!((&body["type"], &body["error"]["type"]), (&json!("error"), &json!(kind)), "{}", row.what);
    assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
}

#[test]
fn who_may_not_call_is_refused_in_the_clients_own_shape() {
    let people = people::shared();
    for row in by_headers().into_iter().chain(by_model()) {
        for operation in [CHAT, MESSAGES] {
            let path = format!("{operation}{}", row.query);
            let body = row.body.to_string();
            let reply = client::send(people.gateway.address(), "POST", &path, &row.fields(), body.as_bytes());
            assert_refused(&row, &reply);
            if operation == MESSAGES {
                assert_anthropic_shape(&row, &reply);
            } else {
                assert_openai_shape(&row, &reply);
            }
        }
    }
    for model in ["large-1", "SMALL-1"] {
        assert!(people.seen(model).is_empty(), "no refused request reached a provider");
    }
}

#[test]
fn a_caller_is_refused_before_any_body_is_read() {
    let people = people::shared();
    for row in by_headers() {
        let mut client = Connection::open(people.gateway.address()).expect("the gateway listens");
        let fields: String =
            row.fields().iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "POST {CHAT}{} HTTP/1.1\r\nhost: gateway\r\n{fields}content-length: 1000000\r\n\r\n",
            row.query
        );
        client.write(head.as_bytes()).expect("the head of a request");
        let reply = client.read().expect("an answer before the body");
        assert_refused(&row, &reply);
        assert_eq!(reply.header("connection"), Some("close"), "nobody waits for that body");
    }
}

#[test]
fn who_sends_no_key_is_told_where_it_belongs() {
    let people = people::shared();
    let reply = people::ask(&people.gateway, CHAT, &[], "large-1");
    let message = reply.json()["error"]["message"].to_string();
    for place in ["Authorization: Bearer", "x-api-key", "api-key", "x-goog-api-key", "x-my-key", "key="] {
        assert!(message.contains(place), "{place} in {message}");
    }
}

#[test]
fn other_requests_than_posts_need_a_key_too() {
    let people = people::shared();
    for (method, path) in [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/small-1"),
        ("OPTIONS", CHAT),
        ("HEAD", "/"),
        ("DELETE", "/v1/files/1"),
        ("GET", "/nowhere"),
        ("GET", "/v1/limits"),
    ] {
        let reply = client::send(people.gateway.address(), method, path, &[("connection", "close")], b"");
        assert_eq!((reply.status, reply.header("x-sluice-error")), (401, Some("missing_api_key")), "{path}");
    }
}

#[test]
fn an_address_that_a_client_claims_is_not_believed() {
    let people = people::shared();
    let claims = [
        ("x-forwarded-for", "10.1.2.3"),
        ("x-real-ip", "10.1.2.3"),
        ("forwarded", "for=10.1.2.3"),
        ("x-envoy-external-address", "10.1.2.3"),
        ("true-client-ip", "10.1.2.3"),
    ];
    for (name, status) in [("elsewhere", 403), ("here", 200)] {
        let bearer = bearer(name);
        for claim in claims {
            // Who may call from here may do so whatever is claimed.
            let claim = if name == "here" { (claim.0, "203.0.113.9") } else { claim };
            let headers = [("authorization", bearer.as_str()), claim];
            let reply = people::ask(&people.gateway, CHAT, &headers, "large-claimed");
            assert_eq!(reply.status, status, "{name}, {claim:?}: {}", reply.text());
        }
    }
}

#[test]
fn a_path_in_disguise_is_no_route_to_a_provider() {
    let people = people::shared();
    for path in [
        "/v1/embeddings/../chat/completions",
        "/v1/embeddings%2F..%2Fchat/completions",
        "//v1/chat/completions",
    ] {
        let reply = people::ask(&people.gateway, path, &[("authorization", &bearer("embedder"))], "large-1");
        assert!(matches!(reply.status, 400 | 403), "{path}: {} {}", reply.status, reply.text());
    }
    for path in ["/v1/embeddings", "/v1/embeddings?a=/v1/chat", "/v1//embeddings"] {
        let reply = people::ask(&people.gateway, path, &[("authorization", &bearer("embedder"))], "large-e");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}
