//! A gateway without Envoy: the real filters of the gateway stage over hosts in memory, a clock that the test sets, and
//! providers that answer as told. What it makes is an access log.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use ai_log::AiLog;
use consumer_auth::ConsumerAuth;
use model_router::ModelRouter;
use response_cache::ResponseCache;
use serde_json::{Value, json};
use sluice::check::check;
use sluice::gateway::{CheckOptions, Gateway};
use sluice::render::{Rendering, render};
use sluice::replay::{Report, replay};
use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::filter::{Filter, Next, Shared};
use sluice_core::openai::error::{Code, ERROR_HEADER, LocalReply};
use sluice_core::testing::FakeHost;
use token_limit::TokenLimit;

pub(super) const OPTIONS: CheckOptions<'static> = CheckOptions { env: &|_| None };

/// When the clock starts, in microseconds since the epoch: in the middle of a second.
pub(super) const START_US: u64 = 1_700_000_000_400_000;

pub(super) fn gateway(yaml: &str) -> Gateway {
    let loaded = check(Path::new("x.yaml"), yaml.as_bytes(), &OPTIONS);
    loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report))
}

/// What `log` would come to under `yaml`.
pub(super) fn replayed(log: &[String], yaml: &str) -> Report {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log.concat()).unwrap();
    replay(&gateway(yaml), file.path(), 3, &OPTIONS).unwrap()
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pub(super) key: Option<&'static str>,
    pub(super) model: &'static str,
    pub(super) text: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) members: Value,
    pub(super) from: &'static str,
}

/// What a provider answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) input: u64,
    pub(super) output: u64,
    pub(super) finish: &'static str,
    pub(super) no_store: bool,
}

impl Default for Answer {
    fn default() -> Self {
        Self { input: 11, output: 5, finish: "stop", no_store: false }
    }
}

struct Configs {
    log: Rc<ai_log::Config>,
    auth: Rc<consumer_auth::Config>,
    router: Rc<model_router::config::Config>,
    limits: Option<Rc<token_limit::Config>>,
    cache: Option<Rc<response_cache::Config>>,
}

struct Live {
    host: FakeHost,
    log: AiLog,
    limit: Option<TokenLimit>,
    cache: Option<ResponseCache>,
    body: Vec<u8>,
    follows: bool, // another request is to bring the answer
}

/// The gateway.
pub(super) struct Bed {
    configs: Configs,
    shared: BTreeMap<String, Shared>,
    live: BTreeMap<u64, Live>,
    begun: u64,
    pub(super) now_us: u64,
    /// The access log.
    pub(super) lines: Vec<String>,
}

fn config<F: Filter>(gateway: &Gateway) -> Option<Rc<F::Config>> {
    let nowhere = Path::new("/");
    let rendering = Rendering { directory: nowhere, module: nowhere, roots: nowhere, access_log: None };
    let plugins = render(gateway, &rendering).plugins;
    let json = &plugins.iter().find(|plugin| plugin.name == F::NAME).unwrap().config;
    let parse =
        |json: &Value| RouteConfigs::parse(json.to_string().as_bytes(), |raw| F::check(raw, &|_| None));
    (!json.is_null()).then(|| parse(json).unwrap().get(""))
}

impl Bed {
    pub(super) fn new(yaml: &str) -> Self {
        let gateway = gateway(yaml);
        let configs = Configs {
            log: config::<AiLog>(&gateway).unwrap(),
            auth: config::<ConsumerAuth>(&gateway).unwrap(),
            router: config::<ModelRouter>(&gateway).unwrap(),
            limits: config::<TokenLimit>(&gateway),
            cache: config::<ResponseCache>(&gateway),
        };
        let (shared, live) = (BTreeMap::new(), BTreeMap::new());
        Self { configs, shared, live, begun: 0, now_us: START_US, lines: Vec::new() }
    }

    pub(super) fn advance_ms(&mut self, ms: u64) {
        self.now_us += ms * 1_000;
    }

    /// Requests that wait for a provider, in the order they came.
    pub(super) fn waiting(&self) -> Vec<u64> {
        self.live.iter().filter(|(_, live)| !live.follows).map(|(id, _)| *id).collect()
    }

