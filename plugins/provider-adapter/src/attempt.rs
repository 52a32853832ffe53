//! The request of one attempt: what it asks for, and how it is written for its provider.

use sluice_core::content::RequestBody;
use sluice_core::context::{self, Fact};
use sluice_core::filter::{Headers, Host, Level, Next, Side};
use sluice_core::meter::{Expected, estimate};
use sluice_core::openai::Operation;
use sluice_core::target::Target;

use crate::config::Config;
use crate::{body, egress, form};

/// Largest request body that is rewritten, in bytes. The gateway stage has bounded it already; this is only the
/// most that a Wasm module can address.
const MAX_BODY_BYTES: usize = 0xffff_ffff;

/// Facts of an answer. An attempt that failed may have left some, which would be wrong of the next answer.
const ANSWER: &[Fact] = &[
    context::RESPONSE_MODEL,
    context::METER,
    context::INPUT_TOKENS,
    context::OUTPUT_TOKENS,
    context::CACHED_TOKENS,
    context::REASONING_TOKENS,
    context::USAGE_SOURCE,
    context::TTFT_MS,
    context::FINISH_REASON,
    context::STREAM_END,
    context::ANSWER,
];

/// One attempt on its way to the provider.
pub(crate) struct Attempt {
    operation: Operation,
    /// Milliseconds since the epoch when it reached this filter.
    began_ms: u64,
    /// Tokens of its input, before the provider counts them.
    input_estimate: u64,
    /// The answer's stream will hold usage that the client did not ask for.
    forced_usage: bool,
    /// Model to put into the body.
    model: Option<String>,
    /// [`context::PROVIDER_MODEL`] is published.
    named: bool,
    /// It is not the request's first. The body is as the client sent it, the headers as the attempt before left
    /// them (Envoy 1.40).
    again: bool,
    body: RequestBody,
}

impl Attempt {
    /// Writes the head of the attempt for its provider, and tells what to do with its body.
    pub(crate) fn begin(host: &mut dyn Host, config: &Config, end: bool) -> (Self, Next) {
        let headers = host.headers(Side::Request);
        let target = host.target();
        let (path, again) = client_path(host, &headers, target.as_deref());
        let mut attempt = Self::new(host, &headers, &path, again);
        if again {
            forget(host);
            for name in config.headers.values().flatten().map(|(name, _)| name) {
                host.remove_header(Side::Request, name);
            }
        }
        let has_key = context::PROVIDER_KEY.is_set(host);
        for name in egress::unwanted(&headers, &config.pass_headers, has_key) {
            host.remove_header(Side::Request, name);
        }
        let Some(target) = target else {
            warn_once(host, config);
            return (attempt, Next::Pass);
        };
        attempt.aim(host, config, &target, &path);
        let next = match attempt.body {
            RequestBody::Json if attempt.stays_as_it_is(host, &path) => Next::Pass,
            RequestBody::Json | RequestBody::Form(_) if !end => Next::Whole { max_bytes: MAX_BODY_BYTES },
            _ => Next::Pass,
        };
        (attempt, next)
    }

    fn new(host: &dyn Host, headers: &Headers, path: &str, again: bool) -> Self {
        let operation =
            context::OPERATION.read(host, Operation::from_name).unwrap_or_else(|| Operation::of_path(path));
        let input_estimate = context::INPUT_ESTIMATE.number(host).unwrap_or(0);
        Self {
            operation,
            began_ms: host.now_ms(),
            input_estimate,
            forced_usage: false,
            model: None,
            named: false,
            again,
            body: RequestBody::of(headers),
        }
    }

    /// Points the attempt at `target`.
    fn aim(&mut self, host: &mut dyn Host, config: &Config, target: &Target, path: &str) {
        host.set_header(Side::Request, ":authority", &target.host);
        // The first attempt finds the client's own path, which often is the provider's, too.
        let at_provider = egress::path(&target.path, path);
        if !path.is_empty() && (self.again || at_provider != path) {
            host.set_header(Side::Request, ":path", &at_provider);
        }
        for (name, value) in config.headers.get(&target.provider).into_iter().flatten() {
            host.set_header(Side::Request, name, value);
        }
        let in_path = || egress::deployment(path).map(str::to_owned);
        self.model = target.model.clone().or_else(|| context::BASE_MODEL.get(host)).or_else(in_path);
        context::PROVIDER.set(host, &target.provider);
        if let Some(model) = self.model.clone().or_else(|| context::MODEL.get(host)) {
            self.named = true;
            context::PROVIDER_MODEL.set(host, &model);
        }
    }

    /// Whether nothing is to be written into a JSON body, by the word of the router, which has read it: it asks for no
    /// stream, and names once the model to send. Then nobody here has to see it.
    fn stays_as_it_is(&self, host: &dyn Host, path: &str) -> bool {
        let is_whole = || context::STREAM.is(host, "false");
        let names_model = || match &self.model {
            Some(model) => egress::deployment(path).is_none() && context::MODEL.is(host, model),
            None => self.named,
        };
        !self.again && self.input_estimate > 0 && is_whole() && names_model()
    }

    /// What its answer will be.
    pub(crate) fn expected(&self, host: &dyn Host) -> Expected {
        Expected {
            operation: self.operation,
            strip: self.forced_usage && !context::RECORDER.is_set(host),
            began_ms: self.began_ms,
            input_estimate: self.input_estimate,
        }
    }

    /// Writes the whole `body` for the provider. One that cannot be read goes as it is.
    pub(crate) fn rewrite(&mut self, host: &mut dyn Host, body: &[u8]) {
        if self.input_estimate == 0 {
            self.input_estimate = estimate(body);
        }
        let rewritten = match &self.body {
            RequestBody::Json => self.rewrite_json(host, body),
            RequestBody::Form(boundary) => {
                self.model.as_ref().and_then(|model| form::rewrite(body, boundary, model))
            }
            RequestBody::Unread | RequestBody::Other => None,
        };
        match rewritten {
            Some(body) => host.set_body(Side::Request, &body),
            // `content-length` is that of the attempt before: setting the body corrects it.
            None if self.again => host.set_body(Side::Request, body),
            None => {}
        }
    }

    fn rewrite_json(&mut self, host: &mut dyn Host, body: &[u8]) -> Option<Vec<u8>> {
        let rewritten = body::rewrite(body, self.operation, self.model.as_deref())?;
        self.forced_usage = rewritten.forced_usage;
        if !self.named
            && let Some(model) = &rewritten.model
        {
            context::PROVIDER_MODEL.set(host, model);
        }
        rewritten.body
    }
}

/// The path as the client sent it, and whether an earlier attempt has noted it down for this one.
fn client_path(host: &mut dyn Host, headers: &Headers, target: Option<&Target>) -> (String, bool) {
    let only_one = target.is_some_and(|target| target.attempts == 1);
    if let Some(noted) = context::CLIENT_PATH.get(host).filter(|_| !only_one) {
        return (noted, true);
    }
    let path = headers.text(":path").unwrap_or_default();
    if !only_one {
        context::CLIENT_PATH.set(host, path);
    }
    (path.to_owned(), false)
}

/// Empties what an earlier attempt of the request has published of its answer.
fn forget(host: &mut dyn Host) {
    if !context::METER.is_set(host) {
        return;
    }
    for fact in ANSWER {
        if fact.is_set(host) {
            fact.set(host, "");
        }
    }
}

fn warn_once(host: &mut dyn Host, config: &Config) {
    if !config.warned.replace(true) {
        let message =
            "the endpoint's metadata has no sluice target: requests keep their path, host and model";
        host.log(Level::Warn, message);
    }
}
