use proptest::prelude::*;

use super::*;

const USAGE: &str = r#""stream_options":{"include_usage":true}"#;

fn chat(body: &str, model: Option<&str>) -> (String, bool) {
    let rewritten = rewrite(body.as_bytes(), Operation::Chat, model).unwrap();
    let text = rewritten.body.map_or(body.to_owned(), |body| String::from_utf8(body).unwrap());
    (text, rewritten.forced_usage)
}

#[test]
fn only_the_model_s_value_is_replaced() {
    for (body, want) in [
        (r#"{"model":"a","x":1.0e0}"#, r#"{"model":"n","x":1.0e0}"#),
        (
            "{ \"x\" : [1, {\"model\":\"in\"}],\n \"model\" :  \"a\" }",
            "{ \"x\" : [1, {\"model\":\"in\"}],\n \"model\" :  \"n\" }",
        ),
        (r#"{"model":null}"#, r#"{"model":"n"}"#),
        (r#"{"model":"a","model":["b"]}"#, r#"{"model":"n","model":"n"}"#),
        (r#"{"mod\u0065l":"a"}"#, r#"{"mod\u0065l":"n"}"#),
        (r#"{"model":"\u006e"}"#, r#"{"model":"\u006e"}"#),
        (r#"{"x":1}"#, r#"{"model":"n","x":1}"#),
        (" { \"x\":1}", " {\"model\":\"n\", \"x\":1}"),
        ("{}", r#"{"model":"n"}"#),
    ] {
        assert_eq!(chat(body, Some("n")), (want.to_owned(), false), "{body}");
        assert_eq!(chat(body, None), (body.to_owned(), false), "{body}");
    }
    assert_eq!(chat(r#"{"model":"a"}"#, Some("q\"\u{1}")).0, r#"{"model":"q\"\u0001"}"#);
}

#[test]
fn a_stream_is_made_to_report_its_usage() {
    for (body, want, forced) in [
        (r#"{"stream":true}"#.to_owned(), format!(r#"{{{USAGE},"stream":true}}"#), true),
        (r#"{"stream":true,"stream_options":null}"#.into(), format!(r#"{{"stream":true,{USAGE}}}"#), true),
        (r#"{"stream":true,"stream_options":7}"#.into(), format!(r#"{{"stream":true,{USAGE}}}"#), true),
        (r#"{"stream_options":{},"stream":true}"#.into(), format!(r#"{{{USAGE},"stream":true}}"#), true),
        (
            r#"{"stream":true,"stream_options":{"a":{"include_usage":true}}}"#.into(),
            r#"{"stream":true,"stream_options":{"include_usage":true,"a":{"include_usage":true}}}"#.into(),
            true,
        ),
        (
            r#"{"stream":true,"stream_options":{"a":1,"include_usage": false }}"#.into(),
            r#"{"stream":true,"stream_options":{"a":1,"include_usage": true }}"#.into(),
            true,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":null}}"#.into(),
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#.into(),
            true,
        ),
        (format!(r#"{{"stream":true,{USAGE}}}"#), format!(r#"{{"stream":true,{USAGE}}}"#), false),
        (
            format!(r#"{{"stream":true,{USAGE},"stream_options":{{"include_usage":false}}}}"#),
            format!(r#"{{"stream":true,{USAGE},{USAGE}}}"#),
            true,
        ),
        (r#"{"stream":false}"#.into(), r#"{"stream":false}"#.into(), false),
        (r#"{"stream":"true"}"#.into(), r#"{"stream":"true"}"#.into(), false),
        ("{}".into(), "{}".into(), false),
    ] {
        assert_eq!(chat(&body, None), (want, forced), "{body}");
        let other = rewrite(body.as_bytes(), Operation::Responses, None).unwrap();
        assert_eq!(other, Rewritten::default(), "{body}");
    }
}

#[test]
fn whichever_include_usage_a_reader_takes_it_is_true() {
    for (options, want, forced) in [
        (
            r#"{"include_usage":false,"include_usage":true}"#,
            r#"{"include_usage":true,"include_usage":true}"#,
            false,
        ),
        (
            r#"{"include_usage":true,"include_usage":0}"#,
            r#"{"include_usage":true,"include_usage":true}"#,
            true,
        ),
        (
            r#"{"include_usage":true,"Include_Usage":false}"#,
            r#"{"include_usage":true,"Include_Usage":true}"#,
            false,
        ),
        (r#"{"INCLUDE_USAGE":[]}"#, r#"{"include_usage":true,"INCLUDE_USAGE":true}"#, true),
    ] {
        let body = |options| format!(r#"{{"stream":true,"stream_options":{options}}}"#);
        assert_eq!(chat(&body(options), None), (body(want), forced), "{options}");
        let body = |options| format!(r#"{{"stream":true,"stream_options":{options},{USAGE}}}"#);
        assert_eq!(chat(&body(options), None), (body(want), false), "{options}");
    }
}

#[test]
fn both_members_are_inserted_at_once() {
    let want = format!(r#"{{"model":"n",{USAGE},"stream":true}}"#);
    assert_eq!(chat(r#"{"stream":true}"#, Some("n")), (want, true));
}

#[test]
fn what_is_not_one_json_object_is_not_rewritten() {
    for body in ["", "[]", "{", r#"{"model":"a"} x"#, "\u{feff}{}", r#"{"model":}"#] {
        assert_eq!(rewrite(body.as_bytes(), Operation::Chat, Some("n")), None, "{body}");
    }
}

/// Any JSON value, written with some freedom.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[1-9][0-9]{0,20}(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        r#""([ !#-\[\]-~é世]|\\["\\/bfnrt]|\\u00[0-9a-f]{2}){0,9}""#,
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[ {} ]", items.join(" , "))),
            prop::collection::vec(("[a-z]{1,3}", inner), 0..5).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("\"{key}\":\n{value}")).collect();
                format!("{{{}}}", members.join(",\t"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn every_other_byte_of_any_json_stays(
        before in prop::collection::vec(("[a-z]{1,3}", json()), 0..4),
        after in prop::collection::vec(("[a-z]{1,3}", json()), 0..4),
        model in "[a-zA-Z0-9./:@-]{1,20}",
    ) {
        let members = |list: &[(String, String)]| {
            list.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect::<Vec<_>>()
        };
        let body = |model: &str, options: &str| {
            let middle = [format!("\"model\":\"{model}\""), "\"stream\":true".to_owned(), options.to_owned()];
            format!(" {{{}}}\n", [members(&before), middle.to_vec(), members(&after)].concat().join(", "))
        };
        let asked = body("old", "\"stream_options\":{\"include_usage\": false}");
        let want = body(&model, "\"stream_options\":{\"include_usage\": true}");
        prop_assert_eq!(chat(&asked, Some(&model)), (want, true));
    }
}
