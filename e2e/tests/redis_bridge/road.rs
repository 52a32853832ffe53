//! An Envoy whose HTTP listener leads to the bridge, and a client over it as a filter has one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_core::filter::{CalloutError, CalloutReply, Headers};
use sluice_core::redis::{Command, Options, Outcome, Redis, RedisError, Reply, Unavailable};
use sluice_core::testing::{FakeHost, SentCallout};
use sluice_e2e::client;
use sluice_e2e::envoy::{self, Envoy};

/// The longest that a request over [`Road::post`] may take, in milliseconds.
const PATIENT_MS: u32 = 10_000;

/// Deadlines that there are routes for, in milliseconds; a deadline on its way shrinks, and takes the next.
const DEADLINES_MS: [u32; 3] = [PATIENT_MS, 1_000, 250];

/// What the Redis clusters of an Envoy are like.
pub(crate) struct Spec<'a> {
    pub(crate) nodes: &'a [SocketAddr],
    pub(crate) password: Option<&'a str>,
    /// A Redis Cluster, asked by its slots.
    pub(crate) cluster: bool,
    pub(crate) redirection: bool,
    /// Certificate of the authority that signs Redis' own.
    pub(crate) tls: Option<&'a Path>,
    pub(crate) max_reply_bytes: usize,
    /// A filter that asks Redis, with this deadline in milliseconds, and answers every request itself.
    pub(crate) asker_ms: Option<u32>,
    pub(crate) workers: u32,
    /// The bridge is that of `sluice.wasm`, beside an HTTP filter of the same VM. It takes seconds to load, so most
    /// tests use the module of its own.
    pub(crate) suite: bool,
}

impl<'a> Spec<'a> {
    pub(crate) fn new(nodes: &'a [SocketAddr]) -> Self {
        Self {
            nodes,
            password: None,
            cluster: false,
            redirection: false,
            tls: None,
            max_reply_bytes: 1_048_576,
            asker_ms: None,
            workers: 1,
            suite: false,
        }
    }
}

/// A running Envoy.
pub(crate) struct Road {
    pub(crate) envoy: Envoy,
}

/// What came of one call.
pub(crate) type Answer = Result<Vec<Result<Reply, RedisError>>, Unavailable>;

impl Road {
    #[track_caller]
    pub(crate) fn to(node: SocketAddr) -> Self {
        Self::start(&Spec::new(&[node]))
    }

    #[track_caller]
    pub(crate) fn start(spec: &Spec<'_>) -> Self {
        Self { envoy: Envoy::start_workers(&config(spec), spec.workers) }
    }

    /// Posts a body to the bridge.
    #[track_caller]
    pub(crate) fn post(&self, body: &[u8]) -> client::Reply {
        client::send(self.envoy.address(), "POST", &format!("/{PATIENT_MS}"), &[], body)
    }

    /// What the filter that asks Redis answers.
    #[track_caller]
    pub(crate) fn asked(&self, commands: &Value) -> (String, Duration) {
        let hex: String = commands.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        let reply = client::get(self.envoy.address(), &format!("/{hex}"));
        (reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned(), reply.took)
    }

    /// Value of a statistic of Envoy, 0 if there is none.
    #[track_caller]
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let stats = client::get(self.envoy.admin(), &format!("/stats?filter=^{name}$")).text();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn callout(&self, sent: &SentCallout) -> Result<CalloutReply, CalloutError> {
        let fits = |route_ms: &&u32| **route_ms >= sent.timeout_ms;
        let route_ms = DEADLINES_MS.iter().rfind(fits).expect("a route with that deadline");
        let reply = client::send(self.envoy.address(), "POST", &format!("/{route_ms}"), &[], &sent.body);
        match reply.status {
            // The adapter tells Envoy's own answers by their details, which a client does not see.
            503 | 504 => Err(CalloutError::NotAnswered),
            status => Ok(CalloutReply { status, headers: Headers::default(), body: reply.body }),
        }
    }
}

/// A client as a filter's configuration holds one, with a host that keeps real time.
pub(crate) struct Asker<'a> {
    road: &'a Road,
    redis: Redis,
    pub(crate) host: FakeHost,
    began: Instant,
}

impl<'a> Asker<'a> {
    pub(crate) fn new(road: &'a Road, timeout_ms: u32) -> Self {
        let options = Options { cluster: "sluice.redis".to_owned(), timeout_ms };
        Self { road, redis: Redis::new(options), host: FakeHost::default(), began: Instant::now() }
    }

    /// Sends commands in one call, and reads it to the end.
    pub(crate) fn ask(&mut self, commands: Vec<Command>) -> Answer {
        self.tick();
        let mut call = self.redis.call(&mut self.host, commands)?;
        loop {
            let reply = self.road.callout(self.host.callouts.last().expect("a callout"));
            self.tick();
            match call.read(&mut self.host, reply) {
                Outcome::Done(replies) => return Ok(replies),
                Outcome::Failed(why) => return Err(why),
                Outcome::Again(next) => call = next,
            }
        }
    }

    /// Sends one command; a failure of the call and an error of the command are one.
    pub(crate) fn one(&mut self, command: Command) -> Result<Reply, Unavailable> {
        let reply = self.ask(vec![command])?.pop().expect("a reply");
        reply.map_err(Unavailable::Refused)
    }

    /// How long it takes, and what comes of it.
    pub(crate) fn timed(&mut self, command: Command) -> (Result<Reply, Unavailable>, Duration) {
        let began = Instant::now();
        (self.one(command), began.elapsed())
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.host.counters.get(name).copied().unwrap_or(0)
    }

    fn tick(&mut self) {
        self.host.now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    }
}