    /// A request comes; its number, if it was not answered at once.
    pub(super) fn ask(&mut self, ask: &Ask) -> Option<u64> {
        self.begun += 1;
        let id = self.begun;
        let mut body = json!({"model": ask.model, "messages": [{"role": "user", "content": ask.text}]});
        for (name, value) in ask.members.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let mut headers = vec![
            (":method".to_owned(), "POST".to_owned()),
            (":path".to_owned(), "/v1/chat/completions".to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-request-id".to_owned(), format!("request-{id}")),
        ];
        headers.extend(ask.key.map(|key| ("authorization".to_owned(), format!("Bearer {key}"))));
        headers.extend(ask.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut host = FakeHost { stream: id, ..FakeHost::default() };
        host.request = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        let from = if ask.from.is_empty() { "127.0.0.1" } else { ask.from };
        host.set_attribute("source.address", &format!("{from}:4000"));
        let live = Live {
            host,
            log: AiLog::new(Rc::clone(&self.configs.log)),
            limit: None,
            cache: None,
            body: body.to_string().into_bytes(),
            follows: false,
        };
        self.live.insert(id, live);
        self.with(id, |live, configs| live.arrive(configs));
        self.live.contains_key(&id).then_some(id)
    }

    /// The target that was picked for a request, and it with the fallback behind it, each as provider and model.
    pub(super) fn route(&self, id: u64) -> ((String, String), Vec<(String, String)>) {
        let host = &self.live[&id].host;
        let fact = |fact: context::Fact| fact.get(host);
        let target = fact(context::TARGET).unwrap();
        let model = fact(context::BASE_MODEL).or_else(|| fact(context::MODEL)).unwrap();
        let (provider, model) = target.split_once('/').unwrap_or((&target, &model));
        let target = (provider.to_owned(), model.to_owned());
        let mut chain = vec![target.clone()];
        if fact(context::RULE).as_deref() == Some("gpt-*") {
            chain.push(("b".to_owned(), "small".to_owned()));
        }
        (target, chain)
    }

    /// The providers before the last have failed, the last one answers; each by name and model.
    pub(super) fn answer(&mut self, id: u64, asked: &[(String, String)], answer: Answer) {
        self.with(id, |live, _| {
            live.attempt(asked, asked.len() - 1);
            live.answered(answer);
            None
        });
        self.end(id);
    }

    /// Every provider has failed.
    pub(super) fn fail(&mut self, id: u64, asked: &[(String, String)]) {
        self.with(id, |live, _| {
            live.attempt(asked, asked.len());
            Some(LocalReply::error(Code::UpstreamError, None, "All have failed."))
        });
    }

    /// The client leaves; a provider was asked, or none.
    pub(super) fn leave(&mut self, id: u64, asked: &[(String, String)]) {
        self.with(id, |live, _| {
            if !asked.is_empty() {
                live.attempt(asked, asked.len() - 1);
            }
            live.host.attributes.insert("response.flags".to_owned(), (1_u64 << 14).to_le_bytes().to_vec());
            None
        });
        self.end(id);
    }

    fn with(&mut self, id: u64, act: impl FnOnce(&mut Live, &Configs) -> Option<LocalReply>) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.host.now_ns = self.now_us * 1_000;
        live.host.shared = std::mem::take(&mut self.shared);
        let reply = act(live, &self.configs);
        let is_over = reply.is_some();
        if let Some(reply) = reply {
            live.reply(&reply);
        }
        self.shared = std::mem::take(&mut live.host.shared);
        let woken = std::mem::take(&mut live.host.hastened);
        if is_over {
            self.end(id);
        }
        woken.into_iter().for_each(|stream| self.with(stream.0, Live::wake));
    }

    /// The exchange is over.
    fn end(&mut self, id: u64) {
        let Some(mut live) = self.live.remove(&id) else { return };
        live.host.shared = std::mem::take(&mut self.shared);
        live.log.on_done(&mut live.host);
        let record = context::AI_LOG.get(&live.host).unwrap();
        let client = String::from_utf8(live.host.attributes["source.address"].clone()).unwrap();
        let client = client.rsplit_once(':').unwrap().0;
        self.lines.push(format!("{{\"client\":\"{client}\",\"ai_log\":{record}}}\n"));
        if let Some(mut limit) = live.limit {
            limit.on_done(&mut live.host);
        }
        if let Some(mut cache) = live.cache {
            cache.on_done(&mut live.host);
        }
        self.shared = std::mem::take(&mut live.host.shared);
        live.host.hastened.into_iter().for_each(|stream| self.with(stream.0, Live::wake));
    }
}

fn reply(next: Next) -> Option<LocalReply> {
    if let Next::Reply(reply) = next { Some(reply) } else { None }
}

impl Live {
    fn arrive(&mut self, configs: &Configs) -> Option<LocalReply> {
        let host = &mut self.host;
        self.log.on_request_headers(host, false);
        let mut auth = ConsumerAuth::new(Rc::clone(&configs.auth));
        if let Next::Reply(refused) = auth.on_request_headers(host, false) {
            return Some(refused);
        }
        let mut router = ModelRouter::new(Rc::clone(&configs.router));
        router.on_request_headers(host, false);
        if let Next::Reply(refused) = router.on_request_body(host, &self.body, true) {
            return Some(refused);
        }
        if let Some(config) = &configs.limits {
            let limit = self.limit.insert(TokenLimit::new(Rc::clone(config)));
            if let Next::Reply(refused) = limit.on_request_headers(host, false) {
                return Some(refused);
            }
        }
        let cache = self.cache.insert(ResponseCache::new(Rc::clone(configs.cache.as_ref()?)));
        if let Next::Whole { .. } = cache.on_request_headers(host, false) {
            let next = cache.on_request_body(host, &self.body, true);
            self.follows = next == Next::Wait;
            return reply(next);
        }
        None
    }

