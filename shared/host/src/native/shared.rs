//! Data that all threads share, with the rules that Envoy's has for Wasm (1.40): a version counts the writes of a key,
//! and a write that names another than the last is refused.

use std::sync::{LazyLock, Mutex, MutexGuard};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::lock;

/// Parts of the data, each behind a lock of its own, so that threads seldom wait for each other.
const PARTS: usize = 64;

/// Room in bytes that a value keeps for the next one, whatever that needs.
const KEPT: usize = 256;

type Part = HashTable<Entry>;

struct Entry {
    key: Box<str>,
    value: Vec<u8>,
    version: u32,
}

static DATA: LazyLock<[Mutex<Part>; PARTS]> = LazyLock::new(|| std::array::from_fn(|_| Mutex::default()));

/// The part that the key of this digest is in.
fn part(digest: u64) -> Option<MutexGuard<'static, Part>> {
    let number = usize::try_from(digest >> 32).unwrap_or_default();
    let part = DATA.get(number.checked_rem(PARTS)?)?;
    Some(lock(part))
}

fn digest(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

/// The value of `key` and its version.
pub(crate) fn get(key: &str) -> Option<(Vec<u8>, u32)> {
    let digest = digest(key);
    let part = part(digest)?;
    let entry = part.find(digest, |entry| *entry.key == *key)?;
    Some((entry.value.clone(), entry.version))
}

/// Whether the value was written. A `version` of 0 writes whatever stands there.
pub(crate) fn set(key: &str, value: &[u8], version: u32) -> bool {
    let digest_of_key = digest(key);
    let Some(mut part) = part(digest_of_key) else { return false };
    match part.find_mut(digest_of_key, |entry| *entry.key == *key) {
        Some(entry) if version != 0 && entry.version != version => return false,
        Some(entry) => {
            entry.value.clear();
            entry.value.extend_from_slice(value);
            // A key stays for ever, with an empty value when it is done with.
            if entry.value.capacity() > KEPT.max(value.len().saturating_mul(2)) {
                entry.value.shrink_to_fit();
            }
            entry.version = entry.version.wrapping_add(1).max(1);
        }
        None => {
            let entry = Entry { key: key.into(), value: value.to_vec(), version: 1 };
            part.insert_unique(digest_of_key, entry, |entry| digest(&entry.key));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_names_the_version_it_has_read() {
        assert_eq!(get("a_write"), None);
        assert!(set("a_write", b"one", 0));
        let (value, version) = get("a_write").unwrap();
        assert_eq!(value, b"one");
        assert!(set("a_write", b"two", version));
        assert!(!set("a_write", b"three", version));
        assert!(set("a_write", b"four", 0));
        assert_eq!(get("a_write").unwrap().0, b"four");
    }

    #[test]
    fn of_many_writers_each_write_counts() {
        assert!(set("many_writers", b"0", 0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| while !add_one() {}));
            }
        });
        assert_eq!(get("many_writers").unwrap().0, b"4000");
    }

    fn add_one() -> bool {
        let (value, version) = get("many_writers").unwrap();
        let number: u32 = std::str::from_utf8(&value).unwrap().parse().unwrap();
        set("many_writers", number.saturating_add(1).to_string().as_bytes(), version)
    }
}