/// A command of these words.
pub(crate) fn command(words: &str) -> Command {
    let mut words = words.split(' ');
    let name = words.next().expect("a name");
    words.fold(Command::new(name), |command, word| command.arg(word))
}

/// Commands in RESP.
pub(crate) fn resp(commands: &[&[&[u8]]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for parts in commands {
        bytes.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
        for part in *parts {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}

fn extension(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = format!("type.googleapis.com/{kind}").into();
    json!({"name": name, "typed_config": config})
}

fn socket(port: impl Into<Value>) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port.into()}})
}

/// A filter of `sluice.wasm`, all in one VM.
fn plugin(name: &str, kind: &str, config: &Value) -> Value {
    module("sluice", &envoy::module("sluice"), name, kind, config)
}

fn module(vm_id: &str, file: &Path, name: &str, kind: &str, config: &Value) -> Value {
    extension(
        name,
        kind,
        json!({"config": {
            "name": name, "root_id": name, "failure_policy": "FAIL_RELOAD",
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
            "vm_config": {
                "vm_id": vm_id, "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": file}},
            },
        }}),
    )
}

/// The tests' own module, as `scripts/build-wasm` made it.
#[track_caller]
fn probe() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").join("probe.wasm");
    assert!(path.is_file(), "{} is missing: run scripts/build-wasm", path.display());
    path
}

fn front(spec: &Spec<'_>) -> Value {
    let route = |ms: &u32| json!({"match": {"path": format!("/{ms}")}, "route": {"cluster": "sluice.redis", "timeout": format!("{}s", f64::from(*ms) / 1_000.0)}});
    let routes: Vec<Value> = DEADLINES_MS.iter().map(route).collect();
    let kind = "envoy.extensions.filters.http.wasm.v3.Wasm";
    let mut filters = Vec::new();
    if let Some(ms) = spec.asker_ms {
        let config = json!({"cluster": "sluice.redis", "timeout_ms": ms});
        filters.push(module("probe", &probe(), "asker", kind, &config));
    }
    if spec.suite {
        filters.push(plugin("ai-log", kind, &json!({})));
    }
    let router = extension("router", "envoy.extensions.filters.http.router.v3.Router", json!({}));
    filters.push(router);
    let manager = json!({
        "stat_prefix": "front", "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    });
    let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({"address": socket("{listen}"), "filter_chains": [{"filters": [extension("hcm", kind, manager)]}]})
}

fn bridge(spec: &Spec<'_>) -> Value {
    let bridge = json!({"max_reply_bytes": spec.max_reply_bytes});
    let kind = "envoy.extensions.filters.network.wasm.v3.Wasm";
    let bridge = if spec.suite {
        plugin("redis-bridge", kind, &bridge)
    } else {
        module("redis-bridge", &envoy::module("redis-bridge"), "redis-bridge", kind, &bridge)
    };
    let proxy = json!({
        "stat_prefix": "sluice",
        "settings": {"op_timeout": "1s", "enable_redirection": spec.redirection, "read_policy": "MASTER"},
        "prefix_routes": {"catch_all_route": {"cluster": "sluice.redis.nodes"}},
    });
    let proxy = extension("redis", "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy", proxy);
    json!({"name": "sluice.redis", "internal_listener": {}, "filter_chains": [{"filters": [bridge, proxy]}]})
}

fn to_bridge() -> Value {
    let raw = extension("raw", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", json!({}));
    let kind = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport";
    let address = json!({"envoy_internal_address": {"server_listener_name": "sluice.redis"}});
    json!({
        "name": "sluice.redis", "type": "STATIC", "connect_timeout": "0.25s",
        "transport_socket": extension("internal", kind, json!({"transport_socket": raw})),
        "load_assignment": {"cluster_name": "sluice.redis", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    })
}

fn to_redis(spec: &Spec<'_>) -> Value {
    let endpoint = |node: &SocketAddr| json!({"endpoint": {"address": socket(node.port())}});
    let endpoints: Vec<Value> = spec.nodes.iter().map(endpoint).collect();
    let mut cluster = json!({
        "name": "sluice.redis.nodes", "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": "sluice.redis.nodes", "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if let Some(password) = spec.password {
        let kind = "envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions";
        cluster["typed_extension_protocol_options"]["envoy.filters.network.redis_proxy"] = json!({
            "@type": format!("type.googleapis.com/{kind}"), "auth_password": {"inline_string": password},
        });
    }
    if spec.cluster {
        let config = json!({"cluster_refresh_rate": "30s", "cluster_refresh_timeout": "1s", "redirect_refresh_interval": "1s", "redirect_refresh_threshold": 1});
        let kind = "envoy.extensions.clusters.redis.v3.RedisClusterConfig";
        cluster["lb_policy"] = "CLUSTER_PROVIDED".into();
        cluster["cluster_type"] = extension("envoy.clusters.redis", kind, config);
    }
    if let Some(authority) = spec.tls {
        let context = json!({"sni": "localhost", "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": authority},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
        }}});
        let kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        cluster["transport_socket"] = extension("envoy.transport_sockets.tls", kind, context);
    }
    cluster
}

/// The whole configuration, with `{listen}` and `{admin}` for ports.
pub(crate) fn config(spec: &Spec<'_>) -> String {
    let internal = "envoy.extensions.bootstrap.internal_listener.v3.InternalListener";
    json!({
        "bootstrap_extensions": [extension("envoy.bootstrap.internal_listener", internal, json!({}))],
        "admin": {"address": socket("{admin}")},
        "static_resources": {"listeners": [front(spec), bridge(spec)], "clusters": [to_bridge(), to_redis(spec)]},
    })
    .to_string()
    .replace("\"{admin}\"", "{admin}")
    .replace("\"{listen}\"", "{listen}")
}
