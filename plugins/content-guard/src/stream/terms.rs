//! What goes into the checks of a stream and what comes out of them.

use std::ops::Range;

use sluice_core::detect::Form;

use crate::mask::Vault;

/// The local checks of an answer. Both look at `text` from `from` on; what stands before is context.
pub trait Checks {
    /// Everything that is found.
    fn find(&self, form: Form, text: &str, from: usize) -> Vec<Finding>;

    /// Up to where no finding can change or begin any more, and from where on the text is still needed.
    fn settled(&self, form: Form, text: &str, from: usize) -> (usize, usize);
}

/// Something that a local check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, in bytes of the text; without meaning in a [`Step`].
    pub range: Range<usize>,
    /// Which check.
    pub check: usize,
    /// What it is.
    pub category: String,
    /// What its stand-in is called.
    pub label: String,
    /// What is to be done about it.
    pub act: Act,
}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is recorded.
    Log,
    /// It is replaced.
    Mask,
    /// The answer ends.
    Block,
}

/// What a stream is checked with.
#[derive(Debug, Default)]
pub struct Setup {
    /// How long a text stays back at most, in milliseconds.
    pub max_hold_ms: u64,
    /// Characters that services are shown at once.
    pub window_chars: usize,
    /// Whether services are asked.
    pub services: bool,
    /// Whether what cannot be read passes.
    pub lenient: bool,
    /// The placeholders of the request.
    pub vault: Vault,
}

/// A text that services are to be asked about, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its number, for the answer.
    pub id: u64,
    /// What to show them: masked, placeholders not restored.
    pub text: String,
}

/// What services say of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may pass.
    Pass,
    /// It ends the answer.
    Block,
    /// This is to stand in the place of the whole text that was asked about.
    Rewrite(String),
}

/// How it stands with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    #[default]
    Open,
    /// A check forbids it. Nothing more comes but an ending.
    Blocked,
    /// It cannot be read, or too much of it would have to stay back. Nothing more comes but an ending.
    Unreadable,
    /// It is over, and all of it has been released.
    Over,
}

/// What follows from what has happened.
#[derive(Debug, Default)]
pub struct Step {
    /// What may leave now, after all that was released before.
    pub release: Vec<u8>,
    /// What services are to be asked.
    pub asks: Vec<Ask>,
    /// What the local checks found, for the record.
    pub findings: Vec<Finding>,
    /// Whether something passes that could not be read, or not all of it.
    pub unread: bool,
    /// When to call [`super::Streamed::tick`] at the latest, in milliseconds; `None`: passing time changes nothing.
    pub due_ms: Option<u64>,
    /// Whether anything stays back.
    pub retained: bool,
    /// How it stands.
    pub state: State,
}
