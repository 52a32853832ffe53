//! The listener: the chain of filters, the access log, and Envoy's own errors in OpenAI's shape.

use serde_json::{Map, Value, json};
use sluice_core::openai::error::{Code, ERROR_HEADER};

use super::filters::Stage;
use super::form::type_urls;
use super::{Rendering, routes, seconds, tracing};
use crate::gateway::{Filters, Gateway};

/// What Envoy buffers beyond the largest body, in bytes: the filters answer 413 first, in OpenAI's shape.
const HEADROOM: u64 = 1 << 20;

/// One line of the access log. Envoy's own words are quoted; the record is JSON already, and `null` for what
/// never reached a filter.
const LOG_LINE: &str = concat!(
    r#"{"time":"%START_TIME%","client":"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%","protocol":"%PROTOCOL%","#,
    r#""status":%RESPONSE_CODE%,"flags":"%RESPONSE_FLAGS%","details":"%RESPONSE_CODE_DETAILS%","#,
    r#""bytes_in":%BYTES_RECEIVED%,"bytes_out":%BYTES_SENT%,TRACE"ai_log":AI_LOG}"#,
    "\n",
);

/// Namespace of the listener's metadata, and the name there of what a line has in place of a record.
const METADATA: &str = "sluice";
const NO_RECORD: &str = "no_record";

/// What leads from a line to its trace.
const TRACE_ID: &str = r#""trace_id":"%TRACE_ID%","#;

/// The listener, reading routes and filters from files of their own.
pub(super) fn listener(
    gateway: &Gateway,
    filters: &[(&'static str, Stage)],
    rendering: &Rendering<'_>,
) -> Value {
    let mut chain = json!({"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": connection_manager(gateway, filters, rendering),
    }]});
    if let (Some(tls), Value::Object(chain)) = (&gateway.tls, &mut chain) {
        let context = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": tls.cert},
                    "private_key": {"filename": tls.key},
                }],
            },
        });
        chain.insert(
            "transport_socket".into(),
            json!({"name": "envoy.transport_sockets.tls", "typed_config": context}),
        );
    }
    let mut listener = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "gateway",
        "#2": "What is stopped when the gateway drains: this listener, not the inner one.",
        "traffic_direction": "INBOUND",
        "address": {"socket_address": {
            "address": gateway.listen.ip().to_string(), "port_value": gateway.listen.port(),
        }},
        "#": "A body is held to be routed and sent again: the limit on it is the filters', this one lies above.",
        "per_connection_buffer_limit_bytes": gateway.max_request_body.saturating_add(HEADROOM),
        "filter_chains": [chain],
        "metadata": {"filter_metadata": {METADATA: metadata(gateway)}},
    });
    if let (Some(_), Value::Object(listener)) = (&gateway.tls, &mut listener) {
        listener.insert(
            "#1".into(),
            "A renewed certificate is another listener, so Envoy reads the files again.".into(),
        );
    }
    listener
}

/// The listener's metadata: what has no other place in it.
fn metadata(gateway: &Gateway) -> Map<String, Value> {
    let mut metadata = Map::from_iter([(NO_RECORD.to_owned(), Value::from("null"))]);
    if let Some(tls) = &gateway.tls {
        metadata.insert("certificate".into(), tls.digest.as_str().into());
    }
    metadata
}

fn connection_manager(
    gateway: &Gateway,
    filters: &[(&'static str, Stage)],
    rendering: &Rendering<'_>,
) -> Value {
    let mut of_gateway = discovered(filters, Stage::Gateway, gateway.filters, rendering);
    of_gateway.push(router(gateway, filters, rendering));
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        "#": "Nobody is internal: x-envoy-* headers of clients are dropped, whatever address they come from.",
        "use_remote_address": true,
        "internal_address_config": {},
        "normalize_path": true,
        "merge_slashes": true,
        "server_name": "sluice",
        "#1": "Every answer, refusals too, names its record; of the provider's own id see the routes.",
        "always_set_request_id_in_response": true,
        "request_headers_timeout": "10s",
        "#2": "Time for a request to arrive whole.",
        "request_timeout": seconds(gateway.timeouts.request),
        "stream_idle_timeout": "0s",
        "rds": {
            "route_config_name": routes::NAME,
            "config_source": source(rendering, "routes.yaml"),
        },
        "local_reply_config": {"mappers": error_mappers(gateway)},
        "access_log": [access_log(gateway, rendering)],
        "http_filters": of_gateway,
    });
    if let (Some(settings), Value::Object(manager)) = (&gateway.tracing, &mut manager) {
        manager.insert("tracing".into(), tracing::tracing(settings));
    }
    manager
}

