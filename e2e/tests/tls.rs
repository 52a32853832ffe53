//! Providers behind TLS: asked by name, and believed only with a certificate that the system's roots vouch for.

use sluice_e2e::bed;
use sluice_e2e::client::Reply;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::tls::Authority;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

/// A gateway whose root certificates are those of `authority`.
fn gateway(authority: &Authority, provider: &Upstream) -> Gateway {
    let options =
        Options::default().file("roots.pem", &authority.pem()).env("SSL_CERT_FILE", "{folder}/roots.pem");
    options.start(&format!(
        "providers: {{a: {{url: \"https://localhost:{}/v1\", keys: [sk-secret]}}}}
models: [{{match: \"*\", targets: [{{provider: a}}]}}]
retry: {{attempts: 1}}
",
        provider.address().port()
    ))
}

fn assert_not_trusted(reply: &Reply, provider: &Upstream) {
    assert!((502..=503).contains(&reply.status), "{}", reply.text());
    assert!(reply.header("x-sluice-error").is_some(), "{:?}", reply.headers);
    assert!(provider.requests().is_empty(), "no request and no key to somebody nobody vouches for");
}

#[test]
fn a_provider_that_proves_its_name_is_asked() {
    let authority = Authority::new();
    let provider = Upstream::start_tls("a", authority.server(&["localhost"]));
    let gateway = gateway(&authority, &provider);
    let reply = gateway.chat(&bed::chat_body("trusted"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = provider.wait_for(1).remove(0);
    assert_eq!(seen.server_name.as_deref(), Some("localhost"));
    assert_eq!(seen.key(), Some("sk-secret"));
    assert_eq!(seen.header("host"), Some(format!("localhost:{}", provider.address().port()).as_str()));
}

#[test]
fn a_provider_that_nobody_vouches_for_gets_nothing() {
    let stranger = Authority::new();
    let provider = Upstream::start_tls("a", stranger.server(&["localhost"]));
    let reply = gateway(&Authority::new(), &provider).chat(&bed::chat_body("stranger"));
    assert_not_trusted(&reply, &provider);
}

#[test]
fn a_provider_with_anothers_name_gets_nothing() {
    let authority = Authority::new();
    let provider = Upstream::start_tls("a", authority.server(&["other.test"]));
    let reply = gateway(&authority, &provider).chat(&bed::chat_body("impostor"));
    assert_not_trusted(&reply, &provider);
}

#[test]
fn clients_may_come_over_tls_and_a_renewed_certificate_is_shown_live() {
    let (before, after) = (Authority::new(), Authority::new());
    let provider = Upstream::start("a");
    let (certificate, key) = before.certificate(&["gateway.test"]);
    let gateway = Options::default().file("cert.pem", &certificate).file("key.pem", &key).start(&format!(
        "providers: {{a: {{url: \"{}\"}}}}
models: [{{match: listed, targets: [{{provider: a}}]}}]
tls: {{cert: cert.pem, key: key.pem}}
",
        provider.url()
    ));
    let ask = |authority: &Authority| authority.get(gateway.address(), "gateway.test", "/v1/models");
    let answer = ask(&before).expect("a server that proves its name");
    assert!(answer.contains("\"listed\""), "{answer}");
    assert!(ask(&after).is_err(), "nobody has vouched for it yet");

    let (certificate, key) = after.certificate(&["gateway.test"]);
    gateway.replace("key.pem", &key);
    gateway.replace("cert.pem", &certificate);
    let renewed = wait::until("the renewed certificate", || ask(&after).ok());
    assert!(renewed.contains("\"listed\""), "{renewed}");
}
