//! The root context of a chain of filters: holds their configurations, starts their streams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use sluice_core::chain::{Chain, Link, ROOT_ID as CHAIN};
use sluice_core::filter::CalloutId;
#[cfg(not(target_family = "wasm"))]
use sluice_core::filter::StreamId;
use xxhash_rust::xxh3::xxh3_128;

use crate::abi::{self, BufferType, Level};
use crate::callout::callout_reply;
use crate::detached::Detached;
use crate::dispatch::{RootContext, StreamContext};
use crate::exchange::Exchange;
use crate::facts::Store;
use crate::kind::{Kind, Settings};
use crate::shared;
use crate::stream::Stream;
use crate::wake::Waiting;

/// A configuration by plugin and digest of its text.
type ConfigKey = (&'static str, u128);

thread_local! {
    /// Configurations in use: a change of one filter of a chain leaves the others as they are, with what they have learnt.
    static IN_USE: RefCell<HashMap<ConfigKey, Weak<dyn Settings>>> = RefCell::default();
}

/// A configured filter of a chain.
struct Part {
    name: &'static str,
    at: usize,
    settings: Rc<dyn Settings>,
    detached: Rc<Detached>,
}

impl Part {
    /// Its part in a new exchange.
    fn member(&self) -> Exchange {
        Exchange::new(self.name, self.at, Rc::clone(&self.settings), Rc::clone(&self.detached))
    }
}

/// Reads a configuration, unless the same is in use; the error is the plugin's own.
fn settings(kind: &Kind, json: &str) -> Result<Rc<dyn Settings>, String> {
    let key = (kind.name, xxh3_128(json.as_bytes()));
    let known = IN_USE.with_borrow(|known| known.get(&key).and_then(Weak::upgrade));
    let settings = known.map_or_else(|| kind.parse(json), Ok)?;
    IN_USE.with_borrow_mut(|known| {
        known.retain(|_, settings| settings.strong_count() > 0);
        known.insert(key, Rc::downgrade(&settings));
    });
    Ok(settings)
}

/// Root context of one filter, or of a chain of them.
pub struct Root {
    context: u32,
    /// The filter; `None`: a chain.
    only: Option<Kind>,
    known: &'static [Kind],
    state: RefCell<State>,
    waiting: Rc<Waiting>,
}

#[derive(Default)]
struct State {
    parts: Vec<Part>,
    publish: Option<Rc<[String]>>,
    joins: bool,
}

impl Root {
    /// The root that `root_id` names, which waits for its configuration; `None` if it is neither a filter of these nor
    /// a chain. Of a single one the name does not matter.
    #[must_use]
    pub fn named(root_id: &str, known: &'static [Kind], context: u32) -> Option<Self> {
        let only = match known {
            [only] => Some(*only),
            _ => known.iter().find(|kind| kind.name == root_id).copied(),
        };
        let is_known = only.is_some() || root_id == CHAIN;
        is_known.then(|| Self { context, only, known, state: RefCell::default(), waiting: Rc::default() })
    }

    fn part(&self, kind: &Kind, at: usize, json: &str) -> Result<Part, String> {
        let settings = settings(kind, json)?;
        let detached = Detached::new(kind.name, self.context, at, Rc::clone(&self.waiting));
        Ok(Part { name: kind.name, at, settings, detached })
    }

    fn configure(&self, bytes: &[u8]) -> Result<State, String> {
        let Some(kind) = self.only else { return self.configure_chain(bytes) };
        let text = std::str::from_utf8(bytes)
            .map_err(|_| "configuration is not a JSON object: it is not UTF-8".to_owned());
        let part = text.and_then(|text| self.part(&kind, 0, text));
        let part = part.map_err(|refused| format!("{}: {refused}", kind.name))?;
        Ok(State { parts: vec![part], publish: None, joins: false })
    }

    fn configure_chain(&self, bytes: &[u8]) -> Result<State, String> {
        let chain = Chain::parse(bytes).map_err(|refused| format!("{CHAIN}: {refused}"))?;
        let parts = chain.filters.iter().enumerate().map(|(at, link)| self.link(at, link));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok(State { parts, publish: chain.publish.map(Rc::from), joins: chain.joins })
    }

    fn link(&self, at: usize, link: &Link<'_>) -> Result<Part, String> {
        let Some(kind) = self.known.iter().find(|kind| kind.name == link.name) else {
            return Err(format!(
                "{CHAIN}: filters[{at}].name: {}",
                unknown(&link.name, self.known.iter().map(|kind| kind.name))
            ));
        };
        self.part(kind, at, link.config()).map_err(|refused| format!("{}: {refused}", kind.name))
    }
}

impl RootContext for Root {
    /// `false` makes Envoy refuse the listener at start, and keep the old configuration on a live update.
    fn on_configure(&self) -> bool {
        shared::prepare();
        let bytes = abi::buffer(BufferType::PluginConfiguration, 0, usize::MAX >> 1).unwrap_or_default();
        match self.configure(&bytes) {
            Ok(state) => {
                self.state.replace(state);
                true
            }
            Err(refused) => {
                abi::log(Level::Error, &refused);
                false
            }
        }
    }

    #[cfg(target_family = "wasm")]
    fn on_tick(&self) {
        let now_ms = abi::now_ns().checked_div(1_000_000).unwrap_or_default();
        self.waiting.tick(self.context, now_ms);
    }

    #[cfg(not(target_family = "wasm"))]
    fn on_due(&self, member: StreamId) {
        self.waiting.due(member);
    }

    #[cfg(not(target_family = "wasm"))]
    fn on_errands(&self) {
        for mail in crate::platform::errands::take(self.context) {
            if let Some(part) = self.state.borrow().parts.get(mail.at) {
                part.detached.carry_out(mail.errand, &part.settings.get(&mail.route));
            }
        }
    }

    fn on_callout(&self, token: u32, body_size: usize) {
        let id = CalloutId(token);
        let state = self.state.borrow();
        if let Some(part) = state.parts.iter().find(|part| part.detached.awaits(id)) {
            part.detached.callout_ended(id, callout_reply(body_size));
        }
    }

    fn create_stream(&self, context: u32) -> Option<Rc<dyn StreamContext>> {
        let state = self.state.borrow();
        let members: Vec<_> = state.parts.iter().map(Part::member).collect();
        let facts = Store::open(context, state.publish.as_ref(), state.joins);
        if members.is_empty() {
            return None;
        }
        Some(Stream::new(context, self.context, facts, members))
    }
}

/// The `root_id` of the plugin being configured: which of a module's filters is meant.
#[must_use]
pub fn root_id() -> String {
    let id = abi::attribute(&["plugin_root_id"]).unwrap_or_default();
    String::from_utf8_lossy(&id).into_owned()
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.collect();
    format!("{name:?} names no filter of this module; it holds: {}", known.join(", "))
}

/// Stands in for a filter that the module does not hold: refuses its configuration, saying so.
pub struct Unknown {
    /// The `root_id` asked for.
    pub root_id: String,
    /// What the module holds.
    pub known: Vec<&'static str>,
}

impl RootContext for Unknown {
    fn on_configure(&self) -> bool {
        let known = self.known.iter().copied();
        abi::log(Level::Error, &format!("root_id {}", unknown(&self.root_id, known)));
        false
    }

    #[cfg(target_family = "wasm")]
    fn on_tick(&self) {}

    #[cfg(not(target_family = "wasm"))]
    fn on_due(&self, _: StreamId) {}

    #[cfg(not(target_family = "wasm"))]
    fn on_errands(&self) {}

    fn on_callout(&self, _: u32, _: usize) {}

    fn create_stream(&self, _: u32) -> Option<Rc<dyn StreamContext>> {
        None
    }
}
