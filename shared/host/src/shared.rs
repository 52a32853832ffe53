//! First writes to shared data: "only if there is no value yet", which the host does not offer.
//!
//! To Envoy (1.40) version 0 means "overwrite whatever stands there", so of two first writers the second would wipe
//! out the first. Here a lock, itself a value in shared data, lets one create a value at a time. The lock is made
//! when a filter is configured, and Envoy configures on its main thread before it does on any worker.

use crate::abi;

const LOCK: &str = "sluice.shared.lock";
const FREE: &[u8] = b"free";
const TAKEN: &[u8] = b"taken";

/// How often the lock is tried for, about a microsecond each; whoever holds it needs less than ten.
const TRIES: usize = 2_000;

/// Makes the lock, if it is not there.
pub(crate) fn prepare() {
    if abi::shared(LOCK).is_none() {
        abi::set_shared(LOCK, FREE, 0);
    }
}

/// Writes the first value of `key`; `false` if there is one.
pub(crate) fn create(key: &str, value: &[u8]) -> bool {
    if !(0..TRIES).any(|_| take()) {
        return false;
    }
    let written = abi::shared(key).is_none() && abi::set_shared(key, value, 0);
    abi::set_shared(LOCK, FREE, 0);
    written
}

fn take() -> bool {
    abi::shared(LOCK).is_some_and(|(state, version)| state == FREE && abi::set_shared(LOCK, TAKEN, version))
}
