//! What is kept comes back as it was, and what is anything else does not come back.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests fail by panicking")]

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn entry()(
        kinds in (any::<bool>(), 0_usize..6, any::<bool>()),
        texts in (".{0,20}", "[a-z_]{0,10}", ".{0,20}"),
        times in (any::<u64>(), any::<u64>()),
        tags in (any::<u32>(), any::<u32>()),
        tokens in (any::<u64>(), any::<u64>()),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) -> Entry {
        let operations = [
            Operation::Chat, Operation::TextCompletion, Operation::Embeddings, Operation::Responses,
            Operation::Messages, Operation::Other,
        ];
        Entry {
            form: if kinds.0 { Form::Stream } else { Form::Document },
            operation: operations[kinds.1],
            content_type: texts.0,
            stored_ms: times.0,
            expires_ms: times.1,
            consumer_tag: tags.0,
            model_tag: tags.1,
            input_tokens: tokens.0,
            output_tokens: tokens.1,
            finish_reason: texts.1,
            model: texts.2,
            has_usage: kinds.2,
            body,
        }
    }
}

proptest! {
    #[test]
    fn an_entry_comes_back_as_it_was(entry in entry()) {
        let bytes = entry.encode();
        prop_assert_eq!(bytes.len(), entry.size());
        prop_assert_eq!(Entry::decode(&bytes), Some(entry));
    }

    #[test]
    fn a_part_of_an_entry_is_none(entry in entry(), cut in any::<prop::sample::Index>()) {
        let bytes = entry.encode();
        prop_assert_eq!(Entry::decode(&bytes[..cut.index(bytes.len())]), None);
        prop_assert_eq!(Entry::decode(&[&bytes[..], b"\0"].concat()), None);
    }

    #[test]
    fn a_damaged_entry_never_panics_and_never_reads_two_ways(
        entry in entry(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = entry.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(read) = Entry::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_are_no_entry(mut bytes in prop::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        if head {
            bytes.splice(..0, [VERSION, 1, 0]);
        }
        if let Some(read) = Entry::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn an_entry_is_fresh_until_the_earlier_of_both_ends(stored in 0_u64..100, life in 0_u64..100, ttl in 0_u64..100, now in 0_u64..300) {
        let entry = Entry { stored_ms: stored, expires_ms: stored + life, ..sample() };
        prop_assert_eq!(entry.is_fresh(now, ttl), now < stored + life.min(ttl));
    }
}

fn sample() -> Entry {
    Entry {
        form: Form::Document,
        operation: Operation::Chat,
        content_type: "application/json".to_owned(),
        stored_ms: 1,
        expires_ms: u64::MAX,
        consumer_tag: 1,
        model_tag: 2,
        input_tokens: 3,
        output_tokens: 4,
        finish_reason: "stop".to_owned(),
        model: "gpt-4o".to_owned(),
        has_usage: true,
        body: b"a secret".to_vec(),
    }
}

#[test]
fn an_entry_of_another_version_or_an_unknown_operation_is_none() {
    let bytes = sample().encode();
    for (at, byte) in [(0, 0), (0, 2), (1, 2), (2, 2)] {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        assert_eq!(Entry::decode(&bytes), None, "{at} {byte}");
    }
    let unknown = String::from_utf8_lossy(&bytes).replace("chat", "chap").into_bytes();
    assert_eq!(Entry::decode(&unknown), None);
}

#[test]
fn what_was_said_is_not_shown_to_developers() {
    assert_eq!(format!("{:?}", sample()), format!("Entry(Document Chat, 1..{}, 8 bytes)", u64::MAX));
}
