//! Chains of scripted members against what each of them would do alone, one behind the other.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::*;

/// What a member does with a part: its n-th decision, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Pass,
    Hold,
}

/// One member: holds or passes as its script says, changes what it passes, and writes down what it saw.
#[derive(Clone, Debug)]
struct Member {
    headers: Act,
    script: Vec<Act>,
    /// Puts its letter behind every part that it lets go.
    marks: bool,
    turn: usize,
    /// Bytes of the window that it has seen already.
    shown: usize,
    seen: Vec<u8>,
    ends: usize,
    headers_seen: usize,
}

impl Member {
    fn new(headers: Act, script: &[Act], marks: bool) -> Self {
        let script = script.to_vec();
        Self { headers, script, marks, turn: 0, shown: 0, seen: Vec::new(), ends: 0, headers_seen: 0 }
    }

    /// At the end it lets everything go.
    fn decide(&mut self, end: bool) -> Act {
        let act = match self.script.as_slice() {
            [] => Act::Pass,
            script => script[self.turn % script.len()],
        };
        self.turn += 1;
        if end { Act::Pass } else { act }
    }
}

/// Envoy and the members of a chain.
struct Bed {
    buffer: Vec<u8>,
    members: Vec<Member>,
}

impl Bed {
    /// Member `at` sees what is new in its window, and decides of all of it.
    fn part(&mut self, at: usize, window: Window, end: bool) -> (Action, usize) {
        let member = &mut self.members[at];
        let part = self.buffer[window.start..][..window.length].to_vec();
        member.seen.extend_from_slice(&part[member.shown..]);
        member.shown = part.len();
        member.ends += usize::from(end);
        assert_eq!(member.headers_seen, 1, "{at}: a body before headers");
        if member.decide(end) == Act::Hold {
            return (Action::Pause, window.length);
        }
        (Action::Continue, self.let_go(at, window))
    }

    /// Member `at` makes what it does of `window`.
    fn let_go(&mut self, at: usize, window: Window) -> usize {
        let member = &mut self.members[at];
        member.shown = 0;
        if !member.marks {
            return window.length;
        }
        let end = window.start + window.length;
        self.buffer.insert(end, b'A' + u8::try_from(at).unwrap());
        window.length + 1
    }
}

impl Line for Bed {
    fn headers(&mut self, at: usize, end: bool) -> Action {
        let member = &mut self.members[at];
        member.headers_seen += 1;
        member.ends += usize::from(end);
        match member.headers {
            Act::Hold if !end => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn body(&mut self, at: usize, window: Window, end: bool) -> (Action, usize) {
        self.part(at, window, end)
    }

    fn trailers(&mut self, at: usize, window: Window) -> (Action, usize) {
        self.members[at].ends += 1;
        (Action::Continue, self.let_go(at, window))
    }
}

/// Sends `chunks` through the chain as Envoy does; what comes out at its end.
fn run(bed: &mut Bed, chunks: &[Vec<u8>], trailers: bool) -> Vec<u8> {
    let mut flow = Flow::new(bed.members.len());
    let mut out = Vec::new();
    let mut paused = flow.on_headers(bed, false) == Action::Pause;
    for (n, chunk) in chunks.iter().enumerate() {
        let end = n + 1 == chunks.len() && !trailers;
        // Envoy shows all that is held, or the new chunk alone.
        if !paused || n == 0 {
            assert!(bed.buffer.is_empty());
        }
        bed.buffer.extend_from_slice(chunk);
        let size = bed.buffer.len();
        paused = flow.on_body(bed, size, end) == Action::Pause;
        if !paused {
            out.append(&mut bed.buffer);
        }
    }
    if trailers {
        assert_eq!(flow.on_trailers(bed), Action::Continue);
        out.append(&mut bed.buffer);
    }
    out
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![Just(Act::Pass), Just(Act::Hold)]
}

fn members(marks: bool) -> impl Strategy<Value = Vec<Member>> {
    let member = (acts(), prop::collection::vec(acts(), 0..4), any::<bool>());
    let member = member.prop_map(move |(headers, script, mark)| Member::new(headers, &script, mark && marks));
    prop::collection::vec(member, 1..5)
}

fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(b'a'..=b'z', 1..5), 1..7)
}

