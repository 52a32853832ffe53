//! An Envoy with four probes: `outer` and `inner` in the gateway stage, `first` and `last` in the provider stage. As
//! `SLUICE_FILTERS` says, those of a stage are one filter of Envoy (`together`, unless told, and `native`) or two
//! (`separate`).

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection, Reply};
use sluice_e2e::envoy::Envoy;
use sluice_e2e::gateway::filters_are;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::{Seen, Upstream};
use sluice_e2e::{envoy, http2, wait};
use tempfile::TempDir;

/// Name and module-internal name of each probe, in the order that requests pass them.
const PROBES: [(&str, &str); 4] =
    [("outer", "twin"), ("inner", "probe"), ("first", "twin"), ("last", "probe")];

/// Lines of Envoy's log that are shown when a test fails.
const LOG_TAIL: usize = 80;

/// Envoy, its probes and its upstreams.
pub(crate) struct Bed {
    pub(crate) envoy: Envoy,
    pub(crate) upstream: Upstream,
    _slow: Upstream,
    _folder: TempDir,
}

/// One line of the access log.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) status: String,
    pub(crate) details: String,
    pub(crate) error: String,
    /// What each probe recorded, once for each time it was done.
    pub(crate) probes: BTreeMap<&'static str, Vec<Value>>,
}

impl Line {
    /// What the probe called `name` recorded, if it was done just once.
    #[track_caller]
    pub(crate) fn only(&self, name: &str) -> &Value {
        let records = &self.probes[name];
        assert_eq!(records.len(), 1, "{name} was done {} times: {records:?}", records.len());
        &records[0]
    }

    /// The notes of the probe called `name`, each with its milliseconds since the request.
    #[track_caller]
    pub(crate) fn notes(&self, name: &str) -> Vec<(u64, String)> {
        let notes = self.only(name)["notes"].as_array().expect("notes").iter();
        let parted = notes.map(|note| note.as_str().and_then(|note| note.split_once(' ')).expect("a note"));
        parted.map(|(ms, what)| (ms.parse().expect("milliseconds"), what.to_owned())).collect()
    }
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Length,
    Chunked,
    Bytes,
    Trailers,
    Http2,
    Http2Bytes,
    Http2Trailers,
}

impl Shape {
    pub(crate) const ALL: [Self; 7] = [
        Self::Length,
        Self::Chunked,
        Self::Bytes,
        Self::Trailers,
        Self::Http2,
        Self::Http2Bytes,
        Self::Http2Trailers,
    ];
}

/// The bed that all tests share but for those that harm it.
pub(crate) fn bed() -> Guard {
    static BED: OnceLock<Bed> = OnceLock::new();
    Guard(BED.get_or_init(|| Bed::start(1)))
}

/// One test's use of the shared bed: fails it if a filter has trapped.
pub(crate) struct Guard(&'static Bed);

impl Deref for Guard {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let log = self.0.envoy.log();
        if std::thread::panicking() {
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- Envoy\n{}", lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n"));
        } else {
            envoy::assert_no_trap(&log);
        }
    }
}

impl Bed {
    #[track_caller]
    pub(crate) fn start(workers: u32) -> Self {
        let (upstream, slow) = (Upstream::start("a"), Upstream::start("slow"));
        slow.script(Script::json(json!({"hang": true})));
        let folder = TempDir::new().expect("a folder");
        let config = config(&upstream, &slow, folder.path());
        Self { envoy: Envoy::start_workers(&config, workers), upstream, _slow: slow, _folder: folder }
    }

