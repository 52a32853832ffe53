//! Bodies in disguise: what is permitted, limited and checked is what the provider will read, or nothing is sent.

use flate2::write::GzEncoder;
use serde_json::Value;
use sluice_e2e::bed::Bed;
use sluice_e2e::client;
use sluice_e2e::upstream::Seen;

use std::io::Write as _;

use crate::bed::shared;
use crate::raw::CHAT;

/// Whose key is `sk-small`: `gpt-small-*` and no other model.
const SMALL: (&str, &str) = ("authorization", "Bearer sk-small");

/// Members of a body, `@` for the number of the row: by none of them does a caller get a model that it may not use.
const BODIES: [(&str, &str); 40] = [
    ("the model twice, the small one first", r#"{"model":"gpt-small-@","model":"gpt-large-@"}"#),
    ("the model twice, the small one last", r#"{"model":"gpt-large-@","model":"gpt-small-@"}"#),
    ("the model twice, apart", r#"{"model":"gpt-small-@","messages":[],"model":"gpt-large-@"}"#),
    ("the name escaped", r#"{"mod\u0065l":"gpt-large-@"}"#),
    ("the name escaped, beside the plain one", r#"{"model":"gpt-small-@","mod\u0065l":"gpt-large-@"}"#),
    ("the name in capitals", r#"{"model":"gpt-small-@","MODEL":"gpt-large-@"}"#),
    ("the name in one capital", r#"{"model":"gpt-small-@","Model":"gpt-large-@"}"#),
    ("the name with a byte-order mark", "{\"model\":\"gpt-small-@\",\"\u{feff}model\":\"gpt-large-@\"}"),
    ("the name with NUL", r#"{"model":"gpt-small-@","model\u0000":"gpt-large-@"}"#),
    ("a value escaped", r#"{"model":"gpt-l\u0061rge-@"}"#),
    ("a value with half a surrogate", r#"{"model":"gpt-small-\ud800@"}"#),
    ("a value with NUL", r#"{"model":"gpt-small-\u0000@"}"#),
    ("a value in a list", r#"{"model":["gpt-small-@","gpt-large-@"]}"#),
    ("a value in an object", r#"{"model":{"id":"gpt-large-@"}}"#),
    ("a number", r#"{"model":1e999}"#),
    ("nothing", r#"{"model":null,"messages":[]}"#),
    ("a model within", r#"{"model":"gpt-small-@","extra":{"model":"gpt-large-@"}}"#),
    ("a body before it", r#"{"model":"gpt-large-@"}{"model":"gpt-small-@"}"#),
    ("a body behind it", r#"{"model":"gpt-small-@"}{"model":"gpt-large-@"}"#),
    ("a line behind it", "{\"model\":\"gpt-small-@\"}\n{\"model\":\"gpt-large-@\"}"),
    ("NUL behind it", "{\"model\":\"gpt-small-@\"}\0{\"model\":\"gpt-large-@\"}"),
    ("a list of bodies", r#"[{"model":"gpt-small-@"},{"model":"gpt-large-@"}]"#),
    ("a comment", r#"{/*"model":"gpt-small-@",*/"model":"gpt-large-@"}"#),
    ("a comment to the end of the line", "{\"model\":\"gpt-small-@\"//\n,\"model\":\"gpt-large-@\"}"),
    ("a comma too many", r#"{"model":"gpt-small-@",}"#),
    ("single quotes", "{'model':'gpt-large-@'}"),
    ("no quotes", "{model:\"gpt-large-@\"}"),
    ("a byte-order mark", "\u{feff}{\"model\":\"gpt-large-@\"}"),
    ("a control character", "{\"model\":\"gpt-small-\u{1}@\"}"),
    ("an escape of none", r#"{"model":"gpt-small-\x41@"}"#),
    ("a number of none", r#"{"model":"gpt-small-@","n":01}"#),
    ("NaN", r#"{"model":"gpt-small-@","temperature":NaN}"#),
    ("a stream twice", r#"{"model":"gpt-small-@","stream":false,"stream":true}"#),
    ("a stream in letters", r#"{"model":"gpt-small-@","stream":"true"}"#),
    ("a stream in another letter", "{\"model\":\"gpt-small-@\",\"\u{17f}tream\":true}"),
    (
        "options of a stream twice",
        r#"{"model":"gpt-small-@","stream_options":{},"stream_options":{"include_usage":true}}"#,
    ),
    ("a proto", r#"{"__proto__":{"model":"gpt-large-@"},"model":"gpt-small-@"}"#),
    ("a deployment", r#"{"model":"gpt-small-@","engine":"gpt-large-@","deployment":"gpt-large-@"}"#),
    ("UTF-7", r#"{"model":"gpt-small-@","user":"+ACI-,+ACI-model+ACI-:+ACI-gpt-large-@"}"#),
    ("a line separator", "{\"model\":\"gpt-small-@\"\u{2028}}"),
];

/// Forms, in lines; `@` as above.
const FORMS: [(&str, &[&str]); 9] = [
    (
        "two models",
        &[
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-large-@",
            "--b--",
            "",
        ],
    ),
    (
        "a name twice",
        &[
            "--b",
            "content-disposition: form-data; name=\"x\"; name=\"model\"",
            "",
            "gpt-large-@",
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b--",
            "",
        ],
    ),
    (
        "a name in another way",
        &[
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b",
            "content-disposition: form-data; name*=utf-8''model",
            "",
            "gpt-large-@",
            "--b--",
            "",
        ],
    ),
    (
        "a disposition twice",
        &[
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "content-disposition: form-data; name=\"x\"",
            "",
            "gpt-small-@",
            "--b--",
            "",
        ],
    ),
    (
        "a folded disposition",
        &[
            "--b",
            "content-disposition: form-data;",
            " name=\"model\"",
            "",
            "gpt-large-@",
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b--",
            "",
        ],
    ),
    (
        "no end",
        &[
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b",
            "content-disposition: form-data; name=\"file\"",
            "",
            "x",
        ],
    ),
    (
        "something behind the end",
        &[
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b--",
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-large-@",
            "--b--",
            "",
        ],
    ),
    (
        "something before the beginning",
        &[
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-large-@",
            "--b",
            "content-disposition: form-data; name=\"model\"",
            "",
            "gpt-small-@",
            "--b--",
            "",
        ],
    ),
    ("no form", &["{\"model\":\"gpt-large-@\"}"]),
];

/// What its headers say of a body that is JSON: none of it is sent that the gateway cannot read as a provider might.
const KINDS: [(&str, &[(&str, &str)]); 12] = [
    ("UTF-7", &[("content-type", "application/json; charset=utf-7")]),
    ("UTF-16", &[("content-type", "application/json; charset=utf-16le")]),
    ("Shift JIS", &[("content-type", "application/json; charset=shift_jis")]),
    ("two charsets", &[("content-type", "application/json; charset=utf-8; charset=utf-7")]),
    ("text", &[("content-type", "text/plain")]),
    ("a web form", &[("content-type", "application/x-www-form-urlencoded")]),
    (
        "two types",
        &[("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=b")],
    ),
    ("a form without a boundary", &[("content-type", "multipart/form-data")]),
    ("compressed", &[("content-type", "application/json"), ("content-encoding", "gzip")]),
    ("compressed by Brotli", &[("content-type", "application/json"), ("content-encoding", "br")]),
    ("compressed twice", &[("content-type", "application/json"), ("content-encoding", "gzip, gzip")]),
    ("compressed as it were", &[("content-type", "application/json"), ("content-encoding", "x-unknown")]),
];

/// What reached a provider of the row that `mark` is of.
fn seen(bed: &Bed, mark: &str) -> Vec<Seen> {
    bed.providers.iter().flat_map(|provider| provider.tagged(mark)).collect()
}

/// A provider that reads JSON as Python does asks for the model that was permitted.
#[track_caller]
fn assert_small(what: &str, seen: &[Seen]) {
    for one in seen {
        let model = one.json()["model"].clone();
        assert!(
            model.as_str().is_some_and(|model| model.starts_with("gpt-small-")),
            "{what}: {model} was asked for"
        );
    }
}

fn post(bed: &Bed, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    client::send(bed.gateway.address(), "POST", CHAT, &[&[SMALL], headers].concat(), body).status
}

#[test]
fn no_body_gets_its_caller_a_model_that_is_not_its_own() {
    let bed = shared();
    for (n, (what, body)) in BODIES.into_iter().enumerate() {
        let mark = format!("body{n}x");
        let status = post(&bed, &[("content-type", "application/json")], body.replace('@', &mark).as_bytes());
        let seen = seen(&bed, &mark);
        assert_small(what, &seen);
        assert_eq!(seen.len(), usize::from(status == 200), "{what}: {status}");
        assert!(status == 200 || (400..500).contains(&status), "{what}: {status}");
    }
}

#[test]
fn no_form_gets_its_caller_a_model_that_is_not_its_own() {
    let bed = shared();
    for (n, (what, lines)) in FORMS.into_iter().enumerate() {
        let mark = format!("form{n}x");
        let body = lines.join("\r\n").replace('@', &mark);
        let headers = [SMALL, ("content-type", "multipart/form-data; boundary=b")];
        let path = "/v1/audio/transcriptions";
        let status = client::send(bed.gateway.address(), "POST", path, &headers, body.as_bytes()).status;
        let seen = seen(&bed, &mark);
        // What stands before and behind a form is no part of it, to nobody.
        let outside = what.starts_with("something");
        let large = |one: &Seen| String::from_utf8_lossy(&one.body).contains("gpt-large");
        assert!(outside || !seen.iter().any(large), "{what}");
        assert_eq!(seen.len(), usize::from(status == 200), "{what}: {status}");
    }
}

#[test]
fn what_nobody_here_can_read_is_not_sent() {
    let bed = shared();
    for (n, (what, headers)) in KINDS.into_iter().enumerate() {
        let mark = format!("kind{n}x");
        let body = format!("{{\"model\":\"gpt-small-{mark}\",\"messages\":[]}}");
        assert_eq!(post(&bed, headers, body.as_bytes()), 400, "{what}");
        assert!(seen(&bed, &mark).is_empty(), "{what}");
    }
    let wide: Vec<u8> = "{\"model\":\"gpt-small-wide\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b"{\"model\":\"gpt-small-packed\"}").expect("memory");
    let latin = b"{\"model\":\"gpt-small-\xe9\"}".to_vec();
    for (what, body) in [("UTF-16", wide), ("gzip", packed.finish().expect("memory")), ("Latin-1", latin)] {
        assert_eq!(post(&bed, &[("content-type", "application/json")], &body), 400, "{what}");
    }
}

/// Depth and size cost neither the gateway nor its other callers: such a body is refused, or passes as it is.
#[test]
fn deep_and_huge_bodies_are_refused_or_pass_unchanged() {
    let bed = shared();
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    for (n, extra) in [
        nested("[", "]", 100_000),
        nested("{\"a\":[", "]}", 50_000),
        "[".repeat(200_000),
        format!("{}1", "-".repeat(100_000)),
        format!("1{}", "0".repeat(500_000)),
        format!("\"{}\"", "\\ud83d\\ude00".repeat(50_000)),
        format!("\"{}\"", "\\".repeat(99_999)),
        format!("{{{}\"z\":1}}", "\"a\":1,".repeat(100_000)),
    ]
    .into_iter()
    .enumerate()
    {
        let mark = format!("deep{n}x");
        let body = format!("{{\"model\":\"gpt-small-{mark}\",\"messages\":[],\"extra\":{extra}}}");
        let status = post(&bed, &[("content-type", "application/json")], body.as_bytes());
        let seen = seen(&bed, &mark);
        assert!(seen.iter().all(|one| one.body == body.as_bytes()), "{n}: changed");
        assert_eq!(seen.len(), usize::from(status == 200), "{n}: {status}");
        assert!(status == 200 || (400..500).contains(&status), "{n}: {status}");
    }
    let record: Value = bed.gateway.log_line("the last", |line| line["ai_log"]["consumer"] == "small");
    assert!(record.is_object());
}
