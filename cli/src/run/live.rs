//! The configuration in force, and how another takes its place without a request failing.
//!
//! The files change in an order in which every request finds what it was promised: first the clusters, new beside
//! old; then the provider stage, knowing new and old providers; then routes and the listener; last the router,
//! which begins to use what is new. What only the old configuration needs goes when its last request must have
//! ended.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::deadline::Deadline;
use crate::admin::Admin;
use crate::gateway::Gateway;
use crate::render::{Cluster, File, Rendered, Rendering, Stage, render, write};

/// Longest wait for Envoy to take over one file: a hundred thousand consumers take seconds, in each worker.
const TAKE_OVER: Duration = Duration::from_secs(60);

/// A gateway as Envoy runs it.
pub(super) struct Live<'a> {
    gateway: Gateway,
    rendering: Rendering<'a>,
    rendered: Rendered,
    /// What was in force before, oldest first, and until when requests of it may still run.
    older: Vec<(Deadline, Rendered)>,
    admin: Admin,
}

impl<'a> Live<'a> {
    /// Renders and writes everything for an Envoy that starts.
    pub(super) fn write(gateway: Gateway, rendering: Rendering<'a>) -> Result<Self, String> {
        let rendered = render(&gateway, &rendering);
        write(&rendered.files(&rendering), rendering.directory)?;
        let admin = Admin::new(gateway.admin);
        Ok(Self { gateway, rendering, rendered, older: Vec::new(), admin })
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Whether requests can be served.
    ///
    /// # Errors
    /// Envoy has refused the configuration.
    pub(super) fn is_ready(&self) -> Result<bool, String> {
        let refused = self.refusals();
        if refused > 0 {
            return Err("Envoy refused the configuration; its log says why".into());
        }
        Ok(self.admin.number("listener_manager.total_listeners_active") == Some(self.rendered.listeners())
            && self.admin.number("listener_manager.workers_started") == Some(1))
    }

    /// Whether any request is running.
    pub(super) fn is_busy(&self) -> bool {
        self.admin.number("http.gateway.downstream_rq_active").is_some_and(|requests| requests > 0)
    }

    /// Takes no more connections, and closes those there are with their next answer.
    pub(super) fn stop_listening(&self) {
        self.admin.post("/healthcheck/fail");
        self.admin.post("/drain_listeners?inboundonly");
    }

    /// Puts `gateway` in force; `false` if nothing of it is new.
    ///
    /// # Errors
    /// Envoy did not take it over; what was in force before is again.
    pub(super) fn apply(&mut self, gateway: Gateway) -> Result<bool, String> {
        if gateway.admin != self.gateway.admin {
            return Err("admin: its address cannot change while Envoy runs; restart sluice".into());
        }
        if gateway.filters != self.gateway.filters {
            return Err("filters: cannot change while Envoy runs; restart sluice".into());
        }
        let next = render(&gateway, &self.rendering);
        let (old, new) = (self.rendered.files(&self.rendering), next.files(&self.rendering));
        if old == new {
            self.gateway = gateway;
            return Ok(false);
        }
        let refused = self.refusals();
        let all = self.with_all_before(next.clone());
        let more_attempts = gateway.retry.per_target > self.gateway.retry.per_target;
        if let Err(why) = self.put_in_order(&all, refused, more_attempts) {
            let before = self.with_older(self.rendered.clone());
            write(&before.files(&self.rendering), self.rendering.directory)?;
            return Err(why);
        }
        let before = std::mem::replace(&mut self.rendered, next);
        self.older.push((Deadline::after(self.gateway.timeouts.request), before));
        self.gateway = gateway;
        Ok(true)
    }

    /// What was in force last comes first: of a provider that is gone, its latest keys are the good ones.
    fn with_all_before(&self, next: Rendered) -> Rendered {
        self.with_older(union(&self.rendered, next))
    }

    fn with_older(&self, next: Rendered) -> Rendered {
        self.older.iter().rev().fold(next, |next, (_, older)| union(older, next))
    }

    /// Takes away what only requests of an older configuration needed, once they must have ended.
    ///
    /// # Errors
    /// The files could not be written.
    pub(super) fn prune(&mut self) -> Result<(), String> {
        let kept = self.older.len();
        self.older.retain(|(until, _)| !until.has_passed());
        if self.older.len() < kept {
            let all = self.with_older(self.rendered.clone());
            write(&all.files(&self.rendering), self.rendering.directory)?;
        }
        Ok(())
    }

    /// Writes the files step by step, each step taken over before the next begins.
    ///
    /// The routes say after how many attempts the next target is due, the clusters how many there are in all. A
    /// request may meet clusters with more attempts than its route wants, but never with fewer: it would not reach
    /// the end of its chain. So routes with `more_attempts` at a target come last.
    fn put_in_order(&self, next: &Rendered, refused: u64, more_attempts: bool) -> Result<(), String> {
        let filters = next.filters();
        let of_stage = |stage| -> Vec<(String, File)> {
            let filters = filters.iter().filter(|filter| filter.stage == stage);
            filters
                .map(|filter| (ecds(stage, filter.name), next.filter_file(filter, &self.rendering)))
                .collect()
        };
        let mut steps = [
            vec![("cluster_manager.cds.version_text".to_owned(), next.clusters_file())],
            of_stage(Stage::Provider),
            vec![
                ("http.gateway.rds.gateway.version_text".to_owned(), next.routes_file()),
                ("listener_manager.lds.version_text".to_owned(), next.listener_file(&self.rendering)),
            ],
            of_stage(Stage::Gateway),
        ];
        if more_attempts {
            steps.swap(2, 3);
        }
        steps.iter().try_for_each(|step| self.put(step, refused))
    }

    fn put(&self, step: &[(String, File)], refused: u64) -> Result<(), String> {
        let files: Vec<File> = step.iter().map(|(_, file)| file.clone()).collect();
        write(&files, self.rendering.directory)?;
        let deadline = Deadline::after(TAKE_OVER);
        loop {
            let versions = self.admin.stats("version_text");
            let taken = |(stat, file): &(String, File)| versions.get(stat) == Some(&file.version);
            if step.iter().all(taken) && self.is_warm() {
                return Ok(());
            }
            let missing = || {
                let files = step.iter().filter(|step| !taken(step)).map(|(_, file)| file.path.as_str());
                files.collect::<Vec<_>>().join(", ")
            };
            if self.refusals() > refused {
                return Err(format!("Envoy refused {}; its log says why", missing()));
            }
            if deadline.has_passed() {
                return Err(format!("Envoy did not take over {} in time", missing()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// New clusters have resolved their names, a new listener has its filters.
    fn is_warm(&self) -> bool {
        let warming = ["cluster_manager.warming_clusters", "listener_manager.total_listeners_warming"];
        warming.iter().all(|stat| self.admin.number(stat) == Some(0))
    }

    /// How often Envoy has refused a file.
    fn refusals(&self) -> u64 {
        let stats = self.admin.stats("(update_rejected|config_fail)$");
        stats.values().filter_map(|count| count.parse::<u64>().ok()).fold(0, u64::saturating_add)
    }
}

fn ecds(stage: Stage, filter: &str) -> String {
    let chain = match stage {
        Stage::Gateway => "http_filter",
        Stage::Provider => "upstream_http_filter",
        Stage::Redis => "network_filter",
    };
    format!("extension_config_discovery.{chain}.{filter}.version_text")
}

/// `next`, with what requests of `old` still need: its clusters, its road to Redis, and its providers in the provider
/// stage.
fn union(old: &Rendered, next: Rendered) -> Rendered {
    let mut both = next;
    let clusters: BTreeMap<String, Cluster> = old
        .clusters
        .iter()
        .cloned()
        .chain(both.clusters)
        .map(|cluster| (cluster.name.clone(), cluster))
        .collect();
    both.clusters = clusters.into_values().collect();
    both.bridge = both.bridge.or_else(|| old.bridge.clone());
    for plugin in &mut both.plugins {
        let before = old.plugins.iter().find(|before| before.name == plugin.name);
        let Some(before) = before.filter(|_| plugin.stage == Stage::Provider) else { continue };
        plugin.secret |= before.secret;
        if let (Some(Value::Object(new)), Some(Value::Object(old))) =
            (plugin.config.get_mut("providers"), before.config.get("providers"))
        {
            for (name, provider) in old {
                new.entry(name).or_insert_with(|| provider.clone());
            }
        }
    }
    both.environment.extend(old.environment.iter().cloned());
    both.environment.sort();
    both.environment.dedup();
    both
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::gateway::{CheckOptions, check};

    fn gateway(providers: &str, target: &str) -> Gateway {
        let yaml = format!(
            "providers: {{{providers}}}\nmodels: [{{match: m, targets: [{{provider: {target}}}]}}]\n"
        );
        let options = CheckOptions { env: &|_| None };
        check(Path::new("gateway.yaml"), yaml.as_bytes(), &options).gateway.unwrap()
    }

    #[test]
    fn requests_of_a_provider_that_is_gone_keep_its_latest_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let rendering = Rendering { directory: path, module: path, roots: path, access_log: None };
        let a = |key: &str| gateway(&format!("a: {{url: \"http://127.0.0.1:1/v1\", keys: [{key}]}}"), "a");
        let mut live = Live::write(a("sk-2"), rendering).unwrap();
        live.older.push((Deadline::after(TAKE_OVER), render(&a("sk-1"), &rendering)));
        let next = render(&gateway("b: {url: \"http://127.0.0.1:2/v1\"}", "b"), &rendering);
        let all = live.with_all_before(next);
        let keys = all.plugins.iter().find(|plugin| plugin.name == "key-rotation").unwrap();
        assert_eq!(keys.config["providers"]["a"]["keys"][0]["key"]["value"], "sk-2");
        assert!(keys.config["providers"]["b"].is_object() && keys.secret);
        assert_eq!(all.clusters.len(), 2, "the old one, which has not changed, and the new one");
    }
}
