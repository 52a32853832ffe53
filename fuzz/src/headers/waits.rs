//! Any headers of an answer: how long the provider asks to be left alone is what others read there.

use sluice_core::filter::Headers;
use sluice_core::retry_after::{moment_ms, wait_ms};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 2026-11-22T00:00:00Z
const NOW_MS: u64 = 1_795_305_600_000;

/// Nanoseconds since the epoch of a time of RFC 3339, as the `time` crate reads it; none for those it reads otherwise:
/// a leap second, which it rounds down, years that we leave out, and letters between date and time other than that T
/// (<https://www.rfc-editor.org/rfc/rfc3339#section-5.6>).
fn rfc3339(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let is_leap = text.get(17..19) == Some("60");
    let is_apart = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    let is_known = (1971..=9998).contains(&at.year()) && !is_leap && is_apart;
    u64::try_from(at.unix_timestamp_nanos()).ok().filter(|_| is_known)
}

fn value(text: &str) {
    let wait = moment_ms(text, NOW_MS);
    assert_ne!(wait, Some(0));
    if let Some(ns) = rfc3339(text.trim()) {
        let want = ns.div_ceil(1_000_000).saturating_sub(NOW_MS);
        assert_eq!(wait.unwrap_or(0), want, "{text}");
    }
    if let Ok(seconds) = text.trim().parse::<u32>() {
        let want = u64::from(seconds) * 1_000;
        assert!(text.trim().starts_with('+') || wait.unwrap_or(0) == want, "{text}");
    }
    // a moment is as much nearer as time has passed; a span is as long as ever
    if let (Some(wait), later) = (wait, moment_ms(text, NOW_MS + 1_000)) {
        assert!(later == Some(wait) || later.unwrap_or(0) == wait.saturating_sub(1_000), "{text}");
    }
}

pub(crate) fn check(headers: Vec<(String, Vec<u8>)>) {
    headers.iter().filter_map(|(_, text)| std::str::from_utf8(text).ok()).for_each(value);
    assert_ne!(wait_ms(&Headers::new(headers), NOW_MS), Some(0));
}
