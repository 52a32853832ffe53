//! What fails, on either side of the guard, and what the client and the record then get.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::limits::Running;
use sluice_e2e::{http2, wait};

use crate::bed::{Guarded, PHRASE, Shared, allow, chat, deny, told, with};
use crate::matrix::{self, Outcome, Seen};
use crate::speech::Speech;

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// What harmless answers say.
const WELL: &str = "Hello you, all is well";

/// Room for more than five mebibytes.
const FILLING: usize = 5 * 1024 * 1024;

/// Asks the gateway as a fault wants it, for this model.
type Ask = dyn Fn(&Guarded, &str) -> Got + Sync + Send;

/// One fault: what it is called, where it is, whose checks look at it, and how the gateway is asked.
struct Case {
    fault: &'static str,
    side: &'static str,
    group: &'static str,
    ask: Box<Ask>,
}

/// What the client got; nothing, where it left.
enum Got {
    Reply(Reply, String),
    Left,
}

fn case(
    side: &'static str,
    fault: &'static str,
    group: &'static str,
    ask: impl Fn(&Guarded, &str) -> Got + Sync + Send + 'static,
) -> Case {
    Case { fault, side, group, ask: Box::new(ask) }
}

/// A request and an answer that say these things.
fn body(model: &str, asked: &str, stream: bool, script: &Value) -> Value {
    with(chat(model, asked), &json!({"stream": stream, "metadata": told(script.clone())}))
}

fn whole(text: &str) -> Value {
    json!({"body": Speech::Chat.whole(text)})
}

fn well() -> Value {
    whole(WELL)
}

/// The answer to a request that was sent plainly.
fn plain(bed: &Guarded, body: &Value) -> Got {
    Got::Reply(bed.gateway.chat(body), WELL.to_owned())
}

fn sent_as(asked: &'static str, send: fn(&Guarded, &[u8]) -> Reply) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| {
        let body = body(model, asked, false, &well()).to_string();
        Got::Reply(send(bed, body.as_bytes()), WELL.to_owned())
    }
}

fn in_bytes(bed: &Guarded, body: &[u8], trailers: &[(&str, &str)]) -> Reply {
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    let _ = client.write_chunked(CHAT, &body.chunks(1).collect::<Vec<_>>(), trailers);
    client.read().expect("an answer")
}

fn gzip(bed: &Guarded, body: &[u8]) -> Reply {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("memory");
    let body = encoder.finish().expect("memory");
    client::send(bed.gateway.address(), "POST", CHAT, &[JSON, ("content-encoding", "gzip")], &body)
}

/// How the bytes of a request may be sent.
type Sending = fn(&Guarded, &[u8]) -> Reply;

const SENT: [(&str, &str, Sending); 5] = [
    ("none", "hello", |bed, body| bed.post_raw("/chat/completions", &[], body)),
    ("a phrase that is blocked", PHRASE, |bed, body| bed.post_raw("/chat/completions", &[], body)),
    ("… in chunks of one byte", PHRASE, |bed, body| in_bytes(bed, body, &[])),
    ("… with trailers", PHRASE, |bed, body| in_bytes(bed, body, &[("x-end", "1")])),
    ("… over HTTP/2, with trailers", PHRASE, |bed, body| {
        http2::post(bed.gateway.address(), CHAT, &body.chunks(7).collect::<Vec<_>>(), &[("x-end", "1")])
    }),
];

fn requests() -> Vec<Case> {
    let sent = SENT.map(|(fault, asked, send)| case("request", fault, "ban", sent_as(asked, send)));
    let failing = FAILING.map(|(service, fault)| {
        case("request", fault, service.0, |bed, model| plain(bed, &body(model, "hello", false, &well())))
    });
    sent.into_iter().chain(odd_requests()).chain(failing).collect()
}

/// Services that fail, as groups of models for requests and for answers, and how.
const FAILING: [((&str, &str), &str); 5] = [
    (("deadq", "deada"), "the service is dead"),
    (("slowq", "slowa"), "the service is slow"),
    (("hungq", "hunga"), "the service hangs"),
    (("garbageq", "garbagea"), "the service answers garbage"),
    (("brokenq", "brokena"), "the service fails"),
];

fn odd_requests() -> [Case; 6] {
    [
        case("request", "… at the end of 5 MiB", "ban", |bed, model| {
            let asked = format!("{}{PHRASE}", "word ".repeat(FILLING / 5));
            plain(bed, &body(model, &asked, false, &well()))
        }),
        case("request", "5 MiB of harmless text", "ban", |bed, model| {
            plain(bed, &body(model, &"word ".repeat(FILLING / 5), false, &well()))
        }),
        case("request", "a part of an unknown kind", "ban", |bed, model| {
            let parts = json!([{"role": "user", "content": [{"type": "hologram", "waves": [1, 2]}]}]);
            plain(bed, &with(body(model, "", false, &well()), &json!({"messages": parts})))
        }),
        case("request", "tokens in the place of text", "ban", |bed, model| {
            let metadata = told(json!({"body": Speech::Text.whole(WELL)}));
            let body = json!({"model": model, "prompt": [1, 2, 3], "metadata": metadata});
            Got::Reply(bed.post("/completions", &[], &body), WELL.to_owned())
        }),
        case("request", "a compressed body", "ban", sent_as("hello", gzip)),
        case("request", "the client leaves while a service is asked", "hungq", |bed, model| {
            let body = body(model, &format!("hello {model}"), false, &well());
            leave_early(bed, &body, || !bed.services.bad("hung").tagged(model).is_empty())
        }),
    ]
}

