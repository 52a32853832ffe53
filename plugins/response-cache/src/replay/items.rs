//! The events that say one output item of a response.

use super::raw::{Member, Object, elements, get, given, is_null, is_one_of, members, text};
use super::response::Events;

/// How items of one type come.
struct Way {
    /// `type` of the item.
    of: &'static str,
    /// Members that are not known when the item is added, and what they are then.
    late: &'static [(&'static str, &'static str)],
    /// Events after it is added; `response.` goes before each.
    starts: &'static [&'static str],
    /// A string that is said in one delta: its member, and the events' name.
    says: Option<(&'static str, &'static str)>,
    /// Events before it is done, if it has succeeded.
    ends: &'static [&'static str],
}

impl Way {
    const fn new(of: &'static str, late: &'static [(&'static str, &'static str)]) -> Self {
        Self { of, late, starts: &[], says: None, ends: &[] }
    }
}

/// Items of other types come whole.
const WAYS: &[Way] = &[
    Way::new("message", &[("content", "[]")]),
    Way::new("reasoning", &[("summary", "[]"), ("content", "[]")]),
    Way {
        says: Some(("arguments", "function_call_arguments")),
        ..Way::new("function_call", &[("arguments", "\"\"")])
    },
    Way {
        says: Some(("input", "custom_tool_call_input")),
        ..Way::new("custom_tool_call", &[("input", "\"\"")])
    },
    Way {
        starts: &["mcp_call.in_progress"],
        says: Some(("arguments", "mcp_call_arguments")),
        ends: &["mcp_call.completed"],
        ..Way::new("mcp_call", &[("arguments", "\"\""), ("output", "null")])
    },
    Way {
        starts: &["mcp_list_tools.in_progress"],
        ends: &["mcp_list_tools.completed"],
        ..Way::new("mcp_list_tools", &[("tools", "[]")])
    },
    Way {
        starts: &["code_interpreter_call.in_progress"],
        says: Some(("code", "code_interpreter_call_code")),
        ends: &["code_interpreter_call.interpreting", "code_interpreter_call.completed"],
        ..Way::new("code_interpreter_call", &[("code", "\"\""), ("outputs", "null")])
    },
    Way {
        starts: &["web_search_call.in_progress", "web_search_call.searching"],
        ends: &["web_search_call.completed"],
        ..Way::new("web_search_call", &[])
    },
    Way {
        starts: &["file_search_call.in_progress", "file_search_call.searching"],
        ends: &["file_search_call.completed"],
        ..Way::new("file_search_call", &[("results", "null")])
    },
    Way {
        starts: &["image_generation_call.in_progress", "image_generation_call.generating"],
        ends: &["image_generation_call.completed"],
        ..Way::new("image_generation_call", &[("result", "null")])
    },
];

/// Writes the events of `item`, the output at this `index`.
pub(super) fn item(events: &mut Events, index: usize, item: &[u8]) -> Option<()> {
    let index = index.to_string();
    let known = members(item)?;
    let of = get(&known, b"type")?;
    let way = WAYS.iter().find(|way| is_one_of(of, &[way.of]));
    let late = way.map(|way| way.late).unwrap_or_default();
    let place = Object::new().with("output_index", &index);
    events.add("response.output_item.added", place.clone().with("item", begun(&known, late)))?;
    if let Some(way) = way {
        let place = Object::new().with("item_id", given(&known, b"id")?).with("output_index", &index);
        said(events, way, &place, &known)?;
    }
    events.add("response.output_item.done", place.with("item", item))?;
    Some(())
}

