//! Configurations: Envoy's own with no filter of ours or with one, and what stands for ports and long lists in a gateway.yaml.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Around;
use crate::{Failure, lab, request};

/// Where in Envoy a filter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Once a request.
    Gateway,
    /// Once an attempt.
    Provider,
}

/// A filter to be measured alone; its configuration is `bench/filters/<name>.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Name of the plugin.
    pub name: &'static str,
    /// Where it stands.
    pub stage: Stage,
}

impl Filter {
    /// All of them, in the order of the chain.
    pub const ALL: [Self; 9] = [
        Self { name: "ai-log", stage: Stage::Gateway },
        Self { name: "consumer-auth", stage: Stage::Gateway },
        Self { name: "model-router", stage: Stage::Gateway },
        Self { name: "token-limit", stage: Stage::Gateway },
        Self { name: "content-guard", stage: Stage::Gateway },
        Self { name: "response-cache", stage: Stage::Gateway },
        Self { name: "fallback", stage: Stage::Provider },
        Self { name: "key-rotation", stage: Stage::Provider },
        Self { name: "provider-adapter", stage: Stage::Provider },
    ];
}

/// What stands for `{listen}`, `{admin}`, `{provider}`, `{redis}`, `{consumers N}` and `{keywords N}`.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders {
    /// Port of the gateway.
    pub listen: u16,
    /// Port of Envoy's admin interface.
    pub admin: u16,
    /// Provider and Redis.
    pub around: Around,
}

impl Placeholders {
    /// A gateway.yaml from its template, and how many consumers it has.
    ///
    /// # Errors
    /// It asks for a Redis, and there is none; or a number is none.
    pub fn fill(&self, template: &str) -> Result<(String, u32), Failure> {
        let mut yaml = self.ports(template);
        if yaml.contains("{redis}") {
            let redis = self.around.redis.ok_or("this gateway needs a Redis, and the workload has none")?;
            yaml = yaml.replace("{redis}", &redis.port().to_string());
        }
        let (yaml, callers) = expand(&yaml, "{consumers ", consumers)?;
        let (yaml, _) = expand(&yaml, "{keywords ", keywords)?;
        Ok((yaml, callers.max(1)))
    }

    fn ports(&self, text: &str) -> String {
        let text = text.replace("{listen}", &self.listen.to_string());
        let text = text.replace("{admin}", &self.admin.to_string());
        text.replace("{provider}", &self.around.provider.port().to_string())
    }
}

/// Replaces `{WHAT N}` by the list of so many, and tells how many.
fn expand(text: &str, what: &str, list: impl Fn(u32) -> String) -> Result<(String, u32), Failure> {
    let Some((before, rest)) = text.split_once(what) else { return Ok((text.to_owned(), 0)) };
    let (count, after) = rest.split_once('}').ok_or_else(|| format!("{what}…: no end"))?;
    let count = count.trim().parse()?;
    Ok(([before, &list(count), after].concat(), count))
}

fn consumers(count: u32) -> String {
    let mut list = String::from("\n");
    for number in 0..count {
        let key = request::key(number);
        let _ = writeln!(list, "  - {{name: caller-{number}, tier: gold, keys: [{key}]}}");
    }
    list
}

/// Phrases that no request holds, as those of a real list seldom are.
fn keywords(count: u32) -> String {
    let words: Vec<_> = (0..count).map(|number| format!("\"forbidden phrase {number:04}\"")).collect();
    format!("[{}]", words.join(", "))
}

/// Envoy without a filter of ours.
#[must_use]
pub(super) fn bare(places: &Placeholders) -> String {
    envoy(places, "", "")
}

/// Envoy with one filter, of the module in `dist`.
///
/// # Errors
/// Its configuration is missing or no JSON, or there is no module.
pub(super) fn with_filter(
    places: &Placeholders,
    filter: &Filter,
    dist: &Path,
    is_native: bool,
) -> Result<String, Failure> {
    let module = &dist.join(if is_native { "libsluice.so" } else { "sluice.wasm" });
    if !module.is_file() {
        return Err(
            format!("{} is missing: see docs/benchmarks.md for how it is built", module.display()).into()
        );
    }
    let file = lab::folder().join("filters").join(filter.name).with_extension("json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let configuration: Value = serde_json::from_str(&places.ports(&text))?;
    let entry = if is_native { native } else { wasm }(filter.name, &configuration.to_string(), module);
    let envoy = match filter.stage {
        Stage::Gateway => envoy(places, &format!("{entry}, "), ""),
        Stage::Provider => envoy(places, "", &format!("{entry}, {CODEC}")),
    };
    Ok(if is_native { envoy + &metrics(module) } else { envoy })
}

/// A filter of `sluice.wasm` as Envoy's configuration; JSON is YAML.
fn wasm(name: &str, configuration: &str, module: &Path) -> String {
    let wasm = json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "root_id": name,
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
            "vm_config": {"vm_id": "sluice", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}},
            "allow_on_headers_stop_iteration": true
        }
    }});
    wasm.to_string()
}

