//! A streamed answer on its way through the checks: what may leave, what services are to be asked, how it ends.
//!
//! Events leave whole, in their order, as their own bytes unless something in them is replaced. Each text is checked
//! together with what stands before it in the same channel, and its event stays back until no finding can begin in
//! it any more and all services have passed it. After `max_hold_ms` it leaves all the same, if no service is asked,
//! and stays in sight, so that what is completed later still counts.

mod channel;
mod edits;
mod held;
mod shown;
mod terms;
mod windows;

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use sluice_core::sse::{MAX_EVENT_BYTES, Piece, Splitter};

use channel::Channel;
use held::{Bit, Held};
pub use shown::Shown;
pub use terms::{Act, Answer, Ask, Checks, Finding, Setup, State, Step};
use windows::Windows;

/// Text of deltas that the local checks keep back, in bytes; with more of it a stream counts as unreadable.
const MAX_HELD_TEXT: usize = 64 * 1024;

/// Bytes of events that are kept back.
const MAX_HELD_BYTES: usize = 2 * MAX_EVENT_BYTES;

/// How the names of channels begin that hold one whole text.
const WHOLE: &str = "whole/";

/// Channels of one answer: choices, tool calls, blocks.
const MAX_CHANNELS: usize = 4096;

/// One streamed answer.
#[derive(Debug)]
pub struct Streamed {
    setup: Setup,
    splitter: Splitter,
    queue: VecDeque<Held>,
    channels: BTreeMap<String, Channel>,
    windows: Windows,
    wholes: u64,
    findings: Vec<Finding>,
    unread: bool, // something passes that is not yet told of
    shown: Shown,
    state: State,
    ended: bool,
}

