//! Clusters: one for each target of each rule, its priority levels the chain of fallbacks.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_core::target::Target;

use super::names::{digest, slug};
use super::{Rendering, seconds};
use crate::gateway::{Balance, Endpoint, Gateway, Hop, Host, Provider, Rule, Scheme};

/// More than any load: Envoy's default of 3 retries at a time would refuse fallbacks when they are needed most.
pub(super) const UNBOUNDED: u32 = 1_000_000;
/// Envoy's own default for what a connection buffers, in bytes.
const BUFFER: u64 = 1 << 20;

/// A cluster with the name under which model-router sends requests to it.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Another content, another name: a live change never alters a cluster under a running request.
    pub name: String,
    /// As Envoy reads it.
    pub resource: Value,
    /// Whether `resource` holds a secret.
    pub secret: bool,
}

/// The cluster that serves `rule` when `target` is picked.
pub(super) fn cluster(gateway: &Gateway, rule: &Rule, target: &Hop, rendering: &Rendering<'_>) -> Cluster {
    let chain: Vec<(&Hop, &Provider)> = std::iter::once(target)
        .chain(&rule.fallback)
        .filter_map(|hop| Some((hop, gateway.provider(&hop.provider)?)))
        .collect();
    let body = body(gateway, rule, &chain, rendering);
    let rule_name = rule.matches.first().map_or("", String::as_str);
    let name = format!("{}.{}.{}", slug(rule_name), slug(&label(target)), digest(&body.to_string()));
    named(name, &describe(rule_name, &chain), body)
}

/// The cluster of that name, with a comment.
pub(super) fn named(name: String, comment: &str, body: Value) -> Cluster {
    let mut resource = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "#": comment,
        "name": name,
    });
    if let (Value::Object(resource), Value::Object(mut body)) = (&mut resource, body) {
        if let Some(Value::Object(assignment)) = body.get_mut("load_assignment") {
            assignment.shift_insert(0, "cluster_name".into(), name.clone().into());
        }
        resource.extend(body);
    }
    Cluster { name, resource, secret: false }
}

