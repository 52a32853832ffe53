//! `sluice top`: what a gateway does at this moment, from the counters of Envoy's admin interface.
//!
//! [`exposition`] reads a page of them, [`snapshot`] sums it up, [`history`] keeps the last few, [`view`] is what two of
//! them tell, and [`screen`] and [`text`] show it.

pub mod buckets;
pub mod controls;
pub mod exposition;
pub mod history;
mod live;
pub mod number;
pub mod screen;
pub mod snapshot;
mod source;
pub mod text;
pub mod view;
mod words;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use self::controls::Controls;
use self::history::History;
use self::snapshot::By;
use self::source::Source;
use crate::admin::Admin;

/// Time between two looks, unless told.
const EVERY: Duration = Duration::from_secs(2);
/// The same for one look alone: Envoy adds to its histograms every five seconds.
const EVERY_ONCE: Duration = Duration::from_secs(6);

/// How to look at a gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its admin interface, as a URL without a path.
    pub admin: String,
    /// Time between two looks; 2 s, and 6 s for one look alone, unless told.
    pub every: Option<Duration>,
    /// Look for one interval, print plain text, and end. So it is, too, when standard output is no terminal.
    pub once: bool,
    /// What requests are told apart by at first.
    pub by: By,
}

impl Options {
    /// The URL of the admin interface at an address.
    #[must_use]
    pub fn url(address: SocketAddr) -> String {
        Admin::new(address).url().to_owned()
    }
}

/// Shows the gateway until told to end, or once.
///
/// # Errors
/// Looking once: the gateway does not answer. Else the terminal cannot be used.
pub fn run(options: &Options) -> Result<(), String> {
    let source = Source::new(Admin::at(&options.admin));
    let controls = Controls { by: options.by, ..Controls::default() };
    if options.once || !std::io::stdout().is_terminal() {
        return once(&source, options.every.unwrap_or(EVERY_ONCE), &controls);
    }
    live::run(source, options.every.unwrap_or(EVERY), controls)
}

fn once(source: &Source, every: Duration, controls: &Controls) -> Result<(), String> {
    let mut history = History::default();
    history.push(source.snapshot()?);
    std::thread::sleep(every);
    history.push(source.snapshot()?);
    let text = history.view().map(|view| text::text(source.url(), &view, controls)).unwrap_or_default();
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}
