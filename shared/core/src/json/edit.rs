//! Changes to a document that leave every other byte as it is.

use super::Span;

/// A replacement: the bytes of `span` give way to `with`. An empty span inserts, an empty `with` removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit<'a> {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub with: &'a [u8],
}

/// `doc` with all `edits` made. They are in order of their spans, which do not overlap; where one reaches into
/// the edit before it or past the end of the document, that part counts as already replaced.
#[must_use]
pub fn splice(doc: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let grown = edits.iter().fold(doc.len(), |size, edit| size.saturating_add(edit.with.len()));
    let mut out = Vec::with_capacity(grown);
    let mut done = 0_usize;
    for Edit { span, with } in edits {
        out.extend_from_slice(doc.get(done..span.start.min(doc.len())).unwrap_or_default());
        out.extend_from_slice(with);
        done = done.max(span.start).max(span.end).min(doc.len());
    }
    out.extend_from_slice(doc.get(done..).unwrap_or_default());
    out
}

/// Where to insert a member at the start of the object at `object`, and whether a member follows there, so that
/// the inserted one needs a comma. `None` if no object stands there.
///
/// ```
/// use sluice_core::json::{Edit, Span, opening, splice};
///
/// let doc = br#"{"a":1}"#;
/// let (span, more) = opening(doc, Span { start: 0, end: doc.len() }).unwrap();
/// assert!(more);
/// assert_eq!(splice(doc, &[Edit { span, with: br#""b":2,"# }]), br#"{"b":2,"a":1}"#);
/// ```
#[must_use]
pub fn opening(doc: &[u8], object: Span) -> Option<(Span, bool)> {
    let inside = object.of(doc).strip_prefix(b"{")?;
    let start = object.start.saturating_add(1);
    let first = inside.iter().find(|byte| !is_space(**byte))?;
    Some((Span { start, end: start }, *first != b'}'))
}

/// What to remove so that the member at `member`, from the start of its key to the end of its value, is gone
/// together with one comma: the comma before it or, for the first member, the one after it with the space that
/// follows. Each of an object's members can be removed so, but two neighbours only one after the other.
#[must_use]
pub fn removal(doc: &[u8], member: Span) -> Span {
    let before = doc.get(..member.start).unwrap_or_default();
    let last = before.iter().rposition(|byte| !is_space(*byte));
    if let Some(comma) = last.filter(|at| before.get(*at) == Some(&b',')) {
        return Span { start: comma, end: member.end };
    }
    let after = doc.get(member.end..).unwrap_or_default();
    let (space, rest) = split_space(after);
    let Some(rest) = rest.strip_prefix(b",") else {
        return member;
    };
    let (more, _) = split_space(rest);
    let end = member.end.saturating_add(space.len()).saturating_add(1).saturating_add(more.len());
    Span { start: member.start, end }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

fn split_space(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(length).unwrap_or_default()
}
