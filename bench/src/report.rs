//! What a run has found, as text.

mod text;

pub use text::summary;
