//! The harness against a plain Envoy without any plugin: what it shows must be Envoy's doing, not the harness's.

use std::net::SocketAddr;

use serde_json::json;
use sluice_e2e::client::{self, End};
use sluice_e2e::envoy::Envoy;
use sluice_e2e::tls::Authority;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::{http2, sse};

fn proxy(provider: SocketAddr, cluster_extra: &str) -> Envoy {
    let port = provider.port();
    Envoy::start(&format!(
        r#"
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {{admin}}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {{listen}}}}}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: proxy
          http_protocol_options: {{enable_trailers: true}}
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: provider, timeout: 0s}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: provider
    load_assignment:
      cluster_name: provider
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]
{cluster_extra}"#
    ))
}

#[test]
fn a_stream_passes_unchanged_over_both_protocols() {
    let provider = Upstream::start("a");
    let envoy = proxy(provider.address(), "");
    let body = json!({"model": "m", "stream": true}).to_string();
    let want = client::send(provider.address(), "POST", "/v1/chat/completions", &[], body.as_bytes()).body;
    for reply in [
        client::send(envoy.address(), "POST", "/v1/chat/completions", &[], body.as_bytes()),
        http2::post(envoy.address(), "/v1/chat/completions", &[body.as_bytes()], &[]),
        http2::post(envoy.address(), "/v1/chat/completions", &[body.as_bytes()], &[("x-end", "1")]),
    ] {
        assert_eq!((reply.status, reply.end), (200, End::Clean));
        assert_eq!(reply.body, want);
    }
}

#[test]
fn a_provider_reset_breaks_the_client_over_both_protocols() {
    let provider = Upstream::start("a");
    let envoy = proxy(provider.address(), "");
    let body = json!({"model": "m", "stream": true, "x_mock": {"a": {"reset_after": 2, "gap_ms": 50}}});
    let text = body.to_string();
    for reply in [
        client::post(envoy.address(), "/v1/chat/completions", &body),
        http2::post(envoy.address(), "/v1/chat/completions", &[text.as_bytes()], &[]),
    ] {
        assert_eq!(reply.end, End::Broken);
        assert!(sse::text(&reply.events()).starts_with("Hello from a"));
    }
}

#[test]
fn a_chunked_request_arrives_with_its_trailers() {
    let provider = Upstream::start("a");
    let envoy = proxy(provider.address(), "");
    let mut connection = client::Connection::open(envoy.address()).unwrap();
    let pieces: Vec<&[u8]> = br#"{"model":"m"}"#.chunks(1).collect();
    connection.write_chunked("/v1/chat/completions", &pieces, &[("x-end", "1")]).unwrap();
    assert_eq!(connection.read().unwrap().status, 200);
    assert_eq!(provider.requests()[0].body, br#"{"model":"m"}"#);
}

#[test]
fn a_tls_provider_sees_the_server_name() {
    let authority = Authority::new();
    let provider = Upstream::start_tls("a", authority.server(&["provider.test"]));
    let pem = authority.pem().replace('\n', "\\n");
    let tls = format!(
        r#"    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: provider.test
        common_tls_context: {{validation_context: {{trusted_ca: {{inline_string: "{pem}"}}}}}}
"#
    );
    let envoy = proxy(provider.address(), &tls);
    let reply = client::post(envoy.address(), "/v1/chat/completions", &json!({"model": "m"}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(provider.requests()[0].server_name.as_deref(), Some("provider.test"));
}
