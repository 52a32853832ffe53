//! What is read of a gateway that runs, and what is said of it.

use serde_json::json;

use super::*;

#[test]
fn the_operators_listener_is_found_by_its_name() {
    let listener = |name: &str, port: u16| json!({"name": name, "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}});
    let found = |all: Vec<Value>| address(&json!({"listener_statuses": all}));
    let both = vec![listener("gateway", 10_000), listener(OPERATOR, 43_211)];
    assert_eq!(found(both).as_deref(), Some("127.0.0.1:43211"));
    for none in [vec![], vec![listener("gateway", 10_000)], vec![listener(OPERATOR, 0)]] {
        assert_eq!(found(none), None);
    }
    assert_eq!(address(&json!([])), None);
}

#[test]
fn stats_are_those_of_the_store_and_those_of_envoy() {
    let held = json!({"store": "memory", "entries": 1207, "bytes": 11_953_766, "capacity_bytes": 64 << 20});
    let counter = |name: &str, value: u64| json!({"name": format!("wasmcustom.response_cache_{name}_total"), "value": value});
    let counted = json!({"stats": [
        counter("hits", 53), counter("misses", 34), counter("coalesced", 4), counter("stored", 30),
        counter("bypasses", 1), counter("saved_input_tokens", 900), counter("saved_output_tokens", 800),
        {"name": "other", "value": 5},
    ]});
    let stats = Stats::read(&held, &counted).unwrap();
    assert_eq!(
        stats.to_string(),
        "store         memory, room for 64MiB\n\
         entries       1207, 11.3MiB\n\
         hits          53 (60.9 %), 4 of them while it was on its way\n\
         misses        34, 30 answers stored\n\
         bypasses      1\n\
         saved tokens  900 input, 800 output\n"
    );
    assert_eq!(stats.to_json()["capacity_bytes"], 64 << 20);
    let redis = Stats::read(&json!({"store": "redis"}), &json!({})).unwrap();
    assert!(redis.to_string().starts_with("store         redis\nhits          0 (0 %), "), "{redis}");
    assert_eq!(redis.to_json()["entries"], Value::Null);
    assert_eq!(Stats::read(&json!({"error": {}}), &json!({})), None);
}

#[test]
fn what_is_cleared_is_said_in_words() {
    let clear = |consumer: Option<&str>, model: Option<&str>| Clear {
        consumer: consumer.map(str::to_owned),
        model: model.map(str::to_owned),
    };
    for (clear, want) in [
        (clear(None, None), "everything"),
        (clear(Some("app"), None), "what app has"),
        (clear(None, Some("gpt-4o")), "what there is of gpt-4o"),
        (clear(Some("app"), Some("gpt-4o")), "what app has of gpt-4o"),
    ] {
        assert_eq!(clear.to_string(), want);
    }
}

#[test]
fn a_model_is_cleared_with_and_without_the_prefix_of_its_rule() {
    let yaml = "providers: {a: {url: http://a/v1}}\nconsumers: [{name: mobile-app, keys: [sk-0123456789abcdef]}]\nmodels:\n\
                - {match: openai/*, strip_prefix: openai/, targets: [{provider: a}]}\n\
                - {match: '*', targets: [{provider: a}]}\ncache: {}";
    let options = crate::gateway::CheckOptions { env: &|_| None };
    let gateway = crate::gateway::check("x.yaml".as_ref(), yaml.as_bytes(), &options).gateway.unwrap();
    let clear =
        |consumer: &str, model: &str| Clear { consumer: Some(consumer.into()), model: Some(model.into()) };
    let models = |model| clear("a", model).models(&gateway).into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(models("openai/gpt-4o"), ["openai/gpt-4o", "gpt-4o"]);
    assert_eq!(models("gpt-4o"), ["gpt-4o"]);
    assert_eq!(models("openai/"), ["openai/"]);
    assert_eq!(Clear::default().models(&gateway), [None]);
    assert_eq!(clear("mobile-app", "x").doubt(&gateway), None);
    let doubt = clear("mobile-ap", "x").doubt(&gateway).unwrap();
    assert_eq!(doubt, "no consumer named \"mobile-ap\"; did you mean \"mobile-app\"?");
}

/// Both sides of a running gateway, each told apart by the path that is asked for.
fn gateway_that_runs(
    answer: fn(&str, u16) -> (u16, String),
) -> (Gateway, std::thread::JoinHandle<Vec<String>>) {
    use std::io::{Read as _, Write as _};
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let yaml = format!(
        "admin: 127.0.0.1:{port}\nproviders: {{a: {{url: http://a/v1}}}}\nmodels: [{{match: x, targets: [{{provider: a}}]}}]\ncache: {{}}"
    );
    let options = crate::gateway::CheckOptions { env: &|_| None };
    let gateway = crate::gateway::check("x.yaml".as_ref(), yaml.as_bytes(), &options).gateway.unwrap();
    let served = std::thread::spawn(move || {
        let mut asked = Vec::new();
        loop {
            let (mut client, _) = server.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let line = String::from_utf8(request).unwrap().lines().next().unwrap().to_owned();
            let (status, body) = answer(&line, port);
            let head =
                format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            client.write_all(format!("{head}{body}").as_bytes()).unwrap();
            let last = line.contains("/stats") || line.starts_with("DELETE");
            asked.push(line);
            if last {
                return asked;
            }
        }
    });
    (gateway, served)
}

fn own_listener(port: u16) -> String {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({"listener_statuses": [{"name": OPERATOR, "local_address": address}]}).to_string()
}

#[test]
fn names_are_asked_for_as_they_are_whatever_stands_in_them() {
    let (gateway, served) = gateway_that_runs(|line, port| match line {
        line if line.starts_with("DELETE") => (200, json!({"cleared": true}).to_string()),
        _ => (200, own_listener(port)),
    });
    let all = Clear { consumer: Some("a&b=c+d%/é?#".into()), model: Some("x y".into()) };
    assert_eq!(clear(&gateway, &all), Ok(json!({"cleared": true})));
    let asked = served.join().unwrap();
    let (_, query) = asked[1].strip_suffix(" HTTP/1.1").unwrap().split_once("/cache?").unwrap();
    let (consumer, model) = query.split_once('&').unwrap();
    let decoded = |pair: &str| {
        let mut bytes = Vec::new();
        let mut rest = pair.split('%');
        bytes.extend(rest.next().unwrap().bytes());
        for part in rest {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend(part[2..].bytes());
        }
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(decoded(consumer), "consumer=a&b=c+d%/é?#");
    assert_eq!(decoded(model), "model=x y");
}

#[test]
fn a_cache_that_cannot_answer_says_why() {
    let (gateway, served) = gateway_that_runs(|line, port| match line {
        line if line.starts_with("DELETE") => (502, json!({"error": {"message": "Try again."}}).to_string()),
        _ => (200, own_listener(port)),
    });
    let why = clear(&gateway, &Clear::default()).unwrap_err();
    assert_eq!(why, "the cache answered 502: Try again.");
    assert!(served.join().unwrap()[1].starts_with("DELETE /cache HTTP/1.1"));
}

#[test]
fn stats_are_asked_of_both() {
    let (gateway, served) = gateway_that_runs(|line, port| match line {
        line if line.starts_with("GET /cache ") => {
            (200, json!({"store": "redis", "entries": null}).to_string())
        }
        line if line.contains("/stats") => (
            200,
            json!({"stats": [{"name": "wasmcustom.response_cache_hits_total", "value": 3}]}).to_string(),
        ),
        _ => (200, own_listener(port)),
    });
    let stats = stats(&gateway).unwrap();
    assert_eq!((stats.store.as_str(), stats.entries, stats.hits), ("redis", None, 3));
    assert_eq!(served.join().unwrap().len(), 3);
}

#[test]
fn without_a_gateway_or_a_cache_it_says_so() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = |more: &str| {
        let yaml = format!(
            "admin: {gone}\nproviders: {{a: {{url: http://a/v1}}}}\nmodels: [{{match: x, targets: [{{provider: a}}]}}]\n{more}"
        );
        let options = crate::gateway::CheckOptions { env: &|_| None };
        crate::gateway::check("x.yaml".as_ref(), yaml.as_bytes(), &options).gateway.unwrap()
    };
    let why = stats(&file("")).unwrap_err();
    assert!(why.starts_with("the file has no `cache`; "), "{why}");
    let why = stats(&file("cache: {}")).unwrap_err();
    assert_eq!(why, format!("no gateway answers at {gone}, its `admin`; start it with `sluice run`"));
}
