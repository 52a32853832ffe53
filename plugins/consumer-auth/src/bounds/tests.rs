//! Bounds on address and route, and what cannot be one.

use super::*;

fn policy(raw: RawPolicy) -> Policy {
    Policy::try_from(raw).unwrap()
}

fn texts(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn an_address_is_held_against_the_networks() {
    let from = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:203.0.113.0/120"];
    let policy = policy(RawPolicy { from: texts(&from), ..RawPolicy::default() });
    for (address, want) in [
        (Some("10.255.0.1"), true),
        (Some("11.0.0.1"), false),
        (Some("192.0.2.7"), true),
        (Some("192.0.2.8"), false),
        (Some("::ffff:10.1.2.3"), true),
        (Some("2001:db8:1::1"), true),
        (Some("2001:db9::1"), false),
        (Some("203.0.113.9"), true),
        (Some("203.0.114.9"), false),
        (None, false),
    ] {
        let address = || address.map(|address| address.parse().unwrap());
        let call = Circumstances { path: "/", route: &|| None, address: &address, now_s: &|| 0 };
        let want = if want { Ok(()) } else { Err(Code::IpNotAllowed) };
        assert_eq!(policy.admit(&call), want, "{:?}", address());
    }
}

#[test]
fn a_path_or_the_name_of_the_route_opens_it() {
    let routes = ["/v1/chat/*", "/v1/models", "batch-?"];
    let policy = policy(RawPolicy { routes: texts(&routes), ..RawPolicy::default() });
    for (path, route, want) in [
        ("/v1/chat/completions", None, true),
        ("/v1/chat/completions?a=/x#y", None, true),
        ("/v1/models", None, true),
        ("/v1/models?limit=1", None, true),
        ("/v1/models/x", None, false),
        ("/v1/embeddings", None, false),
        ("/v1/embeddings?/v1/chat/x", None, false),
        ("/v1/embeddings", Some("batch-1"), true),
        ("/v1/embeddings", Some("batch-10"), false),
        ("/v1/chat/../embeddings", None, false),
        ("/v1/chat/%2E%2e/embeddings", None, false),
        ("/v1/chat/..%2fembeddings", None, false),
        ("/v1/chat/x\\..\\..\\embeddings", None, false),
        ("/v1/chat/./completions", None, false),
        ("batch-1", None, false),
        ("", None, false),
    ] {
        let route = || route.map(str::to_owned);
        let call = Circumstances { path, route: &route, address: &|| None, now_s: &|| 0 };
        let want = if want { Ok(()) } else { Err(Code::RouteNotAllowed) };
        assert_eq!(policy.admit(&call), want, "{path} {:?}", route());
    }
}

#[test]
fn models_come_out_as_one_glob_within_braces() {
    for (globs, want) in [
        (vec!["gpt-*", "{o1,o3}-mini", "[a,b]"], "gpt-*,{o1,o3}-mini,[a,b]"),
        (vec!["*"], "*"),
        (vec!["a\\,b", "c"], "a\\,b,c"),
    ] {
        let policy = policy(RawPolicy { models: texts(&globs), ..RawPolicy::default() });
        assert_eq!(policy.models.as_deref(), Some(want));
        let read: Glob = format!("{{{want}}}").parse().unwrap();
        for glob in globs {
            assert!(read.covers(&glob.parse().unwrap()), "{glob}");
        }
    }
}

#[test]
fn what_is_no_bound_is_refused_with_its_place() {
    let models = |models: &[&str]| RawPolicy { models: texts(models), ..RawPolicy::default() };
    let routes = |routes: &[&str]| RawPolicy { routes: texts(routes), ..RawPolicy::default() };
    let from = |from: &[&str]| RawPolicy { from: texts(from), ..RawPolicy::default() };
    let many = (0..1025).map(|n| format!("m{n}")).collect::<Vec<_>>();
    let many = RawPolicy { models: Some(many), ..RawPolicy::default() };
    let comma = "write `\\,` for a comma; each glob is an entry of its own";
    for (raw, want) in [
        (models(&[]), "models: must hold at least one glob; leave it out to allow all".to_owned()),
        (models(&["a", "[b"]), "models[1]: column 1: `[` is never closed".to_owned()),
        (models(&[""]), "models[0]: column 1: a glob must not be empty".to_owned()),
        (models(&["a,b"]), format!("models[0]: {comma}")),
        (models(&["x", "a*,*"]), format!("models[1]: {comma}")),
        (many, "models: taken together: the braces make more than 1024 alternatives".to_owned()),
        (routes(&[]), "routes: must hold at least one glob; leave it out to allow all".to_owned()),
        (routes(&["a", "/{"]), "routes[1]: column 2: `{` is never closed".to_owned()),
        (from(&[]), "from: must hold at least one network; leave it out to allow all".to_owned()),
        (
            from(&["10.0.0.0/33"]),
            "from[0]: \"10.0.0.0/33\" is no network such as 10.0.0.0/8 or 2001:db8::/32".to_owned(),
        ),
        (
            from(&["010.0.0.0/8"]),
            "from[0]: \"010.0.0.0/8\" is no network such as 10.0.0.0/8 or 2001:db8::/32".to_owned(),
        ),
        (
            from(&["10.0.0.1", "sk-canary"]),
            "from[1]: \"***\" is no network such as 10.0.0.0/8 or 2001:db8::/32".to_owned(),
        ),
    ] {
        assert_eq!(Policy::try_from(raw).unwrap_err(), want);
    }
}
