//! The form in which Envoy loads the plugins: as Wasm, those of a stage together or each alone, or as native code.

use std::path::Path;

use serde_json::{Map, Value, json};
use sluice_core::{chain, context};

use super::filters::{OPTIONAL, Plugin, Stage};
use super::text;
use crate::gateway::Filters;

/// A filter that does nothing when nothing is configured.
const NO_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const WASM_OF_CONNECTION: &str = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";
const NATIVE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const NATIVE_OF_CONNECTION: &str =
    "type.googleapis.com/envoy.extensions.filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter";

const NATIVE_OF_PROCESS: &str =
    "type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension";

/// What the names of metrics begin with inside Envoy: of Wasm filters always, of native ones so that dashboards and
/// alerts need not know the form.
const METRICS: &str = "wasmcustom";

/// Names of the filters of Envoy that hold a whole stage.
const CHAINS: [(&str, Stage); 2] = [("gateway", Stage::Gateway), ("provider", Stage::Provider)];

/// Names and stages of the filters that Envoy loads for `plugins`.
pub(super) fn places(plugins: &[Plugin], how: Filters) -> Vec<(&'static str, Stage)> {
    match how {
        Filters::Together | Filters::Native => CHAINS.to_vec(),
        Filters::Separate => plugins.iter().map(|plugin| (plugin.name, plugin.stage)).collect(),
    }
}

/// What a place in the chain may hold.
pub(super) fn type_urls(name: &str, how: Filters) -> Vec<&'static str> {
    match how {
        Filters::Native => vec![NATIVE],
        Filters::Together | Filters::Separate if OPTIONAL.contains(&name) => vec![WASM, NO_FILTER],
        Filters::Together | Filters::Separate => vec![WASM],
    }
}

/// The filters that Envoy loads for `plugins`. In a chain, a plugin that the gateway has no use for has no place; facts
/// are published as far as `read`, the rest of the rendering, reads them.
pub(super) fn loaded(plugins: &[Plugin], how: Filters, read: &str) -> Vec<Plugin> {
    if how == Filters::Separate {
        return plugins.to_vec();
    }
    let publish: Vec<&str> = context::ALL
        .iter()
        .map(|fact| fact.0)
        .filter(|name| read.contains(&format!("wasm.{name}")))
        .collect();
    let chain = |(name, stage)| {
        let of_stage =
            || plugins.iter().filter(move |plugin| plugin.stage == stage && !plugin.config.is_null());
        let filters: Vec<Value> =
            of_stage().map(|plugin| json!({"name": plugin.name, "config": plugin.config})).collect();
        let mut config = json!({"filters": filters, "publish": publish});
        if let (Stage::Provider, Value::Object(config)) = (stage, &mut config) {
            config.insert("joins".into(), true.into());
        }
        Plugin { name, stage, config, secret: of_stage().any(|plugin| plugin.secret) }
    };
    CHAINS.into_iter().map(chain).collect()
}

/// What Envoy loads of a native module for as long as it runs.
pub(super) fn of_process(how: Filters, module: &Path) -> Option<Value> {
    let metrics = || {
        json!({
            "#": "Metrics of native filters stand here: those of a filter would begin anew when its configuration changes.",
            "name": "envoy.bootstrap.dynamic_modules",
            "typed_config": {
                "@type": NATIVE_OF_PROCESS,
                "dynamic_module_config": dynamic_module(module),
                "extension_name": "sluice",
            },
        })
    };
    (how == Filters::Native).then(metrics)
}

/// How Envoy loads a shared object.
fn dynamic_module(module: &Path) -> Value {
    json!({
        "module": {"local": {"filename": module}},
        "#": "Its threads' own state would outlive it.",
        "do_not_close": true,
        "metrics_namespace": METRICS,
    })
}

/// Settings of Envoy's runtime. Of Wasm filters Prometheus is told metrics without [`METRICS`] and a prefix of Envoy's
/// own before their names; of native ones only with this.
pub(super) fn settings(how: Filters) -> Map<String, Value> {
    let setting = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
    let of_native = json!({
        "#": "Prometheus is told the same names of metrics in every form of the filters.",
        setting: true,
    });
    match (how, of_native) {
        (Filters::Native, Value::Object(settings)) => settings,
        _ => Map::new(),
    }
}

/// Which of the module's filters a plugin is.
fn root_id(plugin: &Plugin) -> &'static str {
    if CHAINS.iter().any(|(name, _)| *name == plugin.name) { chain::ROOT_ID } else { plugin.name }
}

/// How Envoy loads plugins: from which module, and in which form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a> {
    /// The form.
    pub(super) how: Filters,
    /// The module that holds every plugin, in this form; absolute.
    pub(super) module: &'a Path,
    /// Environment variables that the plugins read.
    pub(super) environment: &'a [String],
}

impl Form<'_> {
    /// `typed_config` of an HTTP filter.
    pub(super) fn http(&self, plugin: &Plugin) -> Value {
        if plugin.config.is_null() {
            return json!({"@type": NO_FILTER, "#": "Keeps a place in the chain, so that the filter can be added under open connections."});
        }
        if self.how == Filters::Native {
            return self.native(NATIVE, plugin);
        }
        let mut config = self.wasm(plugin);
        if let Value::Object(config) = &mut config {
            config.insert(
                "#1".into(),
                "Hold the headers, but go on reading the body: what it says decides where they go.".into(),
            );
            config.insert("allow_on_headers_stop_iteration".into(), true.into());
        }
        json!({"@type": WASM, "config": config})
    }

    /// `typed_config` of a network filter.
    pub(super) fn network(&self, plugin: &Plugin) -> Value {
        match self.how {
            Filters::Native => self.native(NATIVE_OF_CONNECTION, plugin),
            Filters::Together | Filters::Separate => {
                json!({"@type": WASM_OF_CONNECTION, "config": self.wasm(plugin)})
            }
        }
    }

    /// A filter of a shared object, which reads the process's environment itself.
    fn native(&self, kind: &str, plugin: &Plugin) -> Value {
        json!({
            "@type": kind,
            "dynamic_module_config": dynamic_module(self.module),
            "filter_name": root_id(plugin),
            "filter_config": configuration(plugin),
        })
    }

    /// How Envoy loads a plugin as Wasm. All share one `vm_id`, so one VM per worker.
    fn wasm(&self, plugin: &Plugin) -> Value {
        let mut vm = json!({
            "vm_id": "sluice",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": self.module}},
        });
        if let (false, Value::Object(vm)) = (self.environment.is_empty(), &mut vm) {
            vm.insert("environment_variables".into(), json!({"host_env_keys": self.environment}));
        }
        json!({
            "name": plugin.name,
            "root_id": root_id(plugin),
            "#": "A trap costs its own request a 503; the next is served by a new VM.",
            "failure_policy": "FAIL_RELOAD",
            "reload_config": {"backoff": {"base_interval": "0.1s"}},
            "configuration": configuration(plugin),
            "vm_config": vm,
        })
    }
}

/// The plugin's own JSON.
fn configuration(plugin: &Plugin) -> Value {
    let config = text::json(&plugin.config);
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config + "\n"})
}
