//! Any bytes out of a store: an entry that they hold is written as it was read.

use response_cache::entry::Entry;
use response_cache::store::clear::Clears;

/// What the store holds.
pub(crate) fn check(bytes: &[u8]) {
    if let Some(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    }
    let clears = Clears::decode(bytes).encode();
    assert_eq!(Clears::decode(&clears).encode(), clears);
}