/// Asks, and leaves as soon as something has happened.
fn leave_early(bed: &Guarded, body: &Value, has_happened: impl Fn() -> bool) -> Got {
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    client.write(&client::request("POST", CHAT, &[JSON], body.to_string().as_bytes())).expect("a request");
    wait::until("the service to be asked", || has_happened().then_some(()));
    client.abort();
    Got::Left
}

/// An answer in the form of `side`, by a script that says `text`.
fn answering(stream: bool, text: &'static str, more: Value) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| {
        let said = if stream {
            Speech::Chat.stream(&text.split_inclusive(' ').collect::<Vec<_>>())
        } else {
            Speech::Chat.whole(text)
        };
        plain(bed, &body(model, "hi", stream, &with(json!({"body": said}), &more)))
    }
}

/// An answer that every provider gives alike.
fn everywhere(stream: bool, script: Value) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| {
        let members = json!({"stream": stream, "metadata": {"x_mock": {"*": script}}});
        plain(bed, &with(chat(model, "hi"), &members))
    }
}

fn over_http2(stream: bool) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| {
        let said = if stream { Speech::Chat.stream(&[PHRASE]) } else { Speech::Chat.whole(PHRASE) };
        let body = body(model, "hi", stream, &json!({"body": said})).to_string();
        Got::Reply(http2::post(bed.gateway.address(), CHAT, &[body.as_bytes()], &[]), WELL.to_owned())
    }
}

fn long(stream: bool, size: usize, end: &'static str) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| {
        let piece = "word ".repeat(2_000);
        let mut pieces = vec![piece.as_str(); size / piece.len()];
        pieces.push(end);
        let text = pieces.concat();
        let said = if stream { Speech::Chat.stream(&pieces) } else { Speech::Chat.whole(&text) };
        let reply = bed.gateway.chat(&body(model, "hi", stream, &json!({"body": said})));
        Got::Reply(reply, text)
    }
}

/// Faults that whole answers and streams share.
fn both(side: &'static str, stream: bool) -> Vec<Case> {
    let phrase = "internal codename X";
    let mut cases = vec![
        case(side, "none", "ban", answering(stream, WELL, json!({}))),
        case(side, "a phrase that is blocked", "ban", answering(stream, phrase, json!({}))),
        case(side, "… in chunks of one byte", "ban", answering(stream, phrase, json!({"write_size": 1}))),
        case(side, "… with trailers", "ban", answering(stream, phrase, json!({"trailers": true}))),
        case(side, "… over HTTP/2", "ban", over_http2(stream)),
        case(side, "… at the end of 5 MiB", "ban", long(stream, FILLING, PHRASE)),
        case(side, "5 MiB of harmless text", "ban", long(stream, FILLING, "end")),
        case(side, "a compressed answer", "ban", answering(stream, WELL, json!({"gzip": true}))),
        case(side, "every provider fails", "ban", everywhere(stream, json!({"status": 500}))),
        case(
            side,
            "every provider breaks off before any content",
            "ban",
            everywhere(stream, json!({"reset": true})),
        ),
    ];
    for (service, fault) in FAILING {
        cases.push(case(side, fault, service.1, answering(stream, WELL, json!({}))));
    }
    cases.push(case(side, "the client leaves while a service is asked", "late", move |bed, model| {
        let text = format!("Hello {model}");
        let said = if stream { Speech::Chat.stream(&[&text]) } else { Speech::Chat.whole(&text) };
        let body = body(model, "hi", stream, &json!({"body": said}));
        leave_early(bed, &body, || !bed.services.late.tagged(&text).is_empty())
    }));
    cases
}

fn answers() -> Vec<Case> {
    let mut cases = both("answer", false);
    // more than `max_answer_bytes`, which is 8 MiB
    cases.push(case("answer", "10 MiB of harmless text", "ban", long(false, 2 * FILLING, "end")));
    let odd = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": [{"type": "hologram", "text": WELL}]}, "finish_reason": "stop"}]});
    cases.push(case("answer", "a part of an unknown kind", "ban", move |bed, model| {
        plain(bed, &body(model, "hi", false, &json!({"body": odd.to_string()})))
    }));
    cases.push(case(
        "answer",
        "every provider breaks off within the body",
        "ban",
        everywhere(false, json!({"truncate": 40})),
    ));
    cases
}

/// A stream that breaks after its first words.
fn breaking(how: Value) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| plain(bed, &body(model, "hi", true, &with(json!({"say": WELL, "gap_ms": 60}), &how)))
}

