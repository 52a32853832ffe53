//! One request of each kind.

use serde_json::{Value, json};

use crate::bed::MAX_BODY;
use crate::draft::Draft;
use crate::traffic::{Booked, Does, GLOBBED, Planned, Random};

/// A plain request to a model of its own name.
pub(crate) fn warm(n: usize, model: &str) -> Planned {
    let operation = match model.split('-').next() {
        Some("text") => "embeddings",
        Some("claude") => "messages",
        _ => "chat",
    };
    let mut draft = Draft::new("warm", n, "ann", model);
    match operation {
        "embeddings" => draft.at("/v1/embeddings", operation).body = json!({"model": model, "input": "hi"}),
        "messages" => draft = messages(draft, false),
        _ => {}
    }
    draft.finish()
}

/// The `n`th request.
pub(crate) fn one(n: usize, kind: &'static str, random: &mut Random) -> Planned {
    let consumer = random.pick(&["ann", "ann", "bob"]);
    let draft = |model: &str| Draft::new(kind, n, consumer, model);
    let family = kind.split('-').next().unwrap_or_default();
    match family {
        "stream" | "usage" | "hidden" | "reasoning" | "completion" => {
            metered(draft("gpt-plain"), kind, random)
        }
        "embeddings" | "responses" | "messages" => protocol(draft, kind),
        "cache" => cached(draft("gpt-cache-1"), kind, random),
        "mask" | "noted" | "banned" | "said" | "service" => guarded(draft, kind),
        "fallback" | "error" | "exhausted" | "dead" | "nobody" | "keys" | "provider" | "never" | "reset"
        | "cut" | "idle" | "first" | "leave" => failing(draft, kind, n),
        "limited" => limited(draft, kind),
        "split" => draft(GLOBBED[random.below(2)]).finish(),
        "odd" => draft(GLOBBED[14]).finish(),
        "plain" => {
            let events = random.below(9) + 1;
            draft("gpt-plain").all(json!({"events": events})).finish()
        }
        _ => refused(n, kind, draft),
    }
}

/// Answers of every length, with usage in every place and in none.
fn metered(draft: Draft, kind: &str, random: &mut Random) -> Planned {
    let events = random.below(9) + 1;
    let hidden = json!({"usage": "never", "say": "y".repeat(40)});
    match kind {
        "usage-finish" => draft.stream().all(json!({"usage": "finish", "events": events})),
        "usage-every" => draft.stream().all(json!({"usage": "every", "events": events})),
        "hidden" => draft.all(hidden).booked(Booked::Estimated(11, 10)),
        "hidden-stream" => draft.stream().all(hidden).booked(Booked::Estimated(11, 10)),
        "reasoning" => draft.all(json!({"reasoning": true, "events": events + 2})),
        "reasoning-stream" => draft.stream().all(json!({"reasoning": true, "events": events + 2})),
        "completion" => {
            let mut draft = draft.all(json!({"events": events}));
            draft.at("/v1/completions", "text_completion").body =
                json!({"model": "gpt-plain", "prompt": "x", "stream": events.is_multiple_of(2)});
            draft
        }
        _ => {
            let mut draft = draft.stream().all(json!({"events": events}));
            if random.below(2) == 0 {
                draft.body["stream_options"] = json!({"include_usage": true});
            }
            draft
        }
    }
    .finish()
}

fn protocol(draft: impl Fn(&str) -> Draft, kind: &str) -> Planned {
    let stream = kind.ends_with("-stream");
    match kind.split('-').next() {
        Some("embeddings") => {
            let mut draft = draft("text-embed");
            draft.at("/v1/embeddings", "embeddings").body =
                json!({"model": "text-embed", "input": ["a", "b"]});
            draft
        }
        Some("responses") => {
            let mut draft = draft("gpt-plain").all(json!({"events": 7}));
            draft.at("/v1/responses", "responses").body =
                json!({"model": "gpt-plain", "input": "hello", "stream": stream});
            draft
        }
        _ => messages(draft("claude-x"), stream),
    }
    .finish()
}

/// A request in the form of Anthropic's Messages, and the answer, which caches and streams count apart.
fn messages(mut draft: Draft, stream: bool) -> Draft {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x@a",
        "content": [{"type": "text", "text": "Hello"}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 4, "output_tokens": 9}});
    let body = if stream { message_events() } else { message.to_string() };
    draft.at("/v1/messages", "messages").body = json!({"model": "claude-x", "max_tokens": 9, "stream": stream,
        "messages": [{"role": "user", "content": "hello"}]});
    draft.all(json!({"body": body}))
}

fn message_events() -> String {
    let usage = json!({"input_tokens": 20, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 4, "output_tokens": 1});
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "claude-x@a", "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ];
    let event = |json: &Value| format!("event: {}\ndata: {json}\n\n", json["type"].as_str().expect("a type"));
    events.iter().map(event).collect()
}

