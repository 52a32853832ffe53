//! Any bytes out of a store: an entry that they hold is written as it was read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use response_cache::entry::Entry;
use response_cache::store::clear::Clears;

fuzz_target!(|bytes: &[u8]| {
    if let Some(entry) = Entry::decode(bytes) {
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    }
    let clears = Clears::decode(bytes).encode();
    assert_eq!(Clears::decode(&clears).encode(), clears);
});
