//! Writes Envoy's configuration for a [`Gateway`], as files that Envoy watches.
//!
//! | file | holds | read as |
//! | --- | --- | --- |
//! | `envoy.yaml` | admin address, and where the others are | bootstrap |
//! | `listeners.yaml` | the listener with its chain of filters; with `redis` an inner one, with `cache` one for operators, too | LDS |
//! | `routes.yaml` | time-outs and retries | RDS |
//! | `clusters.yaml` | a chain of endpoints for each target of each rule | CDS |
//! | `filters/<stage>.yaml`; `filters/<plugin>.yaml` where they are separate | how the plugins of a stage are loaded, each with its own JSON | ECDS |
//!
//! Weights, keys, time-outs and providers can so change under open connections: only a change of addresses, of the
//! certificate, of the body limit or of the deadline of a request makes Envoy replace the listener.

mod cache;
mod clusters;
mod consumers;
mod files;
mod filters;
mod form;
mod guard;
mod limits;
mod listener;
mod names;
mod record;
mod redis;
mod routes;
mod stats;
mod text;
mod tracing;
mod when;
mod yaml;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

pub use cache::OPERATOR;
pub use clusters::Cluster;
pub use files::{File, write};
pub use filters::{Plugin, Stage};
pub use redis::{Bridge, socket};

use crate::gateway::{Filters, Gateway, Hop};
use form::Form;

/// Client connections that Envoy holds at the same time.
const MAX_CONNECTIONS: u32 = 50_000;

/// Free memory that Envoy gives back to the system each second. Only what is free already; it costs requests nothing.
const RELEASED_BYTES: u64 = 100 << 20;

/// What the files depend on besides the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Rendering<'a> {
    /// Where the files will lie; absolute.
    pub directory: &'a Path,
    /// The module that holds every plugin, in the form that the gateway wants; absolute.
    pub module: &'a Path,
    /// PEM file with the system's root certificates.
    pub roots: &'a Path,
    /// Where the access log goes; `None`: standard output.
    pub access_log: Option<&'a Path>,
}

/// Envoy's configuration in parts.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// `envoy.yaml`.
    pub bootstrap: Value,
    /// The listener for clients.
    pub listener: Value,
    /// Whether `listener` holds a secret.
    pub listener_is_secret: bool,
    /// The listener in front of Redis.
    pub bridge: Option<Bridge>,
    /// The filter of the listener for operators.
    pub operator: Option<Plugin>,
    /// The only route configuration.
    pub routes: Value,
    /// Clusters by name, each name once.
    pub clusters: Vec<Cluster>,
    /// The plugins in chain order.
    pub plugins: Vec<Plugin>,
    /// How they are loaded.
    pub how: Filters,
    /// Environment variables that they read, each once, sorted.
    pub environment: Vec<String>,
}

/// Renders every part.
#[must_use]
pub fn render(gateway: &Gateway, rendering: &Rendering<'_>) -> Rendered {
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut of_rules = Vec::new();
    for rule in &gateway.models {
        let cluster_of = |hop: &Hop| clusters::cluster(gateway, rule, hop, rendering);
        let of_rule: Vec<Cluster> = rule.targets.iter().map(|target| cluster_of(&target.hop)).collect();
        of_rules.push(of_rule.iter().map(|cluster| cluster.name.clone()).collect());
        clusters.extend(of_rule);
    }
    let services = guard::clusters(gateway, rendering);
    let plugins = filters::plugins(gateway, &of_rules, &services);
    clusters.extend(services);
    clusters.extend(redis::clusters(gateway, rendering));
    clusters.extend(tracing::cluster(gateway, rendering));
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters.dedup_by(|a, b| a.name == b.name);
    Rendered {
        bootstrap: bootstrap(gateway, rendering),
        listener: listener::listener(gateway, &form::places(&plugins, gateway.filters), rendering),
        listener_is_secret: tracing::has_secrets_in_it(gateway),
        bridge: redis::bridge(gateway),
        operator: cache::operator(gateway),
        routes: routes::routes(gateway),
        clusters,
        plugins,
        how: gateway.filters,
        environment: filters::environment(gateway),
    }
}

impl Rendered {
    /// All files, the bootstrap last, so that whoever waits for it finds the others.
    #[must_use]
    pub fn files(&self, rendering: &Rendering<'_>) -> Vec<File> {
        let mut files = vec![self.clusters_file()];
        files.extend(self.filters().iter().rev().map(|filter| self.filter_file(filter, rendering)));
        files.extend([self.routes_file(), self.listener_file(rendering)]);
        files.push(File::new("envoy.yaml", yaml::document(&self.bootstrap)));
        files
    }

