use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::*;

/// Reads a value with every method of the reader.
fn value(reader: &mut Reader<'_>) -> Result<Value, Error> {
    let Some(kind) = reader.kind() else {
        return reader.skip().map(|_| Value::Null);
    };
    Ok(match kind {
        Kind::Object => {
            let mut map = Map::new();
            reader.object(|reader, key| {
                map.insert(key.decode()?.into_owned(), value(reader)?);
                Ok(())
            })?;
            map.into()
        }
        Kind::Array => {
            let mut list = Vec::new();
            reader.array(|reader| {
                list.push(value(reader)?);
                Ok(())
            })?;
            list.into()
        }
        Kind::String => reader.string()?.decode()?.into(),
        Kind::Number => {
            let number = reader.number()?;
            serde_json::from_slice(number.raw).unwrap_or(Value::Null) // 1e999 is beyond serde_json
        }
        Kind::Bool => reader.bool()?.into(),
        Kind::Null => reader.null().map(|()| Value::Null)?,
    })
}

fn read(doc: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(doc);
    let read = value(&mut reader)?;
    reader.end().map(|()| read)
}

fn skip(doc: &[u8]) -> Result<Span, Error> {
    let mut reader = Reader::new(doc);
    let span = reader.skip()?;
    reader.end().map(|()| span)
}

const DOCUMENT: &str = r#" {"a":[1,-0,2.50e+3,0.1E-2,[],{}],"b\n\u0062":{"c":"é\u00e9\ud83d\ude00\\\"\/"},"d":true,"e":false,"f":null,"":""}"#;