impl Streamed {
    /// An answer of which nothing has come.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            windows: Windows::new(setup.window_chars, setup.services),
            setup,
            splitter: Splitter::default(),
            queue: VecDeque::new(),
            channels: BTreeMap::new(),
            wholes: 0,
            findings: Vec::new(),
            unread: false,
            shown: Shown::default(),
            state: State::Open,
            ended: false,
        }
    }

    /// What has been released, as far as an ending must know.
    #[must_use]
    pub const fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Takes the next part of the body; `end` with the last.
    pub fn feed(&mut self, checks: &dyn Checks, now_ms: u64, part: &[u8], end: bool) -> Step {
        if self.state == State::Open {
            let mut splitter = mem::take(&mut self.splitter);
            splitter.feed(part, |piece| self.piece(piece, now_ms));
            if end {
                splitter.finish(|piece| self.piece(piece, now_ms));
                self.ended = true;
                self.channels.values_mut().for_each(Channel::end);
            }
            self.splitter = splitter;
        }
        self.step(checks, now_ms)
    }

    /// Time has passed.
    pub fn tick(&mut self, checks: &dyn Checks, now_ms: u64) -> Step {
        self.step(checks, now_ms)
    }

    /// Services have answered; an answer to what was not asked changes nothing.
    pub fn answer(&mut self, checks: &dyn Checks, now_ms: u64, ask: u64, answer: Answer) -> Step {
        if self.state == State::Open {
            match answer {
                // its window stays open, so that nothing of it is ever free to go
                Answer::Block if self.windows.is_open(ask) => self.state = State::Blocked,
                Answer::Block => {}
                Answer::Pass => drop(self.windows.close(ask)),
                Answer::Rewrite(text) => self.rewrite(ask, &text),
            }
        }
        self.step(checks, now_ms)
    }

    fn rewrite(&mut self, ask: u64, text: &str) {
        let Some(window) = self.windows.close(ask) else { return };
        if let Some(channel) = self.channels.get_mut(&window.channel) {
            channel.rewrite(&window, text, &self.setup.vault);
        }
    }

    fn piece(&mut self, piece: Piece<'_>, now_ms: u64) {
        if self.state != State::Open {
            return;
        }
        let read = match piece {
            Piece::Event(raw) => Held::read(raw, now_ms),
            Piece::Oversized { .. } => None,
        };
        if !self.setup.lenient && read.as_ref().is_none_or(|(held, _)| !held.readable) {
            self.state = State::Unreadable;
            return;
        }
        let (held, ends) = read.unwrap_or_else(|| (Held::unread(piece.bytes(), now_ms), Vec::new()));
        self.unread |= !held.readable;
        self.hold(held, &ends);
    }

    /// Where a choice has thought and now says something, the thought is over: what could go on in it would keep back what
    /// is said. Other texts may go on side by side.
    fn turn(&mut self, held: &Held) {
        for bit in &held.bits {
            let begins = !self.channels.contains_key(&bit.channel);
            let Some(choice) = choice(&bit.channel).filter(|_| begins) else { continue };
            for (name, channel) in &mut self.channels {
                let is_thought = name.strip_prefix(choice).is_some_and(is_thought);
                if is_thought && !held.bits.iter().any(|bit| bit.channel == *name) {
                    channel.end();
                }
            }
        }
    }

    /// Takes an event; `ends` are the channels that end with it.
    fn hold(&mut self, mut held: Held, ends: &[String]) {
        self.turn(&held);
        for bit in held.bits.iter_mut().filter(|bit| !bit.channel.is_empty()) {
            let channel =
                self.channels.entry(bit.channel.clone()).or_insert_with(|| Channel::new(bit.form()));
            (bit.start, bit.end) = channel.push(bit.text());
        }
        for (name, channel) in &mut self.channels {
            if ends.iter().any(|end| name.starts_with(end)) {
                channel.end();
            }
        }
        for bit in held.bits.iter_mut().filter(|bit| bit.channel.is_empty()) {
            self.wholes = self.wholes.saturating_add(1);
            whole(&mut self.channels, bit, self.wholes);
        }
        self.queue.push_back(held);
    }

    /// Does all that can be done now.
    fn step(&mut self, checks: &dyn Checks, now_ms: u64) -> Step {
        if self.state == State::Open {
            self.press(now_ms);
            self.settle(checks);
        }
        let mut step = Step { asks: self.ask(now_ms), ..Step::default() };
        if self.state != State::Unreadable {
            step.release = self.release();
        }
        if self.state == State::Open && self.is_too_much() {
            self.state = State::Unreadable;
        }
        if self.state == State::Open && self.ended && self.queue.is_empty() {
            self.state = State::Over;
        }
        if self.state != State::Open {
            self.queue.clear();
            self.channels.clear();
            step.asks.clear();
        }
        step.findings = mem::take(&mut self.findings);
        step.unread = mem::take(&mut self.unread);
        step.due_ms = self.due_ms(now_ms);
        step.retained = !self.queue.is_empty();
        step.state = self.state;
        step
    }

    /// Lets go of what has stayed back for too long.
    fn press(&mut self, now_ms: u64) {
        let too_much = self.setup.lenient && self.is_too_much();
        for held in &self.queue {
            if held.due_ms(self.setup.max_hold_ms) > now_ms && !too_much {
                break;
            }
            for bit in &held.bits {
                if let Some(channel) = self.channels.get_mut(&bit.channel) {
                    channel.press(bit.end);
                }
            }
        }
    }

    fn settle(&mut self, checks: &dyn Checks) {
        for channel in self.channels.values_mut().filter(|channel| channel.is_new()) {
            if channel.settle(checks, &mut self.setup.vault, &mut self.findings) {
                self.state = State::Blocked;
            }
        }
    }

    fn ask(&mut self, now_ms: u64) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.state != State::Open || !self.setup.services {
            return asks;
        }
        let max_hold_ms = self.setup.max_hold_ms;
        for held in &self.queue {
            let is_due = held.due_ms(max_hold_ms) <= now_ms;
            for bit in &held.bits {
                if let Some(channel) = self.channels.get_mut(&bit.channel) {
                    self.windows.ask(&bit.channel, channel, is_due, &mut asks);
                }
            }
        }
        asks
    }

    /// The events in front that are free to go.
    fn release(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(held) = self.queue.pop_front_if(|held| {
            held.bits.iter().all(|bit| {
                let channel = self.channels.get(&bit.channel);
                channel.is_some_and(|channel| bit.end <= self.windows.passed(&bit.channel, channel))
            })
        }) {
            let start = out.len();
            held.write(&self.channels, &mut out);
            self.shown.add(out.get(start..).unwrap_or_default());
            for bit in held.bits {
                if bit.is_alone {
                    self.channels.remove(&bit.channel);
                } else if let Some(channel) = self.channels.get_mut(&bit.channel) {
                    channel.release(bit.end);
                }
            }
        }
        let context = self.windows.context();
        self.channels.values_mut().for_each(|channel| channel.trim(context));
        out
    }

    fn is_too_much(&self) -> bool {
        let bytes: usize = self.queue.iter().map(Held::size).sum();
        let text: usize = self.queue.iter().map(|held| held.unsettled_bytes(&self.channels)).sum();
        bytes > MAX_HELD_BYTES || text > MAX_HELD_TEXT || self.channels.len() > MAX_CHANNELS
    }

    /// When time alone lets something go, or be asked.
    fn due_ms(&self, now_ms: u64) -> Option<u64> {
        let waits = |bit: &Bit| {
            let channel = self.channels.get(&bit.channel);
            channel.is_some_and(|channel| {
                bit.end > channel.settled() || self.setup.services && bit.end > channel.asked()
            })
        };
        let mut late = self.queue.iter().filter(|held| held.bits.iter().any(waits));
        late.find_map(|held| Some(held.due_ms(self.setup.max_hold_ms)).filter(|due_ms| *due_ms > now_ms))
    }
}

/// How the names of all channels of the choice begin that the channel `name` is of; only chats and completions have some.
fn choice(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("choices/")?.find('/')?;
    name.get(.."choices/".len().saturating_add(digits).saturating_add(1))
}

/// Whether a channel, by its name within its choice, is what a model thinks; providers name it in several ways.
fn is_thought(name: &str) -> bool {
    name.starts_with("reasoning") || name.starts_with("thinking")
}

/// Gives a whole text a channel: that of the deltas it repeats, else one of its own.
fn whole(channels: &mut BTreeMap<String, Channel>, bit: &mut Bit, number: u64) {
    let mut deltas = channels.iter().filter(|(name, _)| !name.starts_with(WHOLE));
    if let Some((name, _)) = deltas.find(|(_, channel)| channel.has_said(bit.text())) {
        bit.channel.clone_from(name);
        bit.end = bit.text().len();
        return;
    }
    let mut channel = Channel::new(bit.form());
    (bit.start, bit.end) = channel.push(bit.text());
    channel.end();
    bit.channel = format!("{WHOLE}{number}");
    bit.is_alone = true;
    channels.insert(bit.channel.clone(), channel);
}

#[cfg(test)]
mod tests;
