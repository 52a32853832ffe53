//! Keys of consumers stay with the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;

use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::{self, Gateway, Options};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{process, wait};

use crate::people::{self, CHAT, JSON, SIGN, chat, key, providers, sha256};

const MODELS: &str = "models: [{match: \"*\", targets: [{provider: a}]}]\n";

/// Consumers whose keys stand in every way, and further sections.
fn consumers(more: &str) -> String {
    format!(
        "consumers:
  - {{name: literal, keys: [{}]}}
  - {{name: file, keys: [\"file:file.key\"]}}
  - {{name: env, keys: [env:ENV_KEY]}}
  - {{name: hashed, keys: [\"sha256:{}\"], models: [\"other-*\"]}}
  - {{name: shut, keys: [{}], disabled: true}}
  - {{name: guest}}
credentials: {{headers: x-my-key, query: key}}
{MODELS}{more}",
        key("literal"),
        sha256(&key("hashed")),
        key("shut")
    )
}

fn options() -> Options {
    // What `sluice run` renders lies in a folder for temporary files: here in the test's own.
    Options::default()
        .env("TMPDIR", "{folder}")
        .env("ENV_KEY", &key("env"))
        .file("file.key", &format!("{}\n", key("file")))
}

/// Sends the key of `name` in each place where one can stand, and in some where it should not.
fn in_every_place(gateway: &Gateway, name: &str) -> Vec<Reply> {
    let plain = key(name);
    let [bearer, basic, cookie] =
        [format!("Bearer {plain}"), format!("Basic {plain}"), format!("session={plain}; key={plain}")];
    let rows: [(&[(&str, &str)], String); 13] = [
        (&[("authorization", &bearer)], String::new()),
        (&[("x-api-key", &plain)], String::new()),
        (&[("api-key", &plain)], String::new()),
        (&[("x-goog-api-key", &plain)], String::new()),
        (&[("x-my-key", &plain)], String::new()),
        (&[], format!("?key={plain}")),
        (&[], format!("?a=b&k%65y={}", plain.replace('-', "%2D"))),
        (&[("authorization", &bearer), ("x-api-key", &plain), ("x-my-key", &plain)], format!("?key={plain}")),
        (&[("authorization", &bearer), ("x-api-key", "sk-another-goldfinch")], String::new()),
        (&[("authorization", &plain)], String::new()),
        (&[("authorization", &basic)], String::new()),
        (&[("cookie", &cookie), ("proxy-authorization", &basic)], String::new()),
        (&[("x-auth-token", &plain), ("referer", &plain), ("x-mse-consumer", &plain)], String::new()),
    ];
    let send = |(headers, query): (&[(&str, &str)], String)| {
        let headers = [&[JSON], headers].concat();
        let body = chat("kept-secret").to_string();
        client::send(gateway.address(), "POST", &format!("{CHAT}{query}"), &headers, body.as_bytes())
    };
    rows.into_iter().map(send).collect()
}

/// Nothing that a client, a provider or an operator can read holds a key.
#[track_caller]
fn assert_kept(gateway: &Gateway, provider: &Upstream, replies: &[Reply]) {
    wait::until("the log", || (gateway.access_log().len() >= replies.len()).then_some(()));
    let prometheus = client::get(gateway.admin(), "/stats/prometheus").text();
    let told: String =
        replies.iter().map(|reply| format!("{:?} {}\n", reply.headers, reply.text())).collect();
    let sent: String = provider.requests().iter().map(people::everything).collect();
    for (what, text) in [
        ("what is readable", gateway.everything_readable()),
        ("metrics", prometheus),
        ("an answer", told),
        ("a provider's request", sent),
    ] {
        let at = text.find(SIGN).map(|at| &text[at.saturating_sub(200)..at]);
        assert_eq!(at, None, "a key is in {what}");
    }
    let rendered = files(gateway.folder()).into_iter().filter(|path| path.parent() != Some(gateway.folder()));
    let mut count = 0;
    for path in rendered {
        assert!(!process::read(&path).contains(SIGN), "a key is in {}", path.display());
        count += 1;
    }
    assert!(count > 5, "{count} rendered files");
}

/// Lets the filters say all they ever say.
fn log_all(gateway: &Gateway) {
    for path in ["/logging?level=info", "/logging?wasm=trace"] {
        assert_eq!(client::send(gateway.admin(), "POST", path, &[], b"").status, 200);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn good(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| reply.status == 200).count()
}

#[test]
fn a_consumers_key_is_in_no_log_metric_file_error_or_request() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = options().start(&(providers(&a, &b) + &consumers("")));
    log_all(&gateway);
    let mut replies = Vec::new();
    for (name, want) in [("literal", 8), ("file", 8), ("env", 8), ("hashed", 0), ("shut", 0), ("nobody", 0)] {
        let answered = in_every_place(&gateway, name);
        assert_eq!(good(&answered), want, "{name}");
        replies.extend(answered);
    }
    assert_kept(&gateway, &a, &replies);
}

#[test]
fn an_anonymous_callers_credentials_go_no_further() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = options().start(&(providers(&a, &b) + &consumers("anonymous: guest\n")));
    log_all(&gateway);
    let replies = in_every_place(&gateway, "nobody");
    assert_eq!(good(&replies), 2, "what holds nothing in a place of a key is the guest's");
    assert_kept(&gateway, &a, &replies);
}

#[test]
fn without_consumers_a_credential_goes_no_further_either() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let places = "credentials: {headers: x-my-key, query: key}\n";
    let gateway = options().start(&(providers(&a, &b) + MODELS + places));
    log_all(&gateway);
    let replies = in_every_place(&gateway, "nobody");
    assert_eq!(good(&replies), replies.len(), "everybody may call");
    assert_kept(&gateway, &a, &replies);
    assert_eq!(a.requests().len(), replies.len());
}

#[test]
fn no_rendered_file_holds_a_key() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("gateway.yaml");
    let listen = "version: 1\nlisten: 127.0.0.1:10000\nadmin: 127.0.0.1:9901\n";
    std::fs::write(&file, format!("{listen}{}{}", providers(&a, &b), consumers(""))).expect("a file");
    std::fs::write(folder.path().join("file.key"), key("file")).expect("a file");
    let rendered = folder.path().join("rendered");
    let mut command = Command::new(gateway::binary());
    command.arg("render").arg(&file).arg("-o").arg(&rendered).env("ENV_KEY", key("env"));
    let output = command.output().expect("the sluice command");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains(SIGN), "{said}");
    let texts: Vec<String> = files(&rendered).iter().map(|path| process::read(path)).collect();
    assert!(texts.iter().all(|text| !text.contains(SIGN)));
    for name in ["literal", "file", "hashed"] {
        assert!(texts.iter().any(|text| text.contains(&sha256(&key(name)))), "{name} is known by its hash");
    }
    assert!(
        texts.iter().all(|text| !text.contains(&sha256(&key("env")))),
        "a variable's is in no file at all"
    );
}
