//! What the filters of one chain share about an exchange: its facts, its headers, and Envoy's buffers.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};

use sluice_core::filter::{Headers, Side, StreamId};
use sluice_core::target::{self, Target};

use crate::abi::{self, BufferType, MapType};
use crate::facts::Store;
use crate::flow::Window;
use crate::platform;
use crate::wake::Wake;

/// The exchange of one stream context.
pub(crate) struct Stage {
    /// The stream's context.
    pub(crate) context: u32,
    /// The root context of its chain.
    pub(crate) root: u32,
    /// The facts of the exchange.
    pub(crate) facts: Store,
    /// Wakes the stream.
    pub(crate) waker: Weak<dyn Wake>,
    sides: [Seen; 2],
    target: OnceCell<Rc<Target>>,
    now_ns: Cell<Option<u64>>,
    callouts: RefCell<Vec<(u32, usize)>>,
}

/// One side, as far as it was read in the callback at hand.
#[derive(Default)]
struct Seen {
    headers: RefCell<Option<Headers>>,
    /// Bytes in Envoy's buffer.
    size: Cell<usize>,
    body: RefCell<Option<(Window, Rc<Vec<u8>>)>>,
}

fn header_map(side: Side) -> MapType {
    match side {
        Side::Request => MapType::Request,
        Side::Response => MapType::Response,
    }
}

fn body_buffer(side: Side) -> BufferType {
    match side {
        Side::Request => BufferType::RequestBody,
        Side::Response => BufferType::ResponseBody,
    }
}

impl Stage {
    pub(crate) fn new(context: u32, root: u32, facts: Store, waker: Weak<dyn Wake>) -> Self {
        Self {
            context,
            root,
            facts,
            waker,
            sides: Default::default(),
            target: OnceCell::new(),
            now_ns: Cell::default(),
            callouts: RefCell::default(),
        }
    }

    fn seen(&self, side: Side) -> &Seen {
        let [request, response] = &self.sides;
        match side {
            Side::Request => request,
            Side::Response => response,
        }
    }

    /// Forgets what was read: between two callbacks, others change headers and bodies. Headers that the chain holds are
    /// still as they were.
    pub(crate) fn forget(&self, held: Option<Side>) {
        self.now_ns.take();
        for side in [Side::Request, Side::Response] {
            self.seen(side).body.take();
            if held != Some(side) {
                self.seen(side).headers.take();
            }
        }
    }

    /// The time, in nanoseconds since the epoch; the same throughout a callback.
    pub(crate) fn now_ns(&self) -> u64 {
        let now_ns = self.now_ns.get().unwrap_or_else(abi::now_ns);
        self.now_ns.set(Some(now_ns));
        now_ns
    }

    /// Member `at` of the chain, as [`StreamId`].
    pub(crate) fn member(&self, at: usize) -> StreamId {
        member(self.context, at)
    }

    /// Notes that callout `token` is one of member `at`.
    pub(crate) fn expect_callout(&self, token: u32, at: usize) {
        platform::expect_callout(token, self.context);
        self.callouts.borrow_mut().push((token, at));
    }

    /// The member whose callout this was.
    pub(crate) fn take_callout(&self, token: u32) -> Option<usize> {
        let mut callouts = self.callouts.borrow_mut();
        let at = callouts.iter().position(|(known, _)| *known == token)?;
        Some(callouts.swap_remove(at).1)
    }

    /// Callouts that have not ended, each gone with the stream.
    pub(crate) fn open_callouts(&self) -> Vec<u32> {
        self.callouts.borrow().iter().map(|(token, _)| *token).collect()
    }

    pub(crate) fn headers(&self, side: Side) -> Headers {
        let read = || abi::headers(header_map(side));
        self.seen(side).headers.borrow_mut().get_or_insert_with(read).clone()
    }

