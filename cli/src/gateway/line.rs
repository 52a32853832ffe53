//! Small values that several sections have: yes or no, and a line of text for clients.

use crate::file::Cursor;

/// Most characters of a line.
const MAX_CHARS: usize = 500;

/// `true` or `false`.
pub(super) fn yes_or_no(at: &Cursor<'_>) -> Option<bool> {
    at.choice(&[("true", true), ("false", false)])
}

/// What a client is told, in one line.
pub(super) fn message(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("what the client is told")?.trim();
    if text.chars().any(char::is_control) {
        return at.refuse("has several lines or a control character; write one line of text");
    }
    let length = text.chars().count();
    if length > MAX_CHARS {
        return at.refuse(format!("has {length} characters; write at most {MAX_CHARS}"));
    }
    Some(text.to_owned())
}