    /// A path of its own that leads to `route` and tells each probe by name what to do.
    pub(crate) fn path(route: &str, scripts: &Value) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hex: String = scripts.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("/{route}/{number}/{hex}")
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.envoy.address()).expect("Envoy listens")
    }

    /// Posts `body` as an application would.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &str) -> Reply {
        self.send(Shape::Length, path, body.as_bytes())
    }

    /// Posts `body` with content type JSON in the given shape.
    #[track_caller]
    pub(crate) fn send(&self, shape: Shape, path: &str, body: &[u8]) -> Reply {
        let size = if matches!(shape, Shape::Bytes | Shape::Http2Bytes) { 1 } else { 7 };
        let pieces: Vec<&[u8]> = body.chunks(size).collect();
        let trailers: &[(&'static str, &str)] = match shape {
            Shape::Trailers | Shape::Http2Trailers => &[("x-trailer", "end")],
            _ => &[],
        };
        match shape {
            Shape::Length => client::send(
                self.envoy.address(),
                "POST",
                path,
                &[("content-type", "application/json")],
                body,
            ),
            Shape::Chunked | Shape::Bytes | Shape::Trailers => {
                let mut client = self.connect();
                client.write_chunked(path, &pieces, trailers).expect("a request");
                client.read().expect("an answer")
            }
            _ => http2::post(self.envoy.address(), path, &pieces, trailers),
        }
    }

    /// The requests that arrived with `path`.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.upstream.requests().into_iter().filter(|seen| seen.path == path).collect()
    }

    /// Waits for the request's line in the access log.
    #[track_caller]
    pub(crate) fn line(&self, path: &str) -> Line {
        let start = format!("RECORD\t{path}\t");
        wait::until("a line in the access log", || {
            let log = self.envoy.log();
            // The last line may be written in part.
            let whole = log.get(..log.rfind('\n')?)?;
            whole.lines().find_map(|line| line.strip_prefix(&start)).map(parse)
        })
    }

    /// Value of a statistic of Envoy, if there is one; of a histogram, the text of its buckets.
    pub(crate) fn stat(&self, name: &str) -> Option<String> {
        let stats = client::get(self.envoy.admin(), &format!("/stats?filter=^{name}$")).text();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.map(str::to_owned)
    }

    /// Waits until a counter of the probes has reached `value`.
    #[track_caller]
    pub(crate) fn wait_count(&self, name: &str, value: usize) {
        let stat = format!("wasmcustom.{name}");
        wait::until(&format!("{stat} = {value}"), || (self.stat(&stat)?.parse() == Ok(value)).then_some(()));
    }
}

fn parse(line: &str) -> Line {
    let words: Vec<&str> = line.split('\t').collect();
    let records = |at: usize| serde_json::from_str(words[at]).unwrap_or_default();
    Line {
        status: words[0].to_owned(),
        details: words[1].to_owned(),
        error: words[2].to_owned(),
        probes: PROBES.iter().zip(3..).map(|((name, _), at)| (*name, records(at))).collect(),
    }
}

/// The probe's module, as the scripts made it beside the tests.
#[track_caller]
fn module() -> PathBuf {
    let (file, script) = if filters_are("native") {
        ("libprobe.so", "build-native --tests")
    } else {
        ("probe.wasm", "build-wasm")
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").join(file);
    assert!(path.is_file(), "{} is missing: run scripts/{script}", path.display());
    path
}

/// How Envoy loads the probe's module as native code.
fn dynamic_module() -> Value {
    json!({
        "module": {"local": {"filename": module()}}, "do_not_close": true, "metrics_namespace": "wasmcustom",
    })
}

/// What Envoy loads of the module for as long as it runs: metrics stand there.
fn of_process() -> Value {
    json!({"name": "process", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension",
        "dynamic_module_config": dynamic_module(),
        "extension_name": "probe",
    }})
}

/// A native filter of the probe's module.
fn native(root: &str, config: &Value) -> Value {
    json!({"name": root, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": dynamic_module(),
        "filter_name": root,
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
    }})
}

/// The filter `root` of the probe's module, with its own JSON.
pub(crate) fn filter(root: &str, config: &Value) -> Value {
    if filters_are("native") {
        return native(root, config);
    }
    json!({"name": root, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": root, "root_id": root, "allow_on_headers_stop_iteration": true, "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "0.01s"}},
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
            "vm_config": {
                "vm_id": "probe", "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module()}},
            },
        },
    }})
}

fn plain(name: &str, kind: &str) -> Value {
    json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/{kind}")}})
}

