//! One stream through the module, as Envoy holds it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::config::Config;
use super::current;
use super::ffi::Handle;
use super::reply::Reply;
use super::timer::Scheduler;
use crate::by_number::ByNumber;
use crate::dispatch::{NewRoot, StreamContext};

thread_local! {
    /// All streams of this thread.
    static ALL: RefCell<ByNumber<Weak<Stream>>> = RefCell::default();
    static NEXT_CONTEXT: Cell<u32> = const { Cell::new(FIRST_CONTEXT) };
}

/// Contexts below are configurations'.
const FIRST_CONTEXT: u32 = 1 << 31;

/// A filter of Envoy, and what runs in it.
pub(crate) struct Stream {
    pub(crate) filter: Handle,
    pub(crate) context: u32,
    pub(crate) config: Arc<Config>,
    scheduler: OnceCell<Arc<Scheduler>>,
    running: OnceCell<Option<Rc<dyn StreamContext>>>,
    /// It has panicked: nothing is shown to it any more.
    pub(crate) broken: Cell<bool>,
    /// The exchange that it is an attempt of.
    exchange: RefCell<Weak<Self>>,
    /// Envoy answers its filter no more.
    pub(crate) gone: Cell<bool>,
    /// It has been told of its end.
    pub(crate) done: Cell<bool>,
    /// An answer has come, or a reply stands in its place.
    pub(crate) answered: Cell<bool>,
    /// The reply that it is being told of.
    pub(crate) reply: RefCell<Option<Reply>>,
    /// The request's headers have changed since Envoy chose a route.
    pub(crate) rerouted: Cell<bool>,
}

impl Stream {
    pub(crate) fn new(config: Arc<Config>, filter: Handle) -> Rc<Self> {
        let context = NEXT_CONTEXT.get();
        NEXT_CONTEXT.set(context.wrapping_add(1).max(FIRST_CONTEXT));
        let stream = Rc::new(Self {
            filter,
            context,
            config,
            scheduler: OnceCell::new(),
            running: OnceCell::new(),
            broken: Cell::default(),
            exchange: RefCell::default(),
            gone: Cell::default(),
            done: Cell::default(),
            answered: Cell::default(),
            reply: RefCell::default(),
            rerouted: Cell::default(),
        });
        ALL.with_borrow_mut(|all| all.insert(context, Rc::downgrade(&stream)));
        stream
    }

    /// Begins what runs in it: with the request's headers, for before Envoy has nothing to tell of the stream, and an
    /// answer to a request that never came is none of the filters' (so it is for Wasm).
    pub(crate) fn begin(&self, new_root: NewRoot) {
        self.running.get_or_init(|| self.config.root(new_root)?.create_stream(self.context));
    }

    /// What runs in it, unless it has panicked.
    pub(crate) fn running(&self) -> Option<&Rc<dyn StreamContext>> {
        self.running.get()?.as_ref().filter(|_| !self.broken.get())
    }

    /// The filter that Envoy can be asked through about this exchange: its own while Envoy answers that.
    pub(crate) fn informant(&self) -> Option<Handle> {
        if !self.gone.get() {
            return Some(self.filter);
        }
        self.exchange
            .borrow()
            .upgrade()
            .filter(|exchange| !exchange.gone.get())
            .map(|exchange| exchange.filter)
    }

    /// Posts to it.
    pub(crate) fn scheduler(&self) -> Arc<Scheduler> {
        Arc::clone(self.scheduler.get_or_init(|| Scheduler::of_stream(self.filter)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // While the thread ends there is no list any more.
        let _ = ALL.try_with(|all| all.borrow_mut().remove(&self.context));
    }
}

/// The stream at hand is an attempt of the exchange with this context.
pub(crate) fn join(context: u32) {
    let exchange = ALL.with_borrow(|all| all.get(&context).cloned());
    if let (Some(stream), Some(exchange)) = (current::stream(), exchange) {
        stream.exchange.replace(exchange);
    }
}
