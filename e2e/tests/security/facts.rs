//! What is known of one request never becomes known of another: two thousand, 64 at a time, through one worker, each with a
//! caller, a model, a text, a bill and an end of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::gateway::Gateway;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{CALLERS, shared, tier};
use crate::raw::CHAT;

const REQUESTS: usize = 2_000;
const AT_ONCE: usize = 64;

/// What becomes of a request; its number says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Stream,
    /// The first provider fails, the second answers.
    Next,
    /// The provider's own refusal.
    Invalid,
    /// A model that the caller may not use.
    Forbidden,
    /// What the text says is not to be said.
    Banned,
    /// A key of nobody's.
    Nobody,
    /// The client leaves in mid-answer.
    Left,
    /// The client leaves before there is an answer.
    LeftEarly,
    /// The provider breaks off.
    Broken,
}

const FATES: [Fate; 12] = [
    Fate::Whole,
    Fate::Stream,
    Fate::Next,
    Fate::Left,
    Fate::Invalid,
    Fate::Stream,
    Fate::Forbidden,
    Fate::Banned,
    Fate::Whole,
    Fate::Nobody,
    Fate::LeftEarly,
    Fate::Broken,
];

/// One request: all that is its own follows from its number.
#[derive(Clone, Copy)]
struct One(usize);

impl One {
    fn fate(self) -> Fate {
        FATES[self.0 % FATES.len()]
    }

    fn caller(self) -> usize {
        self.0 % CALLERS
    }

    fn tier(self) -> (&'static str, &'static str) {
        tier(self.caller())
    }

    fn model(self) -> String {
        let may = if self.fate() == Fate::Forbidden { "not" } else { "may" };
        format!("gpt-{may}-{}", self.0)
    }

    fn mail(self) -> String {
        format!("caller-{}@example.com", self.0)
    }

    /// Input and output tokens: no two requests have the same.
    fn tokens(self) -> (u64, u64) {
        let n = u64::try_from(self.0).expect("small");
        (10_000 + n, 50_000 + n)
    }

    fn is_stream(self) -> bool {
        matches!(self.fate(), Fate::Stream | Fate::Left | Fate::LeftEarly | Fate::Broken)
    }

    /// What its provider is told to say: it repeats the placeholder in which the caller's address went out.
    fn script(self) -> Value {
        let (input, output) = self.tokens();
        let said = format!("{} is [EMAIL_1].", self.0);
        let usage =
            json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
        let model = self.model();
        let whole = json!({"id": "x", "object": "chat.completion", "model": model, "usage": usage,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]});
        let chunk = |choices: Value, usage: &Value| {
            json!({"id": "x", "object": "chat.completion.chunk", "model": model,
            "choices": choices, "usage": usage})
        };
        let delta = json!([{"index": 0, "delta": {"content": said}}]);
        let end = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
        let events = [chunk(delta, &Value::Null), chunk(end, &Value::Null), chunk(json!([]), &usage)];
        let events: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        match self.fate() {
            Fate::Stream => json!({"*": {"body": events + "data: [DONE]\n\n", "write_size": 61}}),
            Fate::Next => json!({"a": {"status": 503}, "b": {"body": whole.to_string()}}),
            Fate::Invalid => json!({"*": {"status": 422}}),
            Fate::Left => json!({"*": {"say": "word ".repeat(20), "hang_after": 8}}),
            Fate::LeftEarly => json!({"*": {"hang": true}}),
            Fate::Broken => json!({"*": {"say": "word ".repeat(20), "reset_after": 4}}),
            _ => json!({"*": {"body": whole.to_string()}}),
        }
    }

    fn request(self) -> Vec<u8> {
        let word = if self.fate() == Fate::Banned { "forbidden" } else { "allowed" };
        let said = format!("{} asks what is {word} for {}", self.0, self.mail());
        let body = json!({"model": self.model(), "stream": self.is_stream(), "user": self.model(),
            "messages": [{"role": "user", "content": said}], "metadata": {"x_mock": self.script()}});
        let name = if self.fate() == Fate::Nobody { "nobody".to_owned() } else { self.caller().to_string() };
        let key = format!("Bearer sk-{name}");
        let headers = [("content-type", "application/json"), ("authorization", key.as_str())];
        client::request("POST", CHAT, &headers, body.to_string().as_bytes())
    }
}

