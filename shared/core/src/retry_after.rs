//! How long a provider asks to be left alone, told from the headers of its 429.

use std::time::UNIX_EPOCH;

use crate::filter::Headers;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_S: u64 = 1_000_000_000;

/// Units of Go's `time.ParseDuration` (<https://pkg.go.dev/time#ParseDuration>), in nanoseconds; OpenAI and those
/// compatible with it write `6m0s` or `120ms`. `d` is ours, for daily limits.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", NS_PER_MS),
    ("s", NS_PER_S),
    ("m", 60 * NS_PER_S),
    ("h", 3_600 * NS_PER_S),
    ("d", 86_400 * NS_PER_S),
];

/// What is left of a limit and when it is whole again, by header. The first two are OpenAI's
/// (<https://platform.openai.com/docs/guides/rate-limits>), the rest Anthropic's
/// (<https://docs.anthropic.com/en/api/rate-limits>).
const LIMITS: &[(&str, &str)] = &[
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
];

/// Milliseconds to wait, rounded up: `retry-after-ms`, else `retry-after`, else the limit that is used up, else
/// the limit that takes longest. `None` if nothing readable asks for more than zero, as the OpenAI SDK has it
/// (Azure sends `0` and `-1` for "unknown"). Not capped.
#[must_use]
pub fn wait_ms(headers: &Headers, now_ms: u64) -> Option<u64> {
    let retry_after_ms = headers.text("retry-after-ms").and_then(|text| decimal_ns(text.trim(), NS_PER_MS));
    retry_after_ms
        .map(to_ms)
        .filter(|ms| *ms > 0)
        .or_else(|| headers.text("retry-after").and_then(|text| moment_ms(text, now_ms)))
        .or_else(|| limit_ms(headers, now_ms))
}

fn limit_ms(headers: &Headers, now_ms: u64) -> Option<u64> {
    let waits = LIMITS.iter().filter_map(|(remaining, reset)| {
        let used_up = headers.text(remaining).is_some_and(|text| text.trim() == "0");
        Some((used_up, moment_ms(headers.text(reset)?, now_ms)?))
    });
    waits.max().map(|(_, ms)| ms)
}

/// Milliseconds until the moment that `text` names as a duration, in seconds, as an HTTP date or in RFC 3339;
/// `None` for zero, the past and what is none of these.
#[must_use]
pub fn moment_ms(text: &str, now_ms: u64) -> Option<u64> {
    let text = text.trim();
    let until = |at_ms: u64| at_ms.saturating_sub(now_ms);
    let wait = decimal_ns(text, NS_PER_S)
        .or_else(|| duration_ns(text))
        .map(to_ms)
        .or_else(|| http_date_ms(text).map(until))
        .or_else(|| rfc3339_ms(text).map(until));
    wait.filter(|ms| *ms > 0)
}

fn to_ms(ns: u64) -> u64 {
    ns.div_ceil(NS_PER_MS)
}

/// `2`, `1.5`, `.5`: a non-negative number of `unit_ns`. Integers throughout, so that nothing rounds down.
fn decimal_ns(text: &str, unit_ns: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len().saturating_add(fraction.len()) == 0 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().unwrap_or(u64::MAX) };
    Some(whole.saturating_mul(unit_ns).saturating_add(fraction_ns(fraction, unit_ns)))
}

fn fraction_ns(digits: &str, unit_ns: u64) -> u64 {
    let mut place = unit_ns;
    digits.bytes().fold(0, |sum: u64, digit| {
        let digit = u64::from(digit.saturating_sub(b'0'));
        let value = place.saturating_mul(digit) / 10;
        place /= 10;
        sum.saturating_add(value)
    })
}

/// `1m30.5s`: numbers, each with its unit.
fn duration_ns(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, tail) =
            tail.split_at(tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len()));
        let (_, unit_ns) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum = sum.saturating_add(decimal_ns(number, *unit_ns)?);
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}

fn http_date_ms(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(at.as_millis()).ok()
}

/// `2026-01-31T23:59:59.5Z`, `2026-01-31T23:59:59+01:00` (RFC 3339 section 5.6), as milliseconds since the epoch.
fn rfc3339_ms(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (time, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let local_s = days(date)?.checked_mul(86_400)?.checked_add(numbers(clock, ':')?.seconds()?)?;
    let at_s = u64::try_from(local_s.checked_sub(offset_s(zone)?)?).ok()?;
    let fraction_ms = to_ms(decimal_ns(fraction, 0).map(|_| fraction_ns(fraction, NS_PER_S))?);
    Some(at_s.saturating_mul(1000).saturating_add(fraction_ms))
}

/// Seconds east of UTC.
fn offset_s(zone: &str) -> Option<i64> {
    if let Some(west) = zone.strip_prefix('-') {
        return numbers(&format!("{west}:0"), ':')?.seconds()?.checked_neg();
    }
    match zone.strip_prefix('+') {
        Some(east) => numbers(&format!("{east}:0"), ':')?.seconds(),
        None => zone.eq_ignore_ascii_case("z").then_some(0),
    }
}

/// Three numbers with a separator between them: a date or a time of day.
struct Three(i64, i64, i64);

impl Three {
    fn seconds(&self) -> Option<i64> {
        let Self(h, m, s) = *self;
        let valid = h < 24 && m < 60 && s <= 60; // 60: a leap second
        valid.then(|| h.saturating_mul(3600).saturating_add(m.saturating_mul(60)).saturating_add(s))
    }
}

fn numbers(text: &str, separator: char) -> Option<Three> {
    let number = |part: &str| part.parse::<u32>().ok().map(i64::from);
    let mut parts = text.split(separator);
    let three = Three(number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    parts.next().is_none().then_some(three)
}

/// Days from 1970-01-01 to `date` in the Gregorian calendar, counted in years that begin in March, so that the
/// leap day comes last (<https://howardhinnant.github.io/date_algorithms.html#days_from_civil>).
fn days(date: &str) -> Option<i64> {
    let Three(year, month, day) = numbers(date, '-')?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let month = month.checked_add(9)?.checked_rem(12)?;
    let in_year = month.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
    let leap_days =
        year.div_euclid(4).checked_sub(year.div_euclid(100))?.checked_add(year.div_euclid(400))?;
    year.checked_mul(365)?.checked_add(leap_days)?.checked_add(in_year)?.checked_sub(719_468)
}

#[cfg(test)]
mod tests;