proptest! {
    #[test]
    fn every_member_sees_every_byte_once_and_in_order(
        members in members(false), chunks in chunks(), trailers in any::<bool>()
    ) {
        let mut bed = Bed { buffer: Vec::new(), members };
        let whole = chunks.concat();
        prop_assert_eq!(&run(&mut bed, &chunks, trailers), &whole);
        for member in &bed.members {
            prop_assert_eq!(&member.seen, &whole);
            prop_assert_eq!((member.headers_seen, member.ends), (1, 1));
        }
    }

    #[test]
    fn a_member_sees_what_those_before_it_have_made(
        members in members(true), chunks in chunks(), trailers in any::<bool>()
    ) {
        let mut bed = Bed { buffer: Vec::new(), members };
        let out = run(&mut bed, &chunks, trailers);
        let mut before: Vec<u8> = chunks.concat();
        for (at, member) in bed.members.iter().enumerate() {
            // Less its own marks, what a member saw is what the one before it let go.
            prop_assert_eq!(&member.seen, &before, "member {}", at);
            prop_assert_eq!((member.headers_seen, member.ends), (1, 1));
            let next = bed.members.get(at + 1).map_or(&out, |next| &next.seen);
            let mark = b'A' + u8::try_from(at).unwrap();
            let unmarked: Vec<u8> = next.iter().copied().filter(|byte| *byte != mark).collect();
            prop_assert_eq!(&unmarked, &before, "after member {}", at);
            before = next.clone();
        }
    }

    #[test]
    fn what_is_let_go_later_passes_the_rest_of_the_chain(
        members in members(true), chunks in chunks(), at in 0..4_usize, early in any::<bool>()
    ) {
        // One member holds all until it is woken, before or after the end.
        let mut members = members;
        let at = at % members.len();
        members.iter_mut().skip(at).for_each(|member| member.turn = 0);
        members[at] = Member::new(Act::Hold, &[Act::Hold], true);
        let mut bed = Sleepy { bed: Bed { buffer: Vec::new(), members }, at };
        let mut flow = Flow::new(bed.bed.members.len());
        let whole = chunks.concat();
        prop_assert_eq!(flow.on_headers(&mut bed, false), Action::Pause);
        bed.bed.buffer.extend_from_slice(&chunks[0]);
        let is_all = chunks.len() == 1;
        flow.on_body(&mut bed, chunks[0].len(), is_all);
        let mut out = Vec::new();
        if early || is_all {
            out.append(&mut bed.wake(&mut flow, at));
        }
        for (n, chunk) in chunks.iter().enumerate().skip(1) {
            bed.bed.buffer.extend_from_slice(chunk);
            let size = bed.bed.buffer.len();
            if flow.on_body(&mut bed, size, n + 1 == chunks.len()) == Action::Continue {
                out.append(&mut bed.bed.buffer);
            }
        }
        out.append(&mut bed.wake(&mut flow, at));
        let lower = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(u8::is_ascii_lowercase).collect() };
        prop_assert_eq!(lower(&out), whole);
        for member in &bed.bed.members {
            prop_assert_eq!(lower(&member.seen), chunks.concat());
            prop_assert_eq!((member.headers_seen, member.ends), (1, 1));
        }
    }
}

/// A bed in which one member sleeps, so that it holds the end as well.
struct Sleepy {
    bed: Bed,
    at: usize,
}

impl Sleepy {
    /// Lets member `at` go on, if it holds anything; what then comes out.
    fn wake(&mut self, flow: &mut Flow, at: usize) -> Vec<u8> {
        if !flow.is_stopped(at) {
            return Vec::new();
        }
        let length = self.bed.let_go(at, flow.held(at));
        self.at = usize::MAX;
        match flow.resume(self, at, length) {
            Action::Continue => std::mem::take(&mut self.bed.buffer),
            Action::Pause => Vec::new(),
        }
    }
}

impl Line for Sleepy {
    fn headers(&mut self, at: usize, end: bool) -> Action {
        self.bed.headers(at, end)
    }

    fn body(&mut self, at: usize, window: Window, end: bool) -> (Action, usize) {
        if at != self.at {
            return self.bed.body(at, window, end);
        }
        let asleep = self.bed.part(at, window, false);
        self.bed.members[at].ends += usize::from(end);
        asleep
    }

    fn trailers(&mut self, at: usize, window: Window) -> (Action, usize) {
        self.bed.trailers(at, window)
    }
}

#[test]
fn headers_alone_pass_every_member() {
    let members = vec![Member::new(Act::Hold, &[], false), Member::new(Act::Pass, &[], false)];
    let mut bed = Bed { buffer: Vec::new(), members };
    let mut flow = Flow::new(2);
    assert_eq!(flow.on_headers(&mut bed, true), Action::Continue);
    assert!(bed.members.iter().all(|member| (member.headers_seen, member.ends) == (1, 1)));
}

#[test]
fn a_member_is_shown_that_nothing_is_left_of_a_part() {
    let hold = Member::new(Act::Pass, &[Act::Hold, Act::Pass], false);
    let mut bed = Bed { buffer: b"ab".to_vec(), members: vec![hold] };
    let mut flow = Flow::new(1);
    assert_eq!(flow.on_headers(&mut bed, false), Action::Continue);
    assert_eq!(flow.on_body(&mut bed, 2, false), Action::Pause);
    // What came next, somebody before has taken away: it decides anew of what it holds.
    assert_eq!(flow.on_body(&mut bed, 2, false), Action::Continue);
    assert_eq!(bed.members[0].turn, 2);
}

#[test]
fn two_members_may_hold_at_the_same_time() {
    let hold = Member::new(Act::Pass, &[Act::Hold], false);
    let first = Member::new(Act::Pass, &[Act::Pass, Act::Hold], false);
    let mut bed = Bed { buffer: Vec::new(), members: vec![first, hold] };
    let mut flow = Flow::new(2);
    assert_eq!(flow.on_headers(&mut bed, false), Action::Continue);
    bed.buffer.extend_from_slice(b"ab");
    assert_eq!(flow.on_body(&mut bed, 2, false), Action::Pause);
    bed.buffer.extend_from_slice(b"cde");
    assert_eq!(flow.on_body(&mut bed, 5, false), Action::Pause);
    assert_eq!(
        (flow.held(0), flow.held(1)),
        (Window { start: 2, length: 3 }, Window { start: 0, length: 2 })
    );
    // What the inner one lets go waits for the outer one: Envoy's buffer goes on whole.
    bed.let_go(1, Window { start: 0, length: 2 });
    assert_eq!(flow.resume(&mut bed, 1, 2), Action::Pause);
    assert_eq!(flow.held(0), Window { start: 2, length: 3 });
    bed.let_go(0, Window { start: 2, length: 3 });
    assert_eq!(flow.resume(&mut bed, 0, 3), Action::Pause);
    assert_eq!(
        (flow.held(1), bed.members[1].seen.as_slice()),
        (Window { start: 2, length: 3 }, &b"abcde"[..])
    );
    assert_eq!(flow.resume(&mut bed, 1, 3), Action::Continue);
}
