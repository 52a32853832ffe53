//! Two requests have one key if and only if they ask the same, among the same.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sluice_core::json::MAX_DEPTH;

use super::*;

fn circumstances() -> Circumstances<'static> {
    Circumstances {
        scope: Scope::Consumer,
        scope_value: "app",
        path: "/v1/chat/completions",
        rule: Some("gpt-4o"),
        target: Some("openai"),
        base_model: None,
        cluster: None,
        headers: vec![("content-type", b"application/json")],
    }
}

fn asked(body: &str) -> Asked {
    read(&circumstances(), body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn key(body: &str) -> Key {
    asked(body).key
}

/// A document, without how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doc {
    Word(&'static str),
    Number(&'static str),
    Text(String),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Doc {
    /// With members by name; those of one name stay in their order.
    fn normal(&self) -> Self {
        match self {
            Self::Array(items) => Self::Array(items.iter().map(Self::normal).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> =
                    members.iter().map(|(name, doc)| (name.clone(), doc.normal())).collect();
                members.sort_by(|a, b| a.0.cmp(&b.0));
                Self::Object(members)
            }
            plain => plain.clone(),
        }
    }

    /// Writes it in one of many ways, decided by `style`.
    fn write(&self, style: &mut Style<'_>, out: &mut String) {
        style.space(out);
        match self {
            Self::Word(text) | Self::Number(text) => out.push_str(text),
            Self::Text(text) => style.text(text, out),
            Self::Array(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    out.push_str(if n == 0 { "" } else { "," });
                    item.write(style, out);
                }
                style.space(out);
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (n, (name, doc)) in style.order(members).into_iter().enumerate() {
                    out.push_str(if n == 0 { "" } else { "," });
                    style.space(out);
                    style.text(name, out);
                    style.space(out);
                    out.push(':');
                    doc.write(style, out);
                }
                style.space(out);
                out.push('}');
            }
        }
        style.space(out);
    }

    fn written(&self, style: &[u8]) -> String {
        let mut out = String::new();
        self.write(&mut Style(style.iter().cycle()), &mut out);
        out
    }

    /// All nodes, changed one at a time.
    fn changed(&self, node: &mut usize, how: u8) -> Self {
        if *node == 0 {
            *node = usize::MAX;
            return self.other(how);
        }
        *node = node.saturating_sub(1);
        match self {
            Self::Array(items) => {
                Self::Array(items.iter().map(|item| item.changed_unless_done(node, how)).collect())
            }
            Self::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, doc)| (name.clone(), doc.changed_unless_done(node, how)))
                    .collect(),
            ),
            plain => plain.clone(),
        }
    }

    fn changed_unless_done(&self, node: &mut usize, how: u8) -> Self {
        if *node > usize::MAX / 2 { self.clone() } else { self.changed(node, how) }
    }

    /// Something near to it.
    fn other(&self, how: u8) -> Self {
        match (self, how % 6) {
            (Self::Array(items), 0) => Self::Array(items.iter().rev().cloned().collect()),
            (Self::Array(items), 1) => Self::Array(items.iter().skip(1).cloned().collect()),
            (Self::Object(members), 0) => Self::Object(members.iter().rev().cloned().collect()),
            (Self::Object(members), 1) => Self::Object(members.iter().skip(1).cloned().collect()),
            (Self::Object(members), 2) => {
                Self::Object(members.iter().chain(members.first()).cloned().collect())
            }
            (Self::Text(text), 0 | 1) => Self::Text(format!("{text}a")),
            (Self::Text(text), 2) => Self::Text(text.chars().rev().collect()),
            (Self::Number(text) | Self::Word(text), 0 | 1) => Self::Text((*text).to_owned()),
            (Self::Number("1"), 2) => Self::Number("1.0"),
            (_, 3) => Self::Word("null"),
            (_, 4) => Self::Array(vec![self.clone()]),
            _ => Self::Object(vec![(String::new(), self.clone())]),
        }
    }
}

