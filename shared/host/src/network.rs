//! Contexts of a [`NetworkFilter`]: its root, and one for each connection.

use std::cell::RefCell;
use std::rc::Rc;

use sluice_core::config::RouteConfigs;
use sluice_core::network::{NetworkFilter, Way};

use crate::abi::{self, BufferType, Level};
use crate::dispatch::{ConnectionContext, RootContext};
use crate::envoy::Envoy;

/// Root context of network filter `F`.
pub struct NetworkRoot<F: NetworkFilter> {
    context: u32,
    config: RefCell<Option<Rc<F::Config>>>,
}

impl<F: NetworkFilter> NetworkRoot<F> {
    /// A root that waits for its configuration.
    #[must_use]
    pub fn new(context: u32) -> Self {
        Self { context, config: RefCell::default() }
    }
}

impl<F: NetworkFilter> RootContext for NetworkRoot<F> {
    fn on_configure(&self) -> bool {
        let bytes = abi::buffer(BufferType::PluginConfiguration, 0, usize::MAX >> 1).unwrap_or_default();
        let env = |name: &str| std::env::var(name).ok();
        match RouteConfigs::parse(&bytes, |raw| F::check(raw, &env)) {
            Ok(configs) => {
                self.config.replace(Some(configs.get("")));
                true
            }
            Err(refused) => {
                abi::log(Level::Error, &format!("{}: {refused}", F::NAME));
                false
            }
        }
    }

    #[cfg(target_family = "wasm")]
    fn on_tick(&self) {}

    #[cfg(not(target_family = "wasm"))]
    fn on_due(&self, _: sluice_core::filter::StreamId) {}

    #[cfg(not(target_family = "wasm"))]
    fn on_errands(&self) {}

    fn on_callout(&self, _: u32, _: usize) {}

    fn create_connection(&self, context: u32) -> Option<Rc<dyn ConnectionContext>> {
        let config = self.config.borrow().clone()?;
        let filter = RefCell::new(F::new(config));
        Some(Rc::new(Connection { context, root: self.context, filter }))
    }
}

struct Connection<F: NetworkFilter> {
    context: u32,
    root: u32,
    filter: RefCell<F>,
}

impl<F: NetworkFilter> ConnectionContext for Connection<F> {
    /// Nothing is ever held: what waits is the filter's. (A pause would stop reads, and the filter would be shown
    /// all of the buffer again.)
    fn on_data(&self, way: Way, size: usize) {
        let buffer = match way {
            Way::Out => BufferType::DownstreamData,
            Way::Back => BufferType::UpstreamData,
        };
        let chunk = abi::buffer(buffer, 0, size).unwrap_or_default();
        if chunk.is_empty() {
            return;
        }
        let mut host = Envoy { context: self.context, root: self.root, plugin: F::NAME, ..Envoy::default() };
        let onward = self.filter.borrow_mut().on_bytes(&mut host, way, &chunk);
        if onward.bytes != chunk && !abi::set_buffer(buffer, &onward.bytes) {
            abi::log(Level::Error, &format!("{}: the host refused to replace data", F::NAME));
        }
        if onward.close {
            abi::close_connection();
        }
    }
}