#[test]
fn a_mistake_is_named_with_its_place() {
    use ErrorKind::*;
    for (doc, offset, kind) in [
        ("", 0, Truncated),
        (" ", 1, Truncated),
        ("{", 1, Truncated),
        ("[1,", 3, Truncated),
        ("tru", 3, Truncated),
        ("-", 1, Truncated),
        ("1.", 2, Truncated),
        ("1e+", 3, Truncated),
        (r#""a"#, 2, Truncated),
        (r#""a\"#, 3, Truncated),
        (r#""a\""#, 4, Truncated),
        (r#"{"a""#, 4, Truncated),
        ("1 2", 2, Trailing),
        ("{}}", 2, Trailing),
        ("01", 1, Trailing),
        ("\u{feff}{}", 0, ByteOrderMark),
        ("{\u{feff}}", 1, ExpectedKey),
        ("trux", 0, ExpectedValue),
        ("nul]", 0, ExpectedValue),
        ("NaN", 0, ExpectedValue),
        ("+1", 0, ExpectedValue),
        (".5", 0, ExpectedValue),
        ("'a'", 0, ExpectedValue),
        ("[1,]", 3, ExpectedValue),
        ("[,1]", 1, ExpectedValue),
        (r#"{"a":}"#, 5, ExpectedValue),
        (r#"{"a":1,}"#, 7, ExpectedKey),
        ("{a:1}", 1, ExpectedKey),
        ("{1:1}", 1, ExpectedKey),
        (r#"{"a"=1}"#, 4, ExpectedColon),
        (r#"{"a",1}"#, 4, ExpectedColon),
        (r#"{"a":1 "b":2}"#, 7, ExpectedCommaOrBrace),
        (r#"{"a":1]"#, 6, ExpectedCommaOrBrace),
        ("[1 2]", 3, ExpectedCommaOrBracket),
        ("[1}", 2, ExpectedCommaOrBracket),
        ("[01]", 2, ExpectedCommaOrBracket),
        ("[0x1]", 2, ExpectedCommaOrBracket),
        ("-x", 1, ExpectedDigit),
        ("1.e1", 2, ExpectedDigit),
        ("1ex", 2, ExpectedDigit),
    ] {
        let want = Error { offset, kind };
        assert_eq!(skip(doc.as_bytes()).unwrap_err(), want, "skipping {doc}");
        assert_eq!(read(doc.as_bytes()).unwrap_err(), want, "reading {doc}");
    }
}

#[test]
fn string_contents_are_judged_when_decoded_and_passed_when_skipped() {
    use ErrorKind::*;
    let high_then_letter: &[u8] = br#""\ud83dx""#;
    for (doc, offset, kind) in [
        (&br#""\x""#[..], 1, InvalidEscape),
        (br#""ab\u12""#, 3, InvalidEscape),
        (br#""\u+123""#, 1, InvalidEscape),
        (br#""\ud83d""#, 1, LoneSurrogate),
        (br#""\ud83d\ud83d""#, 1, LoneSurrogate),
        (br#""\ude00""#, 1, LoneSurrogate),
        (br#""\ud83d\n""#, 1, LoneSurrogate),
        (high_then_letter, 1, LoneSurrogate),
        (b"\"a\nb\"", 2, ControlCharacter),
        (b"\"\\n\x00\"", 3, ControlCharacter),
        (b"\"a\xff\"", 2, InvalidUtf8),
        (b"\"\\n\xc3\"", 3, InvalidUtf8),
        (b"\"\xed\xa0\x80\"", 1, InvalidUtf8),
    ] {
        let shown = String::from_utf8_lossy(doc);
        assert_eq!(read(doc).unwrap_err(), Error { offset, kind }, "{shown}");
        assert_eq!(skip(doc).unwrap(), Span { start: 0, end: doc.len() }, "{shown}");
    }
}

#[test]
fn every_prefix_is_truncated_at_its_length() {
    let doc = DOCUMENT.as_bytes();
    for length in 0..doc.len() {
        let want = Error { offset: length, kind: ErrorKind::Truncated };
        assert_eq!(skip(&doc[..length]).unwrap_err(), want);
        assert_eq!(read(&doc[..length]).unwrap_err(), want);
    }
    assert_eq!(read(doc).unwrap(), serde_json::from_slice::<Value>(doc).unwrap());
    assert_eq!(skip(doc).unwrap(), Span { start: 1, end: doc.len() });
}

#[test]
fn duplicate_keys_come_in_order_and_escaped_keys_compare_decoded() {
    let mut seen = Vec::new();
    let doc = br#"{"model":1,"\u006dodel":2,"m\u006Fdel\u0000":3,"x":4,"\ud83d\ude00":5}"#;
    Reader::new(doc)
        .object(|reader, key| {
            seen.push((key.is("model"), key.is("\u{1f600}"), reader.number()?.as_u64()));
            Ok(())
        })
        .unwrap();
    let want = [(true, false, 1), (true, false, 2), (false, false, 3), (false, false, 4), (false, true, 5)];
    assert_eq!(seen, want.map(|(model, face, number)| (model, face, Some(number))));
}

#[test]
fn a_string_is_no_prefix_and_no_extension_of_its_name() {
    for raw in [r#""mode""#, r#""models""#, r#""\u006dode""#, r#""\u006dodels""#, r#""""#, r#""model\x""#] {
        assert!(!Reader::new(raw.as_bytes()).string().unwrap().is("model"), "{raw}");
    }
}

#[test]
fn a_number_keeps_its_text_and_only_fitting_integers_are_numbers() {
    for (text, want) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("123456789012345678901234567890.000100E+999999", None),
        ("-1", None),
        ("-0", None),
        ("1.0", None),
        ("1e3", None),
    ] {
        let number = Reader::new(text.as_bytes()).number().unwrap();
        assert_eq!((number.as_u64(), number.raw), (want, text.as_bytes()));
    }
}

#[test]
fn nesting_has_a_limit_for_reading_and_for_skipping() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"[{"a":"#, "}]")] {
        let each = open.matches(['[', '{']).count();
        for (depth, fits) in [(MAX_DEPTH / each, true), (MAX_DEPTH / each + 1, false), (100_000, false)] {
            let doc = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let want = (!fits).then_some(ErrorKind::TooDeep);
            assert_eq!(skip(doc.as_bytes()).err().map(|error| error.kind), want);
            assert_eq!(read(doc.as_bytes()).err().map(|error| error.kind), want);
        }
    }
}

#[test]
fn a_value_that_a_callback_leaves_alone_is_skipped() {
    let mut keys = Vec::new();
    let mut reader = Reader::new(br#"{"a":{"b":[1]},"c" : "d" , "e":0} "#);
    reader
        .object(|_, key| {
            keys.push(key.decode()?.into_owned());
            Ok(())
        })
        .unwrap();
    reader.end().unwrap();
    assert_eq!(keys, ["a", "c", "e"]);
}

#[test]
fn another_kind_of_value_can_still_be_read_or_skipped() {
    let mut reader = Reader::new(br#"[{"a":1},"b"]"#);
    let mut refused = Vec::new();
    reader
        .array(|reader| {
            if let Err(error) = reader.number() {
                refused.push(error);
            }
            Ok(())
        })
        .unwrap();
    let kind = ErrorKind::Expected(Kind::Number);
    assert_eq!(refused, [Error { offset: 1, kind }, Error { offset: 9, kind }]);
}

#[test]
fn a_swallowed_mistake_still_ends_the_reading() {
    let mut reader = Reader::new(br#"{"a":{"b",1},"c":2}"#);
    let want = Error { offset: 9, kind: ErrorKind::ExpectedColon };
    let read = reader.object(|reader, _| {
        let _ = reader.object(|_, _| Ok(()));
        Ok(())
    });
    assert_eq!(read, Err(want));
    assert_eq!((reader.skip(), reader.end(), reader.string().err()), (Err(want), Err(want), Some(want)));
}

#[test]
fn an_error_is_shown_with_line_and_column_in_characters() {
    for (doc, want) in [
        (r#"{"model":"gpt-4" "a":1}"#, "line 1 column 18: expected `,` or `}`"),
        ("{\n  \"é\": x\n}", "line 2 column 8: expected a value"),
        ("{\n", "line 2 column 1: the document ends too early"),
        ("", "line 1 column 1: the document ends too early"),
    ] {
        assert_eq!(skip(doc.as_bytes()).unwrap_err().at(doc.as_bytes()).to_string(), want);
    }
    let beyond = Error { offset: 99, kind: ErrorKind::Truncated };
    assert_eq!(beyond.at(b"abc").column, 4);
}

/// The span of member `name`, from its key to the end of its value.
fn member(doc: &[u8], name: &str) -> Span {
    let mut found = Span::default();
    let read = Reader::new(doc).object(|reader, key| {
        let end = reader.skip()?.end;
        if key.is(name) {
            found = Span { start: key.span.start, end };
        }
        Ok(())
    });
    read.unwrap();
    found
}

#[test]
fn a_name_in_other_letters_is_alike() {
    for (raw, like, is) in [
        (r#""stream""#, true, true),
        (r#""STREAM""#, true, false),
        (r#""\u0053trea\u006d""#, true, false),
        (r#""\u017ftream""#, true, false),
        ("\"\u{17f}tream\"", true, false),
        (r#""streams""#, false, false),
        (r#""strea""#, false, false),
        (r#""stream\q""#, false, false),
        (r#""ştream""#, false, false),
        (r#""""#, false, false),
    ] {
        let text = Reader::new(raw.as_bytes()).string().unwrap();
        assert_eq!((text.is_like("stream"), text.is("stream")), (like, is), "{raw}");
    }
    assert!(Reader::new("\"\u{212a}ey\"".as_bytes()).string().unwrap().is_like("key"));
    assert!(!Reader::new(b"\"strea\xff\"").string().unwrap().is_like("stream"));
}

#[test]
fn a_removed_member_takes_one_comma_with_it() {
    for (doc, want) in [
        (r#"{"u":null}"#, r#"{}"#),
        (r#"{ "u" : null }"#, r#"{  }"#),
        (r#"{"u":null,"b":1}"#, r#"{"b":1}"#),
        (r#"{"u": null , "b": 1}"#, r#"{"b": 1}"#),
        (r#"{"a":1,"u":null}"#, r#"{"a":1}"#),
        (r#"{"a":1,"u":null,"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"a": 1, "u": null, "b": 2}"#, r#"{"a": 1, "b": 2}"#),
        ("{\n  \"a\": 1,\n  \"u\": null\n}", "{\n  \"a\": 1\n}"),
        ("{\n  \"u\": null,\n  \"b\": 2\n}", "{\n  \"b\": 2\n}"),
    ] {
        let doc = doc.as_bytes();
        let span = removal(doc, member(doc, "u"));
        assert_eq!(String::from_utf8(splice(doc, &[Edit { span, with: b"" }])).unwrap(), want);
    }
}

#[test]
fn an_inserted_member_knows_whether_it_needs_a_comma() {
    for (doc, want) in
        [("{}", Some((1, false))), ("{ \n}", Some((1, false))), (r#"{ "a":1}"#, Some((1, true)))]
    {
        let found = opening(doc.as_bytes(), Span { start: 0, end: doc.len() });
        assert_eq!(found.map(|(span, more)| (span.start, more)), want);
    }
    for doc in ["", "[1]", "{"] {
        assert_eq!(opening(doc.as_bytes(), Span { start: 0, end: doc.len() }), None);
    }
}

#[test]
fn edits_outside_or_across_each_other_never_panic() {
    let edit = |start, end| Edit { span: Span { start, end }, with: b"-" };
    assert_eq!(splice(b"abcdef", &[edit(1, 3), edit(2, 4), edit(9, 12)]), b"a--ef-");
    assert_eq!(splice(b"abc", &[edit(3, 1)]), b"abc-");
    assert_eq!(splice(b"abc", &[]), b"abc");
    let span = removal(b"{}", Span { start: 7, end: 9 });
    assert_eq!(splice(b"{}", &[Edit { span, with: b"" }]), b"{}");
}

/// Every member of the object `doc` as text.
fn members_of(doc: &[u8]) -> Vec<Vec<u8>> {
    let mut members = Vec::new();
    let read = Reader::new(doc).object(|reader, key| {
        let span = Span { start: key.span.start, end: reader.skip()?.end };
        members.push(span.of(doc).to_vec());
        Ok(())
    });
    read.unwrap();
    members
}

/// A JSON value as text, with odd but valid spacing, numbers and escapes.
fn document() -> impl Strategy<Value = String> {
    let string =
        "\"([ -!#-\\[\\]-~é\u{1f600}]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude00){0,6}\"";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?",
        string,
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let space = "[ \n\r\t]{0,2}";
        let item = (space, inner.clone(), space).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let pair = (space, string, space, item.clone())
            .prop_map(|(a, key, b, value)| format!("{a}{key}{b}:{value}"));
        prop_oneof![
            prop::collection::vec(item, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    })
}

/// A member of an object as text.
fn member_text() -> impl Strategy<Value = String> {
    ("[a-c]{0,2}", "[ \n\r\t]{0,2}", document())
        .prop_map(|(key, space, value)| format!("\"{key}\"{space}:{space}{value}"))
}

/// One byte of `doc` removed, doubled or replaced by a byte that matters to the grammar.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(&b"{}[]:,\"\\ 0-.e\nu\xffn"[..]);
    (document(), any::<prop::sample::Index>(), byte, 0..3).prop_map(|(doc, index, byte, how)| {
        let mut doc = doc.into_bytes();
        let at = index.index(doc.len());
        match how {
            0 => drop(doc.remove(at)),
            1 => doc.insert(at, byte),
            _ => doc[at] = byte,
        }
        doc
    })
}

/// Both accept `doc`, with equal values, or both reject it. Numbers beyond an `f64` are the exception: those
/// serde_json rejects as values, but not where it ignores them.
fn agrees_with_serde_json(doc: &[u8]) {
    let found = read(doc);
    assert!(found.as_ref().err().is_none_or(|error| error.offset <= doc.len()));
    assert!(found.is_err() || skip(doc).is_ok());
    match serde_json::from_slice::<Value>(doc) {
        Err(error) if error.to_string().starts_with("number out of range") => {
            assert!(found.is_err() || serde_json::from_slice::<IgnoredAny>(doc).is_ok());
        }
        want => assert_eq!(found.ok(), want.ok()),
    }
}

#[test]
fn a_number_beyond_f64_is_no_mistake() {
    agrees_with_serde_json(b"[10000e305]");
    assert_eq!(read(b"[10000e305]"), Ok(serde_json::json!([null]))); // as `value` reads what serde_json cannot
    assert!(skip(b"[10000e305]").is_ok());
}

#[test]
fn a_string_ends_behind_its_escapes_wherever_they_are() {
    for (length, at) in (0..=200).flat_map(|length| (0..=length).map(move |at| (length, at))) {
        let (before, after) = ("a".repeat(at), "b".repeat(length - at));
        for escape in [r#"\""#, r"\\", r#"\n\""#] {
            agrees_with_serde_json(format!("[\"{before}{escape}{after}\", 1]").as_bytes());
        }
    }
    for (at, count) in (0..=70).flat_map(|at| (0..=70).map(move |count| (at, count))) {
        let (before, slashes) = ("a".repeat(at), "\\".repeat(count));
        agrees_with_serde_json(format!("[\"{before}{slashes}\", 1]").as_bytes());
        agrees_with_serde_json(format!("[\"{before}{slashes}").as_bytes());
    }
}

proptest! {
    #[test]
    fn what_serde_json_accepts_is_read_with_equal_values(doc in document()) {
        let want: Value = serde_json::from_str(&doc).unwrap();
        prop_assert_eq!(read(doc.as_bytes()), Ok(want));
        let span = skip(doc.as_bytes()).unwrap();
        prop_assert_eq!(span.of(doc.as_bytes()), doc.trim().as_bytes());
    }

    #[test]
    fn what_serde_json_rejects_is_rejected(doc in damaged()) {
        agrees_with_serde_json(&doc);
    }

    #[test]
    fn no_bytes_make_it_panic(doc in prop::collection::vec(any::<u8>(), 0..64)) {
        agrees_with_serde_json(&doc);
    }

    #[test]
    fn a_string_ends_at_the_first_quote_behind_an_even_number_of_backslashes(
        runs in prop::collection::vec((0_usize..90, 0_usize..5, any::<bool>()), 0..12),
    ) {
        let mut doc = vec![b'"'];
        for (plain, slashes, quote) in runs {
            doc.extend(std::iter::repeat_n(b'a', plain));
            doc.extend(std::iter::repeat_n(b'\\', slashes));
            doc.extend(quote.then_some(b'"'));
        }
        let (mut escapes, mut escaped) = (false, false);
        let end = (1_usize..).zip(doc.iter().skip(1)).find_map(|(at, byte)| {
            let is_escaped = escapes;
            escapes = *byte == b'\\' && !is_escaped;
            escaped |= escapes;
            (*byte == b'"' && !is_escaped).then(|| at.saturating_add(1))
        });
        let read = Reader::new(&doc).string().map(|string| (string.span.end, string.escaped));
        prop_assert_eq!(read.ok(), end.map(|end| (end, escaped)));
    }

    #[test]
    fn removing_any_member_leaves_the_others(
        members in prop::collection::vec(member_text(), 1..5),
        space in prop::collection::vec("[ \n\r\t]{0,2}", 10),
        index in any::<prop::sample::Index>(),
    ) {
        let mut doc = "{".to_owned();
        let mut spans = Vec::new();
        for (number, member) in members.iter().enumerate() {
            doc.push_str(if number == 0 { "" } else { "," });
            doc.push_str(&space[number]);
            let start = doc.len();
            doc.push_str(member);
            spans.push(Span { start, end: doc.len() });
            doc.push_str(&space[space.len().saturating_sub(number)..].concat());
        }
        doc.push('}');
        let mut want: Vec<_> = members.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(members_of(doc.as_bytes()), want.clone());
        let at = index.index(want.len());
        want.remove(at);
        let rest = splice(doc.as_bytes(), &[Edit { span: removal(doc.as_bytes(), spans[at]), with: b"" }]);
        prop_assert_eq!(members_of(&rest), want);
    }
}