struct Style<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Style<'_> {
    fn next(&mut self) -> u8 {
        *self.0.next().unwrap()
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(["", "", " ", "\n\t"][usize::from(self.next() % 4)]);
    }

    fn text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for char in text.chars() {
            match (char, self.next() % 3) {
                ('"' | '\\', 0 | 1) => out.extend(['\\', char]),
                ('\n', 0 | 1) => out.push_str("\\n"),
                ('/', 0) => out.push_str("\\/"),
                (char, 0 | 1) => out.push(char),
                (char, _) => {
                    for unit in char.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
        }
        out.push('"');
    }

    /// In some order that keeps members of one name in theirs.
    fn order<'d>(&mut self, members: &'d [(String, Doc)]) -> Vec<(&'d str, &'d Doc)> {
        let mut ranks = BTreeMap::new();
        for (name, _) in members {
            ranks.entry(name).or_insert_with(|| self.next());
        }
        let mut members: Vec<_> = members.iter().map(|(name, doc)| (name, doc)).collect();
        members.sort_by_key(|(name, _)| ranks[name]);
        members.into_iter().map(|(name, doc)| (name.as_str(), doc)).collect()
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[ab]{0,2}", 1 => Just("é/\u{1f600}".to_owned()), 1 => Just("n".repeat(300))]
}

fn doc() -> impl Strategy<Value = Doc> {
    let text = prop_oneof![
        6 => "[ab\"\\\\\n/é\u{1f600}]{0,4}",
        1 => (253_usize..259).prop_map(|length| "x".repeat(length)),
    ];
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(Doc::Word),
        prop::sample::select(vec!["0", "-0", "0.0", "1", "1.0", "1e0", "10", "1E0"]).prop_map(Doc::Number),
        text.prop_map(Doc::Text),
    ];
    leaf.prop_recursive(5, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Doc::Array),
            prop::collection::vec((name(), inner), 0..5).prop_map(Doc::Object),
        ]
    })
}

fn root() -> impl Strategy<Value = Doc> {
    prop::collection::vec((name(), doc()), 0..5).prop_map(Doc::Object)
}

fn style() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_a_request_is_written_does_not_matter(doc in root(), one in style(), other in style()) {
        prop_assert_eq!(key(&doc.written(&one)), key(&doc.written(&other)));
    }

    #[test]
    fn requests_share_a_key_if_and_only_if_they_mean_the_same(a in root(), b in root(), styles in (style(), style())) {
        let same = a.normal() == b.normal();
        prop_assert_eq!(key(&a.written(&styles.0)) == key(&b.written(&styles.1)), same);
    }

    #[test]
    fn any_change_of_a_value_makes_another_key(
        doc in root(), node in 1_usize..20, how in any::<u8>(), styles in (style(), style()),
    ) {
        let changed = doc.changed(&mut node.clone(), how);
        prop_assume!(matches!(changed, Doc::Object(_)));
        let same = doc.normal() == changed.normal();
        prop_assert_eq!(key(&doc.written(&styles.0)) == key(&changed.written(&styles.1)), same);
    }

    #[test]
    fn the_form_asked_for_is_no_part_of_the_key(
        doc in root(), stream in any::<Option<bool>>(), usage in any::<Option<bool>>(), style in style(),
    ) {
        let Doc::Object(mut members) = doc.clone() else { unreachable!() };
        let word = |flag: Option<bool>| Doc::Word(match flag { Some(true) => "true", Some(false) => "false", None => "null" });
        members.push(("stream".to_owned(), word(stream)));
        let options = Doc::Object(vec![("include_usage".to_owned(), word(usage))]);
        members.push(("stream_options".to_owned(), options));
        let got = asked(&Doc::Object(members).written(&style));
        let want = Asked {
            stream: stream == Some(true), usage: usage == Some(true), ..asked(&doc.written(&[0]))
        };
        prop_assert_eq!(got, want);
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&circumstances(), &body);
    }

    #[test]
    fn circumstances_share_a_key_if_and_only_if_they_are_the_same(a in parts(), b in parts()) {
        prop_assert_eq!(of(&a).key == of(&b).key, a == b);
    }

    #[test]
    fn circumstances_share_a_gist_if_and_only_if_they_ask_the_same(a in parts(), b in parts()) {
        prop_assert_eq!(of(&a).gist == of(&b).gist, (&a.1[1], &a.3) == (&b.1[1], &b.3));
    }

    #[test]
    fn who_asks_and_whom_is_no_part_of_the_gist(a in parts(), b in parts()) {
        let other = (b.0, [b.1[0].clone(), a.1[1].clone()], b.2, a.3.clone());
        prop_assert_eq!(of(&a).gist, of(&other).gist);
    }

    #[test]
    fn the_key_follows_from_the_gist_and_who_asks_and_whom(a in parts(), docs in (root(), root())) {
        let asked = |doc: &Doc| read(&circumstances_of(&a), doc.written(&[0]).as_bytes()).unwrap();
        let (one, other) = (asked(&docs.0), asked(&docs.1));
        prop_assert_eq!(one.key == other.key, one.gist == other.gist);
    }
}