    /// `clusters.yaml`.
    #[must_use]
    pub fn clusters_file(&self) -> File {
        let resources: Vec<Value> = self.clusters.iter().map(|cluster| cluster.resource.clone()).collect();
        let secret = self.clusters.iter().any(|cluster| cluster.secret);
        File::discovery("clusters.yaml", &resources, secret)
    }

    /// `routes.yaml`.
    #[must_use]
    pub fn routes_file(&self) -> File {
        File::discovery("routes.yaml", std::slice::from_ref(&self.routes), false)
    }

    /// `listeners.yaml`.
    #[must_use]
    pub fn listener_file(&self, rendering: &Rendering<'_>) -> File {
        let bridge = self.bridge.as_ref().map(|bridge| bridge.resources(&self.form(rendering), rendering));
        let operator = self.operator.as_ref();
        let operator = operator.map(|plugin| cache::listener(plugin, &self.form(rendering)));
        let inner = bridge.into_iter().flatten().chain(operator);
        let listeners: Vec<Value> = inner.chain([self.listener.clone()]).collect();
        File::discovery("listeners.yaml", &listeners, self.listener_is_secret)
    }

    /// How many listeners `listeners.yaml` holds.
    #[must_use]
    pub fn listeners(&self) -> u64 {
        let of_bridge = self.bridge.as_ref().map_or(0, Bridge::listeners);
        1_u64.saturating_add(of_bridge).saturating_add(self.operator.is_some().into())
    }

    /// The filters that Envoy loads.
    #[must_use]
    pub fn filters(&self) -> Vec<Plugin> {
        form::loaded(&self.plugins, self.how, &self.listener.to_string())
    }

    /// `filters/<filter>.yaml`.
    #[must_use]
    pub fn filter_file(&self, filter: &Plugin, rendering: &Rendering<'_>) -> File {
        let resource = json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": filter.name,
            "typed_config": self.form(rendering).http(filter),
        });
        File::discovery(&format!("filters/{}.yaml", filter.name), &[resource], filter.secret)
    }

    fn form<'a>(&'a self, rendering: &Rendering<'a>) -> Form<'a> {
        Form { how: self.how, module: rendering.module, environment: &self.environment }
    }
}

fn bootstrap(gateway: &Gateway, rendering: &Rendering<'_>) -> Value {
    json!({
        "#": "Written by `sluice render`; a change here is lost. The source is gateway.yaml.",
        "node": {"id": "sluice", "cluster": "sluice"},
        "admin": {"address": {"socket_address": {
            "address": gateway.admin.ip().to_string(), "port_value": gateway.admin.port(),
        }}},
        "#1": "Beyond any load meant for one Envoy, but not beyond its memory.",
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_CONNECTIONS,
            },
        }]},
        "#2": released(gateway.filters),
        "memory_allocator_manager": {"bytes_to_release": RELEASED_BYTES, "memory_release_interval": "1s"},
        "bootstrap_extensions": extensions(gateway.filters, rendering),
        "#3": "Labels stand in the names of the filters' metrics.",
        "stats_config": stats::config(),
        "#4": "Spans go in batches, where there is tracing.",
        "layered_runtime": runtime(gateway.filters),
        "dynamic_resources": {
            "cds_config": listener::source(rendering, "clusters.yaml"),
            "lds_config": listener::source(rendering, "listeners.yaml"),
        },
    })
}

/// `bootstrap_extensions` of the bootstrap.
fn extensions(how: Filters, rendering: &Rendering<'_>) -> Vec<Value> {
    let internal = json!({
        "#": "Costs nothing, and lets `redis` be added while Envoy runs.",
        "name": "envoy.bootstrap.internal_listener",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
        },
    });
    [internal].into_iter().chain(form::of_process(how, rendering.module)).collect()
}

/// Why free memory is given back.
const fn released(how: Filters) -> &'static str {
    match how {
        Filters::Together | Filters::Separate => {
            "Gives back what V8's compiler took to start the filters: 20 MB of 156 in all."
        }
        Filters::Native => "Gives back what is free: it costs requests nothing.",
    }
}

/// `layered_runtime` of the bootstrap.
fn runtime(how: Filters) -> Value {
    let mut settings = tracing::settings();
    settings.extend(form::settings(how));
    json!({"layers": [{"name": "sluice", "static_layer": settings}, {"name": "admin", "admin_layer": {}}]})
}

/// A duration as Envoy writes it.
fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
