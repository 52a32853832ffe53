//! The bridge over whole connections, at every cut of either side.

use proptest::prelude::*;
use sluice_core::testing::FakeHost;

use super::*;

const GET: &str = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

fn bridge(max_reply_bytes: usize) -> RedisBridge {
    RedisBridge::new(Rc::new(Config { max_reply_bytes, ..Config::default() }))
}

fn post(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: redis\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What goes on in place of `chunks`, and whether the connection has been closed.
fn pass<'a>(
    bridge: &mut RedisBridge,
    way: Way,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (String, bool) {
    let (mut host, mut passed, mut closed) = (FakeHost::default(), Vec::new(), false);
    for chunk in chunks {
        let onward = bridge.on_bytes(&mut host, way, chunk);
        passed.extend_from_slice(&onward.bytes);
        closed |= onward.close;
    }
    (String::from_utf8_lossy(&passed).into_owned(), closed)
}

fn whole(bridge: &mut RedisBridge, way: Way, bytes: &str) -> String {
    let (passed, closed) = pass(bridge, way, [bytes.as_bytes()]);
    assert!(!closed, "{bytes:?}");
    passed
}

fn halves(bytes: &str, cut: usize) -> impl Iterator<Item = &[u8]> {
    let (a, b) = bytes.as_bytes().split_at(cut);
    [a, b].into_iter().filter(|half| !half.is_empty())
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(RedisBridge::METRICS);
}

#[test]
fn requests_and_replies_pass_at_every_cut() {
    let (commands, replies) = (GET.repeat(2), "$5\r\na\r\nb\n\r\n*2\r\n:1\r\n*0\r\n");
    let (request, response) =
        (post(&commands), format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{replies}", replies.len()));
    let mut bridge = bridge(replies.len());
    for cut in 0..request.len() {
        assert_eq!(pass(&mut bridge, Way::Out, halves(&request, cut)), (commands.clone(), false), "{cut}");
        let cut = cut % replies.len();
        assert_eq!(pass(&mut bridge, Way::Back, halves(replies, cut)), (response.clone(), false), "{cut}");
    }
    assert_eq!(pass(&mut bridge, Way::Out, request.as_bytes().chunks(1)).0, commands);
    assert_eq!(pass(&mut bridge, Way::Back, replies.as_bytes().chunks(1)).0, response);
}

#[test]
fn refusals_go_out_in_place_of_the_reply_to_a_nudge() {
    let nudge = "*1\r\n$4\r\nPING\r\n";
    let head = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let cases = [
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400"),
        ("no HTTP", format!("{GET}\r\n"), "400"),
        ("no length", head("host: x"), "411"),
        ("chunked", head("transfer-encoding: chunked"), "411"),
        ("chunked with a length", head("transfer-encoding: chunked\r\ncontent-length: 5"), "411"),
        ("a length of words", head("content-length: five"), "400"),
        ("a length with a sign", head("content-length: +5"), "400"),
        ("two lengths", head("content-length: 5\r\ncontent-length: 5"), "400"),
        ("a length beyond the bound", head("content-length: 1048577"), "413"),
        ("a length beyond all bounds", head("content-length: 99999999999999999999999999"), "413"),
        ("many headers", head(&"a: b\r\n".repeat(70)), "431"),
        ("a long head", head(&format!("a: {}", "b".repeat(8_192))), "431"),
        ("a head without end", "a".repeat(9_000), "431"),
        ("no command", post(""), "400"),
        ("half a command", post("*2\r\n$3\r\nGET\r\n"), "400"),
        ("a reply", post("+OK\r\n"), "400"),
        ("nested arrays", post("*1\r\n*1\r\n$3\r\nGET\r\n"), "400"),
        ("nil", post("*-1\r\n"), "400"),
        ("a nameless command", post("*0\r\n"), "400"),
        ("a transaction", post("*1\r\n$5\r\nMulti\r\n"), "400"),
        ("two requests at once", post(GET) + &post(GET), "400"),
    ];
    for (name, request, status) in cases {
        let mut bridge = bridge(100);
        assert_eq!(whole(&mut bridge, Way::Out, &request), nudge, "{name}");
        assert_eq!(whole(&mut bridge, Way::Out, "the rest of it"), "", "{name}");
        let answer = whole(&mut bridge, Way::Back, "+PONG\r\n");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{name}: {answer}");
        assert_eq!(whole(&mut bridge, Way::Back, "+more\r\n"), "", "{name}");
        // More of it may come when the answer is on its way, which closing now could overtake.
        assert_eq!(pass(&mut bridge, Way::Out, [post(GET).as_bytes()]), (String::new(), false), "{name}");
    }
}

#[test]
fn replies_beyond_the_bound_or_of_another_kind_end_the_connection() {
    let cases = [
        ("too large", "$95\r\n".to_owned() + &"x".repeat(96), "507"),
        ("garbage", "<html>\r\n".to_owned(), "502"),
        ("one too many", ":1\r\n:2\r\n".to_owned(), "502"),
        ("too deep", "*1\r\n".repeat(20), "502"),
    ];
    for (name, replies, status) in cases {
        let mut bridge = bridge(100);
        assert_eq!(whole(&mut bridge, Way::Out, &post(GET)), GET);
        let answer = whole(&mut bridge, Way::Back, &replies);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{name}: {answer}");
        assert_eq!(whole(&mut bridge, Way::Back, &replies), "", "{name}");
    }
}

#[test]
fn whoever_does_not_wait_is_cut_off() {
    let mut early = bridge(100);
    assert_eq!(pass(&mut early, Way::Back, [&b"+OK\r\n"[..]]), (String::new(), true));
    let mut hasty = bridge(100);
    whole(&mut hasty, Way::Out, &post(GET));
    assert_eq!(pass(&mut hasty, Way::Out, [post(GET).as_bytes()]), (String::new(), true));
}

#[test]
fn refusals_and_dropped_replies_are_counted_and_tell_no_data() {
    let (mut host, mut bridge) = (FakeHost::default(), bridge(10));
    bridge.on_bytes(&mut host, Way::Out, post("secret-key").as_bytes());
    let mut other = self::bridge(10);
    other.on_bytes(&mut host, Way::Out, post(GET).as_bytes());
    other.on_bytes(&mut host, Way::Back, b"$11\r\nsecret-data\r\n");
    assert_eq!(host.counters["redis_bridge_refused_total"], 1);
    assert_eq!(host.counters["redis_bridge_dropped_total"], 1);
    assert!(
        host.logs.len() == 2 && host.logs.iter().all(|(_, line)| !line.contains("secret")),
        "{:?}",
        host.logs
    );
}

#[test]
fn its_configuration_has_a_default_and_a_bound() {
    let read = |text: &str| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
    let check = |text: &str| RedisBridge::check(read(text)?, &|_| None);
    assert_eq!(check("{}"), Ok(Config { max_request_bytes: 1_048_576, max_reply_bytes: 1_048_576 }));
    assert_eq!(check(r#"{"max_reply_bytes": 5}"#), Ok(Config { max_reply_bytes: 5, ..Config::default() }));
    assert_eq!(check(r#"{"max_reply_bytes": 0}"#), Err("max_reply_bytes: must be at least 1".to_owned()));
    assert_eq!(check(r#"{"max_request_bytes": 0}"#), Err("max_request_bytes: must be at least 1".to_owned()));
    assert!(check(r#"{"max_reply": 5}"#).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_it_trap_or_keep_more_than_its_bounds(
        chunks in prop::collection::vec((any::<bool>(), prop::collection::vec(prop::sample::select(b"POST / HTTP/1.1\r\n\r\ncontent-length: 5*$+-:1".to_vec()), 1..60)), 0..40),
    ) {
        let (mut host, mut bridge) = (FakeHost::default(), bridge(64));
        whole(&mut bridge, Way::Out, "POST / HTTP/1.1\r\n");
        for (out, chunk) in chunks {
            let onward = bridge.on_bytes(&mut host, if out { Way::Out } else { Way::Back }, &chunk);
            prop_assert!(onward.bytes.len() <= 400);
        }
    }

    #[test]
    fn any_cut_of_either_side_gives_the_same(sizes in prop::collection::vec(1usize..30, 1..40), value in prop::collection::vec(any::<u8>(), 0..200)) {
        let reply = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
        let cut = |bytes: &[u8]| {
            let (mut chunks, mut rest) = (Vec::new(), bytes.to_vec());
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let next = rest.split_off((*size).min(rest.len()));
                chunks.push(std::mem::replace(&mut rest, next));
            }
            chunks
        };
        let mut bridge = bridge(1_000);
        let request = cut(post(GET).as_bytes());
        prop_assert_eq!(pass(&mut bridge, Way::Out, request.iter().map(Vec::as_slice)).0, GET);
        let replies = cut(&reply);
        let response = pass(&mut bridge, Way::Back, replies.iter().map(Vec::as_slice)).0;
        let want = [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len()).as_bytes(), &reply].concat();
        prop_assert_eq!(response, String::from_utf8_lossy(&want).into_owned());
    }
}