/// A filter of `libsluice.so`.
fn native(name: &str, configuration: &str, module: &Path) -> String {
    let native = json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": dynamic_module(module),
        "filter_name": name,
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
    }});
    native.to_string()
}

/// What the metrics of native filters stand in.
fn metrics(module: &Path) -> String {
    let metrics = json!([{"name": "envoy.bootstrap.dynamic_modules", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension",
        "dynamic_module_config": dynamic_module(module),
        "extension_name": "sluice",
    }}]);
    format!("bootstrap_extensions: {metrics}\n")
}

fn dynamic_module(module: &Path) -> Value {
    json!({"module": {"local": {"filename": module}}, "do_not_close": true, "metrics_namespace": "wasmcustom"})
}

const CODEC: &str = "{name: codec, typed_config: {\"@type\": \
    type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec}}";

fn envoy(places: &Placeholders, filters: &str, upstream: &str) -> String {
    let upstream =
        if upstream.is_empty() { String::new() } else { format!(", upstream_http_filters: [{upstream}]") };
    places.ports(ENVOY).replace("{filters}", filters).replace("{upstream}", &upstream)
}

/// One listener, one route, one cluster. The endpoint says of itself what a provider's filters want to know.
const ENVOY: &str = r#"
admin: {address: {socket_address: {address: 127.0.0.1, port_value: {admin}}}}
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: {listen}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bare
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], include_request_attempt_count: true, routes: [{match: {prefix: /}, route: {cluster: a, timeout: 0s}}]}
          http_filters: [{filters}{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router{upstream}}}]
  clusters:
  - name: a
    load_assignment:
      cluster_name: a
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {provider}}}}
          metadata: {filter_metadata: {sluice: {target: '{"provider":"a","host":"127.0.0.1:{provider}","path":"/v1","attempts":2}'}}}
    circuit_breakers: {thresholds: [{max_connections: 1000000, max_pending_requests: 1000000, max_requests: 1000000}]}
"#;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{Around, Filter, Placeholders, bare, with_filter};
    use crate::lab;

    fn places() -> Placeholders {
        let around = Around { provider: ([127, 0, 0, 1], 3).into(), redis: None };
        Placeholders { listen: 1, admin: 2, around }
    }

    #[test]
    fn placeholders_are_filled_in() {
        let (yaml, callers) =
            places().fill("a: {listen} {provider}\nconsumers: {consumers 2}\nk: {keywords 2}\n").unwrap();
        assert_eq!(callers, 2);
        assert_eq!(
            yaml,
            "a: 1 3\nconsumers: \n\
             \x20 - {name: caller-0, tier: gold, keys: [sk-bench-000000-2f6b8d0c4e9a71c3]}\n\
             \x20 - {name: caller-1, tier: gold, keys: [sk-bench-000001-2f6b8d0c4e9a71c3]}\n\
             \nk: [\"forbidden phrase 0000\", \"forbidden phrase 0001\"]\n"
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_told() {
        assert!(places().fill("{redis}").unwrap_err().to_string().contains("needs a Redis"));
        assert!(places().fill("{consumers many}").is_err());
    }

    #[test]
    fn a_bare_envoy_has_no_filter_but_the_router() {
        let config = bare(&places());
        assert!(config.contains("http_filters: [{name: router, "), "{config}");
        assert!(!config.contains("{filters}") && !config.contains("{upstream}"));
    }

    #[test]
    fn every_filter_has_a_configuration_to_be_measured_with() {
        let dist = TempDir::new().unwrap();
        for module in ["sluice.wasm", "libsluice.so"] {
            let missing = with_filter(&places(), &Filter::ALL[0], dist.path(), module == "libsluice.so");
            assert!(missing.unwrap_err().to_string().contains(module));
            std::fs::write(dist.path().join(module), "").unwrap();
        }
        for filter in Filter::ALL {
            let config = with_filter(&places(), &filter, dist.path(), false).unwrap();
            assert!(config.contains(&format!("\"root_id\":\"{}\"", filter.name)), "{config}");
            let config = with_filter(&places(), &filter, dist.path(), true).unwrap();
            assert!(config.contains(&format!("\"filter_name\":\"{}\"", filter.name)), "{config}");
            assert!(config.contains("bootstrap_extensions: ["), "{config}");
        }
    }

    #[test]
    fn every_gateway_can_be_filled_in() {
        let mut places = places();
        places.around.redis = Some(([127, 0, 0, 1], 4).into());
        for file in std::fs::read_dir(lab::folder().join("gateways")).unwrap().flatten() {
            let (yaml, callers) = places.fill(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
            assert!(yaml.contains("listen: 127.0.0.1:1\n") && callers > 1, "{}", file.path().display());
            for left in ["{redis}", "{provider}", "{consumers", "{keywords"] {
                assert!(!yaml.contains(left), "{}: {left}", file.path().display());
            }
        }
    }
}
