//! What would happen to a request, and why: the filters' own policies over the configuration as rendered.
//!
//! Nothing is decided here. The configurations are the JSON that the filters get; who calls and whether they may is
//! what [`consumer_auth::Config`] says, [`rules::mismatch`] and [`rules::decide`] are the code that model-router runs,
//! which limits apply is what token-limit says, and which checks look at it and whether the cache is asked is
//! what the configurations of content-guard and response-cache say. So an explanation and the gateway cannot disagree.

mod cache;
mod caller;
mod guard;
mod json;
mod level;
mod limits;
mod served;
mod text;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;

use consumer_auth::ConsumerAuth;
use content_guard::ContentGuard;
use model_router::config::Config;
use model_router::request::RequestFacts;
use model_router::{Allowed, ModelRouter, rules};
use response_cache::ResponseCache;
use sluice_core::config::RouteConfigs;
use sluice_core::filter::Filter;
use sluice_core::openai::error::Code;
use sluice_core::when::Caller as Asker;
use token_limit::TokenLimit;

pub use cache::Cached;
pub use caller::Caller;
pub use guard::Check;
pub use level::{Level, add_levels};
pub use limits::Limit;
pub use served::{Chain, Passed, Served, Step};

use crate::gateway::{CheckOptions, Gateway};
use crate::render::{self, Rendered, Rendering};

/// The request in question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Model as asked.
    pub model: String,
    /// The caller's key, if any: as if it stood behind `Authorization: Bearer`.
    pub key: Option<String>,
    /// The caller's address.
    pub from: IpAddr,
    /// `:path`.
    pub path: String,
    /// Header names in lower case, with their values; of two alike the first counts.
    pub headers: Vec<(String, String)>,
    /// Estimated input tokens.
    pub input_tokens: u64,
    /// Whether it offers tools.
    pub tools: bool,
    /// Whether it holds images.
    pub images: bool,
}

/// A chat completion from this machine.
impl Default for Question {
    fn default() -> Self {
        Self {
            model: String::new(),
            key: None,
            from: Ipv4Addr::LOCALHOST.into(),
            path: "/v1/chat/completions".to_owned(),
            headers: Vec::new(),
            input_tokens: 0,
            tools: false,
            images: false,
        }
    }
}

/// What would happen. Holds no secret; displays as text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Model as asked.
    pub model: String,
    /// Who calls.
    pub caller: Caller,
    /// Why the client gets an error instead of an answer.
    pub refused: Option<Refused>,
    /// Rules before the one that serves, each with its globs and why it does not match. Empty if the caller is refused
    /// before any is looked at.
    pub passed: Vec<Passed>,
    /// Who serves, unless the request is refused.
    pub served: Option<Served>,
    /// Every limit of the file, unless the request is refused before any is looked at.
    pub limits: Vec<Limit>,
    /// Every check of the guard, unless the request is refused before any looks at it.
    pub checks: Vec<Check>,
    /// What the cache does, where there is one and the request gets as far.
    pub cached: Option<Cached>,
}

/// An error of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// Its code, as in the body.
    pub code: &'static str,
    /// Why, for the operator; the client is told less.
    pub reason: String,
}

impl Refused {
    fn new(code: Code, reason: String) -> Self {
        Self { status: code.status(), code: code.name(), reason }
    }
}

/// Explains `question`.
///
/// # Errors
/// A plugin refuses what was rendered for it: a fault of this program, not of the file.
pub fn explain(
    gateway: &Gateway,
    question: &Question,
    options: &CheckOptions<'_>,
) -> Result<Explanation, String> {
    let nowhere = Path::new("/");
    let rendering = Rendering { directory: nowhere, module: nowhere, roots: nowhere, access_log: None };
    let rendered = render::render(gateway, &rendering);
    let callers = config::<ConsumerAuth>(&rendered, options)?;
    let call = caller::Call::new(gateway, &callers, question);
    let identity = match call.identify() {
        Ok(identity) => identity,
        Err(refused) => return Ok(refusal(question, Caller::unknown(), refused)),
    };
    let known = call.caller(&identity);
    if let Err(refused) = call.admit(&identity) {
        return Ok(refusal(question, known, refused));
    }
    let header = |name: &str| call.header(&identity, name);
    let asker = Asker { consumer: Some(identity.name()), tier: identity.tier(), header: &header };
    let router = config::<ModelRouter>(&rendered, options)?;
    let mut explanation = route(gateway, &router, question, known, &asker);
    if explanation.served.is_some() && !Allowed::new(identity.models()).has(&question.model) {
        let reason = format!("`models` of {} do not match it", identity.name());
        explanation.refused = Some(Refused::new(Code::ModelNotAllowed, reason));
        explanation.served = None;
    }
    if explanation.served.is_none() {
        return Ok(explanation);
    }
    let rule = router.rules.get(explanation.passed.len());
    let headers = call.headers(&identity);
    if !gateway.limits.is_empty() {
        let subject = limits::subject(question, &explanation.caller, rule, headers.clone());
        explanation.limits = limits::look(&*config::<TokenLimit>(&rendered, options)?, &subject);
    }
    if let Some(guard) = &gateway.guard {
        let checks = config::<ContentGuard>(&rendered, options)?;
        explanation.checks = guard::look(&checks, guard, question, &asker, rule);
    }
    if gateway.cache.is_some() {
        let cache = config::<ResponseCache>(&rendered, options)?;
        explanation.cached = Some(cache::look(&cache, question, &explanation.caller, rule, headers));
    }
    Ok(explanation)
}

fn refusal(question: &Question, caller: Caller, refused: Refused) -> Explanation {
    let model = question.model.clone();
    Explanation { model, caller, refused: Some(refused), ..Explanation::default() }
}

/// What model-router does.
fn route(
    gateway: &Gateway,
    config: &Config,
    question: &Question,
    caller: Caller,
    asker: &Asker<'_>,
) -> Explanation {
    let facts = RequestFacts {
        model: Some(question.model.clone()),
        input_tokens: question.input_tokens,
        tools: question.tools,
        images: question.images,
        ..RequestFacts::default()
    };
    let mut passed = Vec::new();
    let mut served = None;
    for ((at, rule), own) in config.rules.iter().enumerate().zip(&gateway.models) {
        let name = format!("models[{at}]");
        let Some(reason) = rules::mismatch(rule, &question.model, &facts, asker) else {
            let decision = rules::decide(config, &question.model, &facts, asker, "");
            served = decision.map(|decision| served::serve(gateway, name, own, &decision, asker));
            break;
        };
        passed.push(Passed { rule: name, globs: own.matches.clone(), reason: reason.to_string() });
    }
    let nobody = || Refused::new(Code::ModelNotFound, "no rule matches".to_owned());
    let refused = served.is_none().then(nobody);
    Explanation { model: question.model.clone(), caller, refused, passed, served, ..Explanation::default() }
}

/// A plugin's configuration, by way of the JSON that the filter would read.
pub(crate) fn config<F: Filter>(
    rendered: &Rendered,
    options: &CheckOptions<'_>,
) -> Result<Rc<F::Config>, String> {
    let plugin = rendered.plugins.iter().find(|plugin| plugin.name == F::NAME);
    let json = plugin.ok_or_else(|| format!("{} is not in the chain", F::NAME))?.config.to_string();
    let configs = RouteConfigs::parse(json.as_bytes(), |raw| F::check(raw, &|name| (options.env)(name)));
    configs.map(|configs| configs.get("")).map_err(|error| format!("{}: {error}", F::NAME))
}
