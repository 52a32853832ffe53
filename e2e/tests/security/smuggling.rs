//! Requests that two servers in a row might divide differently: each is one request here, or none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_e2e::client::Connection;

use crate::bed::shared;
use crate::raw::{self, CHAT, HIDDEN, Want, hidden, question};

const JSON: &str = "content-type: application/json\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// Clients at the same time.
const CLIENTS: usize = 8;

/// One attempt: what it is, its bytes for a model of its own, what may become of it.
type Row = (&'static str, fn(&str) -> Vec<u8>, Want);

/// A request with these header lines and these bytes behind them.
fn with(lines: &str, body: &str) -> Vec<u8> {
    format!("POST {CHAT} HTTP/1.1\r\nhost: gateway\r\n{JSON}{lines}\r\n{body}").into_bytes()
}

/// The question in one chunk, and the end of it.
fn chunks(model: &str) -> String {
    let body = question(model);
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// The question in one chunk with `size` for its size, `%` being the right one.
fn sized(model: &str, size: &str) -> Vec<u8> {
    let body = question(model);
    let size = size.replace('%', &format!("{:x}", body.len()));
    with(CHUNKED, &format!("{size}\r\n{body}\r\n0\r\n\r\n"))
}

/// The question with this `content-length`, `%` being the right one.
fn counted(model: &str, lines: &str) -> Vec<u8> {
    let body = question(model);
    with(&lines.replace('%', &body.len().to_string()), &body)
}

/// The question with further header lines.
fn plain(model: &str, lines: &str) -> Vec<u8> {
    counted(model, &format!("content-length: %\r\n{lines}"))
}

/// The question under another first line and other lines.
fn started(model: &str, start: &str) -> Vec<u8> {
    let body = question(model);
    format!("{start}\r\n{JSON}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// How long the body is: two answers to that.
const LENGTHS: [Row; 26] = [
    (
        "both, the length first",
        |m| {
            with(
                &format!("content-length: 6\r\n{CHUNKED}"),
                &format!("0\r\n\r\n{}", hidden()).replace("gpt-row", m),
            )
        },
        Want::Refused,
    ),
    (
        "both, the length last",
        |m| with(&format!("{CHUNKED}content-length: 4\r\n"), &(chunks(m) + &hidden())),
        Want::Refused,
    ),
    (
        "a transfer coding that nobody knows",
        |m| counted(m, "content-length: %\r\ntransfer-encoding: xchunked\r\n"),
        Want::Refused,
    ),
    (
        "chunked, then identity",
        |m| with("transfer-encoding: chunked, identity\r\n", &chunks(m)),
        Want::Refused,
    ),
    (
        "identity, then chunked",
        |m| with("transfer-encoding: identity, chunked\r\n", &chunks(m)),
        Want::Refused,
    ),
    ("compressed and chunked", |m| with("transfer-encoding: gzip, chunked\r\n", &chunks(m)), Want::Refused),
    (
        "chunked twice",
        |m| with("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", &chunks(m)),
        Want::Refused,
    ),
    ("chunked in quotes", |m| with("transfer-encoding: \"chunked\"\r\n", &chunks(m)), Want::Refused),
    ("chunked in capitals", |m| with("Transfer-Encoding: CHUNKED\r\n", &chunks(m)), Want::One),
    ("a tab before chunked", |m| with("transfer-encoding:\tchunked\r\n", &chunks(m)), Want::One),
    (
        "a vertical tab before chunked",
        |m| with("transfer-encoding: \u{b}chunked\r\n", &chunks(m)),
        Want::Refused,
    ),
    ("a space before the colon", |m| with("transfer-encoding : chunked\r\n", &chunks(m)), Want::Refused),
    ("a folded line", |m| with("transfer-encoding:\r\n chunked\r\n", &chunks(m)), Want::One),
    (
        "a folded value",
        |m| counted(m, "content-length: %\r\nx: a\r\n transfer-encoding: chunked\r\n"),
        Want::One,
    ),
    ("an underscore", |m| counted(m, "content-length: %\r\ntransfer_encoding: chunked\r\n"), Want::One),
    ("one length twice", |m| counted(m, "content-length: %\r\ncontent-length: %\r\n"), Want::Refused),
    ("two lengths", |m| counted(m, "content-length: %\r\ncontent-length: 1\r\n"), Want::Refused),
    ("two lengths in a list", |m| counted(m, "content-length: %, 1\r\n"), Want::Refused),
    ("a length with a sign", |m| counted(m, "content-length: +%\r\n"), Want::Refused),
    ("a negative length", |m| counted(m, "content-length: -%\r\n"), Want::Refused),
    ("a length in hexadecimal", |m| counted(m, "content-length: 0x%\r\n"), Want::Refused),
    ("a length with a blank", |m| counted(m, "content-length: % 1\r\n"), Want::Refused),
    ("a length of no digits", |m| counted(m, "content-length: \r\n"), Want::Refused),
    ("a length beyond 64 bits", |m| counted(m, "content-length: 18446744073709551616\r\n"), Want::Refused),
    ("more than the length", |m| counted(m, "content-length: 2\r\n"), Want::Refused),
    (
        "chunks in HTTP/1.0",
        |m| {
            let text = String::from_utf8_lossy(&with(CHUNKED, &chunks(m))).replace("HTTP/1.1", "HTTP/1.0");
            text.into_bytes()
        },
        Want::Refused,
    ),
];

/// How long a chunk is.
const CHUNKS: [Row; 14] = [
    ("an extension", |m| sized(m, "%;a=b"), Want::One),
    ("an extension in quotes", |m| sized(m, "%;a=\"0\""), Want::One),
    ("an extension with a line feed", |m| sized(m, "%;a\n0\r\n\r\n"), Want::Refused),
    ("a blank before the extension", |m| sized(m, "% ;a=b"), Want::One),
    ("a blank before the size", |m| sized(m, " %"), Want::Refused),
    ("a sign", |m| sized(m, "+%"), Want::Refused),
    ("a negative size", |m| sized(m, "-%"), Want::Refused),
    ("a prefix of hexadecimal", |m| sized(m, "0x%"), Want::Refused),
    ("noughts before the size", |m| sized(m, "0000%"), Want::One),
    ("a size beyond 64 bits", |m| sized(m, "10000000000000000%"), Want::Refused),
    ("no size", |m| sized(m, ""), Want::Refused),
    ("a line feed alone", |m| with(CHUNKED, &chunks(m).replacen("\r\n", "\n", 1)), Want::Refused),
    ("no line break after the data", |m| with(CHUNKED, &chunks(m).replacen("}\r\n", "}", 1)), Want::Refused),
    (
        "trailers that mean something",
        |m| {
            let trailers =
                "0\r\ncontent-length: 5\r\nauthorization: Bearer x\r\nx-ai-cluster: gpt.b\r\nhost: b\r\n\r\n";
            with(CHUNKED, &chunks(m).replace("0\r\n\r\n", trailers))
        },
        Want::One,
    ),
];

/// What a line of the head is.
const LINES: [Row; 24] = [
    ("a line feed in a value", |m| plain(m, "x: a\ntransfer-encoding: chunked\r\n"), Want::Refused),
    (
        "a carriage return in a value",
        |m| plain(m, "user-agent: a\rtransfer-encoding: chunked\r\n"),
        Want::One,
    ),
    ("NUL in a value", |m| plain(m, "x: a\0b\r\n"), Want::Refused),
    ("NUL in a name", |m| plain(m, "x\0: a\r\n"), Want::Refused),
    ("a blank in a name", |m| plain(m, "x y: a\r\n"), Want::Refused),
    ("no name", |m| plain(m, ": a\r\n"), Want::Refused),
    ("no colon", |m| plain(m, "x\r\n"), Want::Refused),
    ("a name that is not ASCII", |m| plain(m, "é: a\r\n"), Want::Refused),
    (
        "a blank before the first line",
        |m| started(m, &format!("POST {CHAT} HTTP/1.1\r\n x: y\r\nhost: gateway")),
        Want::Refused,
    ),
    ("a name of HTTP/2's", |m| plain(m, ":path: /other\r\n"), Want::Refused),
    ("another method of HTTP/2's", |m| plain(m, ":method: GET\r\n"), Want::Refused),
    ("a host twice", |m| plain(m, "host: other\r\n"), Want::One),
    ("the same host twice", |m| plain(m, "host: gateway\r\n"), Want::One),
    ("a method to be taken instead", |m| plain(m, "x-http-method-override: DELETE\r\n"), Want::One),
    (
        "a path to be taken instead",
        |m| {
            plain(
                m,
                "x-original-url: /v1/embeddings\r\nx-rewrite-url: /v1/embeddings\r\nx-envoy-original-path: /v1/embeddings\r\n",
            )
        },
        Want::One,
    ),
    (
        "an upgrade to a web socket",
        |m| {
            plain(
                m,
                "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n",
            )
        },
        Want::Refused,
    ),
    (
        "an upgrade to HTTP/2",
        |m| {
            plain(
                m,
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
            )
        },
        Want::One,
    ),
    (
        "names of the connection's own",
        |m| plain(m, "connection: content-type, x-request-id, host\r\n"),
        Want::Refused,
    ),
    ("a length of the connection's own", |m| plain(m, "connection: content-length\r\n"), Want::One),
    ("an expectation that nobody knows", |m| plain(m, "expect: 200-maybe\r\n"), Want::One),
    ("te", |m| plain(m, "te: trailers, chunked\r\n"), Want::One),
    (
        "a proxy's own connection",
        |m| plain(m, "proxy-connection: keep-alive\r\nkeep-alive: timeout=9\r\n"),
        Want::One,
    ),
    ("a header of 100 KB", |m| plain(m, &format!("x: {}\r\n", "a".repeat(100_000))), Want::Refused),
    ("a thousand headers", |m| plain(m, &"x: a\r\n".repeat(1_000)), Want::Refused),
];

/// What the first line is.
const STARTS: [Row; 19] = [
    (
        "an absolute URI",
        |m| started(m, &format!("POST http://other{CHAT} HTTP/1.1\r\nhost: gateway")),
        Want::One,
    ),
    (
        "an absolute URI with a user",
        |m| started(m, &format!("POST http://a:b@other{CHAT} HTTP/1.1\r\nhost: gateway")),
        Want::One,
    ),
    ("no host", |m| started(m, &format!("POST {CHAT} HTTP/1.1")), Want::Refused),
    ("an empty host", |m| started(m, &format!("POST {CHAT} HTTP/1.1\r\nhost:")), Want::One),
    ("a host of two", |m| started(m, &format!("POST {CHAT} HTTP/1.1\r\nhost: a, b")), Want::Refused),
    ("a host with a path", |m| started(m, &format!("POST {CHAT} HTTP/1.1\r\nhost: a/b")), Want::Refused),
    ("two blanks", |m| started(m, &format!("POST  {CHAT} HTTP/1.1\r\nhost: gateway")), Want::One),
    ("a tab", |m| started(m, &format!("POST\t{CHAT} HTTP/1.1\r\nhost: gateway")), Want::One),
    (
        "a blank in the path",
        |m| started(m, &format!("POST {CHAT} x HTTP/1.1\r\nhost: gateway")),
        Want::Refused,
    ),
    (
        "a method in small letters",
        |m| started(m, &format!("post {CHAT} HTTP/1.1\r\nhost: gateway")),
        Want::Refused,
    ),
    ("no version", |m| started(m, &format!("POST {CHAT}\r\nhost: gateway")), Want::Refused),
    ("version 0.9", |m| started(m, &format!("POST {CHAT} HTTP/0.9\r\nhost: gateway")), Want::Refused),
    ("version 1.2", |m| started(m, &format!("POST {CHAT} HTTP/1.2\r\nhost: gateway")), Want::Refused),
    ("version 2", |m| started(m, &format!("POST {CHAT} HTTP/2.0\r\nhost: gateway")), Want::Refused),
    ("version 1.0", |m| started(m, &format!("POST {CHAT} HTTP/1.0\r\nhost: gateway")), Want::Refused),
    ("a tunnel", |m| started(m, "CONNECT a:443 HTTP/1.1\r\nhost: a:443"), Want::Refused),
    ("an asterisk", |m| started(m, "OPTIONS * HTTP/1.1\r\nhost: gateway"), Want::Refused),
    (
        "a path without a slash",
        |m| started(m, "POST v1/chat/completions HTTP/1.1\r\nhost: gateway"),
        Want::Refused,
    ),
    (
        "a line break before it",
        |m| started(m, &format!("\r\nPOST {CHAT} HTTP/1.1\r\nhost: gateway")),
        Want::One,
    ),
];

#[test]
fn what_servers_divide_differently_is_one_request_or_none() {
    let bed = shared();
    let rows: Vec<&Row> = LENGTHS.iter().chain(&CHUNKS).chain(&LINES).chain(&STARTS).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    // Envoy waits a second for clients to close where it has refused.
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some((what, bytes, want)) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let model = format!("gpt-row-{}", what.replace([' ', ','], "-"));
                    if let Err(why) = raw::send(&bed, &model, &bytes(&model)).judge(*want) {
                        wrong.lock().expect("nobody panics").push(format!("{what}: {why}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("nobody panics");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(bed.providers.iter().all(|provider| provider.of_user(HIDDEN).is_empty()), "a hidden request");
    raw::assert_recorded(&bed);
    bed.gateway.assert_no_trap();
}

#[test]
fn a_body_that_nobody_asked_for_is_no_request() {
    let bed = shared();
    for method in ["GET", "HEAD", "DELETE"] {
        let bytes = format!(
            "{method} /v1/models HTTP/1.1\r\nhost: gateway\r\ncontent-length: {}\r\n\r\n{}",
            hidden().len(),
            hidden()
        );
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        client.write(bytes.as_bytes()).expect("a request");
        let head = client.read_head().expect("an answer");
        assert!(head.start.contains(" 200 ") || head.start.contains(" 404 "), "{method}: {}", head.start);
    }
    assert!(bed.providers.iter().all(|provider| provider.of_user(HIDDEN).is_empty()), "a hidden request");
}

#[test]
fn requests_in_one_packet_are_answered_one_by_one() {
    let bed = shared();
    let models = [0, 1, 2].map(|n| format!("gpt-row-piped-{n}"));
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    client.write(&models.each_ref().map(|model| plain(model, "")).concat()).expect("requests");
    for model in models {
        let reply = client.read().expect("an answer").json();
        assert!(reply["model"].as_str().is_some_and(|named| named.starts_with(&model)), "{model}: {reply}");
    }
    raw::assert_recorded(&bed);
}