fn router(gateway: &Gateway, filters: &[(&'static str, Stage)], rendering: &Rendering<'_>) -> Value {
    let mut upstream = discovered(filters, Stage::Provider, gateway.filters, rendering);
    upstream.push(json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
        },
    }));
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": true,
            "#": "The provider stage: once per attempt, for the endpoint chosen. Requests pass from top to bottom,\nanswers from bottom to top.",
            "upstream_http_filters": upstream,
        },
    })
}

/// The filters of a stage, each read from a file that can change while Envoy runs.
fn discovered(
    filters: &[(&'static str, Stage)],
    stage: Stage,
    how: Filters,
    rendering: &Rendering<'_>,
) -> Vec<Value> {
    let of_stage = filters.iter().filter(|(_, of)| *of == stage);
    let places = of_stage.map(|(name, _)| {
        json!({
            "name": name,
            "config_discovery": {
                "config_source": source(rendering, &format!("filters/{name}.yaml")),
                "type_urls": type_urls(name, how),
            },
        })
    });
    places.collect()
}

/// A file that Envoy reads again whenever another is moved into its place.
pub(super) fn source(rendering: &Rendering<'_>, file: &str) -> Value {
    json!({"resource_api_version": "V3", "path_config_source": {"path": rendering.directory.join(file)}})
}

/// What Envoy itself answers: when a chain is exhausted by broken connections or time, and when one read brings
/// more of a body than all that the filters, which count it, and the headroom allow.
fn error_mappers(gateway: &Gateway) -> Vec<Value> {
    let tried = "No provider answered. Tried: %FILTER_STATE(wasm.ai.tried:PLAIN)%.";
    let flags = |flags: &[&str]| json!({"response_flag_filter": {"flags": flags}});
    let too_large = format!("The request body is larger than {} bytes.", gateway.max_request_body);
    vec![
        mapper(Code::UpstreamTimeout, &flags(&["UT", "SI", "DT"]), tried),
        mapper(
            Code::NoHealthyTarget,
            &flags(&["UH", "NC", "NR"]),
            "No provider of this model can be reached at present.",
        ),
        mapper(Code::UpstreamError, &flags(&["UF", "UC", "UR", "LR", "URX", "UPE", "UO"]), tried),
        mapper(
            Code::RequestTooLarge,
            &cel("response.code_details == 'request_payload_too_large'"),
            &too_large,
        ),
    ]
}

/// Gives the replies that `filter` picks the status, the header and the body of an error.
fn mapper(code: Code, filter: &Value, message: &str) -> Value {
    let header = |name: &str, value: &str| json!({"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"});
    let mut headers = vec![header(ERROR_HEADER, code.name())];
    if code.is_terminal() {
        headers.push(header("x-should-retry", "false"));
    }
    json!({
        "filter": filter,
        "status_code": code.status(),
        "headers_to_add": headers,
        "body_format_override": {"json_format": {"error": {
            "message": message, "type": code.kind(), "param": null, "code": code.name(),
        }}},
    })
}

/// A filter on what is logged or mapped, by an expression.
fn cel(expression: &str) -> Value {
    json!({"extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": expression,
        },
    }})
}

/// One line for each request, with its record or else with what the listener's metadata has in place of one: text formats
/// know no "or else" but this, and two loggers behind two expressions cost a request more than its line does.
fn access_log(gateway: &Gateway, rendering: &Rendering<'_>) -> Value {
    let record = json!({"operators": [
        {"command": "FILTER_STATE", "param": "wasm.ai_log:PLAIN"},
        {"command": "METADATA", "param": format!("LISTENER:{METADATA}:{NO_RECORD}")},
    ]});
    let line = LOG_LINE
        .replace("TRACE", if gateway.tracing.is_some() { TRACE_ID } else { "" })
        .replace("AI_LOG", &format!("%COALESCE({record})%"));
    let format = json!({"text_format_source": {"inline_string": line}});
    match rendering.access_log {
        Some(path) => json!({
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path, "log_format": format,
            },
        }),
        None => json!({
            "name": "envoy.access_loggers.stdout",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                "log_format": format,
            },
        }),
    }
}
