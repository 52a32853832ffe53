//! YAML text as a tree whose nodes know their place.
//!
//! Built from the events of `granit-parser`, the parser under `serde-saphyr`, and not from a ready-made tree:
//! `saphyr`'s `MarkedYaml` drops a duplicate key without a word, `marked-yaml` stops at the first mistake, and
//! both guess the type of a scalar. Of the two kept descendants of `yaml-rust`, `granit-parser` and
//! `saphyr-parser`, this one names the bracket or quote that was left open instead of the end of the file.
//! Aliases (`*name`) work, within [`MAX_NODES`]; merge keys (`<<`), which YAML 1.2 has not, are refused, and
//! so are tags.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::note::{Place, Report};

/// Nodes in one file, aliases counted as what they stand for: room for 100,000 consumers with every field, and a
/// bound on what an alias of aliases can make of a small file.
pub const MAX_NODES: usize = 4_000_000;

/// Values within values. A gateway needs six; the bound keeps the parser's stack small.
pub const MAX_DEPTH: usize = 64;

/// A value and where it stands. Has no `Debug`: it may hold secrets.
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub content: Content,
    size: usize,
}

/// What a value is.
pub enum Content {
    /// Nothing, `~` or `null`.
    Null,
    /// Any scalar, as its text.
    Scalar(String),
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping in the order of the file; a name may stand in it twice.
    Map(Vec<Entry>),
}

/// One field of a mapping.
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// Its value.
    pub value: Rc<Node>,
}

impl Content {
    /// The kind of value, with its article, for a sentence.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Scalar(_) => "a single value",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads the one document in `bytes`. `None` when the syntax is broken, which `report` then says.
#[must_use]
pub fn parse(bytes: &[u8], report: &Report) -> Option<Rc<Node>> {
    let refuse = |Broken { place, text }| report.mistake(place, "yaml", text);
    let text = decode(bytes).map_err(refuse).ok()?;
    Builder { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, depth: 0 }
        .document()
        .map_err(refuse)
        .ok()
}

/// Why the text is no YAML that this crate reads.
struct Broken {
    place: Place,
    text: String,
}

impl Broken {
    fn new(span: Span, text: impl Into<String>) -> Self {
        Self { place: place(&span.start), text: text.into() }
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line().max(1), column: marker.col().saturating_add(1) }
}

fn decode(bytes: &[u8]) -> Result<&str, Broken> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
        let line = good.matches('\n').count().saturating_add(1);
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        Broken { place: Place { line, column }, text: "is not UTF-8 here; save the file as UTF-8".into() }
    })
}

struct Builder<'input> {
    events: Parser<'input, granit_parser::StrInput<'input>>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    depth: usize,
}

impl<'input> Builder<'input> {
    fn document(&mut self) -> Result<Rc<Node>, Broken> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Broken::new(span, "is a second document; keep one in the file"));
                }
                Event::DocumentStart(..) => {
                    let (event, span) = self.next()?;
                    root = Some(self.node(event, span)?);
                }
                _ => {}
            }
        }
        root.ok_or_else(|| empty(Place::START))
    }

    fn next(&mut self) -> Result<(Event<'input>, Span), Broken> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                Err(Broken { place: place(error.marker()), text: super::syntax::explain(error.kind()) })
            }
            None => Err(empty(Place::START)),
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span) -> Result<Rc<Node>, Broken> {
        if let Event::Alias(id) = event {
            return self.alias(id, span);
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(Broken::new(span, format!("is nested more than {MAX_DEPTH} deep; write it flatter")));
        }
        let (content, anchor) = match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                return Err(Broken::new(
                    span,
                    "has a tag (`!name`), which means nothing here; remove the tag",
                ));
            }
            Event::Scalar(text, style, anchor, None) => (scalar(&text, style), anchor),
            Event::SequenceStart(_, anchor, None) => (self.list()?, anchor),
            Event::MappingStart(_, anchor, None) => (self.map()?, anchor),
            _ => return Err(Broken::new(span, "is no value; write a value or remove the line")),
        };
        let size = content.size();
        self.depth = self.depth.saturating_sub(1);
        self.count(1, span)?;
        let node = Rc::new(Node { place: place(&span.start), content, size });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Rc<Node>, Broken> {
        let node = self.anchors.get(&id).map(Rc::clone);
        let node =
            node.ok_or_else(|| Broken::new(span, "is an alias inside its own anchor; write the value out"))?;
        self.count(node.size, span)?;
        Ok(node)
    }

    fn list(&mut self) -> Result<Content, Broken> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Content, Broken> {
        let mut entries = Vec::new();
        loop {
            let (name, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Content::Map(entries)),
                (Event::Scalar(name, ScalarStyle::Plain, ..), span) if name == "<<" => {
                    return Err(Broken::new(
                        span,
                        "is a merge key, which YAML 1.2 has not; write the fields out",
                    ));
                }
                (Event::Scalar(name, ..), span) => (name.into_owned(), span),
                (_, span) => return Err(Broken::new(span, "is no field name; write `name: value`")),
            };
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span)?;
            entries.push(Entry { name, place: place(&span.start), value });
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Broken> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Broken::new(span, format!("is more than {MAX_NODES} values; use fewer aliases")));
        }
        Ok(())
    }
}

fn empty(place: Place) -> Broken {
    Broken { place, text: "the file is empty; write at least `providers` and `models`".into() }
}

/// YAML 1.2.2 section 10.3.2: only a plain scalar can be null.
fn scalar(text: &str, style: ScalarStyle) -> Content {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Content::Null,
        _ => Content::Scalar(text.to_owned()),
    }
}

impl Content {
    fn size(&self) -> usize {
        let inner = match self {
            Self::Null | Self::Scalar(_) => 0,
            Self::List(items) => items.iter().fold(0, |sum: usize, item| sum.saturating_add(item.size)),
            Self::Map(entries) => entries.iter().fold(0, |sum: usize, e| sum.saturating_add(e.value.size)),
        };
        inner.saturating_add(1)
    }
}
