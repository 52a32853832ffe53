use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Everything under `testdata/streams`, by file name.
fn streams() -> BTreeMap<String, Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/streams");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|f| (f.file_name().into_string().unwrap(), std::fs::read(f.path()).unwrap())).collect()
}

/// Raw events of `chunks`; parts of oversized events are put together and marked.
fn split<'a>(limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(bool, Vec<u8>)> {
    let mut splitter = Splitter::with_limit(limit);
    let mut events: Vec<(bool, Vec<u8>)> = Vec::new();
    let mut take = |piece: Piece<'_>| match piece {
        Piece::Event(raw) => events.push((true, raw.to_vec())),
        Piece::Oversized { bytes, first: true } => events.push((false, bytes.to_vec())),
        Piece::Oversized { bytes, first: false } => events.last_mut().unwrap().1.extend_from_slice(bytes),
    };
    for chunk in chunks {
        splitter.feed(chunk, &mut take);
        assert!(splitter.held() <= limit);
    }
    splitter.finish(&mut take);
    events
}

/// The same, the slow and obvious way: a line at a time, over the whole stream.
fn split_by_lines(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut events, mut open, mut rest) = (Vec::new(), Vec::new(), stream);
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        open.extend_from_slice(rest.strip_suffix(after).unwrap());
        if line.is_empty() {
            events.push(std::mem::take(&mut open));
        }
        rest = after;
    }
    if !open.is_empty() {
        events.push(open);
    }
    events
}

fn joined(events: &[(bool, Vec<u8>)]) -> Vec<u8> {
    events.iter().flat_map(|(_, raw)| raw.clone()).collect()
}

#[test]
fn every_split_point_of_a_stream_gives_the_same_events() {
    for (name, stream) in streams() {
        let want: Vec<_> = split_by_lines(&stream).into_iter().map(|raw| (true, raw)).collect();
        assert_eq!(split(MAX_EVENT_BYTES, [&stream[..]]), want, "{name} whole");
        assert_eq!(split(MAX_EVENT_BYTES, stream.chunks(1)), want, "{name} by bytes");
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            assert_eq!(split(MAX_EVENT_BYTES, [head, tail]), want, "{name} at {at}");
        }
    }
}

