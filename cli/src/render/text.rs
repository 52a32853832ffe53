//! A plugin's JSON as text: for people to read, but a consumer to a line.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as text without a final newline. Objects in the list `consumers` take one line each: there may be a
/// hundred thousand.
pub(super) fn json(value: &Value) -> String {
    let Some(consumers) = value.get("consumers").and_then(Value::as_array) else {
        return serde_json::to_string_pretty(value).unwrap_or_default();
    };
    let mut text = String::from("{\n  \"consumers\": [");
    for (index, consumer) in consumers.iter().enumerate() {
        let _ = write!(text, "{}\n    {consumer}", if index > 0 { "," } else { "" });
    }
    text.push_str("\n  ]");
    for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| *name != "consumers") {
        let _ = write!(text, ",\n  {}: {value}", Value::from(name.as_str()));
    }
    text + "\n}"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_consumer_takes_a_line() {
        let value = json!({
            "anonymous": "b",
            "consumers": [{"name": "a", "keys": [{"env": "A"}]}, {"name": "b", "keys": []}],
            "key_headers": ["x-a", "x-b"],
        });
        let want = r#"{
  "consumers": [
    {"name":"a","keys":[{"env":"A"}]},
    {"name":"b","keys":[]}
  ],
  "anonymous": "b",
  "key_headers": ["x-a","x-b"]
}"#;
        assert_eq!(json(&value), want);
        assert_eq!(serde_json::from_str::<Value>(want).unwrap(), value);
        assert_eq!(json(&json!({"a": [1]})), "{\n  \"a\": [\n    1\n  ]\n}");
    }
}
