//! A plugin's JSON as text: for people to read, and a consumer to a line.

use serde_json::Value;

/// Longest line, as far as values can be broken.
const WIDTH: usize = 100;

/// The value as text without a final newline. What fits into a line takes one; a consumer always does, for there may be a
/// hundred thousand.
pub(super) fn json(value: &Value) -> String {
    let mut text = String::new();
    put(&mut text, value, 0, WIDTH);
    text
}

/// Writes `value`, `indent` columns in, of at most `width` columns where it can be broken.
fn put(text: &mut String, value: &Value, indent: usize, width: usize) {
    let line = value.to_string();
    let is_whole = indent.saturating_add(line.len()) <= width;
    match value {
        Value::Array(items) if !is_whole && !items.is_empty() => {
            list(text, ('[', ']'), &mut items.iter().map(|item| (None, item)), indent, width);
        }
        Value::Object(members) if !is_whole && !members.is_empty() => {
            let mut members = members.iter().map(|(name, member)| (Some(name.as_str()), member));
            list(text, ('{', '}'), &mut members, indent, width);
        }
        _ => text.push_str(&line),
    }
}

fn list<'a>(
    text: &mut String,
    (open, close): (char, char),
    items: &mut dyn Iterator<Item = (Option<&'a str>, &'a Value)>,
    indent: usize,
    width: usize,
) {
    let inner = indent.saturating_add(2);
    text.push(open);
    for (index, (name, item)) in items.enumerate() {
        text.push_str(if index > 0 { ",\n" } else { "\n" });
        text.extend(std::iter::repeat_n(' ', inner));
        if let Some(name) = name {
            text.push_str(&Value::from(name).to_string());
            text.push_str(": ");
        }
        match item {
            Value::Array(consumers) if name == Some("consumers") && !consumers.is_empty() => {
                let mut consumers = consumers.iter().map(|consumer| (None, consumer));
                list(text, ('[', ']'), &mut consumers, inner, usize::MAX);
            }
            _ => put(text, item, inner, width),
        }
    }
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
    text.push(close);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_takes_a_line_and_a_consumer_always_does() {
        let long = "x".repeat(120);
        let value = json!({
            "consumers": [{"name": "a", "keys": [{"env": long}]}, {"name": "b", "keys": []}],
            "key_headers": ["x-a", "x-b"],
            "more": {"a": [1], "b": long},
        });
        let want = format!(
            r#"{{
  "consumers": [
    {{"name":"a","keys":[{{"env":"{long}"}}]}},
    {{"name":"b","keys":[]}}
  ],
  "key_headers": ["x-a","x-b"],
  "more": {{
    "a": [1],
    "b": "{long}"
  }}
}}"#
        );
        assert_eq!(json(&value), want);
        assert_eq!(serde_json::from_str::<Value>(&want).unwrap(), value);
        assert_eq!(json(&json!({"a": [1]})), r#"{"a":[1]}"#);
    }
}
