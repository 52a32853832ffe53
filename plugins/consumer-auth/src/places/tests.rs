//! Every place of a key, in every combination.

use proptest::prelude::*;
use sluice_core::testing::FakeHost;

use super::*;

fn places() -> Places {
    Places::new(vec!["X-My-Key".to_owned()], Some("key".to_owned())).unwrap()
}

fn read(headers: &[(&str, &str)]) -> Presented {
    places().read(&FakeHost::with_request(headers).headers(Side::Request)).key
}

#[test]
fn a_key_is_found_in_each_place() {
    let one = |key: &str| Presented::One(key.as_bytes().to_vec());
    for (name, value, want) in [
        ("authorization", "Bearer sk-a", one("sk-a")),
        ("authorization", "bearer sk-a", one("sk-a")),
        ("authorization", "BEARER   sk-a ", one("sk-a")),
        ("authorization", "Bearer\tsk-a", one("sk-a")),
        ("authorization", "Bearer a,b", one("a,b")),
        ("authorization", "Bearer sk-a,Bearer sk-a", one("sk-a")),
        ("authorization", "Bearer sk-a, bearer sk-b", Presented::Several),
        ("authorization", "Bearer a, Basic b", one("a, Basic b")),
        ("authorization", "Basic b, Bearer a", one("a")),
        ("authorization", "Bearer ,Bearer a", one("a")),
        ("authorization", "Bearer", Presented::Unreadable),
        ("authorization", "Bearer ", Presented::Unreadable),
        ("authorization", "Bearersk-a", Presented::Unreadable),
        ("authorization", "sk-a", Presented::Unreadable),
        ("authorization", "Basic c2s6", Presented::Unreadable),
        ("authorization", "", Presented::Unreadable),
        ("x-api-key", "sk-a", one("sk-a")),
        ("x-api-key", " sk-a ", one("sk-a")),
        ("x-api-key", "Bearer sk-a", one("Bearer sk-a")),
        ("x-api-key", "", Presented::Unreadable),
        ("api-key", "sk-a", one("sk-a")),
        ("x-goog-api-key", "sk-a", one("sk-a")),
        ("x-my-key", "sk-a", one("sk-a")),
        ("x-other-key", "sk-a", Presented::Nothing),
        ("cookie", "key=sk-a", Presented::Nothing),
        (":path", "/v1?key=sk-a", one("sk-a")),
        (":path", "/v1?a=b&key=sk%2Da&c", one("sk-a")),
        (":path", "/v1?k%65y=sk-a", one("sk-a")),
        (":path", "/v1?key=a+b", one("a+b")),
        (":path", "/v1?key=a=b", one("a=b")),
        (":path", "/v1?key=sk-a&key=sk-a", one("sk-a")),
        (":path", "/v1?key=sk-a&key=sk-b", Presented::Several),
        (":path", "/v1?key=&key=sk-a", one("sk-a")),
        (":path", "/v1?key", Presented::Unreadable),
        (":path", "/v1?Key=sk-a", Presented::Nothing),
        (":path", "/key=sk-a", Presented::Nothing),
    ] {
        assert_eq!(read(&[(name, value)]), want, "{name}: {value}");
    }
}

#[test]
fn two_places_must_agree() {
    let all = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-my-key", ":path"];
    let holding = |name: &'static str, key: &str| match name {
        "authorization" => (name, format!("Bearer {key}")),
        ":path" => (name, format!("/v1?key={key}")),
        _ => (name, key.to_owned()),
    };
    for first in all {
        for second in all {
            for (key, want) in [("a", Presented::One(b"a".to_vec())), ("b", Presented::Several)] {
                let headers = [holding(first, "a"), holding(second, key)];
                let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
                assert_eq!(read(&headers), want, "{headers:?}");
            }
        }
    }
}

#[test]
fn the_rest_of_the_query_stays_as_it_is() {
    for (path, want) in [
        ("/v1?key=a", "/v1"),
        ("/v1?key=a&b=%20+&&c", "/v1?b=%20+&&c"),
        ("/v1?b=1&key=a", "/v1?b=1"),
        ("/v1?b=1&key=a&c=2&key=&k%65y", "/v1?b=1&c=2"),
        ("/v1?b=%zz&key=%zz&c=?key=d", "/v1?b=%zz&c=?key=d"),
        ("/v1?key=a&", "/v1?"),
        ("/v1?keys=a", "/v1?keys=a"),
        ("/v1?", "/v1?"),
        ("/v1", "/v1"),
    ] {
        let mut host = FakeHost::with_request(&[(":path", path)]);
        places().read(&host.headers(Side::Request)).strip(&mut host);
        assert_eq!(host.request_header(":path").as_deref(), Some(want), "{path}");
    }
}

#[test]
fn a_path_that_is_not_utf8_keeps_its_meaning() {
    let mut host = FakeHost::default();
    host.request.push((":path".to_owned(), b"/\xff?key=a&b=\xfe".to_vec()));
    let headers = host.headers(Side::Request);
    let places = places();
    let found = places.read(&headers);
    found.strip(&mut host);
    assert_eq!(found.key, Presented::One(b"a".to_vec()));
    assert_eq!(host.request_header(":path").as_deref(), Some("/%FF?b=%FE"));
}

#[test]
fn a_caller_is_told_every_place() {
    assert_eq!(
        places().to_string(),
        "in the header `Authorization: Bearer YOUR_KEY`, or in x-api-key, api-key, x-goog-api-key, x-my-key, or in the query as key=YOUR_KEY"
    );
}

proptest! {
    #[test]
    fn without_its_key_a_query_is_what_it_would_have_been(
        parts in proptest::collection::vec(("[a-z0-9%=?+/]{0,6}", any::<bool>()), 0..6),
    ) {
        // never the parameter itself, not even encoded
        prop_assume!(!parts.iter().any(|(part, _)| decoded(part.split('=').next().unwrap()) == b"key".as_slice()));
        let with: Vec<_> = parts.iter().map(|(part, is_key)| if *is_key { "key=sk-a" } else { part }).collect();
        let without: Vec<_> = parts.iter().filter(|(_, is_key)| !is_key).map(|(part, _)| part.as_str()).collect();
        let path = |parts: &[&str]| if parts.is_empty() { "/v1".to_owned() } else { format!("/v1?{}", parts.join("&")) };
        let mut host = FakeHost::with_request(&[(":path", &path(&with))]);
        places().read(&host.headers(Side::Request)).strip(&mut host);
        prop_assert_eq!(host.request_header(":path"), Some(path(&without)));
    }

    #[test]
    fn any_value_is_read_without_a_trap(value in proptest::collection::vec(any::<u8>(), 0..40), place in 0..3_usize) {
        let name = [":path", "authorization", "x-api-key"][place];
        let mut host = FakeHost::default();
        host.request.push((name.to_owned(), value));
        places().read(&host.headers(Side::Request)).strip(&mut host);
    }
}