#[test]
fn line_ends_of_every_kind_end_an_event() {
    for (stream, want) in [
        ("data: a\n\ndata: b\n\n", &["data: a\n\n", "data: b\n\n"][..]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", &["data: a\r\n\r\n", "data: b\r\n\r\n"]),
        ("data: a\r\rdata: b\r\r", &["data: a\r\r", "data: b\r\r"]),
        ("data: a\n\r\ndata: b\r\n\n", &["data: a\n\r\n", "data: b\r\n\n"]),
        ("data: a\n\r", &["data: a\n\r"]),
        ("data: a\n\n\n", &["data: a\n\n", "\n"]),
        ("\r\n\r", &["\r\n", "\r"]),
        ("data: a", &["data: a"]),
        ("data: a\n", &["data: a\n"]),
        ("", &[]),
    ] {
        for size in 1..=stream.len().max(1) {
            let got = split(64, stream.as_bytes().chunks(size));
            let got: Vec<_> = got.iter().map(|(_, raw)| std::str::from_utf8(raw).unwrap()).collect();
            assert_eq!(got, want, "{stream:?} in chunks of {size}");
        }
    }
}

#[test]
fn an_event_whole_in_its_chunk_is_not_copied() {
    let chunk = b"data: a\n\ndata: b\n\n";
    let mut splitter = Splitter::default();
    let mut seen = 0;
    splitter.feed(chunk, |piece| {
        assert!(chunk.as_ptr_range().contains(&piece.bytes().as_ptr()));
        seen += 1;
    });
    assert_eq!((seen, splitter.held()), (2, 0));
}

#[test]
fn an_event_over_the_limit_passes_in_parts_and_the_next_is_read_again() {
    let stream = b"data: 1\n\ndata: 0123456789\n\ndata: 2\n\n";
    let want: Vec<(bool, Vec<u8>)> = vec![
        (true, b"data: 1\n\n".to_vec()),
        (false, b"data: 0123456789\n\n".to_vec()),
        (true, b"data: 2\n\n".to_vec()),
    ];
    for size in 1..=stream.len() {
        assert_eq!(split(10, stream.chunks(size)), want, "chunks of {size}");
    }
}

#[test]
fn an_event_is_read_as_the_standard_says() {
    for (raw, name, data) in [
        ("data: a\n\n", "", Some("a")),
        ("data:a\n\n", "", Some("a")),
        ("data:  a\n\n", "", Some(" a")),
        ("data\n\n", "", Some("")),
        ("data: a:b\r\n\r\n", "", Some("a:b")),
        ("data: a\ndata: b\r\ndata\rdata: c\n\n", "", Some("a\nb\n\nc")),
        ("event: error\ndata: a\n\n", "error", Some("a")),
        ("event: x\nevent: y\ndata: a", "y", Some("a")),
        (": comment\n\n", "", None),
        (":\n\n", "", None),
        ("\n", "", None),
        ("", "", None),
        ("id: 1\nretry: 2\nunknown: 3\nDATA: a\n data: a\n\n", "", None),
        ("\u{feff}data: a\n\n", "", Some("a")),
        (": c\nevent: ping\n: d\ndata: {}\n\n", "ping", Some("{}")),
    ] {
        let event = parse(raw.as_bytes());
        let got = (event.name, event.data.as_deref());
        assert_eq!(got, (name.as_bytes(), data.map(str::as_bytes)), "{raw:?}");
    }
}

#[test]
fn one_data_line_is_borrowed() {
    assert!(matches!(parse(b"data: a\n\n").data, Some(Cow::Borrowed(_))));
}

#[test]
fn an_encoded_event_keeps_its_lines() {
    for (name, data, want) in [
        ("", "{}", "data: {}\n\n"),
        ("error", "{}", "event: error\ndata: {}\n\n"),
        ("", "", "data: \n\n"),
        ("", "a\nb", "data: a\ndata: b\n\n"),
        ("", "a\r\n\rb\n", "data: a\ndata: \ndata: b\ndata: \n\n"),
        ("a\r\nb", "x", "event: ab\ndata: x\n\n"),
    ] {
        let raw = encode(name.as_bytes(), data.as_bytes());
        assert_eq!(std::str::from_utf8(&raw).unwrap(), want, "{data:?}");
    }
}

/// Streams made of what matters to a splitter.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("\n"),
        Just("\r"),
        Just("\r\n"),
        Just("\n\n"),
        Just("data: "),
        Just("event: x"),
        Just(":"),
        Just("é世"),
        Just("\u{feff}"),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn the_pieces_are_the_stream(
        stream in prop_oneof![stream(), prop::collection::vec(any::<u8>(), 0..200)],
        sizes in prop::collection::vec(1usize..9, 1..9),
        limit in 0usize..40,
    ) {
        let (mut chunks, mut rest, mut sizes) = (Vec::new(), &stream[..], sizes.iter().cycle());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        let bounded = split(limit, chunks.iter().copied());
        prop_assert_eq!(joined(&bounded), stream.clone());
        let by_lines = split_by_lines(&stream);
        prop_assert!(bounded.iter().map(|(_, raw)| raw).eq(&by_lines));
        for (whole, raw) in bounded {
            prop_assert_eq!(whole, raw.len() <= limit);
        }
    }

    #[test]
    fn what_is_encoded_is_parsed_again(data in "[^\r]{0,40}", name in "[a-z._]{0,9}") {
        let raw = encode(name.as_bytes(), data.as_bytes());
        prop_assert_eq!(split_by_lines(&raw).len(), 1);
        let event = parse(&raw);
        prop_assert_eq!(event.name, name.as_bytes());
        prop_assert_eq!(event.data.as_deref(), Some(data.as_bytes()));
    }
}
