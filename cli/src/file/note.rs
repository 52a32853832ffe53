//! What is wrong with a file, and where.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

/// A position in a file, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
}

impl Place {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Mistake,
    /// The file is taken, but something in it hardly does what its author wants.
    Warning,
}

/// One finding. Its text never repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// Where in the file.
    pub place: Place,
    /// Which value: `models[2].targets[0].provider`; `yaml` for the syntax, `file` for the file as a whole.
    pub path: String,
    /// What is wrong; what to write instead.
    pub text: String,
}

/// Everything found in one file, in the order of the file. Displays as one line per finding.
#[derive(Debug)]
pub struct Report {
    file: PathBuf,
    notes: RefCell<Vec<Note>>,
}

impl Report {
    /// Nothing found so far in `file`.
    #[must_use]
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), notes: RefCell::default() }
    }

    /// Adds a finding.
    pub fn add(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    /// Adds a mistake.
    pub fn mistake(&self, place: Place, path: &str, text: impl Into<String>) {
        self.add(Note { severity: Severity::Mistake, place, path: path.to_owned(), text: text.into() });
    }

    /// Adds a warning.
    pub fn warning(&self, place: Place, path: &str, text: impl Into<String>) {
        self.add(Note { severity: Severity::Warning, place, path: path.to_owned(), text: text.into() });
    }

    /// Whether the file is refused.
    #[must_use]
    pub fn has_mistakes(&self) -> bool {
        self.notes.borrow().iter().any(|note| note.severity == Severity::Mistake)
    }

    /// All findings, in the order of the file.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = self.notes.borrow().clone();
        notes.sort_by_key(|note| note.place);
        notes.dedup();
        notes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        self.notes().iter().try_for_each(|note| {
            let Place { line, column } = note.place;
            let kind = match note.severity {
                Severity::Mistake => "",
                Severity::Warning => "warning: ",
            };
            writeln!(f, "{file}:{line}:{column}: {kind}{}: {}", note.path, note.text)
        })
    }
}

impl std::error::Error for Report {}
