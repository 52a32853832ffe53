//! A filter without its type, so that what carries filters is compiled once and not once for each of them.

use std::rc::Rc;

use sluice_core::config::RouteConfigs;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host, Next, Note};

/// The answer of a callout, or why there is none.
pub(crate) type Answer = Result<CalloutReply, CalloutError>;

/// A filter that a module holds.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its plugin name.
    pub name: &'static str,
    parse: fn(&str) -> Result<Rc<dyn Settings>, String>,
}

impl Kind {
    /// The kind of filter `F`.
    #[must_use]
    pub const fn of<F: Filter>() -> Self {
        Self { name: F::NAME, parse: parse::<F> }
    }

    /// Reads a configuration; the error is the plugin's own.
    pub(crate) fn parse(&self, json: &str) -> Result<Rc<dyn Settings>, String> {
        (self.parse)(json)
    }
}

fn parse<F: Filter>(json: &str) -> Result<Rc<dyn Settings>, String> {
    let env = |name: &str| std::env::var(name).ok();
    let check = |raw| F::check(raw, &env).map(|config| Of::<F>(Rc::new(config)));
    let configs = RouteConfigs::parse(json.as_bytes(), check).map_err(|refused| refused.to_string())?;
    Ok(Rc::new(configs))
}

/// The configurations of one filter, by route.
pub(crate) trait Settings {
    /// Whether any route has one of its own.
    fn has_overrides(&self) -> bool;
    /// The one in force on `route`.
    fn get(&self, route: &str) -> Rc<dyn Setting>;
}

/// A filter's configuration, and what begins with one.
pub(crate) trait Setting {
    /// As [`Filter::new`].
    fn start(&self) -> Box<dyn Live>;
    /// As [`Filter::on_detached_callout`].
    fn on_detached_callout(&self, host: &mut dyn Host, note: Note, reply: Answer);
    /// As [`Filter::on_detached_wake`].
    fn on_detached_wake(&self, host: &mut dyn Host);
}

/// A filter over one stream: the callbacks of [`Filter`].
pub(crate) trait Live {
    fn on_request_headers(&mut self, host: &mut dyn Host, end: bool) -> Next;
    fn on_request_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next;
    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next;
    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next;
    fn on_callout(&mut self, host: &mut dyn Host, id: CalloutId, reply: Answer) -> Option<Next>;
    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next>;
    fn on_done(&mut self, host: &mut dyn Host);
}

/// The configuration of `F`.
struct Of<F: Filter>(Rc<F::Config>);

impl<F: Filter> Settings for RouteConfigs<Of<F>> {
    fn has_overrides(&self) -> bool {
        Self::has_overrides(self)
    }

    fn get(&self, route: &str) -> Rc<dyn Setting> {
        Self::get(self, route)
    }
}

impl<F: Filter> Setting for Of<F> {
    fn start(&self) -> Box<dyn Live> {
        Box::new(F::new(Rc::clone(&self.0)))
    }

    fn on_detached_callout(&self, host: &mut dyn Host, note: Note, reply: Answer) {
        F::on_detached_callout(&self.0, host, note, reply);
    }

    fn on_detached_wake(&self, host: &mut dyn Host) {
        F::on_detached_wake(&self.0, host);
    }
}

impl<F: Filter> Live for F {
    fn on_request_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        Filter::on_request_headers(self, host, end)
    }

    fn on_request_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        Filter::on_request_body(self, host, part, end)
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        Filter::on_response_headers(self, host, end)
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        Filter::on_response_body(self, host, part, end)
    }

    fn on_callout(&mut self, host: &mut dyn Host, id: CalloutId, reply: Answer) -> Option<Next> {
        Filter::on_callout(self, host, id, reply)
    }

    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next> {
        Filter::on_wake(self, host)
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        Filter::on_done(self, host);
    }
}
