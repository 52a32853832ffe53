//! The loop at a terminal: asks the gateway, reads keys, draws.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::controls::{Asked, Controls};
use super::history::History;
use super::screen::Screen;
use super::snapshot::Snapshot;
use super::source::{Source, Turn};
use super::view::View;
use crate::file::show_duration;

/// Longest time until a signal or a new snapshot is noticed.
const TURN: Duration = Duration::from_millis(100);

type News = Result<Snapshot, String>;

/// Gives the terminal back however it ends; `ratatui::try_init` sees to panics.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the gateway until a key or a signal ends it.
pub(super) fn run(source: Source, every: Duration, controls: Controls) -> Result<(), String> {
    let told = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&told)).map_err(|error| error.to_string())?;
    }
    let live = Live {
        address: source.url().to_owned(),
        every: show_duration(every),
        controls,
        history: History::default(),
        shown: None,
        trouble: None,
        is_coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let news = ask(source, every);
    let restored = Restored;
    let ended = ratatui::try_init().and_then(|mut terminal| live.run(&mut terminal, &news, &told));
    drop(restored);
    ended.map_err(|error| format!("the terminal: {error}"))
}

/// Asks in the background: a gateway that is slow to answer must not be noticed at the keys.
fn ask(source: Source, every: Duration) -> Receiver<News> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        loop {
            let turn = Turn::begin();
            if sender.send(source.snapshot()).is_err() {
                return;
            }
            turn.rest(every);
        }
    });
    receiver
}

struct Live {
    address: String,
    every: String,
    controls: Controls,
    history: History,
    shown: Option<View>,
    trouble: Option<String>,
    is_coloured: bool,
}

impl Live {
    fn run(
        mut self,
        terminal: &mut DefaultTerminal,
        news: &Receiver<News>,
        told: &AtomicBool,
    ) -> io::Result<()> {
        let mut is_new = true;
        while !told.load(Ordering::Relaxed) {
            is_new |= self.take(news)?;
            if is_new {
                terminal.draw(|frame| self.screen().draw(frame))?;
            }
            is_new = event::poll(TURN)?;
            if is_new
                && let Event::Key(key) = event::read()?
                && self.controls.press(key) == Asked::Quit
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes in what the gateway said; whether it said anything.
    fn take(&mut self, news: &Receiver<News>) -> io::Result<bool> {
        match news.try_recv() {
            Ok(Ok(snapshot)) => {
                self.history.push(snapshot);
                self.trouble = None;
            }
            Ok(Err(why)) => self.trouble = Some(format!("{why}; asking again every {}", self.every)),
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("nobody asks the gateway any more"));
            }
        }
        if !self.controls.paused || self.shown.is_none() {
            self.shown = self.history.view();
        }
        Ok(true)
    }

    fn screen(&self) -> Screen<'_> {
        Screen {
            address: &self.address,
            view: self.shown.as_ref(),
            trouble: self.trouble.as_deref(),
            controls: &self.controls,
            is_coloured: self.is_coloured,
        }
    }
}
