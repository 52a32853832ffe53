//! Redis added, changed and taken away while requests run; its password; TLS.

use std::path::{Path, PathBuf};

use serde_json::json;
use sluice_e2e::gateway::{self, Gateway, Options};
use sluice_e2e::ports::Port;
use sluice_e2e::process;
use sluice_e2e::redis::{Fault, Faults, Options as RedisOptions, Redis};
use sluice_e2e::tls::Authority;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

use crate::bed::{self, Ledger, PATIENT, Stream, TOTAL};

/// One limit, with a message that shows which file is in use.
fn limits(message: &str) -> String {
    format!("limits: [{{name: total, total_tokens: 1000000, per: 1h, message: {message}}}]\n")
}

/// Asks until a request is counted by `redis`.
#[track_caller]
fn counts_in(gateway: &Gateway, redis: &Redis) -> u64 {
    let mut connection = redis.connect();
    wait::until("a request to be counted in Redis", || {
        assert_eq!(gateway.chat(&bed::chat("gpt-live", &json!({}))).status, 200);
        Some(Ledger::read(&mut connection, "total")).filter(|total| *total != Ledger::default())
    });
    let total = wait::until("its settlement", || {
        Some(Ledger::read(&mut connection, "total")).filter(|total| total.held == 0)
    });
    total.used
}

#[test]
fn redis_is_added_changed_and_taken_away_while_streams_run() {
    let provider = Upstream::start("a");
    let [one, two] = [(); 2].map(|()| Redis::start(&RedisOptions::default()));
    let yaml = |redis: &str| bed::yaml(&provider, &(limits("hm") + redis));
    let gateway = Gateway::start(&yaml(""));
    let begin = || Stream::begin(&gateway, "gpt-running", &json!({"hang_after": 4}));
    let streams = [begin()];
    assert_eq!(bed::shown(&gateway, "", "total").0, 0);

    gateway.rewrite(&yaml(&bed::redis(one.address(), PATIENT)));
    let counted = counts_in(&gateway, &one);
    assert_eq!(bed::shown(&gateway, "", "total"), (counted, 0));
    let running = Stream::begin(&gateway, "gpt-running", &json!({"gap_ms": 1500}));

    gateway.rewrite(&yaml(&bed::redis(two.address(), PATIENT)));
    counts_in(&gateway, &two);
    let mut connection = two.connect();
    let [at_one, before] = [&one, &two].map(|redis| Ledger::read(&mut redis.connect(), "total").used);
    running.end();
    Ledger::settled(before + TOTAL).becomes(&mut connection, "total");
    let one_then = Ledger::read(&mut one.connect(), "total").used;
    assert_eq!(one_then, at_one, "nothing more is booked where nobody counts now");

    let total = Ledger::read(&mut connection, "total");
    gateway.rewrite_and_wait(&yaml(""), |gateway| !filters(gateway).contains("redis"));
    assert_eq!(gateway.chat(&bed::chat("gpt-live", &json!({}))).status, 200);
    assert_eq!(Ledger::read(&mut connection, "total"), total);
    assert!(bed::shown(&gateway, "", "total").0 >= TOTAL, "counted in Envoy's memory again");
    streams.into_iter().for_each(Stream::abort);
    assert_eq!(bed::counter(&gateway, "token_limit_degraded_total"), 0);
}

#[test]
fn what_waits_for_redis_survives_a_change_of_the_limits() {
    let (redis, provider) = (Redis::start(&RedisOptions::default()), Upstream::start("a"));
    let faults = Faults::before(redis.address());
    let yaml = |message: &str| {
        bed::yaml(
            &provider,
            &(limits(message) + &bed::redis(faults.address(), "timeout: 5s, on_error: allow")),
        )
    };
    let gateway = Gateway::start(&yaml("before"));
    let stream = Stream::begin(&gateway, "gpt-waiting", &json!({"gap_ms": 50}));
    faults.set(Fault::Reset);
    stream.end();
    wait::until("a settlement that fails", || {
        (bed::counter(&gateway, "redis_failures_total;kind=not_reachable") > 0).then_some(())
    });
    gateway.rewrite_and_wait(&yaml("after"), |gateway| filters(gateway).contains("after"));
    assert_eq!(gateway.chat(&bed::chat("gpt-between", &json!({}))).status, 200);
    faults.set(Fault::None);
    Ledger::settled(TOTAL).becomes(&mut redis.connect(), "total");
}

