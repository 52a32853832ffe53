//! Redis Cluster: the keys of one decision lie together, those of different callers apart.

use std::collections::{BTreeMap, BTreeSet};

use redis::Connection;
use serde_json::json;
use sluice_e2e::redis::{Cluster, Options};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{self, Ledger, OUTPUT, PATIENT};

/// Callers: enough that each master has some.
const CALLERS: usize = 12;

fn yaml(provider: &Upstream, cluster: &Cluster) -> String {
    let consumers: String =
        (0..CALLERS).map(|n| format!("  - {{name: caller-{n}, keys: [sk-caller-{n}]}}\n")).collect();
    let urls: Vec<String> =
        cluster.nodes.iter().map(|node| format!("\"redis://{}\"", node.address())).collect();
    let sections = format!(
        "consumers:\n{consumers}limits:
  - {{name: output, by: [consumer], output_tokens: {}, per: 1h}}
  - {{name: per-model, by: [consumer, model], total_tokens: 1000000, per: 1h}}
  - {{name: at-once, by: [consumer], in_flight: 10}}
redis: {{url: [{}], cluster: true, password: env:REDIS_PASSWORD, {PATIENT}}}\n",
        3 * OUTPUT,
        urls.join(", ")
    );
    bed::yaml(provider, &sections)
}

fn connections(cluster: &Cluster) -> Vec<Connection> {
    cluster.nodes.iter().map(sluice_e2e::redis::Redis::connect).collect()
}

/// Hash tag of a key.
fn tag(key: &str) -> &str {
    key.split(['{', '}']).nth(1).expect("a hash tag")
}

/// On which masters the keys of each tag lie.
fn homes(nodes: &mut [Connection]) -> BTreeMap<String, BTreeSet<usize>> {
    let mut homes: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (number, node) in nodes.iter_mut().enumerate() {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(node).expect("keys");
        for key in keys {
            homes.entry(tag(&key).to_owned()).or_default().insert(number);
        }
    }
    homes
}

/// Moves a tag's slot, with all that is in it, from one master to another, as an operator does.
fn move_slot(cluster: &Cluster, nodes: &mut [Connection], name: &str, from: usize, to: usize) {
    let slot: u64 = redis::cmd("CLUSTER")
        .arg("KEYSLOT")
        .arg(format!("{{{name}}}"))
        .query(&mut nodes[from])
        .expect("a slot");
    let id = |node: &mut Connection| redis::cmd("CLUSTER").arg("MYID").query::<String>(node).expect("an id");
    let (giver, taker) = (id(&mut nodes[from]), id(&mut nodes[to]));
    let setslot = |node: &mut Connection, words: [&str; 2]| {
        redis::cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(&words).exec(node).expect("a slot's state");
    };
    setslot(&mut nodes[to], ["IMPORTING", &giver]);
    setslot(&mut nodes[from], ["MIGRATING", &taker]);
    let keys: Vec<String> =
        redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(100).query(&mut nodes[from]).expect("keys");
    let mut migrate = redis::cmd("MIGRATE");
    migrate.arg("127.0.0.1").arg(cluster.nodes[to].address().port()).arg("").arg(0).arg(5000);
    migrate.arg("AUTH").arg("secret").arg("KEYS").arg(keys);
    migrate.exec(&mut nodes[from]).expect("a move");
    setslot(&mut nodes[to], ["NODE", &taker]);
    setslot(&mut nodes[from], ["NODE", &taker]);
}

#[test]
fn a_clusters_masters_share_the_callers_and_a_moved_slot_keeps_its_counts() {
    let (cluster, provider) = (Cluster::start(&Options::password("secret")), Upstream::start("a"));
    let options = sluice_e2e::gateway::Options::default().env("REDIS_PASSWORD", "secret");
    let gateway = options.start(&yaml(&provider, &cluster));
    let mut nodes = connections(&cluster);
    let ask = |n: usize, model: &str| {
        bed::ask_as(&gateway, &format!("sk-caller-{n}"), &bed::chat(model, &json!({}))).status
    };
    for n in 0..CALLERS {
        assert_eq!([ask(n, "gpt-one"), ask(n, "gpt-two")], [200, 200], "caller {n}");
    }
    let homes_then = homes(&mut nodes);
    assert_eq!(homes_then.len(), CALLERS, "{homes_then:?}");
    assert!(homes_then.values().all(|home| home.len() == 1), "{homes_then:?}");
    let masters: BTreeSet<&usize> = homes_then.values().flatten().collect();
    assert_eq!(masters.len(), 3, "{homes_then:?}");

    let from = *homes_then["caller-0"].first().expect("a master");
    let to = (from + 1) % 3;
    wait::until("the settlements", || {
        (Ledger::tagged(&mut nodes[from], "caller-0", "output") == Ledger::settled(2 * OUTPUT)).then_some(())
    });
    move_slot(&cluster, &mut nodes, "caller-0", from, to);
    assert_eq!(ask(0, "gpt-one"), 200);
    assert_eq!(ask(0, "gpt-one"), 429, "what was counted at the other master still counts");
    assert_eq!(homes(&mut nodes)["caller-0"], BTreeSet::from([to]));
    wait::until("the last settlement", || {
        (Ledger::tagged(&mut nodes[to], "caller-0", "output") == Ledger::settled(3 * OUTPUT)).then_some(())
    });
    assert_eq!(bed::shown(&gateway, "sk-caller-0", "output"), (3 * OUTPUT, 0));
    for n in 1..CALLERS {
        assert_eq!([ask(n, "gpt-one"), ask(n, "gpt-two")], [200, 429], "caller {n}");
    }
    assert_eq!(bed::counter(&gateway, "token_limit_degraded_total"), 0);
    assert_eq!(provider.requests().len(), 3 * CALLERS);
}