    fn wake(&mut self, _: &Configs) -> Option<LocalReply> {
        let next = self.cache.as_mut()?.on_wake(&mut self.host)?;
        self.follows = false;
        reply(next)
    }

    fn reply(&mut self, reply: &LocalReply) {
        if let Some((_, code)) = reply.headers.iter().find(|(name, _)| *name == ERROR_HEADER) {
            context::ERROR.set(&mut self.host, code);
        }
        let status = reply.status.to_string();
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers: Vec<_> = [(":status", status.as_str())].into_iter().chain(headers).collect();
        self.host.respond(&headers);
        self.respond(reply.status, "", reply.body.as_bytes());
    }

    /// The answer passes the filters, from the inside out.
    fn respond(&mut self, status: u16, details: &str, body: &[u8]) {
        let host = &mut self.host;
        host.attributes.insert("response.code".to_owned(), u64::from(status).to_le_bytes().to_vec());
        host.set_attribute("response.code_details", details);
        if let Some(cache) = &mut self.cache {
            cache.on_response_headers(host, false);
            cache.on_response_body(host, body, true);
        }
        if let Some(limit) = &mut self.limit {
            limit.on_response_headers(host, false);
        }
        self.log.on_response_headers(host, false);
    }

    fn attempt(&mut self, asked: &[(String, String)], failed: usize) {
        let host = &mut self.host;
        let failures: Vec<Value> = asked[..failed]
            .iter()
            .map(|(provider, model)| {
                json!({"provider": provider, "model": model, "status": 503, "verdict": "status_503", "ms": 1})
            })
            .collect();
        context::ATTEMPTS.set(host, &json!(failures).to_string());
        let (provider, model) = &asked[asked.len() - 1];
        context::PROVIDER.set(host, provider);
        context::PROVIDER_MODEL.set(host, model);
        host.set_attribute("upstream.local_address", "10.0.0.1:1");
        if failed < asked.len() {
            let now_ms = host.now_ns / 1_000_000;
            context::ATTEMPT_START.set_number(host, now_ms);
        }
    }

    fn answered(&mut self, Answer { input, output, finish, no_store }: Answer) {
        let host = &mut self.host;
        for (fact, value) in [
            (context::METER, "provider-adapter"),
            (context::USAGE_SOURCE, "reported"),
            (context::STREAM_END, "complete"),
            (context::FINISH_REASON, finish),
        ] {
            fact.set(host, value);
        }
        context::INPUT_TOKENS.set_number(host, input);
        context::OUTPUT_TOKENS.set_number(host, output);
        let control = if no_store { "no-store" } else { "private" };
        host.respond(&[(":status", "200"), ("content-type", "application/json"), ("cache-control", control)]);
        let document = json!({"id": "1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": finish}],
            "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}});
        self.respond(200, "via_upstream", document.to_string().as_bytes());
    }
}