type Parts = (u8, [String; 2], [Option<String>; 4], Vec<(String, String)>);

fn parts() -> impl Strategy<Value = Parts> {
    let text = || "[ab]{0,1}";
    let maybe = || prop::option::of(text());
    let headers = prop::collection::btree_map("[ab]{1,2}", text(), 0..3);
    (
        0_u8..3,
        [text(), text()],
        [maybe(), maybe(), maybe(), maybe()],
        headers.prop_map(|map| map.into_iter().collect()),
    )
}

fn of(parts: &Parts) -> Asked {
    read(&circumstances_of(parts), b"{}").unwrap()
}

fn circumstances_of(
    (scope, [value, path], [rule, target, base_model, cluster], headers): &Parts,
) -> Circumstances<'_> {
    Circumstances {
        scope: [Scope::Consumer, Scope::Tier, Scope::Everyone][usize::from(*scope)],
        scope_value: value,
        path,
        rule: rule.as_deref(),
        target: target.as_deref(),
        base_model: base_model.as_deref(),
        cluster: cluster.as_deref().map(str::as_bytes),
        headers: headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
    }
}

/// Records of one version of the gateway are compared with those of another: these digits, reckoned apart from the code,
/// may change only with [`GIST_VERSION`].
#[test]
fn the_digits_of_a_question_stay_the_same() {
    for (body, want) in [
        ("{}", "1460a1b37f3e2963"),
        (
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}"#,
            "605acc64f4e0f5e9",
        ),
        (r#"{"model":"a","n":1.50,"x":[true,null,{"b":"\u00e9","a":"\ud800"}]}"#, "8d631926e058e543"),
    ] {
        assert_eq!(asked(body).gist.short(), want, "{body}");
    }
}

#[test]
fn every_circumstance_counts_by_itself() {
    let plain = circumstances();
    let others = [
        plain.clone(),
        Circumstances { scope: Scope::Tier, ..plain.clone() },
        Circumstances { scope: Scope::Everyone, ..plain.clone() },
        Circumstances { scope_value: "ap", path: "p/v1/chat/completions", ..plain.clone() },
        Circumstances { scope_value: "App", ..plain.clone() },
        Circumstances { scope_value: "", ..plain.clone() },
        Circumstances { path: "/v1/completions", ..plain.clone() },
        Circumstances { path: "/v1/chat/completions?a=b", ..plain.clone() },
        Circumstances { rule: None, ..plain.clone() },
        Circumstances { rule: Some(""), ..plain.clone() },
        Circumstances { rule: None, target: Some("gpt-4o"), base_model: Some("openai"), ..plain.clone() },
        Circumstances { target: Some("azure"), ..plain.clone() },
        Circumstances { base_model: Some("gpt-4o"), ..plain.clone() },
        Circumstances { cluster: Some(b""), ..plain.clone() },
        Circumstances { cluster: Some(b"gpt-4o.openai"), ..plain.clone() },
        Circumstances { headers: vec![], ..plain.clone() },
        Circumstances { headers: vec![("content-type", b"application/jso")], ..plain.clone() },
        Circumstances { headers: vec![("content-typ", b"eapplication/json")], ..plain.clone() },
        Circumstances { headers: vec![("a", b"1"), ("a", b"2")], ..plain.clone() },
        Circumstances { headers: vec![("a", b"2"), ("a", b"1")], ..plain.clone() },
        Circumstances { headers: vec![("a", b"12")], ..plain.clone() },
        Circumstances { headers: vec![("a", b"\xff")], ..plain.clone() },
    ];
    let keys: BTreeSet<_> = others.iter().map(|other| read(other, b"{}").unwrap().key).collect();
    assert_eq!(keys.len(), others.len());
    let swapped = |headers| read(&Circumstances { headers, ..plain.clone() }, b"{}").unwrap().key;
    assert_eq!(swapped(vec![("a", b"1"), ("b", b"2")]), swapped(vec![("b", b"2"), ("a", b"1")]));
}

