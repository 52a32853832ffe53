//! Conditions, which rules, limits and checks have alike.

use serde_json::{Map, Value, json};

use crate::gateway::When;

/// Conditions as every plugin reads them.
pub(super) fn when(when: &When) -> Value {
    let mut rendered = Map::new();
    for (name, caller) in [("consumer", &when.consumer), ("tier", &when.tier)] {
        if let Some(caller) = caller {
            rendered.insert(name.into(), caller.as_str().into());
        }
    }
    if !when.headers.is_empty() {
        rendered.insert("headers".into(), json!(when.headers));
    }
    for (name, tokens) in
        [("min_input_tokens", when.min_input_tokens), ("max_input_tokens", when.max_input_tokens)]
    {
        if let Some(tokens) = tokens {
            rendered.insert(name.into(), tokens.into());
        }
    }
    let has = [("tools", when.has_tools), ("images", when.has_images)];
    let has: Vec<&str> = has.iter().filter(|(_, wanted)| *wanted).map(|(name, _)| *name).collect();
    if !has.is_empty() {
        rendered.insert("has".into(), has.into());
    }
    rendered.into()
}
