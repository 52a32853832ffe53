//! The policies of a configuration, as the filters have them, and what they make of a recorded request.

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

use ai_log::AiLog;
use consumer_auth::{CONSUMER_HEADER, ConsumerAuth, Identity};
use model_router::config::Sticky;
use model_router::request::RequestFacts;
use model_router::{Allowed, ModelRouter, rules};
use response_cache::ResponseCache;
use sluice_core::openai::error::Code;
use sluice_core::price::Prices;
use sluice_core::when::Caller as Asker;
use token_limit::TokenLimit;
use token_limit::config::Dimension;

use super::callers::Callers;
use super::decision::Refusal;
use super::provider::{self, Step};
use super::record::{Entry, Record};
use crate::explain::config;
use crate::gateway::{Action, CheckOptions, Failure, Gateway, Guard};
use crate::render::{self, Rendering};

/// Errors by which consumer-auth refuses: what the request asked for was not looked at.
const UNREAD: [Code; 6] = [
    Code::MissingApiKey,
    Code::InvalidApiKey,
    Code::ExpiredApiKey,
    Code::AmbiguousApiKey,
    Code::IpNotAllowed,
    Code::RouteNotAllowed,
];

/// Errors that a request brings about by itself, whatever is configured.
const OWN: [Code; 5] = [
    Code::InvalidJson,
    Code::MissingModel,
    Code::UnsupportedContentType,
    Code::NotFound,
    Code::RequestTooLarge,
];

/// The policies of one gateway.yaml.
pub(super) struct Policies<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) callers: Rc<consumer_auth::Config>,
    router: Rc<model_router::config::Config>,
    /// `None`: there are none.
    pub(super) limits: Option<Rc<token_limit::Config>>,
    /// `None`: there is none.
    pub(super) cache: Option<Rc<response_cache::Config>>,
    pub(super) prices: Prices,
}

/// What consumer-auth and model-router make of a request.
pub(super) enum Judged<'a> {
    /// An error.
    Refused(Refusal),
    /// What they made of it then: it asks for no model, or is at fault itself.
    Carried,
    /// It is let in now; what it asks for is not in the log.
    Unread,
    /// It goes on.
    Routed(Box<Routed<'a>>),
}

