//! The trait of a plugin below HTTP: it sees the bytes of a connection go by, and says what goes on in their place.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::config::Env;
use crate::filter::Host;
use crate::metric::Family;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever opened the connection.
    Out,
    /// From whoever answers.
    Back,
}

/// What goes on in place of the bytes just shown, the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Onward {
    /// May be empty: what was shown is kept, or dropped.
    pub bytes: Vec<u8>,
    /// Closes the connection at once; nothing goes on any more.
    pub close: bool,
}

impl Onward {
    /// These bytes.
    #[must_use]
    pub fn send(bytes: Vec<u8>) -> Self {
        Self { bytes, close: false }
    }

    /// Nothing, for now.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The end of the connection.
    #[must_use]
    pub fn close() -> Self {
        Self { bytes: Vec::new(), close: true }
    }
}

/// One plugin's behaviour over one connection.
///
/// Network filters never trap, and bound what they keep: every callback has an answer for every input.
pub trait NetworkFilter: Sized + 'static {
    /// Plugin name as in the Envoy configuration; prefixes its log lines.
    const NAME: &'static str;
    /// Every family of metrics that it may count by.
    const METRICS: &'static [Family] = &[];

    /// Configuration as written.
    type Raw: DeserializeOwned;
    /// Configuration as used.
    type Config: 'static;

    /// Checks a configuration, at start and on every change.
    ///
    /// # Errors
    /// What does not hold, as `path: what is wrong`; Envoy then refuses the configuration.
    fn check(raw: Self::Raw, env: &Env<'_>) -> Result<Self::Config, String>;

    /// Starts a connection.
    fn new(config: Rc<Self::Config>) -> Self;

    /// A chunk, cut anywhere, never empty, each byte once. Of `host`, counters, histograms, clock and log are there.
    fn on_bytes(&mut self, host: &mut dyn Host, way: Way, chunk: &[u8]) -> Onward;
}
