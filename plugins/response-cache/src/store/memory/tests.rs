//! Entries stay while they are used, nothing is given that should not be, and all of it stays within its bound.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "tests fail by panicking")]

use sluice_core::filter::Shared;
use sluice_core::openai::Operation;
use sluice_core::testing::FakeHost;

use super::*;
use crate::entry::Form;

mod bounds;
mod race;

const NOW_MS: u64 = 1_790_000_000_000;

const HOUR_MS: u64 = 3_600_000;

const MEMORY_BYTES: u64 = 4 << 20;

fn host() -> FakeHost {
    FakeHost { now_ns: NOW_MS * 1_000_000, ..FakeHost::default() }
}

fn memory() -> Memory {
    Memory::new(MEMORY_BYTES, 256 << 10, HOUR_MS)
}

/// A key as good as a digest.
fn key(n: u64) -> Key {
    let mix = |salt: u64| {
        let mut x = n.wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    let mut bytes = [0; 32];
    for (chunk, salt) in bytes.chunks_mut(8).zip(1..) {
        chunk.copy_from_slice(&mix(salt << 40).to_le_bytes());
    }
    Key::from(bytes)
}

fn entry(body_bytes: usize) -> Entry {
    Entry {
        form: Form::Document,
        operation: Operation::Chat,
        content_type: "application/json".to_owned(),
        stored_ms: NOW_MS,
        expires_ms: NOW_MS + HOUR_MS,
        consumer_tag: 1,
        model_tag: 2,
        input_tokens: 3,
        output_tokens: 4,
        finish_reason: "stop".to_owned(),
        model: "gpt-4o".to_owned(),
        has_usage: true,
        body: vec![b'x'; body_bytes],
    }
}

/// All that shared data holds, as it is counted.
fn used(host: &FakeHost) -> u64 {
    let sizes = host.shared.iter().map(|(key, shared)| key.len() + shared.value.len());
    let overhead = KEY_OVERHEAD_BYTES * u64::try_from(host.shared.len()).unwrap();
    u64::try_from(sizes.sum::<usize>()).unwrap() + overhead
}

#[test]
fn what_is_put_is_got_under_its_own_key_only() {
    let (mut host, memory) = (host(), memory());
    assert_eq!(memory.get(&mut host, &key(1)), None);
    for (n, size) in (0..).zip([0, 1, 900, 1024, 5000, 200_000]) {
        assert!(memory.put(&mut host, &key(n), &entry(size)));
    }
    for (n, size) in (0..).zip([0, 1, 900, 1024, 5000, 200_000]) {
        assert_eq!(memory.get(&mut host, &key(n)), Some(entry(size)), "{size}");
    }
    assert_eq!(memory.get(&mut host, &key(6)), None);
    assert!(memory.put(&mut host, &key(1), &entry(77)));
    assert_eq!(memory.get(&mut host, &key(1)), Some(entry(77)), "the later one");
    let stats = memory.stats(&host);
    assert_eq!(stats.entries, 6);
    assert!((200_000 + 7000..210_000).contains(&stats.bytes), "{stats:?}");
    assert!((MEMORY_BYTES / 2..MEMORY_BYTES).contains(&stats.capacity_bytes), "{stats:?}");
}

#[test]
fn entries_of_other_workers_are_found() {
    let mut host = host();
    assert!(memory().put(&mut host, &key(1), &entry(5000)));
    assert_eq!(memory().get(&mut host, &key(1)), Some(entry(5000)));
    assert!(memory().clear(&mut host, Clear::default()));
    assert_eq!(memory().get(&mut host, &key(1)), None);
}

#[test]
fn an_entry_too_large_is_not_taken() {
    let (mut host, memory) = (host(), memory());
    let max = usize::try_from(memory.max_entry_bytes()).unwrap();
    assert_eq!(max, 256 << 10);
    let rest = entry(0).size();
    assert!(memory.put(&mut host, &key(1), &entry(max - rest)));
    assert!(!memory.put(&mut host, &key(2), &entry(max - rest + 1)));
    assert_eq!(memory.get(&mut host, &key(2)), None);
    assert_eq!(Memory::new(MEMORY_BYTES, 64 << 20, HOUR_MS).max_entry_bytes(), MEMORY_BYTES / 8);
    for small in [0, 1, 4096, 9000] {
        let memory = Memory::new(small, 1 << 20, HOUR_MS);
        assert!(!memory.put(&mut host, &key(3), &entry(small as usize)), "{small}");
        assert_eq!(memory.get(&mut host, &key(3)), None);
    }
}

#[test]
fn an_entry_expires_by_its_own_time_and_by_the_configured_one() {
    let (mut host, memory) = (host(), memory());
    let brief = Entry { expires_ms: NOW_MS + 50, ..entry(10) };
    let long = Entry { expires_ms: NOW_MS + 10 * HOUR_MS, ..entry(10) };
    memory.put(&mut host, &key(1), &brief);
    memory.put(&mut host, &key(2), &long);
    host.advance_ms(49);
    assert_eq!(memory.get(&mut host, &key(1)), Some(brief));
    host.advance_ms(1);
    assert_eq!(memory.get(&mut host, &key(1)), None);
    assert_eq!(memory.stats(&host).entries, 1);
    host.advance_ms(HOUR_MS - 51);
    assert_eq!(memory.get(&mut host, &key(2)), Some(long));
    host.advance_ms(1);
    assert_eq!(memory.get(&mut host, &key(2)), None);
    assert_eq!(memory.stats(&host), Stats { entries: 0, bytes: 0, ..memory.stats(&host) });
}

#[test]
fn clearing_takes_what_fits_and_leaves_the_rest() {
    // consumer, model; then whether entries of (1, 2), (1, 3), (4, 2), (4, 3) are left
    let cases = [
        ((None, None), [false; 4]),
        ((Some(1), None), [false, false, true, true]),
        ((None, Some(2)), [false, true, false, true]),
        ((Some(1), Some(2)), [false, true, true, true]),
        ((Some(9), None), [true; 4]),
    ];
    for ((consumer, model), left) in cases {
        let (mut host, memory) = (host(), memory());
        let tags = [(1, 2), (1, 3), (4, 2), (4, 3)];
        let put = |host: &mut FakeHost, stored_ms| {
            for (n, (consumer_tag, model_tag)) in (0..).zip(tags) {
                let entry = Entry { consumer_tag, model_tag, stored_ms, ..entry(10) };
                assert!(memory.put(host, &key(n), &entry));
            }
        };
        put(&mut host, NOW_MS);
        assert!(memory.clear(&mut host, Clear { consumer, model }));
        let got = [0, 1, 2, 3].map(|n| memory.get(&mut host, &key(n)).is_some());
        assert_eq!(got, left, "{consumer:?} {model:?}");
        let count = left.iter().filter(|left| **left).count();
        assert_eq!(memory.stats(&host).entries, u64::try_from(count).unwrap());
        host.advance_ms(1);
        put(&mut host, NOW_MS + 1);
        assert_eq!(memory.stats(&host).entries, 4, "what is stored later is not cleared");
    }
}

#[test]
fn too_many_clears_clear_everything() {
    let (mut host, memory) = (host(), memory());
    memory.put(&mut host, &key(1), &Entry { consumer_tag: 100_000, ..entry(10) });
    for consumer in 1..=128 {
        memory.clear(&mut host, Clear { consumer: Some(consumer), model: None });
        assert!(memory.get(&mut host, &key(1)).is_some());
    }
    memory.clear(&mut host, Clear { consumer: Some(129), model: None });
    assert_eq!(memory.get(&mut host, &key(1)), None);
}

#[test]
fn whatever_else_stands_in_shared_data_is_a_miss_and_is_got_over() {
    let (mut host, memory) = (host(), memory());
    memory.put(&mut host, &key(1), &entry(3000));
    let whole = host.shared.clone();
    let value = |name: &str| whole[name].value.clone();
    let names: Vec<_> = whole.keys().cloned().collect();
    assert_eq!(names.len(), 3, "ring, bucket, value: {names:?}");
    for name in &names {
        let good = value(name);
        let mut damaged: Vec<Vec<u8>> = (0..good.len()).step_by(7).map(|end| good[..end].to_vec()).collect();
        damaged.extend((0..good.len().min(60)).map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x55;
            bytes
        }));
        damaged.extend([vec![0xff; 32], vec![0; 32], vec![0xff; 5000], [&good[..], b"x"].concat()]);
        for bytes in damaged {
            host.shared = whole.clone();
            host.shared.insert(name.clone(), Shared { value: bytes.clone(), version: 9 });
            let got = memory.get(&mut host, &key(1));
            assert!(got.is_none_or(|got| got == entry(3000) || name.starts_with("rc.u")), "{name}");
            memory.stats(&host);
            let anew = Memory::new(MEMORY_BYTES, 256 << 10, HOUR_MS);
            assert!(anew.put(&mut host, &key(2), &entry(10)), "{name} {bytes:?}");
            assert_eq!(anew.get(&mut host, &key(2)), Some(entry(10)), "{name}");
            assert!(anew.clear(&mut host, Clear::default()));
        }
    }
    // The value of another key, and this key's value in another place.
    host.shared = whole.clone();
    memory.put(&mut host, &key(2), &entry(10));
    let other = host.shared["rc.u4"].clone();
    host.shared.insert("rc.u0".to_owned(), other);
    assert_eq!(memory.get(&mut host, &key(1)), None);
    host.shared.insert("rc.u4".to_owned(), whole["rc.u0"].clone());
    assert_eq!(memory.get(&mut host, &key(2)), None);
}

#[test]
fn what_is_overwritten_is_a_miss() {
    let (mut host, memory) = (host(), memory());
    let units = memory.units;
    for n in 0..units + 10 {
        assert!(memory.put(&mut host, &key(n), &entry(10)));
    }
    // A few more are gone where a bucket was full.
    let left = (0..units + 10).filter(|n| memory.get(&mut host, &key(*n)).is_some()).count() as u64;
    assert!((units * 99 / 100..=units).contains(&left), "{left} of {units}");
    assert!((0..5).all(|n| memory.get(&mut host, &key(n)).is_none()));
}
