//! What a provider is told to do and what it has seen.

use std::collections::{HashMap, VecDeque};
use std::net::TcpStream;

use super::{Seen, Served};
use crate::script::Script;

/// Requests remembered, unless told otherwise; after that the oldest half is forgotten.
const MEMORY: usize = 40_000;

pub(super) struct State {
    pub(super) scripts: VecDeque<Script>,
    pub(super) memory: usize,
    pub(super) once: VecDeque<Script>,
    pub(super) by_key: HashMap<String, Script>,
    pub(super) by_user: HashMap<String, VecDeque<Script>>,
    pub(super) seen: Vec<Seen>,
    pub(super) served: Vec<Served>,
    pub(super) sockets: HashMap<u64, TcpStream>,
    pub(super) abandoned: usize,
    pub(super) released: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            scripts: VecDeque::from([Script::default()]),
            memory: MEMORY,
            once: VecDeque::new(),
            by_key: HashMap::new(),
            by_user: HashMap::new(),
            seen: Vec::new(),
            served: Vec::new(),
            sockets: HashMap::new(),
            abandoned: 0,
            released: 0,
        }
    }
}

impl State {
    /// The next script for a request with this key and user.
    pub(super) fn next_script(&mut self, key: Option<&str>, user: &str) -> Script {
        if let Some(scripts) = self.by_user.get_mut(user) {
            let next = if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() };
            return next.unwrap_or_default();
        }
        if let Some(script) = self.once.pop_front() {
            return script;
        }
        if let Some(script) = key.and_then(|key| self.by_key.get(key)) {
            return script.clone();
        }
        self.scripts.rotate_left(1);
        self.scripts.back().cloned().unwrap_or_default()
    }

    pub(super) fn remember(&mut self, seen: &Seen) {
        if self.seen.len() >= self.memory {
            self.seen.drain(..self.seen.len() / 2);
        }
        if self.memory > 0 {
            self.seen.push(seen.clone());
        }
    }

    pub(super) fn note(&mut self, served: Served) {
        if self.served.len() >= self.memory {
            self.served.drain(..self.served.len() / 2);
        }
        if self.memory > 0 {
            self.served.push(served);
        }
    }
}