/// An item or a part before anything of it is said.
fn begun(known: &[Member<'_>], late: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Object::new();
    for (name, value) in known {
        let empty = late.iter().find(|(late, _)| late.as_bytes() == *name && !is_null(value));
        match empty {
            Some((_, empty)) => out.add(name, empty),
            None if *name == b"status" && !is_null(value) => out.add(name, r#""in_progress""#),
            None => out.add(name, value),
        }
    }
    out.end()
}

fn said(events: &mut Events, way: &Way, place: &Object, item: &[Member<'_>]) -> Option<()> {
    steps(events, way.starts, place)?;
    if let Some((member, name)) = way.says
        && let Some(value) = given(item, member.as_bytes())
    {
        speak(events, name, place, value)?;
        let done = place.clone().with(member, value);
        let done = match get(item, b"name") {
            Some(name) if way.of == "function_call" => done.with("name", name),
            _ => done,
        };
        events.add(&format!("response.{name}.done"), done)?;
    }
    match way.of {
        "message" => parts(events, place, get(item, b"content")?)?,
        "reasoning" => {
            summary(events, place, given(item, b"summary").unwrap_or(b"[]"))?;
            parts(events, place, given(item, b"content").unwrap_or(b"[]"))?;
        }
        _ => {}
    }
    let status = given(item, b"status");
    if status.is_none_or(|status| is_one_of(status, &["completed"])) {
        steps(events, way.ends, place)?;
    }
    Some(())
}

fn steps(events: &mut Events, steps: &[&str], place: &Object) -> Option<()> {
    for step in steps {
        events.add(&format!("response.{step}"), place.clone())?;
    }
    Some(())
}

/// One delta with all of the string `value`, if it holds anything.
fn speak(events: &mut Events, name: &str, place: &Object, value: &[u8]) -> Option<()> {
    if !text(value)?.is_empty() {
        events.add(&format!("response.{name}.delta"), place.clone().with("delta", value))?;
    }
    Some(())
}

fn summary(events: &mut Events, place: &Object, parts: &[u8]) -> Option<()> {
    for (index, part) in elements(parts)?.into_iter().enumerate() {
        let place = place.clone().with("summary_index", index.to_string());
        let known = members(part)?;
        let value = get(&known, b"text")?;
        let begun = begun(&known, &[("text", "\"\"")]);
        events.add("response.reasoning_summary_part.added", place.clone().with("part", begun))?;
        speak(events, "reasoning_summary_text", &place, value)?;
        events.add("response.reasoning_summary_text.done", place.clone().with("text", value))?;
        events.add("response.reasoning_summary_part.done", place.with("part", part))?;
    }
    Some(())
}

fn parts(events: &mut Events, place: &Object, parts: &[u8]) -> Option<()> {
    for (index, part) in elements(parts)?.into_iter().enumerate() {
        let place = place.clone().with("content_index", index.to_string());
        let known = members(part)?;
        let late = [("text", "\"\""), ("refusal", "\"\""), ("annotations", "[]"), ("logprobs", "[]")];
        let begun = begun(&known, &late);
        events.add("response.content_part.added", place.clone().with("part", begun))?;
        match text(get(&known, b"type")?)? {
            b"output_text" => output_text(events, &place, &known)?,
            b"refusal" => part_text(events, "refusal", &place, ("refusal", get(&known, b"refusal")?))?,
            b"reasoning_text" => {
                part_text(events, "reasoning_text", &place, ("text", get(&known, b"text")?))?
            }
            _ => return None, // how it is said is not known
        }
        events.add("response.content_part.done", place.with("part", part))?;
    }
    Some(())
}

fn part_text(events: &mut Events, name: &str, place: &Object, value: (&str, &[u8])) -> Option<()> {
    speak(events, name, place, value.1)?;
    events.add(&format!("response.{name}.done"), place.clone().with(value.0, value.1))?;
    Some(())
}

fn output_text(events: &mut Events, place: &Object, part: &[Member<'_>]) -> Option<()> {
    let value = get(part, b"text")?;
    let scored = place.clone().with("logprobs", given(part, b"logprobs").unwrap_or(b"[]"));
    speak(events, "output_text", &scored, value)?;
    let annotations = given(part, b"annotations").unwrap_or(b"[]");
    for (index, annotation) in elements(annotations)?.into_iter().enumerate() {
        let place = place.clone().with("annotation_index", index.to_string());
        events.add("response.output_text.annotation.added", place.with("annotation", annotation))?;
    }
    events.add("response.output_text.done", scored.with("text", value))?;
    Some(())
}