/// A listener at `address` with these filters before the router, and these in its provider stage.
pub(crate) fn listener(address: &Value, gateway: &[Value], provider: &[Value], routes: &Value) -> Value {
    let codec = plain(
        "envoy.filters.http.upstream_codec",
        "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
    );
    let mut router = plain("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router");
    router["typed_config"]["upstream_http_filters"] = Value::Array([provider, &[codec]].concat());
    let filters = [gateway, &[router]].concat();
    let facts = PROBES.map(|(name, _)| format!("%FILTER_STATE(wasm.{name}:PLAIN)%"));
    let format = format!(
        "RECORD\t%REQ(:PATH)%\t%RESPONSE_CODE%\t%RESPONSE_CODE_DETAILS%\t%FILTER_STATE(wasm.ai.error:PLAIN)%\t{}\n",
        facts.join("\t")
    );
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "adapter",
        "http_protocol_options": {"enable_trailers": true},
        "access_log": [{"name": "envoy.access_loggers.stderr", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            "log_format": {"text_format_source": {"inline_string": format}},
        }}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
    });
    json!({"address": address, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]})
}

fn cluster(name: &str, addresses: &[Value], http2: bool) -> Value {
    let protocol = if http2 {
        json!({"http2_protocol_options": {}})
    } else {
        json!({"http_protocol_options": {"enable_trailers": true}})
    };
    let options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": protocol,
    });
    let endpoints: Vec<Value> =
        addresses.iter().map(|address| json!({"endpoint": {"address": address}})).collect();
    json!({
        "name": name, "connect_timeout": "0.5s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

pub(crate) fn socket(port: impl Into<Value>) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port.into()}})
}

/// The filters that hold these probes.
fn stage(probes: &[(&str, &str)], joins: bool) -> Vec<Value> {
    let configs = probes.iter().map(|(name, root)| {
        let patched = json!({"script": {"on": {"response_headers": [{"set_header": ["x-patched", name]}]}}});
        (*root, json!({"as": name, "routes": {"patched": patched}}))
    });
    if filters_are("separate") {
        return configs.map(|(root, config)| filter(root, &config)).collect();
    }
    let filters: Vec<Value> = configs.map(|(root, config)| json!({"name": root, "config": config})).collect();
    let publish = ["outer", "inner", "first", "last", "ai.error"];
    vec![filter("chain", &json!({"filters": filters, "publish": publish, "joins": joins}))]
}

/// Requests below `/plain` and `/patched` go to `upstream`, those below `/retry` up to three times; those below
/// `/h2` go there by way of a second listener, over HTTP/2.
fn config(upstream: &Upstream, slow: &Upstream, folder: &Path) -> String {
    let (gateway, provider) = PROBES.split_at(2);
    let (gateway, provider) = (stage(gateway, false), stage(provider, true));
    let route = |name: &str, cluster: &str| json!({"name": name, "match": {"prefix": format!("/{name}/")}, "route": {"cluster": cluster, "timeout": "0s"}});
    let mut retry = route("retry", "upstream");
    retry["route"]["retry_policy"] =
        json!({"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}});
    let routes = json!([route("plain", "upstream"), route("patched", "upstream"), route("h2", "h2"), retry]);
    let pipe = json!({"pipe": {"path": folder.join("h2.sock")}});
    let inner_routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}]);
    let mut inner = listener(&pipe, &[], &[], &inner_routes);
    inner["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = json!([]);
    let to = |upstream: &Upstream| socket(upstream.address().port());
    let extensions: Vec<Value> = filters_are("native").then(of_process).into_iter().collect();
    json!({
        "bootstrap_extensions": extensions,
        "admin": {"address": socket("{admin}")},
        "static_resources": {
            "listeners": [listener(&socket("{listen}"), &gateway, &provider, &routes), inner],
            "clusters": [
                cluster("upstream", &[to(upstream)], false),
                cluster("slow", &[to(slow)], false),
                cluster("h2", &[pipe], true),
                cluster("dead", &[socket(1)], false),
                cluster("empty", &[], false),
            ],
        },
    })
    .to_string()
    .replace("\"{admin}\"", "{admin}")
    .replace("\"{listen}\"", "{listen}")
}