/// A request on its way.
pub(super) struct Routed<'a> {
    pub(super) caller: Identity<'a>,
    /// The configuration does not have the caller's key any more.
    pub(super) by_name: bool,
    /// Which of the rules.
    pub(super) rule_at: usize,
    pub(super) rule: String,
    pub(super) target: String,
    pub(super) base_model: String,
    /// Whom it asks, attempt by attempt.
    pub(super) chain: Vec<Step>,
    /// What filters see of its headers.
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl<'a> Policies<'a> {
    /// # Errors
    /// A plugin refuses what was rendered for it: a fault of this program, not of the file.
    pub(super) fn new(gateway: &'a Gateway, options: &CheckOptions<'_>) -> Result<Self, String> {
        let nowhere = Path::new("/");
        let rendering = Rendering { directory: nowhere, module: nowhere, roots: nowhere, access_log: None };
        // ledgers are kept here, wherever the gateway has them: the arithmetic is the same
        let rendered = render::render(&Gateway { redis: None, ..gateway.clone() }, &rendering);
        let limited = !gateway.limits.is_empty();
        Ok(Self {
            gateway,
            callers: config::<ConsumerAuth>(&rendered, options)?,
            router: config::<ModelRouter>(&rendered, options)?,
            limits: limited.then(|| config::<TokenLimit>(&rendered, options)).transpose()?,
            cache: gateway.cache.as_ref().map(|_| config::<ResponseCache>(&rendered, options)).transpose()?,
            prices: config::<AiLog>(&rendered, options)?.prices.clone(),
        })
    }

    /// What becomes of a request up to the limits.
    pub(super) fn judge<'c>(&self, callers: &Callers<'c>, entry: &Entry) -> Judged<'c> {
        let refused = |code: &str| Judged::Refused(Refusal { code: code.to_owned(), limit: None });
        let record = &entry.record;
        let is_one_of =
            |codes: &[Code]| codes.iter().any(|code| record.error.as_deref() == Some(code.name()));
        let caller = match callers.identify(record) {
            Ok(caller) => caller,
            Err(code) => return refused(code),
        };
        if let Err(code) = caller.admit(entry) {
            return refused(code);
        }
        if is_one_of(&UNREAD) {
            return Judged::Unread;
        }
        let Some(model) = record.model.as_deref().filter(|_| record.method == "POST" && !is_one_of(&OWN))
        else {
            return Judged::Carried;
        };
        let Some(mut routed) = self.route(record, model, caller.identity) else {
            return refused(Code::ModelNotFound.name());
        };
        if !Allowed::new(caller.identity.models()).has(model) {
            return refused(Code::ModelNotAllowed.name());
        }
        routed.by_name = caller.by_name;
        Judged::Routed(Box::new(routed))
    }

    fn route<'c>(&self, record: &Record, model: &str, caller: Identity<'c>) -> Option<Routed<'c>> {
        let has = |name: &str| record.has.iter().any(|has| has == name);
        let facts = RequestFacts {
            model: Some(model.to_owned()),
            input_tokens: record.input_estimate.unwrap_or(0),
            tools: has("tools"),
            images: has("images"),
            ..RequestFacts::default()
        };
        let open = self.callers.is_open();
        let header = |name: &str| match name {
            CONSUMER_HEADER => (!open).then(|| caller.name()),
            name => record.headers.get(name).map(String::as_str),
        };
        let asker = Asker { consumer: Some(caller.name()), tier: caller.tier(), header: &header };
        let decision = rules::decide(&self.router, model, &facts, &asker, &record.request_id)?;
        let rule_at = self.router.rules.iter().position(|rule| std::ptr::eq(rule, decision.rule))?;
        let own = self.gateway.models.get(rule_at)?;
        let target_at =
            decision.rule.targets.iter().position(|target| std::ptr::eq(target, decision.target))?;
        let hop = &own.targets.get(target_at)?.hop;
        let consumer = header(CONSUMER_HEADER).map(|name| (CONSUMER_HEADER, name));
        let fixed =
            [(":method", &*record.method), (":path", &*record.path), ("x-request-id", &*record.request_id)];
        let logged = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers = fixed.into_iter().chain(consumer).chain(logged);
        Some(Routed {
            caller,
            by_name: false,
            rule_at,
            rule: decision.rule.name.clone(),
            target: decision.target.name.clone(),
            base_model: decision.base_model.to_owned(),
            chain: provider::chain(self.gateway, own, hop, decision.base_model),
            headers: headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect(),
        })
    }

    /// Headers that rules and limits look at, in lower case.
    pub(super) fn headers(&self) -> BTreeSet<&str> {
        let of_rules = self.router.rules.iter().flat_map(|rule| {
            let sticky = match &rule.sticky {
                Sticky::Header(name) => Some(name.as_str()),
                Sticky::Consumer | Sticky::Request => None,
            };
            rule.when.headers.iter().map(|(name, _)| name.as_str()).chain(sticky)
        });
        let limits = self.limits.iter().flat_map(|config| &config.limits);
        let of_limits = limits.flat_map(|limit| {
            let by = limit.by.iter().filter_map(|by| match by {
                Dimension::Header(name) => Some(name.as_str()),
                _ => None,
            });
            limit.when.headers.iter().map(|(name, _)| name.as_str()).chain(by)
        });
        of_rules.chain(of_limits).filter(|name| ![CONSUMER_HEADER, "x-request-id"].contains(name)).collect()
    }

    /// Whether the content checks still block a request that they blocked then. They cannot look at it again, but one
    /// that is gone, or does no more than log, blocks nothing.
    pub(super) fn still_blocks(&self, record: &Record) -> bool {
        let Some(Guard { checks, on_error, .. }) = &self.gateway.guard else { return false };
        let mut names = record.blocked_by("request").peekable();
        if names.peek().is_none() {
            return *on_error == Failure::Deny; // it could not be read, or a service did not answer
        }
        let blocks =
            |name: &str| checks.iter().any(|check| check.name == name && check.action == Action::Block);
        names.any(blocks)
    }
}