#[test]
fn requests_that_differ_in_anything_differ() {
    let bodies = [
        r#"{}"#,
        r#"{"model":"gpt-4o"}"#,
        r#"{"model":"gpt-4o "}"#,
        r#"{"Model":"gpt-4o"}"#,
        r#"{"model":["gpt-4o"]}"#,
        r#"{"model":"gpt-4o","n":1}"#,
        r#"{"model":"gpt-4o","n":1.0}"#,
        r#"{"model":"gpt-4o","n":1e0}"#,
        r#"{"model":"gpt-4o","n":10e-1}"#,
        r#"{"model":"gpt-4o","n":"1"}"#,
        r#"{"model":"gpt-4o","n":null}"#,
        r#"{"model":"gpt-4o","n":false}"#,
        r#"{"model":"gpt-4o","never_heard_of":1}"#,
        r#"{"model":"gpt-4o","n":1,"n":2}"#,
        r#"{"model":"gpt-4o","n":2,"n":1}"#,
        r#"{"model":"gpt-4o","stream_options":{"include_obfuscation":false}}"#,
        r#"{"model":"gpt-4o","stream_options":{"include_usage":true,"include_obfuscation":true}}"#,
        r#"{"model":"gpt-4o","a":{"stream":true}}"#,
        r#"{"model":"gpt-4o","a":{"stream":false}}"#,
        r#"{"model":"gpt-4o","a":{}}"#,
        r#"{"model":"gpt-4o","a":[]}"#,
        r#"{"model":"gpt-4o","a":[[]]}"#,
        r#"{"model":"gpt-4o","a":[[],[]]}"#,
        r#"{"model":"gpt-4o","a":["a","b"]}"#,
        r#"{"model":"gpt-4o","a":["b","a"]}"#,
        r#"{"model":"gpt-4o","a":["ab"]}"#,
        r#"{"model":"gpt-4o","a":"\u0000"}"#,
        r#"{"model":"gpt-4o","a":"\\u0000"}"#,
        r#"{"model":"gpt-4o","a":"\ud800"}"#,
        r#"{"model":"gpt-4o","a":"\\ud800"}"#,
        r#"{"model":"gpt-4o","a":"\x"}"#,
        "{\"model\":\"gpt-4o\",\"a\":\"\n\"}",
        r#"{"model":"gpt-4o","a":"\n"}"#,
        r#"{"model":"gpt-4o","\ud800":1}"#,
    ];
    let keys: BTreeSet<_> = bodies.iter().map(|body| key(body)).collect();
    assert_eq!(keys.len(), bodies.len());
}

#[test]
fn the_same_request_written_otherwise_is_the_same() {
    let same = [
        r#"{"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
        "{ \"messages\" : [ { \"content\" : \"hi\" ,\r\n\t\"role\":\"user\"} ] , \"model\":\"a\" }",
        r#"{"m\u006fdel":"\u0061","messages":[{"role":"\u0075ser","content":"hi"}]}"#,
        r#"{"model":"a","messages":[{"role":"user","content":"hi"}],"stream":true}"#,
        r#"{"str\u0065am":null,"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"stream_options":null,"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"stream_options":{},"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"stream_options":{"include_usage":false},"model":"a","messages":[{"role":"user","content":"hi"}]}"#,
    ];
    for body in same {
        assert_eq!(key(body), key(same[0]), "{body}");
    }
    let hex = key(same[0]).hex();
    assert!(hex.len() == 64 && hex.bytes().all(|digit| b"0123456789abcdef".contains(&digit)));
    assert_eq!(Key::from([0xa1; 32]).hex(), "a1".repeat(32));
}

