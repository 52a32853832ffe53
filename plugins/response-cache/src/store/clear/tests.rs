//! What was cleared stays cleared, and nothing else is.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HOUR_MS: u64 = 3_600_000;

const NOW_MS: u64 = 1_790_000_000_000;

fn what(consumer: u32, model: u32) -> Clear {
    Clear { consumer: (consumer > 0).then_some(consumer), model: (model > 0).then_some(model) }
}

#[test]
fn a_rule_clears_what_fits_it_and_is_no_younger() {
    // rule, then whether it hides an entry of consumer 1 and model 2 stored before, with and after it
    let cases = [
        ((0, 0), true),
        ((1, 0), true),
        ((0, 2), true),
        ((1, 2), true),
        ((2, 0), false),
        ((0, 1), false),
        ((1, 1), false),
        ((2, 2), false),
    ];
    for ((consumer, model), fits) in cases {
        let mut clears = Clears::default();
        assert!(!clears.hides_tagged(1, 2, 0) && clears.encode().is_empty());
        clears.add(what(consumer, model), NOW_MS, HOUR_MS);
        let hidden = [NOW_MS - 1, NOW_MS, NOW_MS + 1].map(|stored_ms| clears.hides_tagged(1, 2, stored_ms));
        assert_eq!(hidden, [fits, fits, false], "{consumer} {model}");
    }
}

#[test]
fn a_rule_goes_when_all_that_it_hides_has_expired_or_another_covers_it() {
    let mut clears = Clears::default();
    for consumer in 1..=5 {
        clears.add(what(consumer, 0), NOW_MS + u64::from(consumer), HOUR_MS);
    }
    clears.add(what(5, 0), NOW_MS + 10, HOUR_MS);
    assert_eq!(clears.0.len(), 5, "the later takes the place of the earlier");
    clears.add(what(5, 7), NOW_MS + 11, HOUR_MS);
    assert_eq!(clears.0.len(), 6);
    clears.add(what(5, 0), NOW_MS + 12, HOUR_MS);
    assert_eq!(clears.0.len(), 5);
    clears.add(what(9, 0), NOW_MS + 2 + HOUR_MS, HOUR_MS);
    assert_eq!(clears.0.len(), 4, "1 and 2 are of no use any more");
    clears.add(what(0, 0), NOW_MS + 3 + HOUR_MS, HOUR_MS);
    assert_eq!(clears.0.len(), 1);
    assert!(clears.hides_tagged(77, 77, NOW_MS + 3 + HOUR_MS));
}

#[test]
fn too_many_rules_become_one_for_everything() {
    let mut clears = Clears::default();
    let count = u32::try_from(MAX_RULES).unwrap();
    for consumer in 1..=count {
        clears.add(what(consumer, 0), NOW_MS, HOUR_MS);
    }
    assert!(!clears.hides_tagged(count + 1, 1, NOW_MS));
    assert_eq!(clears.encode().len(), MAX_RULES * RULE_BYTES);
    clears.add(what(count + 1, 3), NOW_MS, HOUR_MS);
    assert!(clears.hides_tagged(4711, 1, NOW_MS) && !clears.hides_tagged(4711, 1, NOW_MS + 1));
    assert_eq!(clears.0.len(), 1);
}

#[test]
fn names_have_tags_of_their_own() {
    let names: Vec<_> = (0..1000).map(|n| format!("consumer-{n}")).collect();
    let tags: BTreeSet<_> = names.iter().map(|name| tag(name)).collect();
    assert_eq!(tags.len(), names.len());
    assert!(!tags.contains(&0));
}

proptest! {
    #[test]
    fn nothing_that_was_cleared_comes_back(
        rules in prop::collection::vec((0_u32..30, 0_u32..30, 0_u64..20), 1..400),
        entry in (1_u32..30, 1_u32..30, 0_u64..4000),
    ) {
        let (mut clears, mut now_ms, ttl_ms) = (Clears::default(), 0, 100_000);
        let mut hidden = false;
        for (consumer, model, after_ms) in rules {
            now_ms += after_ms;
            let fits = (consumer == 0 || consumer == entry.0) && (model == 0 || model == entry.1);
            hidden |= fits && entry.2 <= now_ms;
            clears.add(what(consumer, model), now_ms, ttl_ms);
            clears = Clears::decode(&clears.encode());
            prop_assert!(!hidden || clears.hides_tagged(entry.0, entry.1, entry.2));
            prop_assert!(!clears.hides_tagged(entry.0, entry.1, now_ms + 1));
        }
    }

    #[test]
    fn garbage_clears_nothing_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..70)) {
        let clears = Clears::decode(&bytes);
        prop_assert!(bytes.len() % RULE_BYTES == 0 || clears == Clears::default());
        prop_assert_eq!(Clears::decode(&clears.encode()), clears);
        prop_assert_eq!(Clears::decode(&vec![0; (MAX_RULES + 1) * RULE_BYTES]), Clears::default());
    }
}
