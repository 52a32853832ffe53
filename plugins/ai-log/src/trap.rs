//! Traps when a request says so, in a build for tests: they want to see what a trap takes down with it.

use sluice_core::filter::{Host, Side};

/// Header, and fact for later, that names the moment: `request`, when the request's headers have come, or `answer`, when
/// those of its answer have. By then the provider stage has taken the header out.
const NAME: &str = "x-test-trap";

/// Ends the VM if the request asks for that now, or notes when it does.
pub(crate) fn on_request(host: &mut dyn Host) {
    match host.header(Side::Request, NAME) {
        Some(told) if told == b"request" => trap(),
        Some(told) => host.set_fact(NAME, &told),
        None => {}
    }
}

/// Ends the VM if the request has asked for that now.
pub(crate) fn on_answer(host: &dyn Host) {
    if host.fact(NAME).is_some_and(|told| told == b"answer") {
        trap();
    }
}

#[expect(clippy::panic, reason = "a test has asked for it")]
fn trap() {
    panic!("the request asked for a trap");
}