/// What a cluster of one service beside the providers is, without its name. At most `most` requests are under way,
/// and as many wait.
pub(super) fn service(
    scheme: Scheme,
    endpoint: &Endpoint,
    connect: Duration,
    most: u32,
    rendering: &Rendering<'_>,
) -> Value {
    let host = &endpoint.host;
    let address = json!({"address": host.to_string(), "port_value": endpoint.port});
    let mut body = match host {
        Host::Name(_) => json!({"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}),
        Host::V4(_) | Host::V6(_) => json!({"type": "STATIC"}),
    };
    if let Value::Object(body) = &mut body {
        body.insert("connect_timeout".into(), seconds(connect).into());
        let bounds = json!({"max_connections": most, "max_pending_requests": most, "max_requests": most});
        body.insert("circuit_breakers".into(), json!({"thresholds": [bounds]}));
        if scheme == Scheme::Https {
            let context = tls_context(&[host], &["http/1.1"], rendering);
            let socket = json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
            body.insert("transport_socket".into(), socket);
        }
        let endpoint = json!({"endpoint": {"address": {"socket_address": address}}});
        body.insert("load_assignment".into(), json!({"endpoints": [{"lb_endpoints": [endpoint]}]}));
    }
    body
}

/// `provider` or `provider/model`.
pub(super) fn label(hop: &Hop) -> String {
    match &hop.model {
        Some(model) => format!("{}/{model}", hop.provider),
        None => hop.provider.clone(),
    }
}

fn describe(rule: &str, chain: &[(&Hop, &Provider)]) -> String {
    let hops: Vec<_> = chain.iter().map(|(hop, _)| label(hop)).collect();
    format!("Models {rule:?}: {}", hops.join(", then "))
}

fn body(gateway: &Gateway, rule: &Rule, chain: &[(&Hop, &Provider)], rendering: &Rendering<'_>) -> Value {
    let endpoints: Vec<Value> = chain
        .iter()
        .zip(0_u32..)
        .map(|((hop, provider), priority)| level(gateway, rule, hop, provider, priority))
        .collect();
    let addresses = || chain.iter().flat_map(|(_, provider)| &provider.endpoints);
    let by_name = addresses().any(|endpoint| matches!(endpoint.host, Host::Name(_)));
    let balance = chain.first().map_or(Balance::LeastRequest, |(_, provider)| provider.balance);
    let mut body = json!({
        "type": if by_name { "STRICT_DNS" } else { "STATIC" },
        "connect_timeout": seconds(gateway.timeouts.connect),
        "lb_policy": match balance {
            Balance::LeastRequest => "LEAST_REQUEST",
            Balance::RoundRobin => "ROUND_ROBIN",
            Balance::RingHash => "RING_HASH",
        },
        "per_connection_buffer_limit_bytes": gateway.hold.max_bytes.saturating_mul(2).max(BUFFER),
        "circuit_breakers": {"thresholds": [{
            "max_connections": UNBOUNDED, "max_pending_requests": UNBOUNDED,
            "max_requests": UNBOUNDED, "max_retries": UNBOUNDED,
        }]},
        "load_assignment": {"endpoints": endpoints},
    });
    if let Value::Object(members) = &mut body {
        if by_name {
            members.insert("dns_lookup_family".into(), "V4_PREFERRED".into());
        }
        let sockets = tls_sockets(chain, rendering);
        if !sockets.is_empty() {
            members.insert("transport_socket_matches".into(), sockets.into());
        }
    }
    body
}

/// One priority level: all replicas of one provider, each telling the provider stage where it leads.
fn level(gateway: &Gateway, rule: &Rule, hop: &Hop, provider: &Provider, priority: u32) -> Value {
    let replicas: Vec<Value> = provider
        .endpoints
        .iter()
        .map(|endpoint| {
            let target = Target {
                provider: provider.name.clone(),
                model: hop.model.clone(),
                host: endpoint.authority(provider.scheme),
                path: provider.path.clone(),
                attempts: gateway.attempts(rule),
            };
            let address = json!({"address": endpoint.host.to_string(), "port_value": endpoint.port});
            let mut metadata = json!({"sluice": {"target": target.to_metadata()}});
            if let (Scheme::Https, Value::Object(metadata)) = (provider.scheme, &mut metadata) {
                metadata.insert("envoy.transport_socket_match".into(), json!({"tls": tls_name(endpoint)}));
            }
            json!({
                "endpoint": {"address": {"socket_address": address}},
                "metadata": {"filter_metadata": metadata},
            })
        })
        .collect();
    json!({"priority": priority, "lb_endpoints": replicas})
}

fn tls_name(endpoint: &Endpoint) -> String {
    endpoint.host.to_string()
}

/// TLS for each https host: its own name as SNI, and a certificate for that name from a root of the system.
fn tls_sockets(chain: &[(&Hop, &Provider)], rendering: &Rendering<'_>) -> Vec<Value> {
    let mut names: Vec<&Host> = chain
        .iter()
        .filter(|(_, provider)| provider.scheme == Scheme::Https)
        .flat_map(|(_, provider)| provider.endpoints.iter().map(|endpoint| &endpoint.host))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|host| seen.insert(host.to_string()));
    names.into_iter().map(|host| tls_socket(host, rendering)).collect()
}

fn tls_socket(host: &Host, rendering: &Rendering<'_>) -> Value {
    let name = host.to_string();
    json!({
        "name": name,
        "match": {"tls": name},
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": tls_context(&[host], &["http/1.1"], rendering),
        },
    })
}

/// TLS to servers that each have a certificate for one of `hosts`, of which the first is asked for.
pub(super) fn tls_context(hosts: &[&Host], protocols: &[&str], rendering: &Rendering<'_>) -> Value {
    let names: Vec<Value> = hosts
        .iter()
        .map(|host| {
            let kind = if matches!(host, Host::Name(_)) { "DNS" } else { "IP_ADDRESS" };
            json!({"san_type": kind, "matcher": {"exact": host.to_string()}})
        })
        .collect();
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    });
    let mut common = json!({});
    if let (Value::Object(context), Value::Object(common)) = (&mut context, &mut common) {
        if let Some(host @ Host::Name(_)) = hosts.first() {
            // An IP address is no server name (RFC 6066 section 3).
            context.insert("sni".into(), host.to_string().into());
        }
        if !protocols.is_empty() {
            common.insert("alpn_protocols".into(), json!(protocols));
        }
        common.insert(
            "validation_context".into(),
            json!({
                "trusted_ca": {"filename": rendering.roots},
                "match_typed_subject_alt_names": names,
            }),
        );
    }
    if let Value::Object(context) = &mut context {
        context.insert("common_tls_context".into(), common);
    }
    context
}