#[test]
fn what_a_request_asks_for_besides_an_answer_is_told() {
    let cases = [
        (r#"{}"#, (false, false, None)),
        (r#"{"stream":true}"#, (true, false, None)),
        (r#"{"stream":true,"stream_options":{"include_usage":true}}"#, (true, true, None)),
        (r#"{"stream":false,"stream_options":{"include_usage":true}}"#, (false, true, None)),
        (r#"{"stream":"true"}"#, (false, false, Some("stream"))),
        (r#"{"stream":1}"#, (false, false, Some("stream"))),
        (r#"{"Stream":true}"#, (false, false, Some("stream"))),
        (r#"{"stream":true,"stream":false}"#, (true, false, Some("stream"))),
        (r#"{"stream":false,"\u017ftream":true}"#, (false, false, Some("stream"))),
        (r#"{"stream_options":true}"#, (false, false, Some("stream"))),
        (r#"{"stream_options":{},"stream_options":{}}"#, (false, false, Some("stream"))),
        (r#"{"stream_options":{"include_usage":1}}"#, (false, false, Some("stream"))),
        (r#"{"stream_options":{"Include_Usage":true}}"#, (false, false, Some("stream"))),
        (r#"{"Stream_Options":null}"#, (false, false, Some("stream"))),
        (r#"{"store":true}"#, (false, false, Some("store"))),
        (r#"{"store":false}"#, (false, false, Some("store"))),
        (r#"{"Store":0}"#, (false, false, Some("store"))),
        (r#"{"store":null}"#, (false, false, None)),
        (r#"{"store":null,"store":true}"#, (false, false, Some("store"))),
        (r#"{"a":{"store":true}}"#, (false, false, None)),
        (r#"{"background":true}"#, (false, false, Some("background"))),
        (r#"{"background":false}"#, (false, false, None)),
        (r#"{"background":"no"}"#, (false, false, Some("background"))),
        (r#"{"conversation":{"id":"c"},"stream":true}"#, (true, false, Some("conversation"))),
        (r#"{"conversation":"c","store":true}"#, (false, false, Some("conversation"))),
        (r#"{"conversation":null}"#, (false, false, None)),
    ];
    for (body, want) in cases {
        let Asked { stream, usage, bypass, .. } = asked(body);
        assert_eq!((stream, usage, bypass), want, "{body}");
    }
}

#[test]
fn nesting_counts_down_to_the_deepest_value_that_is_read() {
    let nested = |depth: usize, inner: &str| {
        format!("{{\"a\":{}{inner}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    for depth in [3, 64, canon::MAX_DEPTH, canon::MAX_DEPTH + 1, MAX_DEPTH - 1, MAX_DEPTH] {
        let keys = ["", "1", "2", "\"1\"", "1,1"].map(|inner| key(&nested(depth, inner)));
        assert_eq!(BTreeSet::from(keys).len(), keys.len(), "depth {depth}");
        assert_ne!(key(&nested(depth, "")), key(&nested(depth - 1, "")));
    }
    let at_the_bound = |inner| key(&nested(canon::MAX_DEPTH, inner));
    assert_eq!(at_the_bound(r#"1,"a""#), at_the_bound(r#" 1 , "\u0061" "#));
    assert!(read(&circumstances(), nested(MAX_DEPTH + 1, "").as_bytes()).is_err());
    let objects =
        |inner: &str| format!("{}{inner}{}", r#"{"b":1,"a":"#.repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
    assert_ne!(key(&objects("1")), key(&objects("2")));
}

#[test]
fn what_is_not_one_object_is_unreadable() {
    let whole = r#"{"model":"a","messages":[{"content":"\u0061"}],"n":1.5e3,"b":[true,null]}"#;
    let cut = (0..whole.len()).map(|end| &whole[..end]);
    let odd = [
        "[]",
        "\"a\"",
        "1",
        "null",
        "nul",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{'a':1}",
        "{\"a\":+1}",
        "{\"a\":tru}",
        "{\"stream\":tru}",
    ];
    for body in cut.chain(odd) {
        assert!(read(&circumstances(), body.as_bytes()).is_err(), "{body}");
    }
    let error = read(&circumstances(), b"[]").unwrap_err();
    assert_eq!(error.to_string(), "the body is not one JSON object: byte 0: expected an object");
}
