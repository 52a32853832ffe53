//! What response-cache is told, and the listener on which `sluice cache` asks it.

use response_cache::ResponseCache;
use serde_json::{Value, json};
use sluice_core::filter::Filter as _;

use super::filters::{Plugin, Stage};
use super::form::Form;
use super::{millis, redis};
use crate::gateway::Gateway;

/// Name of the operators' listener.
pub const OPERATOR: &str = "sluice.operator";

/// The plugin's own JSON; `null` without a cache.
pub(super) fn response_cache(gateway: &Gateway) -> Value {
    let Some(cache) = &gateway.cache else {
        return Value::Null;
    };
    let mut config = json!({
        "ttl_ms": millis(cache.ttl),
        "scope": cache.scope.as_str(),
        "models": cache.models,
        "max_entry_bytes": cache.max_entry,
        "memory_bytes": cache.memory,
        "coalesce_streams": cache.coalesce_streams,
        "max_wait_ms": millis(cache.max_wait),
        "max_body_bytes": gateway.max_request_body,
    });
    if let (Some(store), Value::Object(config)) = (&gateway.redis, &mut config) {
        config
            .insert("redis".into(), json!({"cluster": redis::CLUSTER, "timeout_ms": millis(store.timeout)}));
    }
    config
}

/// The same filter, as it answers operators; `None` without a cache.
pub(super) fn operator(gateway: &Gateway) -> Option<Plugin> {
    let mut config = response_cache(gateway);
    config.as_object_mut()?.insert("operator".into(), true.into());
    Some(Plugin { name: ResponseCache::NAME, stage: Stage::Gateway, config, secret: false })
}

/// The listener for operators: on this machine alone, on a port that the system chooses and Envoy's admin interface
/// tells.
pub(super) fn listener(plugin: &Plugin, form: &Form<'_>) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": OPERATOR,
        "#": "Where `sluice cache` asks: on this machine alone, on a port that the admin interface tells.",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "operator",
                "server_name": "sluice",
                "route_config": {
                    "name": "operator",
                    "virtual_hosts": [{
                        "name": "operator",
                        "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 404}}],
                    }],
                },
                "http_filters": [
                    {"name": plugin.name, "typed_config": form.http(plugin)},
                    {
                        "name": "envoy.filters.http.router",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                        },
                    },
                ],
            },
        }]}],
    })
}
