//! The road to Redis: callouts of the filters go to an internal listener, where redis-bridge turns them into what
//! Envoy's redis_proxy speaks, which keeps the connections to the nodes.

use std::path::{Path, PathBuf};

use redis_bridge::RedisBridge;
use serde_json::{Value, json};
use sluice_core::chain::OF_MAIN_THREAD;
use sluice_core::config::SecretSource;
use sluice_core::network::NetworkFilter as _;

use super::clusters::{Cluster, tls_context};
use super::filters::{Plugin, Stage};
use super::form::Form;
use super::{Rendering, seconds};
use crate::gateway::{Filters, Gateway, Host, Redis, Secret};

/// Where callouts for Redis go, and the listener behind it.
pub(super) const CLUSTER: &str = "sluice.redis";
/// The nodes themselves.
const NODES: &str = "sluice.redis.nodes";
/// Largest reply in bytes: far beyond a limit's, and a bound on what a broken Redis can make a worker hold.
const MAX_BYTES: u64 = 1 << 20;
/// What an answer in the cache takes besides its body, in bytes, and more.
const ENTRY_HEAD: u64 = 64 << 10;
/// Least time that redis_proxy gives an operation: what nobody waits for is still told to a slow Redis.
const OPERATION: std::time::Duration = std::time::Duration::from_secs(1);

/// The listener in front of Redis.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Its filter.
    pub plugin: Plugin,
    /// Settings of redis_proxy.
    settings: Value,
    /// Filters are native: what outlives a request is sent by Envoy's main thread.
    native: bool,
}

/// The listener's parts, where the gateway has a Redis.
pub(super) fn bridge(gateway: &Gateway) -> Option<Bridge> {
    let redis = gateway.redis.as_ref()?;
    let max_bytes = max_bytes(gateway);
    let config = json!({"max_request_bytes": max_bytes, "max_reply_bytes": max_bytes});
    let plugin = Plugin { name: RedisBridge::NAME, stage: Stage::Redis, config, secret: false };
    let timeout = redis.timeout.saturating_mul(2).max(OPERATION);
    let mut settings = json!({"op_timeout": seconds(timeout), "read_policy": "MASTER"});
    if let (true, Value::Object(settings)) = (redis.cluster, &mut settings) {
        settings.insert("enable_redirection".into(), true.into());
        // without it, a node that another one names by its host name is not found
        let cache = json!({"name": CLUSTER, "dns_lookup_family": "V4_PREFERRED"});
        settings.insert("dns_cache_config".into(), cache);
    }
    Some(Bridge { plugin, settings, native: gateway.filters == Filters::Native })
}

/// Room for the largest answer in the cache, each way.
fn max_bytes(gateway: &Gateway) -> u64 {
    let entry = gateway.cache.as_ref().map(|cache| cache.max_entry.saturating_add(ENTRY_HEAD));
    entry.unwrap_or_default().max(MAX_BYTES)
}

impl Bridge {
    /// How many listeners it takes.
    pub(super) fn listeners(&self) -> u64 {
        if self.native { 2 } else { 1 }
    }

    /// The listeners as Envoy reads them.
    pub(super) fn resources(&self, form: &Form<'_>, rendering: &Rendering<'_>) -> Vec<Value> {
        let mut listeners = vec![self.listener(form)];
        listeners.extend(self.native.then(|| of_main_thread(rendering)));
        listeners
    }

    fn listener(&self, form: &Form<'_>) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": CLUSTER,
            "#": "Takes no connections from outside: only the filters' callouts, by way of the cluster of this name.",
            "internal_listener": {},
            "filter_chains": [{"filters": [
                {"name": self.plugin.name, "typed_config": form.network(&self.plugin)},
                {
                    "name": "envoy.filters.network.redis_proxy",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
                        "stat_prefix": "sluice",
                        "#": "Longer than any request waits, so a slow Redis keeps its connections and is still told what was used.",
                        "settings": self.settings,
                        "prefix_routes": {"catch_all_route": {"cluster": NODES}},
                    },
                },
            ]}],
        })
    }
}

/// Where Envoy's main thread asks, if the files lie in `directory`.
#[must_use]
pub fn socket(directory: &Path) -> PathBuf {
    directory.join("redis.sock")
}