/// Sends it, and checks what comes back; the id by which its record is found.
#[track_caller]
fn ask(gateway: &Gateway, one: One, client: &mut Option<Connection>) -> Option<String> {
    let open = || Connection::open(gateway.address()).expect("the gateway listens");
    let mut connection = client.take().unwrap_or_else(open);
    connection.write(&one.request()).expect("a request");
    match one.fate() {
        Fate::LeftEarly => {
            connection.abort();
            return None;
        }
        Fate::Left => {
            let head = connection.read_head().expect("a head");
            assert_limits(one, head.header("x-ratelimit-limit-requests"));
            connection.abort();
            return head.header("x-request-id").map(str::to_owned);
        }
        _ => {}
    }
    let reply = connection.read().unwrap_or_else(|error| panic!("{}: {error}", one.0));
    assert_answer(one, &reply);
    let kept = one.fate() != Fate::Broken && reply.header("connection") != Some("close");
    *client = kept.then_some(connection);
    reply.header("x-request-id").map(str::to_owned)
}

/// The limits that the answer tells of are those of the caller's own tier.
#[track_caller]
fn assert_limits(one: One, told: Option<&str>) {
    assert_eq!(told, Some(one.tier().1), "{}: another's limit", one.0);
}

#[track_caller]
fn assert_answer(one: One, reply: &Reply) {
    let text = reply.text();
    let (status, code) = match one.fate() {
        Fate::Invalid => (422, ""),
        Fate::Forbidden => (403, "model_not_allowed"),
        Fate::Banned => (400, "content_policy_violation"),
        Fate::Nobody => (401, "invalid_api_key"),
        _ => (200, ""),
    };
    let told = (reply.status, reply.header("x-sluice-error").unwrap_or_default());
    assert_eq!(told, (status, code), "{} {:?}: {text}", one.0, one.fate());
    if status == 200 {
        assert_limits(one, reply.header("x-ratelimit-limit-requests"));
    }
    if matches!(one.fate(), Fate::Whole | Fate::Stream | Fate::Next) {
        let want = format!("{} is {}.", one.0, one.mail());
        assert!(text.contains(&want), "{}: not {want:?} in {text}", one.0);
        assert_eq!(text.matches("@example.com").count(), 1, "{}: {text}", one.0);
    }
}

/// The record is of this request and of nothing else.
#[track_caller]
fn assert_record(one: One, record: &Value) {
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let fate = one.fate();
    if fate == Fate::Nobody {
        assert!(record["consumer"].is_null() && record["model"].is_null(), "{}: {record}", one.0);
        return;
    }
    let who = (format!("c{}", one.caller()), one.tier().0, json!({"number": one.caller().to_string()}));
    assert_eq!(
        (text("consumer"), text("tier"), &record["metadata"]),
        (&*who.0, who.1, &who.2),
        "{fate:?}: {record}"
    );
    assert_eq!(text("model"), one.model(), "{fate:?}: {record}");
    let used = [&record["input_tokens"], &record["output_tokens"]].map(Value::as_u64);
    let (input, output) = one.tokens();
    match fate {
        Fate::Whole | Fate::Stream | Fate::Next => {
            assert_eq!(used, [Some(input), Some(output)], "{fate:?}: {record}");
            let cost = (input + 2 * output) as f64 / 1e6;
            assert!(record["cost_usd"].as_f64().is_some_and(|usd| (usd - cost).abs() < 1e-9), "{record}");
        }
        Fate::Left | Fate::LeftEarly => assert_eq!(text("end"), "client_gone", "{record}"),
        Fate::Broken => assert_eq!(text("end"), "provider_reset", "{record}"),
        _ => assert_eq!(used, [None; 2], "{fate:?}: {record}"),
    }
    let providers = match fate {
        Fate::Next => vec!["a", "b"],
        Fate::Forbidden | Fate::Banned => vec![],
        _ => vec!["a"],
    };
    let attempts = record["attempts"].as_array().cloned().unwrap_or_default();
    let told: Vec<&str> = attempts.iter().filter_map(|attempt| attempt["provider"].as_str()).collect();
    // Whoever leaves at once may do so before any provider is asked.
    assert!(told == providers || (fate == Fate::LeftEarly && told.is_empty()), "{fate:?}: {record}");
    let models: Vec<&str> = attempts.iter().filter_map(|attempt| attempt["model"].as_str()).collect();
    let own = |model: &&str| *model == one.model() || (fate == Fate::Next && *model == "model-b");
    assert!(models.iter().all(own), "{fate:?}: {record}");
}