/// A stream of `deltas` and other events.
fn odd(stream: String) -> impl Fn(&Guarded, &str) -> Got {
    move |bed, model| plain(bed, &body(model, "hi", true, &json!({"body": stream})))
}

fn streams() -> Vec<Case> {
    let mut cases = both("stream", true);
    cases.extend([
        case("stream", "a phrase that is blocked, in mid-stream", "ban", |bed, model| {
            let said = "Hello you internal codename X";
            let reply = bed.gateway.chat(&body(model, "hi", true, &json!({"say": said, "gap_ms": 60})));
            Got::Reply(reply, said.to_owned())
        }),
        case("stream", "a part of an unknown kind", "ban", |bed, model| {
            let said = Speech::Responses
                .stream(&["Hello you, ", "all is well"])
                .replace("\"type\":\"output_text\"", "\"type\":\"hologram\"");
            let ask = with(
                Speech::Responses.ask(model, "hi", true),
                &json!({"metadata": told(json!({"body": said}))}),
            );
            Got::Reply(bed.post("/responses", &[], &ask), WELL.to_owned())
        }),
        case(
            "stream",
            "an event that is no JSON",
            "ban",
            odd(Speech::Chat.stream(&["Hello you,", " all is well"]).replacen(
                "data: [DONE]",
                "data: {\"choices\": [\n\ndata: [DONE]",
                1,
            )),
        ),
        case("stream", "an error event after content", "ban", breaking(json!({"error_after": 2}))),
        case("stream", "an end without a terminator after content", "ban", breaking(json!({"cut_after": 2}))),
        case("stream", "a reset after content", "ban", breaking(json!({"reset_after": 2}))),
        case("stream", "silence after content", "ban", breaking(json!({"hang_after": 2}))),
        case("stream", "an end within a placeholder", "pii", |bed, model| {
            let said = Speech::Chat.stream(&["Hello [EMA"]);
            let said = said.split("data: {\"choices\":[{\"delta\":{},").next().unwrap_or_default().to_owned();
            let reply = bed.gateway.chat(&body(model, "a@b.io", true, &json!({"body": said})));
            Got::Reply(reply, "Hello [EMA".to_owned())
        }),
        case("stream", "the client leaves in mid-stream", "ban", |bed, model| {
            let script = json!({"events": 500, "gap_ms": 20});
            let mut stream = Running::begin(bed.gateway.address(), &[], &body(model, "hi", true, &script));
            stream.read_until("Hello", 1);
            stream.leave();
            Got::Left
        }),
    ]);
    cases
}

/// The operation of an answer.
fn speech_of(reply: &Reply) -> Speech {
    let text = reply.text();
    let is = |sign: &str| text.contains(sign);
    match () {
        () if is("text_completion") => Speech::Text,
        () if is("response.created") => Speech::Responses,
        () => Speech::Chat,
    }
}

fn outcome(bed: &Guarded, number: usize, case: &Case) -> Outcome {
    let model = format!("gpt-{}-fault-{number}", case.group);
    let got = (case.ask)(bed, &model);
    let client = match got {
        Got::Left => "–".to_owned(),
        Got::Reply(reply, whole) => {
            assert!(!reply.text().contains("codename"), "{}: {}", case.fault, reply.text());
            matrix::told(speech_of(&reply), &reply, &whole)
        }
    };
    // what is refused before its model is read has no record of it
    let record = if case.fault == "a compressed body" {
        bed.gateway.log_line("the compressed request", |line| {
            line["ai_log"]["error"] == "unsupported_content_type" || line["ai_log"]["model"] == model
        })["ai_log"]
            .clone()
    } else {
        bed.record(&model)
    };
    Outcome { client, record: matrix::recorded(&record) }
}

/// Takes the next fault, until none is left.
fn work(beds: &[Shared; 2], cases: &[Case], next: &AtomicUsize, seen: &Mutex<Seen>) {
    loop {
        let job = next.fetch_add(1, Ordering::Relaxed);
        let Some(case) = cases.get(job / 2) else { return };
        let outcome = outcome(&beds[job % 2], job / 2, case);
        let mut seen = seen.lock().expect("no other thread failed");
        let row = seen.entry(job / 2).or_insert((case.fault, case.side, [None, None]));
        row.2[job % 2] = Some(outcome);
    }
}

#[test]
fn every_fault_ends_as_the_documentation_says() {
    let beds = [deny(), allow()];
    let cases: Vec<Case> = [requests(), answers(), streams()].into_iter().flatten().collect();
    let (next, seen) = (AtomicUsize::new(0), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| work(&beds, &cases, &next, &seen));
        }
    });
    let text = matrix::render(&seen.into_inner().expect("no thread failed"));
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::create_dir_all(matrix::path().parent().expect("a folder")).expect("a folder");
        std::fs::write(matrix::path(), &text).expect("the file");
    }
    let file = std::fs::read_to_string(matrix::path()).unwrap_or_default();
    let differs = text.lines().zip(file.lines()).find(|(seen, told)| seen != told);
    assert!(text == file, "docs/faults/content-guard.md says something else, first at: {differs:?}");
}
