//! Traps when a request says so, in a build for tests: they want to see what a trap takes down with it.

use sluice_core::filter::{Host, Side};

/// Names the moment: `request`, when its headers have come, or `answer`, when those of its answer have.
const HEADER: &str = "x-test-trap";

/// Ends the VM if the request asks for that at this `moment`.
pub(crate) fn if_told(host: &dyn Host, moment: &[u8]) {
    if host.header(Side::Request, HEADER).is_some_and(|told| told == moment) {
        trap();
    }
}

#[expect(clippy::panic, reason = "a test has asked for it")]
fn trap() {
    panic!("the request asked for a trap");
}