#[test]
fn nothing_of_one_request_becomes_known_of_another() {
    let bed = shared();
    let next = AtomicUsize::new(0);
    let mut ids: HashMap<String, usize> = HashMap::new();
    std::thread::scope(|scope| {
        let client = || {
            let (mut connection, mut mine) = (None, Vec::new());
            while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < REQUESTS) {
                mine.extend(ask(&bed.gateway, One(n), &mut connection).map(|id| (id, n)));
            }
            mine
        };
        let clients: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(client)).collect();
        for client in clients {
            ids.extend(client.join().expect("every answer as it should be"));
        }
    });
    assert_records(&bed.gateway, &ids);
    bed.providers.iter().for_each(assert_asked);
}

/// Each answer's id leads to a record of that request, and each record is of a request that was made.
#[track_caller]
fn assert_records(gateway: &Gateway, ids: &HashMap<String, usize>) {
    let ours = |record: &Value| {
        record["consumer"].as_str().is_some_and(|name| name.starts_with('c'))
            || record["request_id"].as_str().is_some_and(|id| ids.contains_key(id))
    };
    let records = || -> Vec<Value> {
        let log = gateway.access_log().into_iter().map(|line| line["ai_log"].clone());
        log.filter(ours).collect()
    };
    // A request of which the head had not come when its client left is none.
    let most = REQUESTS - (0..REQUESTS).filter(|n| One(*n).fate() == Fate::LeftEarly).count();
    wait::until("all records", || (records().len() >= most).then_some(()));
    let running = || client::get(gateway.admin(), "/stats?filter=^http.gateway.downstream_rq_active$").text();
    wait::until("nothing in flight", || running().trim().ends_with(": 0").then_some(()));
    let records = records();
    let mut of = HashMap::new();
    for record in &records {
        let id = record["request_id"].as_str().expect("an id");
        let named = record["model"].as_str().and_then(|model| model.rsplit('-').next()?.parse().ok());
        let n = named.or_else(|| ids.get(id).copied());
        let Some(n) = n else {
            assert_eq!(record["end"], "client_gone", "a record of no request: {record}");
            continue;
        };
        assert!(ids.get(id).is_none_or(|asked| *asked == n), "{n}: the answer's id is another's: {record}");
        assert!(of.insert(n, id).is_none(), "{n}: a second record: {record}");
        assert_record(One(n), record);
    }
    assert!(ids.iter().all(|(id, n)| of.get(n) == Some(&id.as_str())), "an answer without a record");
}

/// No provider has got another's text, or anything of the caller.
#[track_caller]
fn assert_asked(provider: &Upstream) {
    for seen in provider.requests().into_iter().filter(|seen| seen.user.starts_with("gpt-may-")) {
        let number = seen.user.rsplit('-').next().unwrap_or_default().to_owned();
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(text.contains(&format!("{number} asks what is allowed for [EMAIL_1]")), "{text}");
        assert!(!text.contains("@example.com"), "{text}");
        assert_eq!(seen.key(), Some(&*format!("sk-secret-{}", provider.name())));
        let caller = |value: &str| value.contains("silver") || value.contains("gold");
        assert!(!seen.headers.iter().any(|(_, value)| caller(value)), "{seen:?}");
    }
}
