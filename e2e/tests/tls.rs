//! Providers behind TLS: asked by name, and believed only with a certificate that the system's roots vouch for.

use sluice_e2e::bed;
use sluice_e2e::client::Reply;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::tls::Authority;
use sluice_e2e::upstream::Upstream;

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
