//! HTTP/2 as no library writes it: names, pseudo-headers and lengths that a server must not take, and what HTTP/1.1 at the
//! provider would read in another way.
//!
//! Rules: <https://www.rfc-editor.org/rfc/rfc9113#section-8.2>, <https://www.rfc-editor.org/rfc/rfc9113#section-8.3>.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::bed::shared;
use crate::raw::{self, CHAT, Came, Want, question};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// Flags of frames.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An answer that takes longer is a hang, and fails the test.
const HANG: Duration = Duration::from_secs(60);

/// A header as it is to be sent.
type Field = (&'static str, &'static str);

/// What it is, the fields instead of or beside the usual ones, what may become of it. A field whose value is `-` is left out.
type Row = (&'static str, &'static [Field], Want);

const ROWS: [Row; 28] = [
    ("as it should be", &[], Want::One),
    ("a name in capitals", &[("X-Team", "a")], Want::Refused),
    ("a name with a blank", &[("x team", "a")], Want::Refused),
    ("a name with a colon", &[("x:team", "a")], Want::Refused),
    ("a name with a line break", &[("x\r\ntransfer-encoding", "chunked")], Want::Refused),
    ("no name", &[("", "a")], Want::Refused),
    ("a value with a line break", &[("user-agent", "a\r\ntransfer-encoding: chunked")], Want::Refused),
    ("a value with a line feed", &[("user-agent", "a\nx: b")], Want::Refused),
    ("a value with a carriage return", &[("user-agent", "a\rx: b")], Want::Refused),
    ("a value with NUL", &[("user-agent", "a\0b")], Want::Refused),
    (
        "a path with a line break",
        &[(":path", "/v1/chat/completions HTTP/1.1\r\nx: y\r\n\r\n")],
        Want::Refused,
    ),
    ("a path with a blank", &[(":path", "/v1/chat/completions HTTP/1.1")], Want::Refused),
    ("an empty path", &[(":path", "")], Want::Refused),
    ("no path", &[(":path", "-")], Want::Refused),
    ("two paths", &[(":path", CHAT), (":path", "/v1/embeddings")], Want::Refused),
    ("no method", &[(":method", "-")], Want::Refused),
    ("a method with a blank", &[(":method", "POST /other HTTP/1.1\r\n")], Want::Refused),
    ("no scheme", &[(":scheme", "-")], Want::Refused),
    ("two authorities", &[(":authority", "a"), (":authority", "b")], Want::Refused),
    ("an authority with a line break", &[(":authority", "a\r\nx: y")], Want::Refused),
    ("a pseudo-header of answers", &[(":status", "200")], Want::Refused),
    ("a pseudo-header of nobody's", &[(":consumer", "gold")], Want::Refused),
    ("a pseudo-header that comes late", &[("x-team", "a"), (":late", "b")], Want::Refused),
    ("a connection's own header", &[("connection", "x-request-id")], Want::Refused),
    ("a transfer coding", &[("transfer-encoding", "chunked")], Want::Refused),
    ("a length that is too small", &[("content-length", "3")], Want::Refused),
    ("a length that is too large", &[("content-length", "100000")], Want::Refused),
    ("a tunnel", &[(":method", "CONNECT"), (":protocol", "websocket")], Want::Refused),
];

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a small frame").to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A field as a literal that no table knows (RFC 7541 section 6.2.2).
fn literal((name, value): Field) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).expect("a short text");
        assert!(length < 127, "a length of one byte");
        [&[length], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// The usual fields, each replaced by those of the row that have its name, and the others of the row.
fn fields(row: &[Field]) -> Vec<Field> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CHAT),
        (":authority", "gateway"),
        ("content-type", "application/json"),
    ];
    let (mut all, mut rest) = (Vec::new(), row.to_vec());
    for field in usual {
        let own: Vec<Field> = rest.extract_if(.., |one| one.0 == field.0).collect();
        all.extend(if own.is_empty() { vec![field] } else { own });
    }
    let pseudo = rest.extract_if(.., |one| one.0.starts_with(':') && one.0 != ":late");
    all.splice(0..0, pseudo);
    all.extend(rest);
    all.retain(|(_, value)| *value != "-");
    all
}

fn request(row: &[Field], model: &str) -> Vec<u8> {
    let head: Vec<u8> = fields(row).into_iter().flat_map(literal).collect();
    [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(DATA, END_STREAM, 1, question(model).as_bytes()),
    ]
    .concat()
}

/// Sends it, and reads until its stream or the connection ends: whether an answer came to its end.
#[track_caller]
fn ends_well(bytes: &[u8]) -> bool {
    let mut socket = TcpStream::connect(shared().gateway.address()).expect("the gateway listens");
    socket.set_read_timeout(Some(HANG)).expect("a socket");
    // Envoy may close before it has read all.
    let _ = socket.write_all(bytes);
    loop {
        let mut head = [0; 9];
        match socket.read_exact(&mut head) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer"),
            Err(_) => return false,
            Ok(()) => {}
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if socket.read_exact(&mut vec![0; length]).is_err() {
            return false;
        }
        match (head[3], head[8]) {
            (RST_STREAM, 1) | (GOAWAY, _) => return false,
            (DATA | HEADERS, 1) if head[4] & END_STREAM != 0 => return true,
            _ => {}
        }
    }
}

#[test]
fn what_http_2_forbids_is_no_request_and_never_two() {
    let bed = shared();
    let mut wrong = Vec::new();
    for (what, row, want) in ROWS {
        let model = format!("gpt-row-2-{}", what.replace(' ', "-"));
        let answered = ends_well(&request(row, &model));
        let status = if !answered {
            None
        } else if Came::seen(&bed, &model).is_empty() {
            Some(400) // what it was, no table of HPACK is kept to tell; no provider was asked
        } else {
            Some(200)
        };
        if let Err(why) = Came::of(&bed, &model, status).judge(want) {
            wrong.push(format!("{what}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    raw::assert_recorded(&bed);
}
