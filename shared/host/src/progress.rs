//! How far the two sides of an exchange are, and how much of their bodies Envoy holds for a filter.

use sluice_core::filter::Next;

use crate::dispatch::Action;

/// What the filter wants to see of a side; [`Next`] without its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Pass,
    Watch,
    End,
    Hold,
    Whole(usize),
    Wait,
    /// Answered or broken off.
    Over,
}

impl Mode {
    pub(crate) fn of(next: &Next) -> Self {
        match next {
            Next::Pass => Self::Pass,
            Next::Watch => Self::Watch,
            Next::End => Self::End,
            Next::Hold => Self::Hold,
            Next::Whole { max_bytes } => Self::Whole(*max_bytes),
            Next::Wait => Self::Wait,
            Next::Reply(_) | Next::Break => Self::Over,
        }
    }
}

/// How one side of the exchange stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) mode: Mode,
    /// Bytes at the start of the held buffer that the filter has seen.
    pub(crate) shown: usize,
    /// Envoy holds headers or body of this side for us.
    pub(crate) held: bool,
    /// Bytes of body that it holds for us: all of the buffer, seen or not.
    pub(crate) held_bytes: usize,
    /// The headers have gone on.
    pub(crate) headers_gone: bool,
    /// The filter has been told of the end.
    pub(crate) ended: bool,
    /// When the last part came by, in milliseconds since the epoch.
    pub(crate) last_ms: u64,
    /// Since when the filter has waited, in nanoseconds since the epoch.
    pub(crate) waits_since_ns: Option<u64>,
}

impl Progress {
    /// Takes over what the filter has decided of the part at hand, after which it has seen `shown` bytes of what is
    /// held; whether that goes on.
    pub(crate) fn turn(&mut self, next: &Next, shown: usize) -> Action {
        self.mode = Mode::of(next);
        match self.mode {
            Mode::Pass | Mode::Watch | Mode::End => {
                *self = Self { shown: 0, held: false, headers_gone: true, ..*self };
                Action::Continue
            }
            Mode::Hold | Mode::Wait | Mode::Whole(_) => {
                *self = Self { shown, held: true, ..*self };
                Action::Pause
            }
            Mode::Over => {
                self.held = false;
                Action::Pause
            }
        }
    }

    /// Takes down that the held buffer has `bytes` bytes, if it is held at all; by how much that is more than before.
    pub(crate) fn hold(&mut self, bytes: usize) -> i64 {
        let bytes = if self.held { bytes } else { 0 };
        let signed = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = std::mem::replace(&mut self.held_bytes, bytes);
        signed(bytes).saturating_sub(signed(before))
    }

    /// Takes down that the filter waits or no longer does. Returns for how many whole milliseconds it has, if its wait
    /// ends here; the clock is read only where one begins or ends.
    pub(crate) fn time_wait(&mut self, next: &Next, now_ns: impl FnOnce() -> u64) -> Option<u64> {
        match (self.waits_since_ns, *next == Next::Wait) {
            (None, true) => {
                self.waits_since_ns = Some(now_ns());
                None
            }
            (Some(since_ns), false) => {
                self.waits_since_ns = None;
                Some(now_ns().saturating_sub(since_ns) / 1_000_000)
            }
            _ => None,
        }
    }
}

/// The list of waits with one more in it.
pub(crate) fn with_wait(list: Vec<u8>, plugin: &str, ms: u64) -> Vec<u8> {
    let comma = if list.is_empty() { "" } else { "," };
    [list, format!("{comma}{plugin}:{ms}").into_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use sluice_core::openai::error::{Code, LocalReply};

    use super::*;

    fn reply() -> Next {
        Next::Reply(LocalReply::error(Code::InvalidJson, None, "no"))
    }

    #[test]
    fn what_is_held_is_counted_as_it_grows_and_goes() {
        for (name, end) in
            [("passed", Next::Pass), ("watched", Next::Watch), ("replied", reply()), ("broken", Next::Break)]
        {
            for hold in [Next::Hold, Next::Wait, Next::Whole { max_bytes: 100 }] {
                let mut side = Progress::default();
                let mut level = 0;
                assert_eq!(side.turn(&hold, 0), Action::Pause, "{name}");
                for (size, want) in [(0, 0), (10, 10), (30, 30), (30, 30), (5, 5)] {
                    level += side.hold(size);
                    assert_eq!(level, want, "{name}: {hold:?}");
                }
                side.turn(&end, 40);
                level += side.hold(40);
                assert_eq!(level, 0, "{name}: {hold:?}");
                assert_eq!(side.hold(50), 0, "{name}: not held any more");
            }
        }
    }

    #[test]
    fn a_wait_is_timed_from_its_beginning_to_its_end() {
        let ms = |ms: u64| move || ms * 1_000_000 + 999_999;
        let unread = || panic!("the clock was read");
        for end in [Next::Pass, Next::Hold, Next::Watch, reply(), Next::Break] {
            let mut side = Progress::default();
            assert_eq!(side.time_wait(&Next::Hold, unread), None);
            assert_eq!(side.time_wait(&Next::Wait, ms(5)), None);
            assert_eq!(side.time_wait(&Next::Wait, unread), None);
            assert_eq!(side.time_wait(&end, ms(12)), Some(7), "{end:?}");
            assert_eq!(side.time_wait(&end, unread), None, "{end:?}");
            assert_eq!(side.time_wait(&Next::Wait, ms(20)), None);
            assert_eq!(side.time_wait(&end, ms(20)), Some(0), "{end:?}");
            side.time_wait(&Next::Wait, ms(20));
            assert_eq!(side.time_wait(&end, ms(10)), Some(0), "{end:?}: the clock went back");
        }
    }

    #[test]
    fn waits_are_listed_in_their_order() {
        let list = with_wait(Vec::new(), "token-limit", 2);
        assert_eq!(list, b"token-limit:2");
        assert_eq!(with_wait(list, "content-guard", 310), b"token-limit:2,content-guard:310");
    }
}