/// The way of Envoy's main thread, which reaches no internal listener: over a socket to a worker, and on from there.
fn of_main_thread(rendering: &Rendering<'_>) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": format!("{CLUSTER}{OF_MAIN_THREAD}"),
        "#": "Takes what Envoy's main thread sends, which reaches no internal listener. Nobody else may open it.",
        "address": {"pipe": {"path": socket(rendering.directory), "mode": 0o600}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "redis",
                "codec_type": "HTTP1",
                "generate_request_id": false,
                "server_header_transformation": "PASS_THROUGH",
                "route_config": {
                    "name": "redis",
                    "virtual_hosts": [{
                        "name": "redis",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": CLUSTER, "timeout": "0s"}}],
                    }],
                },
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                        "suppress_envoy_headers": true,
                    },
                }],
            },
        }]}],
    })
}

/// The cluster in front of that.
fn to_worker(rendering: &Rendering<'_>) -> Value {
    let name = format!("{CLUSTER}{OF_MAIN_THREAD}");
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"pipe": {"path": socket(rendering.directory)}}}},
        ]}]},
    })
}

/// The clusters on both sides of the listener. Their names never change: requests that run have no part in them.
pub(super) fn clusters(gateway: &Gateway, rendering: &Rendering<'_>) -> Vec<Cluster> {
    let Some(redis) = &gateway.redis else {
        return Vec::new();
    };
    let mut login = [&redis.username, &redis.password].into_iter().flatten();
    let secret = login.any(|secret| matches!(secret.source(), SecretSource::Value(_)));
    let mut clusters = vec![
        Cluster { name: CLUSTER.into(), resource: inner(), secret: false },
        Cluster { name: NODES.into(), resource: nodes(redis, rendering), secret },
    ];
    if gateway.filters == Filters::Native {
        let (name, resource) = (format!("{CLUSTER}{OF_MAIN_THREAD}"), to_worker(rendering));
        clusters.push(Cluster { name, resource, secret: false });
    }
    clusters
}

fn inner() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": CLUSTER,
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "#": "A filter that starts anew leaves connections behind that lead nowhere. Each would cost a call that fails; soon they are gone.",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "common_http_protocol_options": {"idle_timeout": "1s"},
            "explicit_http_config": {"http_protocol_options": {}},
        }},
        "circuit_breakers": {"thresholds": [
            {"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096},
        ]},
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": CLUSTER}}}},
        ]}]},
        "transport_socket": {
            "name": "envoy.transport_sockets.internal_upstream",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
                "transport_socket": {
                    "name": "envoy.transport_sockets.raw_buffer",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
                },
            },
        },
    })
}

fn nodes(redis: &Redis, rendering: &Rendering<'_>) -> Value {
    let endpoints: Vec<Value> = redis
        .nodes
        .iter()
        .map(|node| {
            let address = json!({"address": node.host.to_string(), "port_value": node.port});
            json!({"endpoint": {"address": {"socket_address": address}}})
        })
        .collect();
    let mut cluster = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": NODES,
        "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": NODES, "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if let Value::Object(cluster) = &mut cluster {
        cluster.extend(kind(redis));
        if let Some(password) = &redis.password {
            let login = login(redis.username.as_ref(), password);
            let options = json!({"envoy.filters.network.redis_proxy": login});
            cluster.insert("typed_extension_protocol_options".into(), options);
        }
        if redis.tls {
            let hosts: Vec<&Host> = redis.nodes.iter().map(|node| &node.host).collect();
            let context = tls_context(&hosts, &[], rendering);
            let socket = json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
            cluster.insert("transport_socket".into(), socket);
        }
    }
    cluster
}

/// How the nodes are found.
fn kind(redis: &Redis) -> serde_json::Map<String, Value> {
    let by_name = redis.nodes.iter().any(|node| matches!(node.host, Host::Name(_)));
    let kind = match (redis.cluster, by_name) {
        (true, _) => json!({
            "lb_policy": "CLUSTER_PROVIDED",
            "cluster_type": {
                "name": "envoy.clusters.redis",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.clusters.redis.v3.RedisClusterConfig",
                    "cluster_refresh_rate": "30s",
                    "cluster_refresh_timeout": "1s",
                    "redirect_refresh_interval": "1s",
                    "redirect_refresh_threshold": 1,
                },
            },
        }),
        (false, true) => json!({"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}),
        (false, false) => json!({"type": "STATIC"}),
    };
    match kind {
        Value::Object(kind) => kind,
        _ => serde_json::Map::new(),
    }
}

fn login(username: Option<&Secret>, password: &Secret) -> Value {
    let source = |secret: &Secret| match secret.source() {
        SecretSource::Env(name) => json!({"environment_variable": name}),
        SecretSource::Value(value) => json!({"inline_string": value}),
    };
    let mut login = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProtocolOptions",
        "auth_password": source(password),
    });
    if let (Some(username), Value::Object(login)) = (username, &mut login) {
        login.insert("auth_username".into(), source(username));
    }
    login
}
