//! The bound in bytes, over many entries and changes of the configuration.

use super::*;

/// Numbers without a pattern (<https://www.pcg-random.org/>), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Bytes of an answer: most have some hundred, few thousands, one in a thousand up to 200,000.
    fn body_bytes(&mut self) -> usize {
        let bytes = match self.below(1000) {
            0 => 20_000 + self.below(180_000),
            1..=20 => 2000 + self.below(18_000),
            _ => 100 + self.below(700),
        };
        usize::try_from(bytes).unwrap()
    }
}

/// A hundred times what the store holds. A million, which takes 4 s in release mode and half a minute here, has shown the
/// same: 2.6 MB of 4 MiB.
const ENTRIES: u64 = 300_000;

#[test]
fn no_number_of_distinct_entries_takes_more_than_it_may() {
    let (mut host, memory) = (host(), memory());
    let (mut random, mut most) = (Random(1), 0);
    let (mut entry, longest) = (entry(0), vec![b'x'; 200_000]);
    for n in 0..ENTRIES {
        entry.body = longest[..random.body_bytes()].to_vec();
        assert!(memory.put(&mut host, &key(n), &entry));
        if n % 1000 == 0 || (n < 20_000 && n % 100 == 0) {
            most = most.max(used(&host));
        }
    }
    assert!(most <= MEMORY_BYTES, "{most}");
    assert!(most > MEMORY_BYTES * 6 / 10, "{most} is a waste");
    let found = (0..1000).filter(|n| memory.get(&mut host, &key(ENTRIES - 1 - n)).is_some()).count();
    assert!(found >= 990, "{found} of the last thousand");
}

#[test]
fn entries_of_the_largest_size_fit_the_bound_too() {
    let (mut host, memory) = (host(), memory());
    let mut random = Random(2);
    let rest = entry(0).size();
    for n in 0..2000 {
        let size = if random.below(2) == 0 { 256 << 10 } else { 984 + 1024 * random.below(3) };
        assert!(memory.put(&mut host, &key(n), &entry(usize::try_from(size).unwrap() - rest)));
        assert!(used(&host) <= MEMORY_BYTES, "{} after {n}", used(&host));
    }
}

#[test]
fn what_is_used_stays_and_the_rest_goes() {
    let (mut host, memory) = (host(), memory());
    let mut random = Random(3);
    let favourites = 200;
    for n in 0..favourites {
        memory.put(&mut host, &key(n), &entry(700));
    }
    let (mut asked, mut hits) = (0, 0);
    for n in 0..50_000 {
        memory.put(&mut host, &key(1_000_000 + n), &entry(random.body_bytes().min(4000)));
        let favourite = key(random.below(favourites));
        asked += 1;
        match memory.get(&mut host, &favourite) {
            Some(entry) => hits += u64::from(entry.body.len() == 700),
            None => assert!(memory.put(&mut host, &favourite, &entry(700))),
        }
    }
    assert!(hits * 100 >= asked * 97, "{hits} of {asked}");
    assert_eq!(memory.get(&mut host, &key(1_000_000)), None);
    assert!(used(&host) <= MEMORY_BYTES);
}

#[test]
fn hits_are_as_many_as_the_room_allows() {
    let (mut host, memory) = (host(), memory());
    let units = memory.units;
    // distinct requests asked at random, of one unit each; percent of hits at least
    for (distinct, percent) in [(units / 2, 99), (units * 2, 40), (units * 10, 8)] {
        let mut random = Random(distinct);
        let mut ask = || {
            let key = key(distinct << 32 | random.below(distinct));
            let hit = memory.get(&mut host, &key).is_some();
            assert!(hit || memory.put(&mut host, &key, &entry(500)));
            u64::from(hit)
        };
        let _: u64 = (0..units * 5).map(|_| ask()).sum();
        let hits: u64 = (0..units * 2).map(|_| ask()).sum();
        assert!(hits * 100 >= units * 2 * percent, "{hits} of {} for {distinct}", units * 2);
    }
}

#[test]
fn capacity_follows_the_configuration_up_and_down() {
    let mut host = host();
    let mut random = Random(4);
    let mut largest = 0;
    for (n, megabytes) in (1..).zip([2, 8, 1, 1, 4, 1]) {
        let bytes = megabytes << 20;
        let memory = Memory::new(bytes, 100 << 10, HOUR_MS);
        let old = memory.stats(&host).entries;
        assert_eq!(memory.get(&mut host, &key(1)), None);
        let stats = memory.stats(&host);
        assert_eq!(stats.entries > 0, old > 0 && stats.capacity_bytes == memory.units * 1024 && n == 4);
        for m in 0..memory.units * 3 {
            assert!(memory.put(&mut host, &key(n << 32 | m), &entry(random.body_bytes().min(50_000))));
        }
        let filled = memory.stats(&host);
        assert!(filled.entries > memory.units / 4, "{filled:?}");
        assert_eq!(filled.capacity_bytes, memory.units * 1024);
        // Keys stay for ever, each with its overhead, so of what was larger once a tenth stays.
        largest = largest.max(bytes);
        let keys = (largest - bytes) * (KEY_BYTES + KEY_OVERHEAD_BYTES) * 9 / 8 / 1024;
        assert!(used(&host) <= bytes + keys, "{} of {bytes} + {keys}", used(&host));
        let values: usize = host.shared.values().map(|shared| shared.value.len()).sum();
        assert!(values as u64 <= bytes, "{values} of {bytes}");
    }
}

#[test]
fn a_worker_of_an_old_configuration_follows_the_new_one() {
    let mut host = host();
    let (old, new) = (memory(), Memory::new(1 << 20, 10_000, HOUR_MS));
    old.put(&mut host, &key(1), &entry(10));
    new.put(&mut host, &key(2), &entry(10));
    assert_eq!(old.get(&mut host, &key(2)), Some(entry(10)));
    assert!(old.put(&mut host, &key(3), &entry(10)));
    assert_eq!(new.get(&mut host, &key(3)), Some(entry(10)));
    assert_eq!(old.stats(&host), new.stats(&host));
    assert_eq!(new.get(&mut host, &key(1)), None);
}