/// One of fifty questions, asked again and again.
fn cached(mut draft: Draft, kind: &str, random: &mut Random) -> Planned {
    draft.planned.user = format!("again-{}", random.below(50));
    match kind {
        "cache-stream" => draft.stream(),
        "cache-slow" => draft.all(json!({"delay_ms": 500})),
        "cache-no-store" => draft.header("cache-control", "no-store"),
        "cache-no-cache" => draft.header("cache-control", "no-cache"),
        "cache-store" => {
            draft.body["store"] = json!(true);
            draft
        }
        _ => draft,
    }
    .finish()
}

fn guarded(draft: impl Fn(&str) -> Draft, kind: &str) -> Planned {
    let classified = json!({"say": "This is classified material."});
    match kind {
        "mask" => {
            draft("gpt-guard-1").says("Write to ann@example.com and bob@example.com, call +49 30 901820.")
        }
        "noted" => draft("gpt-guard-1").says("A heron.").all(json!({"say": "A heron and a heron."})),
        "banned" => draft("gpt-guard-1").says("This is forbidden here."),
        "said" => draft("gpt-guard-said").all(classified),
        "said-stream" => draft("gpt-guard-cut").stream().all(classified).booked(Booked::Unknown),
        "service-blocked" => draft("gpt-guard-service").says("An insult."),
        _ => draft("gpt-guard-service").says("Good day."),
    }
    .finish()
}

fn failing(draft: impl Fn(&str) -> Draft, kind: &str, n: usize) -> Planned {
    let words = "word ".repeat(12); // a token and a quarter each
    let fault = |fault: &str, usage: &str| json!({fault: 4, "say": words, "usage": usage});
    let status = |status: u16| json!({"status": status});
    let left = |does| draft("gpt-left").stream().does(does).booked(Booked::Unknown);
    match kind {
        "fallback" => draft("gpt-chain").first(status([500, 503, 408, 529][n % 4])),
        "error-first" => draft("gpt-chain").stream().first(json!({"error_first": true})),
        "exhausted" => draft("gpt-chain").all(json!({"status": 503})),
        "dead" => draft("gpt-dead"),
        "nobody" => draft("gpt-nobody"),
        "keys" => draft("gpt-keys"),
        "provider-400" => draft("gpt-plain").first(status([400, 404, 422][n % 3])),
        "never" => draft(&format!("gpt-never-{}", n % 20)).first(json!({"status": 404})),
        "reset-first" => draft("gpt-chain").first(json!({"reset": true})),
        "error-event" => {
            draft("gpt-chain").stream().all(fault("error_after", "asked")).booked(Booked::Estimated(11, 5))
        }
        "error-event-every" => draft("gpt-chain").stream().all(fault("error_after", "every")),
        "cut" => {
            draft("gpt-chain").stream().all(fault("cut_after", "asked")).booked(Booked::Estimated(11, 5))
        }
        "reset" => draft("gpt-reset").stream().all(fault("reset_after", "asked")).booked(Booked::Unknown),
        "idle" => draft("gpt-idle").stream().all(fault("hang_after", "asked")).booked(Booked::Unknown),
        "first-token" => draft("gpt-chain").stream().first(json!({"hang_first_token": true})),
        "leave-within" => left(Does::LeaveWithin).all(fault("hang_after", "asked")),
        _ => left(Does::LeaveBefore).all(json!({"hang": true})),
    }
    .finish()
}

fn limited(draft: impl Fn(&str) -> Draft, kind: &str) -> Planned {
    match kind {
        "limited-calls" => draft("gpt-limited-calls"),
        "limited-tokens" => draft("gpt-limited-tokens"),
        "limited-slow" => draft("gpt-limited-flight").all(json!({"delay_ms": 500})),
        _ => draft("gpt-limited-flight").all(json!({"delay_ms": 30})),
    }
    .finish()
}

fn refused(n: usize, kind: &'static str, draft: impl Fn(&str) -> Draft) -> Planned {
    let unknown = |model: &str| Draft::new(kind, n, "", model);
    match kind {
        "missing-key" => {
            let mut draft = unknown("gpt-plain");
            draft.headers.pop();
            draft.finish()
        }
        "bad-key" => unknown("gpt-plain").header("authorization", "Bearer sk-guessed").finish(),
        "forbidden-model" => Draft::new(kind, n, "cat", "gpt-split-1").finish(),
        "unknown-model" => draft(&format!("llama-{n}")).finish(),
        "bad-json" => draft("").raw(b"{\"model\": \"gpt-plain\", "),
        "missing-model" => draft("").raw(b"{\"messages\": []}"),
        "bad-type" => draft("").header("content-type", "text/plain").raw(b"hello"),
        "too-large" => draft("").raw(&vec![b' '; MAX_BODY + 4_000]),
        _ => fetched(draft(""), kind),
    }
}

/// Requests that ask no model anything.
fn fetched(mut draft: Draft, kind: &str) -> Planned {
    let (method, path) = match kind {
        "list-models" => ("GET", "/v1/models"),
        "show-limits" => ("GET", "/v1/limits?model=gpt-plain"),
        _ => ("GET", "/elsewhere"),
    };
    draft.method = method;
    draft.at(path, "other");
    draft.raw(b"")
}
