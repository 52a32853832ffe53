//! The root context of a filter: holds its configuration, starts its streams.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use sluice_core::config::RouteConfigs;
use sluice_core::filter::Filter;

use crate::abi;
use crate::stream::Stream;
use crate::wake::Waiting;

/// Root context of filter `F`.
pub struct Root<F: Filter> {
    context: u32,
    configs: Option<Rc<RouteConfigs<F::Config>>>,
    waiting: Rc<Waiting>,
}

impl<F: Filter> Root<F> {
    /// A root that waits for its configuration.
    #[must_use]
    pub fn new(context: u32) -> Self {
        Self { context, configs: None, waiting: Rc::default() }
    }
}

impl<F: Filter> Context for Root<F> {}

impl<F: Filter> RootContext for Root<F> {
    /// `false` makes Envoy refuse the listener at start, and keep the old configuration on a live update.
    fn on_configure(&mut self, _: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        let env = |name: &str| std::env::var(name).ok();
        match RouteConfigs::parse(&bytes, |raw| F::check(raw, &env)) {
            Ok(configs) => {
                self.configs = Some(Rc::new(configs));
                true
            }
            Err(refused) => {
                abi::log(LogLevel::Error, &format!("{}: {refused}", F::NAME));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let now_ms = abi::now_ns().checked_div(1_000_000).unwrap_or_default();
        self.waiting.tick(self.context, now_ms);
    }

    /// Never `None`: the SDK panics on it. Without a configuration the stream passes unseen.
    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::<F>::new(context, self.configs.clone(), Rc::clone(&self.waiting))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
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

impl Context for Unknown {}

impl RootContext for Unknown {
    fn on_configure(&mut self, _: usize) -> bool {
        let known = self.known.join(", ");
        abi::log(
            LogLevel::Error,
            &format!("root_id {:?} names no filter of this module; it holds: {known}", self.root_id),
        );
        false
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
