//! Who of a worker asks the provider the same question at the same moment, and who waits for the answer.
//!
//! A flight is one question under way: a leader, who asks, and followers, who wait. A follower is told what became of
//! it by a [`News`] that it reads when it is woken. Every member says [`Flights::leave`] at its end, so that nothing is
//! kept of those who are gone.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use sluice_core::filter::StreamId;

use crate::entry::Entry;
use crate::fingerprint::Key;

/// The flights of one worker and configuration.
#[derive(Debug, Default)]
pub struct Flights {
    flights: HashMap<Key, Flight>,
    news: HashMap<StreamId, News>,
}

#[derive(Debug)]
struct Flight {
    leader: StreamId,
    followers: VecDeque<StreamId>,
    /// The leader has it, but it is not stored yet.
    answer: Option<Rc<Entry>>,
}

/// What somebody who asks is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Find the answer, and tell the others.
    Leader,
    /// Wait for the news.
    Follower,
    /// Take this.
    Answer(Rc<Entry>),
    /// Somebody else leads: find the answer for yourself.
    Alone,
}

/// What became of a flight for one who follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// This is the answer.
    Answer(Rc<Entry>),
    /// The leader is gone, and you are the next.
    Lead,
    /// The answer is nobody's but the leader's.
    Alone,
}

impl Flights {
    /// Takes a seat in the flight of `key`; one who does not follow (`follows`) may still lead.
    pub fn join(&mut self, key: Key, stream: StreamId, follows: bool) -> Seat {
        let Some(flight) = self.flights.get_mut(&key) else {
            let flight = Flight { leader: stream, followers: VecDeque::new(), answer: None };
            self.flights.insert(key, flight);
            return Seat::Leader;
        };
        if flight.leader == stream {
            return Seat::Leader;
        }
        match &flight.answer {
            Some(answer) => Seat::Answer(Rc::clone(answer)),
            None if follows => {
                flight.followers.push_back(stream);
                Seat::Follower
            }
            None => Seat::Alone,
        }
    }

    /// What `stream` is told, once.
    pub fn news(&mut self, stream: StreamId) -> Option<News> {
        self.news.remove(&stream)
    }

    /// The leader has the answer: whoever follows is to be woken, and whoever joins before the leader leaves gets it.
    pub fn land(&mut self, key: Key, leader: StreamId, answer: &Rc<Entry>) -> Vec<StreamId> {
        let Some(flight) = self.flights.get_mut(&key).filter(|flight| flight.leader == leader) else {
            return Vec::new();
        };
        flight.answer = Some(Rc::clone(answer));
        let woken: Vec<_> = std::mem::take(&mut flight.followers).into();
        self.news.extend(woken.iter().map(|stream| (*stream, News::Answer(Rc::clone(answer)))));
        woken
    }

    /// The leader's answer can serve nobody else: whoever follows is to be woken.
    pub fn scatter(&mut self, key: Key, leader: StreamId) -> Vec<StreamId> {
        if self.flights.get(&key).is_none_or(|flight| flight.leader != leader) {
            return Vec::new();
        }
        let flight = self.flights.remove(&key);
        let woken: Vec<_> = flight.map(|flight| flight.followers.into()).unwrap_or_default();
        self.news.extend(woken.iter().map(|stream| (*stream, News::Alone)));
        woken
    }

    /// Takes `stream` out of the flight, whatever it is there. Where it led and has no answer, the first of those who
    /// follow leads from now on and is to be woken.
    pub fn leave(&mut self, key: Key, stream: StreamId) -> Option<StreamId> {
        self.news.remove(&stream);
        let flight = self.flights.get_mut(&key)?;
        if flight.leader != stream {
            flight.followers.retain(|follower| *follower != stream);
            return None;
        }
        let Some(next) = flight.followers.pop_front() else {
            self.flights.remove(&key);
            return None;
        };
        flight.leader = next;
        self.news.insert(next, News::Lead);
        Some(next)
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.news.is_empty()
    }
}

#[cfg(test)]
mod tests;
