//! Configurations: one of Envoy's for the whole process, and of each the filters that a thread has made from it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use super::ffi::Handle;
use super::lock;
use super::timer::Scheduler;
use crate::by_number::ByNumber;
use crate::dispatch::{NewRoot, RootContext};

/// A filter as configured.
#[derive(Debug)]
pub(crate) struct Config {
    /// Tells it from all others of the process.
    pub(crate) id: u32,
    /// Which filter of the module it is.
    pub(crate) name: String,
    /// Its configuration.
    pub(crate) text: Vec<u8>,
    /// Posts to it on the main thread; `None` for what only network filters have.
    scheduler: Option<Arc<Scheduler>>,
}

/// What a thread has made from a configuration.
struct Made {
    of: Weak<Config>,
    root: Rc<dyn RootContext>,
}

/// Those that Envoy has.
static IN_FORCE: LazyLock<Mutex<HashMap<u32, Arc<Scheduler>>>> = LazyLock::new(Mutex::default);

thread_local! {
    static ROOTS: RefCell<ByNumber<Made>> = RefCell::default();
    /// The configuration that is being read.
    static READING: RefCell<Option<Arc<Config>>> = const { RefCell::new(None) };
}

impl Config {
    /// A configuration as Envoy hands it over; `config` is what Envoy knows an HTTP filter's by.
    pub(crate) fn new(config: Option<Handle>, name: &[u8], text: &[u8]) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            name: String::from_utf8_lossy(name).into_owned(),
            text: text.to_vec(),
            scheduler: config.map(Scheduler::of_config),
        })
    }

    /// Takes it down as one that Envoy has.
    pub(crate) fn begin(&self) {
        if let Some(scheduler) = &self.scheduler {
            lock(&IN_FORCE).insert(self.id, Arc::clone(scheduler));
        }
    }

    /// Envoy has it no longer.
    pub(crate) fn end(&self) {
        let ended = lock(&IN_FORCE).remove(&self.id);
        drop(ended);
    }

    /// What this thread has made from it; made now if there is nothing yet. `None`: it is refused.
    pub(crate) fn root(self: &Arc<Self>, new_root: NewRoot) -> Option<Rc<dyn RootContext>> {
        if let Some(root) = ROOTS.with_borrow(|roots| roots.get(&self.id).map(|made| Rc::clone(&made.root))) {
            return Some(root);
        }
        let outer = READING.replace(Some(Arc::clone(self)));
        let root = new_root(self.id);
        let is_taken = root.on_configure();
        READING.set(outer);
        is_taken.then(|| {
            keep(self.id, Made { of: Arc::downgrade(self), root: Rc::clone(&root) });
            root
        })
    }
}

/// Keeps what this thread has made, and drops what it has made from configurations that are gone.
fn keep(id: u32, made: Made) {
    let gone: Vec<Made> = ROOTS.with_borrow_mut(|roots| {
        let gone = roots.extract_if(|_, made| made.of.strong_count() == 0).map(|(_, made)| made).collect();
        roots.insert(id, made);
        gone
    });
    // Dropped here, where nothing is borrowed.
    drop(gone);
}

/// The configuration that is being read.
pub(crate) fn reading() -> Option<Arc<Config>> {
    READING.with_borrow(Clone::clone)
}

/// Posts to the configuration with this number.
pub(crate) fn scheduler(id: u32) -> Option<Arc<Scheduler>> {
    lock(&IN_FORCE).get(&id).map(Arc::clone)
}