    /// One value: a third of the cost of reading all, unless all have been read.
    pub(crate) fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        match &*self.seen(side).headers.borrow() {
            Some(headers) => headers.get(name).map(<[u8]>::to_vec),
            None => abi::header(header_map(side), name),
        }
    }

    pub(crate) fn set_header(&self, side: Side, name: &str, value: &str) {
        abi::set_header(header_map(side), name, value);
        self.keep_up(side, |headers| headers.set(name, value.as_bytes()));
    }

    /// Of a header that is known to be absent, the host is not asked.
    pub(crate) fn remove_header(&self, side: Side, name: &str) {
        let is_absent = |known: &Headers| !known.has(name);
        if self.seen(side).headers.borrow().as_ref().is_some_and(is_absent) {
            return;
        }
        abi::remove_header(header_map(side), name);
        self.keep_up(side, |headers| _ = headers.remove(name));
    }

    /// Makes a change to the headers that were read, too. Where a filter still looks at them, whoever wants the changed
    /// ones reads them anew: most often nobody does.
    fn keep_up(&self, side: Side, change: impl FnOnce(&mut Headers)) {
        let mut known = self.seen(side).headers.borrow_mut();
        match &mut *known {
            Some(headers) if headers.is_shared() => *known = None,
            Some(headers) => change(headers),
            None => {}
        }
    }

    /// The endpoint chosen, for which several filters of an attempt ask.
    pub(crate) fn target(&self) -> Option<Rc<Target>> {
        if let Some(target) = self.target.get() {
            return Some(Rc::clone(target));
        }
        let target = Target::parse(abi::attribute(target::ATTRIBUTE)?)?;
        Some(Rc::clone(self.target.get_or_init(|| target)))
    }

    /// Takes down how much Envoy's buffer holds.
    pub(crate) fn set_size(&self, side: Side, size: usize) {
        self.seen(side).size.set(size);
    }

    /// How much Envoy's buffer holds.
    fn size(&self, side: Side) -> usize {
        self.seen(side).size.get()
    }

    /// The bytes of `window`. Filters that look at the same ones in one callback share one copy.
    pub(crate) fn read(&self, side: Side, window: Window) -> Rc<Vec<u8>> {
        let mut known = self.seen(side).body.borrow_mut();
        if let Some((at, bytes)) = &*known
            && *at == window
        {
            return Rc::clone(bytes);
        }
        let bytes = match window.length {
            0 => None,
            length => abi::buffer(body_buffer(side), window.start, length),
        };
        let bytes = Rc::new(bytes.unwrap_or_default());
        *known = Some((window, Rc::clone(&bytes)));
        bytes
    }

    /// Puts `bytes` in the place of `window`; `false` if the host refused.
    pub(crate) fn replace(&self, side: Side, window: Window, bytes: &[u8]) -> bool {
        let size = self.size(side);
        let end = window.start.saturating_add(window.length);
        let is_whole = window.start == 0 && end >= size;
        let done = if is_whole {
            abi::set_buffer(body_buffer(side), bytes)
        } else {
            // Only all of a buffer can be replaced.
            let all = abi::buffer(body_buffer(side), 0, size).unwrap_or_default();
            let before = all.get(..window.start).unwrap_or_default();
            let after = all.get(end..).unwrap_or_default();
            abi::set_buffer(body_buffer(side), &[before, bytes, after].concat())
        };
        if done {
            self.resized(side, window, bytes.len());
        }
        done
    }

    /// Puts `bytes` behind `window`; `false` if the host refused.
    pub(crate) fn append(&self, side: Side, window: Window, bytes: &[u8]) -> bool {
        let behind = Window { start: window.start.saturating_add(window.length), length: 0 };
        if behind.start < self.size(side) {
            return self.replace(side, behind, bytes);
        }
        let done = abi::append_buffer(body_buffer(side), bytes);
        if done {
            self.resized(side, behind, bytes.len());
        }
        done
    }

    fn resized(&self, side: Side, window: Window, length: usize) {
        let size = self.size(side).saturating_sub(window.length).saturating_add(length);
        self.set_size(side, size);
        self.seen(side).body.take();
    }
}

/// Member `at` of the chain with this context, be it a stream's or a root.
pub(crate) fn member(context: u32, at: usize) -> StreamId {
    let at = u64::try_from(at).unwrap_or(u64::MAX) & 0xff;
    StreamId(u64::from(context) << 8 | at)
}
