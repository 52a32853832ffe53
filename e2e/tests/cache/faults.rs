//! What becomes of a request, and of its answer in the cache, when something fails: seen here, told in
//! `docs/faults/response-cache.md`.

mod redis;
mod table;

use serde_json::{Value, json};
use sluice_e2e::cache::{self, Caller, label};
use sluice_e2e::client::{Connection, Reply};
use sluice_e2e::{http2, wait};

use self::table::Row;
use crate::bed::{Bed, one_worker};
use crate::flights::until_active;

const MIB: usize = 1 << 20;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Plain,
    /// In chunks of a byte, with trailers.
    Chunked,
    Http2,
    /// Goes away once the provider is asked.
    LeavesEarly,
    /// Goes away once content has come.
    LeavesLate,
}

/// A fault, the forms that it is tried with, and what the provider does the first time.
struct Case {
    fault: &'static str,
    forms: &'static [bool],
    script: Value,
    members: Value,
    client: Client,
}

/// Milliseconds that a provider takes until it is told to go on.
const LONG: u64 = 15_000;

const BOTH: &[bool] = &[false, true];
const DOCUMENT: &[bool] = &[false];
const STREAM: &[bool] = &[true];

fn case(fault: &'static str, forms: &'static [bool], script: Value) -> Case {
    Case { fault, forms, script, members: json!({}), client: Client::Plain }
}

fn cases() -> Vec<Case> {
    let picture = format!("data:image/png;base64,{}", "iVBORw0K".repeat(5 * MIB / 8));
    let parts = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture}}]}]);
    let by = |fault, forms, script, client| Case { client, ..case(fault, forms, script) };
    vec![
        case("none", BOTH, json!({})),
        case("the provider answers 500", BOTH, json!({"status": 500})),
        case("the provider answers 400", BOTH, json!({"status": 400})),
        case("the provider resets the connection", BOTH, json!({"reset": true})),
        case("the provider never begins", STREAM, json!({"hang": true})),
        case("the first token never comes", STREAM, json!({"hang_first_token": true})),
        case("the stream falls silent", STREAM, json!({"hang_after": 2})),
        case("the answer breaks off", DOCUMENT, json!({"truncate": 40})),
        case("the answer breaks off", STREAM, json!({"reset_after": 2, "gap_ms": 50})),
        case("the answer is cut short, but ends cleanly", DOCUMENT, json!({"body": "{\"choices\": [tru"})),
        case("the answer is cut short, but ends cleanly", STREAM, json!({"cut_after": 2})),
        case("an error inside a 200", BOTH, json!({"error_first": true})),
        case("an error event after content", STREAM, json!({"error_after": 2})),
        case("an answer without content", BOTH, json!({"empty": true})),
        case("an answer of another media type", BOTH, json!({"content_type": "text/html", "body": "<p>"})),
        case("an answer that stops for length", BOTH, json!({"finish_reason": "length"})),
        case("an answer that was filtered", BOTH, json!({"finish_reason": "content_filter"})),
        case(
            "an answer with `cache-control: no-store`",
            BOTH,
            json!({"headers": {"cache-control": "no-store"}}),
        ),
        case("an answer larger than `max_entry`", BOTH, json!({"filling": 5 * MIB})),
        case("an answer in gzip", BOTH, json!({"gzip": true})),
        case("an answer in single bytes", BOTH, json!({"write_size": 1})),
        case("an answer with trailers", BOTH, json!({"trailers": true})),
        case("CRLF and comments", STREAM, json!({"crlf": true, "comments": true})),
        Case { members: json!({"messages": parts}), ..case("a request of 5 MiB", BOTH, json!({})) },
        by("a request in single bytes, with trailers", BOTH, json!({}), Client::Chunked),
        by("a client of HTTP/2", BOTH, json!({}), Client::Http2),
        by("the client leaves before the answer", BOTH, json!({"hang": true}), Client::LeavesEarly),
        by("the client leaves in mid-answer", STREAM, json!({"hang_after": 3}), Client::LeavesLate),
    ]
}

impl Client {
    /// Sends a request of `test`; the answer, if it is waited for.
    #[track_caller]
    fn ask(self, bed: &Bed, test: &str, members: &Value) -> Option<Reply> {
        let body = cache::body(test, members).to_string();
        let caller = Caller::nobody(&bed.gateway);
        match self {
            Self::Plain => Some(caller.send(&body)),
            Self::Http2 => Some(http2::post(bed.gateway.address(), cache::CHAT, &[body.as_bytes()], &[])),
            Self::Chunked => {
                let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
                let pieces: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
                client.write_chunked(cache::CHAT, &pieces, &[("x-end", "1")]).expect("a request");
                Some(client.read().expect("an answer"))
            }
            Self::LeavesEarly | Self::LeavesLate => {
                let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
                client.write(&caller.request(&body)).expect("a request");
                wait::until("the provider to be asked", || (!bed.seen(test).is_empty()).then_some(()));
                if self == Self::LeavesLate {
                    let mut framing = client.read_head().expect("a head").framing(true);
                    client.read_piece(&mut framing).expect("a piece");
                }
                client.abort();
                None
            }
        }
    }
}

