//! Redis Cluster and TLS, which Envoy's own settings bring.

use sluice_core::redis::{Command, RedisError, Reply, Script, Unavailable};
use sluice_e2e::ports::Port;
use sluice_e2e::redis::{Cluster, Options, Redis};
use sluice_e2e::tls::Authority;
use tempfile::TempDir;

use crate::road::{Asker, Road, Spec, command};

#[test]
fn three_masters_serve_every_key_and_script() {
    let cluster = Cluster::start(&Options::password("secret"));
    let seed = [cluster.nodes[0].address()];
    let spec = Spec { password: Some("secret"), cluster: true, redirection: true, ..Spec::new(&seed) };
    let road = Road::start(&spec);
    let mut asker = Asker::new(&road, 1_000);
    let script = Script::new("redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])");
    for n in 0..60 {
        let keys = [format!("{{{n}}}a"), format!("{{{n}}}b")];
        let reply = asker.one(Command::eval(&script, &keys).arg(format!("{n}")));
        assert_eq!(reply, Ok(Reply::Integer(1)), "{n}");
        assert_eq!(
            asker.one(command(&format!("GET {}", keys[0]))),
            Ok(Reply::Bulk(n.to_string().into_bytes()))
        );
    }
    let sizes = cluster.nodes.iter().map(|node| redis::cmd("DBSIZE").query::<u64>(&mut node.connect()));
    let sizes: Vec<u64> = sizes.map(|size| size.expect("a size")).collect();
    assert!(sizes.iter().sum::<u64>() == 120 && sizes.iter().all(|size| *size > 10), "{sizes:?}");
    // 60 scripts, 60 reads, and the source once for each master.
    assert_eq!(asker.host.callouts.len(), 123);
    let apart = asker.ask(vec![Command::eval(&script, &["a", "b"])]).expect("an answer");
    assert_eq!(apart, [Err(RedisError::CrossSlot)]);
}

#[test]
fn a_moved_key_is_followed_where_that_is_switched_on() {
    let cluster = Cluster::start(&Options::default());
    let first = [cluster.nodes[0].address()];
    for redirection in [true, false] {
        let road = Road::start(&Spec { redirection, ..Spec::new(&first) });
        let mut asker = Asker::new(&road, 1_000);
        // `foo` is in slot 12182, the third node's.
        let want = if redirection { Ok(Reply::Nil) } else { Err(Unavailable::Refused(RedisError::Moved)) };
        assert_eq!(asker.one(command("GET foo")), want, "redirection: {redirection}");
    }
}

#[test]
fn tls_is_spoken_to_whoever_proves_the_name() {
    let (authority, folder, port) = (Authority::new(), TempDir::new().expect("a folder"), Port::free());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let trusted = file("authority.pem", &authority.pem());
    let stranger = file("stranger.pem", &Authority::new().pem());
    let (certificate, key) = authority.certificate(&["localhost"]);
    let (certificate, key) = (file("certificate.pem", &certificate), file("key.pem", &key));
    let tls = format!("--tls-port {} --tls-auth-clients no", port.number());
    let mut options = Options::default().args(&tls);
    options.args.extend(["--tls-cert-file".to_owned(), certificate.display().to_string()]);
    options.args.extend(["--tls-key-file".to_owned(), key.display().to_string()]);
    let _redis = Redis::start(&options);
    let node = [([127, 0, 0, 1], port.number()).into()];
    for (authority, want) in [(&trusted, Ok(Reply::Nil)), (&stranger, Err(RedisError::NotReachable))] {
        let road = Road::start(&Spec { tls: Some(authority), ..Spec::new(&node) });
        let reply = Asker::new(&road, 1_000).one(command("GET k"));
        assert_eq!(reply, want.map_err(Unavailable::Refused), "{}", authority.display());
    }
}
