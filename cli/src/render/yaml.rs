//! Writes JSON values as block YAML, with comments: a member whose name begins with `#` is one.

use std::fmt::Write as _;

use serde_json::Value;

/// Longest list or mapping of scalars that is written on one line, in characters.
const LINE: usize = 100;

/// The value as a YAML document that ends in a newline.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

/// Writes `value` as lines that begin at column `indent`; the cursor is at that column.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (i, (name, value)) in members.iter().enumerate() {
                start_line(out, indent, i);
                if name.starts_with('#') {
                    comment(out, value, indent);
                } else {
                    out.push_str(&scalar(name));
                    out.push(':');
                    nested(out, value, indent.saturating_add(2), indent.saturating_add(2));
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, item) in items.iter().enumerate() {
                start_line(out, indent, i);
                out.push('-');
                if line(item).is_some() || !item.is_object() {
                    nested(out, item, indent.saturating_add(2), indent.saturating_add(2));
                } else {
                    out.push(' ');
                    block(out, item, indent.saturating_add(2));
                }
            }
        }
        value => {
            out.push_str(&flow(value));
            out.push('\n');
        }
    }
}

/// Writes what follows `name:` or `-`: on the same line if it fits there, else below.
fn nested(out: &mut String, value: &Value, indent: usize, text_indent: usize) {
    if let Some(line) = line(value) {
        out.push(' ');
        out.push_str(&line);
        out.push('\n');
        return;
    }
    if let Value::String(text) = value {
        out.push_str(" |\n");
        for line in text.lines() {
            pad(out, text_indent);
            out.push_str(line);
            out.push('\n');
        }
        return;
    }
    out.push('\n');
    pad(out, indent);
    block(out, value, indent);
}

/// The value on one line, if it is a scalar, or a short collection of scalars without comments.
fn line(value: &Value) -> Option<String> {
    let plain = |value: &Value| !value.is_object() && !value.is_array();
    let short = match value {
        Value::String(text) => return (!text.contains('\n')).then(|| scalar(text)),
        Value::Object(members) => {
            members.iter().all(|(name, value)| !name.starts_with('#') && plain(value)) && members.len() <= 3
        }
        Value::Array(items) => items.iter().all(plain),
        _ => true,
    };
    let line = short.then(|| flow(value));
    line.filter(|line| line.len() <= LINE && !line.contains('\n'))
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(k, v)| format!("{}: {}", scalar(k), flow(v))).collect();
            format!("{{{}}}", members.join(", "))
        }
        value => value.to_string(),
    }
}

/// A string as it stands where nobody can take it for anything else, in JSON's quotes everywhere else.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| plain(c) || c == '-');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    Value::String(text.to_owned()).to_string()
}

fn comment(out: &mut String, text: &Value, indent: usize) {
    for (i, line) in text.as_str().unwrap_or_default().lines().enumerate() {
        start_line(out, indent, i);
        let _ = writeln!(out, "# {line}");
    }
}

/// The first line of a block begins where its parent left the cursor.
fn start_line(out: &mut String, indent: usize, line: usize) {
    if line > 0 {
        pad(out, indent);
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_reads_like_one_written_by_hand() {
        let value = json!({
            "#": "Why this is here,\nin two lines.",
            "name": "gateway",
            "empty": {}, "list": [], "on": "on", "number": "12",
            "route": {"#": "first", "cluster": "a", "timeout": "3s"},
            "items": [{"name": "x", "tags": ["a", "b*"]}, 7, [[1]]],
            "text": "{\n  \"a\": 1\n}",
        });
        let want = "# Why this is here,\n# in two lines.\nname: gateway\nempty: {}\nlist: []\n\"on\": \"on\"\nnumber: \"12\"\n\
            route:\n  # first\n  cluster: a\n  timeout: \"3s\"\n\
            items:\n  - name: x\n    tags: [a, \"b*\"]\n  - 7\n  -\n    - [1]\n\
            text: |\n  {\n    \"a\": 1\n  }\n";
        assert_eq!(document(&value), want);
    }
}
