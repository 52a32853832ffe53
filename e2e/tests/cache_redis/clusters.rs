//! Redis Cluster: answers lie on all masters, each beside its lock.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_e2e::redis::{Cluster, Options};
use sluice_e2e::upstream::Upstream;

use crate::bed::{self, PATIENT};

/// Questions: enough that each master gets some.
const QUESTIONS: usize = 16;

#[test]
fn a_clusters_masters_share_the_answers() {
    let (cluster, provider) = (Cluster::start(&Options::password("secret")), Upstream::start("a"));
    let urls: Vec<String> =
        cluster.nodes.iter().map(|node| format!("\"redis://{}\"", node.address())).collect();
    let sections = format!(
        "cache: {{}}\nredis: {{url: [{}], cluster: true, password: env:REDIS_PASSWORD, {PATIENT}}}\n",
        urls.join(", ")
    );
    let options = sluice_e2e::gateway::Options::default().env("REDIS_PASSWORD", "secret");
    let gateway = options.start(&bed::yaml(&provider, &sections));
    for n in 0..QUESTIONS {
        let test = format!("cluster-{n}");
        assert_eq!(bed::ask(&gateway, &test, &json!({})), "miss");
        bed::until_hit(&gateway, &test);
        assert_eq!(bed::seen(&provider, &test).len(), 1);
    }
    let homes: Vec<BTreeSet<String>> =
        cluster.nodes.iter().map(|node| bed::keys(&mut node.connect()).into_iter().collect()).collect();
    assert!(homes.iter().all(|keys| !keys.is_empty()), "{homes:?}");
    assert_eq!(homes.iter().map(BTreeSet::len).sum::<usize>(), QUESTIONS, "no lock is left: {homes:?}");
}
