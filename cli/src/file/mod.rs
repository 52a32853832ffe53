//! Reading a YAML file so that every mistake in it can be named with its place, not only the first.
//!
//! [`tree`] turns text into nodes that know their line and column, [`Cursor`] walks them with a path such as
//! `models[2].targets[0].provider`, and [`Report`] collects what is wrong. Types are read by what the field
//! needs ([`Cursor::text`], [`Cursor::duration`]…), so YAML's guesses (`off`, `1e3`) never get in the way.

mod cursor;
mod decimal;
mod fields;
mod note;
mod quantity;
mod similar;
mod syntax;
pub mod tree;

pub use cursor::Cursor;
pub use decimal::Decimal;
pub use fields::Fields;
pub use note::{Note, Place, Report, Severity};
pub use quantity::{parse_duration, parse_size, show_duration, show_size};
pub use similar::did_you_mean;