/// Tries one case in one form.
#[track_caller]
fn try_case(bed: &Bed, number: usize, case: &Case, stream: bool) -> Row {
    let test = format!("fault-{number}-{stream}");
    bed.tell(&test, &[case.script.clone(), json!({})]);
    let mut members = case.members.clone();
    if stream {
        members["stream"] = json!(true);
    }
    let reply = case.client.ask(bed, &test, &members);
    let record = cache::wait_records(&bed.gateway, &format!("gpt-{test}"), 1).remove(0);
    let again = Caller::nobody(&bed.gateway).send(&cache::body(&test, &members).to_string());
    Row::new(case.fault, stream, reply.as_ref(), &record, &again)
}

fn write(client: &mut Option<Connection>, request: &[u8]) {
    client.as_mut().expect("a client").write(request).expect("a request");
}

/// A leader and a follower of one flight, of whom one fails.
#[track_caller]
fn flight(bed: &Bed, fault: &'static str, script: Value, leaver: Option<usize>) -> [Row; 2] {
    let test = format!("flight-{}", fault.replace(' ', "-"));
    let again =
        if script["finish_reason"].is_string() { json!({"finish_reason": "length"}) } else { json!({}) };
    bed.tell(&test, &[script, again]);
    let body = cache::body(&test, &json!({})).to_string();
    let request = Caller::nobody(&bed.gateway).request(&body);
    let open = || Connection::open(bed.gateway.address()).expect("the gateway listens");
    let mut clients = [Some(open()), Some(open())];
    write(&mut clients[0], &request);
    wait::until("the leader to ask", || (!bed.seen(&test).is_empty()).then_some(()));
    until_active(bed, 1);
    write(&mut clients[1], &request);
    until_active(bed, 2);
    if let Some(leaver) = leaver {
        clients[leaver].take().expect("a client").abort();
    }
    if leaver == Some(1) {
        until_active(bed, 1);
    }
    if leaver != Some(0) && !fault.contains("max_wait") {
        bed.provider.release();
    }
    // who follows is read first, as it may be answered first
    let follower = clients[1].as_mut().map(|client| client.read().expect("an answer"));
    bed.provider.release();
    let leader = clients[0].as_mut().map(|client| client.read().expect("an answer"));
    let replies = [leader, follower];
    let records = cache::wait_records(&bed.gateway, &format!("gpt-{test}"), 2);
    let again = Caller::nobody(&bed.gateway).send(&body);
    let row = |n: usize, role: &str| {
        let of = |reply: &Reply| records.iter().find(|record| record["cache"] == label(reply));
        let gone = || records.iter().find(|record| record["status"] == 0 || record["end"] == "client_gone");
        let record = replies[n].as_ref().map_or_else(gone, of).expect("a record");
        Row::of_flight(&format!("{fault}: {role}"), replies[n].as_ref(), record, &again)
    };
    [row(0, "who leads"), row(1, "who follows")]
}

fn flights(bed: &Bed) -> Vec<Row> {
    [
        flight(bed, "two ask the same", json!({"delay_ms": LONG}), None),
        flight(bed, "the one who leads leaves", json!({"hang": true}), Some(0)),
        flight(bed, "the one who follows leaves", json!({"delay_ms": LONG}), Some(1)),
        flight(bed, "the provider fails the one who leads", json!({"status": 500, "delay_ms": LONG}), None),
        flight(
            bed,
            "the answer is not to be kept",
            json!({"finish_reason": "length", "delay_ms": LONG}),
            None,
        ),
        flight(bed, "the answer takes longer than `max_wait`", json!({"delay_ms": LONG}), None),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn in_memory() -> Vec<Row> {
    let bed = &one_worker();
    let cases = cases();
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..)
            .zip(&cases)
            .map(|(number, case)| {
                scope.spawn(move || {
                    case.forms.iter().map(|stream| try_case(bed, number, case, *stream)).collect::<Vec<_>>()
                })
            })
            .collect();
        tries.into_iter().flat_map(|rows| rows.join().expect("rows")).collect()
    })
}

#[test]
fn what_every_fault_does_is_as_it_is_told() {
    let (memory, flights, redis) = std::thread::scope(|scope| {
        let redis = scope.spawn(redis::rows);
        (in_memory(), flights(&one_worker()), redis.join().expect("rows"))
    });
    table::compare(&table::render(&memory, &flights, &redis));
}
