//! The root context of a filter: holds its configuration, starts its streams.

use std::cell::RefCell;
use std::rc::Rc;

use sluice_core::config::RouteConfigs;
use sluice_core::filter::{CalloutId, Filter};

use crate::abi::{self, BufferType, Level};
use crate::callout::callout_reply;
use crate::detached::Detached;
use crate::dispatch::{RootContext, StreamContext};
use crate::shared;
use crate::stream::Stream;
use crate::wake::Waiting;

/// Root context of filter `F`.
pub struct Root<F: Filter> {
    context: u32,
    configs: RefCell<Option<Rc<RouteConfigs<F::Config>>>>,
    waiting: Rc<Waiting>,
    detached: Rc<Detached<F>>,
}

impl<F: Filter> Root<F> {
    /// A root that waits for its configuration.
    #[must_use]
    pub fn new(context: u32) -> Self {
        let waiting = Rc::default();
        let detached = Detached::new(context, Rc::clone(&waiting));
        Self { context, configs: RefCell::default(), waiting, detached }
    }
}

impl<F: Filter> RootContext for Root<F> {
    /// `false` makes Envoy refuse the listener at start, and keep the old configuration on a live update.
    fn on_configure(&self) -> bool {
        shared::prepare();
        let bytes = abi::buffer(BufferType::PluginConfiguration, 0, usize::MAX >> 1).unwrap_or_default();
        let env = |name: &str| std::env::var(name).ok();
        match RouteConfigs::parse(&bytes, |raw| F::check(raw, &env)) {
            Ok(configs) => {
                self.configs.replace(Some(Rc::new(configs)));
                true
            }
            Err(refused) => {
                abi::log(Level::Error, &format!("{}: {refused}", F::NAME));
                false
            }
        }
    }

    fn on_tick(&self) {
        let now_ms = abi::now_ns().checked_div(1_000_000).unwrap_or_default();
        self.waiting.tick(self.context, now_ms);
    }

    fn on_callout(&self, token: u32, body_size: usize) {
        self.detached.callout_ended(CalloutId(token), callout_reply(body_size));
    }

    fn create_stream(&self, context: u32) -> Option<Rc<dyn StreamContext>> {
        let configs = self.configs.borrow().clone();
        let (waiting, detached) = (Rc::clone(&self.waiting), Rc::clone(&self.detached));
        Some(Rc::new(Stream::<F>::new(context, configs, waiting, detached)))
    }
}

/// The `root_id` of the plugin being configured: which of a module's filters is meant.
#[must_use]
pub fn root_id() -> String {
    let id = abi::property(b"plugin_root_id").unwrap_or_default();
    String::from_utf8_lossy(&id).into_owned()
}

/// Stands in for a filter that the module does not hold: refuses its configuration, saying so.
pub struct Unknown {
    /// The `root_id` asked for.
    pub root_id: String,
    /// What the module holds.
    pub known: &'static [&'static str],
}

impl RootContext for Unknown {
    fn on_configure(&self) -> bool {
        let known = self.known.join(", ");
        abi::log(
            Level::Error,
            &format!("root_id {:?} names no filter of this module; it holds: {known}", self.root_id),
        );
        false
    }

    fn on_tick(&self) {}

    fn on_callout(&self, _: u32, _: usize) {}

    fn create_stream(&self, _: u32) -> Option<Rc<dyn StreamContext>> {
        None
    }
}
