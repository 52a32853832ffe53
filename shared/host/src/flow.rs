//! One side of an exchange on its way through a chain of filters, which to Envoy is one filter.
//!
//! Does for the members of a chain what Envoy's filter manager does for filters (1.40): headers go from member to
//! member until one stops them, bodies follow as far as the headers are, and what a member lets go on is shown to the
//! next. All that is held lies in Envoy's one buffer, what has come farthest first:
//!
//! ```text
//! | passed all | held by member 2 | held by member 1 | held by member 0 | new |
//! ```
//!
//! Nothing reaches Envoy's next filter while any member holds something.

use crate::dispatch::Action;

/// A part of Envoy's buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// Bytes before it.
    pub(crate) start: usize,
    /// Bytes in it.
    pub(crate) length: usize,
}

/// The members of a chain, in the order of the flow, and what they decide.
pub(crate) trait Line {
    /// Shows member `at` the headers; `end` when there is no body.
    fn headers(&mut self, at: usize, end: bool) -> Action;
    /// Shows member `at` all it holds and what is new. The second is how many bytes it has made of them.
    fn body(&mut self, at: usize, window: Window, end: bool) -> (Action, usize);
    /// As [`Self::body`], where trailers have ended the body.
    fn trailers(&mut self, at: usize, window: Window) -> (Action, usize);
}

/// How far a body's end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Tail {
    /// More may come.
    #[default]
    Open,
    /// The last chunk says that it is.
    End,
    /// Trailers follow.
    Trailers,
}

/// How the side stands at one member.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// It holds headers or body.
    stopped: bool,
    /// Bytes of the buffer that it holds.
    held: usize,
    /// What it has been told of the end.
    tail: Tail,
}

/// One side of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    places: Vec<Place>,
    /// How many members have seen the headers.
    headers: usize,
    /// There is no body.
    bare: bool,
    /// Bytes that have passed all members while one still holds others.
    passed: usize,
    /// The headers have left the chain.
    released: bool,
}

impl Flow {
    /// A side that nothing of has come yet, for `members`.
    pub(crate) fn new(members: usize) -> Self {
        Self { places: vec![Place::default(); members], ..Self::default() }
    }

    /// Headers have come.
    pub(crate) fn on_headers(&mut self, line: &mut impl Line, end: bool) -> Action {
        let mut places = std::mem::take(&mut self.places);
        places.fill(Place::default());
        *self = Self { places, bare: end, ..Self::default() };
        self.pass_headers(line);
        self.action()
    }

    /// `size` bytes of body can be read: what is held, and what is new.
    pub(crate) fn on_body(&mut self, line: &mut impl Line, size: usize, end: bool) -> Action {
        let held = self.start_of(0).saturating_add(self.place(0).held);
        let tail = if end { Tail::End } else { Tail::Open };
        self.pass_body(line, 0, size.saturating_sub(held), tail);
        self.action()
    }

    /// Trailers have come.
    pub(crate) fn on_trailers(&mut self, line: &mut impl Line) -> Action {
        self.pass_trailers(line, 0);
        self.action()
    }

    /// Member `at` lets go what it holds, outside of a callback about this side, having made `length` bytes of it.
    pub(crate) fn resume(&mut self, line: &mut impl Line, at: usize, length: usize) -> Action {
        let tail = self.place(at).tail;
        self.set(at, Place { stopped: false, held: 0, tail });
        let next = at.saturating_add(1);
        if self.headers == next {
            self.pass_headers(line);
        }
        let told = if tail == Tail::End { Tail::End } else { Tail::Open };
        if length > 0 || (told == Tail::End && !self.bare) {
            self.pass_body(line, next, length, told);
        }
        if tail == Tail::Trailers {
            self.pass_trailers(line, next);
        }
        self.action()
    }

    /// What member `at` holds.
    pub(crate) fn held(&self, at: usize) -> Window {
        Window { start: self.start_of(at), length: self.place(at).held }
    }

    /// Whether headers have come and wait for a member.
    pub(crate) fn holds_headers(&self) -> bool {
        self.headers > 0 && !self.released
    }

    /// Whether member `at` holds anything back.
    pub(crate) fn is_stopped(&self, at: usize) -> bool {
        self.place(at).stopped
    }

    /// Member `at`, which holds something, has made `length` bytes of it and holds those.
    pub(crate) fn resize(&mut self, at: usize, length: usize) {
        if let Some(place) = self.places.get_mut(at) {
            place.held = length;
        }
    }

    fn action(&mut self) -> Action {
        if self.places.iter().any(|place| place.stopped) {
            return Action::Pause;
        }
        (self.passed, self.released) = (0, true);
        Action::Continue
    }

    /// Shows the headers to the members that follow, until one stops them.
    fn pass_headers(&mut self, line: &mut impl Line) {
        while self.headers < self.places.len() {
            let at = self.headers;
            self.headers = at.saturating_add(1);
            let stopped = line.headers(at, self.bare) == Action::Pause;
            self.set(at, Place { stopped, ..self.place(at) });
            if stopped {
                return;
            }
        }
    }

    /// Shows `new` bytes to member `at`, and what it makes of them to those that follow; also where nothing is left of
    /// them: a filter that waits for what comes next may decide with an empty part, as it may behind a filter of Envoy's.
    fn pass_body(&mut self, line: &mut impl Line, at: usize, new: usize, tail: Tail) {
        let (mut at, mut new) = (at, new);
        while at < self.places.len() {
            if self.headers == at {
                self.pass_headers(line);
            }
            let held = self.held(at);
            let window = Window { length: held.length.saturating_add(new), ..held };
            let (action, length) = line.body(at, window, tail == Tail::End);
            let told = if tail == Tail::Open { self.place(at).tail } else { tail };
            if action == Action::Pause {
                self.set(at, Place { stopped: true, held: length, tail: told });
                return;
            }
            self.set(at, Place { stopped: false, held: 0, tail: told });
            (at, new) = (at.saturating_add(1), length);
        }
        self.passed = self.passed.saturating_add(new);
    }

    /// Tells member `at` and those that follow of the trailers, until one stops them.
    fn pass_trailers(&mut self, line: &mut impl Line, at: usize) {
        for at in at..self.places.len() {
            if self.headers == at {
                self.pass_headers(line);
            }
            let (action, length) = line.trailers(at, self.held(at));
            if action == Action::Pause {
                self.set(at, Place { stopped: true, held: length, tail: Tail::Trailers });
                return;
            }
            self.set(at, Place { stopped: false, held: 0, tail: Tail::Trailers });
            if length > 0 {
                self.pass_body(line, at.saturating_add(1), length, Tail::Open);
            }
        }
    }

    /// Bytes before what member `at` holds: all that has come farther.
    fn start_of(&self, at: usize) -> usize {
        let farther = self.places.iter().skip(at.saturating_add(1)).map(|place| place.held);
        farther.fold(self.passed, usize::saturating_add)
    }

    fn place(&self, at: usize) -> Place {
        self.places.get(at).copied().unwrap_or_default()
    }

    fn set(&mut self, at: usize, place: Place) {
        if let Some(known) = self.places.get_mut(at) {
            *known = place;
        }
    }
}

#[cfg(test)]
mod tests;