/// The configurations of the filters that Envoy has.
fn filters(gateway: &Gateway) -> String {
    sluice_e2e::client::get(gateway.admin(), "/config_dump?resource=ecds_filters").text()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_password_from_the_environment_is_in_no_file_or_log() {
    const CANARY: &str = "pw-redis-canary";
    let (redis, provider) = (Redis::start(&RedisOptions::password(CANARY)), Upstream::start("a"));
    let settings = format!("password: env:REDIS_PASSWORD, {PATIENT}");
    let yaml = bed::yaml(&provider, &(limits("hm") + &bed::redis(redis.address(), &settings)));
    for (password, status) in [(CANARY, 200), ("pw-wrong-canary", 503)] {
        let gateway = Options::default().env("REDIS_PASSWORD", password).start(&yaml);
        assert_eq!(gateway.chat(&bed::chat("gpt-password", &json!({}))).status, status);
        assert_eq!(bed::decisions(&gateway, "gpt-password", 1).len(), 1);
        let readable = gateway.everything_readable();
        let tells = readable.find("pw-").map(|at| &readable[at.saturating_sub(200)..at]);
        assert_eq!(tells, None, "{password}");
        let failures = || bed::counter(&gateway, "redis_failures_total;kind=auth");
        match status {
            503 => wait::until("a failure to be counted", || (failures() > 0).then_some(())),
            _ => assert_eq!(failures(), 0),
        }
        assert!(
            files(gateway.folder()).iter().all(|file| !process::read(file).contains("pw-")),
            "{password}"
        );
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let (file, rendered) = (folder.path().join("gateway.yaml"), folder.path().join("rendered"));
    std::fs::write(&file, format!("version: 1\nlisten: 127.0.0.1:10000\nadmin: 127.0.0.1:9901\n{yaml}"))
        .expect("a file");
    let mut command = std::process::Command::new(gateway::binary());
    command.arg("render").arg(&file).arg("-o").arg(&rendered).env("REDIS_PASSWORD", CANARY);
    assert!(command.status().expect("the sluice command").success());
    let texts: Vec<String> = files(&rendered).iter().map(|file| process::read(file)).collect();
    assert!(texts.iter().any(|text| text.contains("REDIS_PASSWORD")), "the variable is named");
    assert!(texts.iter().all(|text| !text.contains("pw-")));
}

#[test]
fn redis_over_tls_is_believed_only_with_a_certificate_that_the_systems_roots_vouch_for() {
    let (authority, folder, port) =
        (Authority::new(), tempfile::TempDir::new().expect("a folder"), Port::free());
    let (certificate, key) = authority.certificate(&["localhost"]);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let mut options =
        RedisOptions::default().args(&format!("--tls-port {} --tls-auth-clients no", port.number()));
    options.args.extend(["--tls-cert-file".to_owned(), write("certificate.pem", &certificate)]);
    options.args.extend(["--tls-key-file".to_owned(), write("key.pem", &key)]);
    let (redis, provider) = (Redis::start(&options), Upstream::start("a"));
    let url = format!("redis: {{url: \"rediss://localhost:{}\", {PATIENT}}}\n", port.number());
    let yaml = bed::yaml(&provider, &(limits("hm") + &url));
    for (roots, status) in [(authority.pem(), 200), (Authority::new().pem(), 503)] {
        let options = Options::default().file("roots.pem", &roots).env("SSL_CERT_FILE", "{folder}/roots.pem");
        let gateway = options.start(&yaml);
        let reply = gateway.chat(&bed::chat("gpt-tls", &json!({})));
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    Ledger::settled(TOTAL).becomes(&mut redis.connect(), "total");
}
