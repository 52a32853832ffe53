//! Durations (`250ms`, `10s`) and sizes (`64KiB`): a whole number and a unit, nothing else.

use std::time::Duration;

use sluice_core::config::shown;

/// Units of durations and their milliseconds, smallest first.
const DURATIONS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of sizes and their bytes, smallest first.
const SIZES: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Reads `250ms 10s 5m 1h 30d`.
///
/// # Errors
/// What is wrong with the text and what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, &DURATIONS, "a duration such as 250ms, 10s, 5m, 1h or 30d", suggest_duration)
        .map(Duration::from_millis)
}

/// Reads `64KiB 16MiB 1GiB`, in bytes.
///
/// # Errors
/// What is wrong with the text and what to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse(text, &SIZES, "a size such as 64KiB or 16MiB", suggest_size)
}

/// A duration in the largest unit that gives a whole number.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS, "ms")
}

/// A size in the largest unit that gives a whole number.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES, " bytes")
}

fn parse(
    text: &str,
    units: &[(&str, u64)],
    want: &str,
    suggest: fn(&str, &str) -> Option<String>,
) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    if let (Some(factor), false) = (factor, number.is_empty()) {
        let product = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        return product.ok_or_else(|| format!("{} is too large; write {want}", shown(text)));
    }
    let text = shown(text);
    let advice = suggest(number, unit.trim()).unwrap_or_else(|| want.to_owned());
    Err(match (number, unit) {
        ("", _) => format!("{text:?} is no number with a unit; write {want}"),
        (_, "") => format!("{text} has no unit; write {advice}"),
        _ => format!("{text:?} is not understood; write {advice}"),
    })
}

/// `10` was probably meant as seconds; `10sec` certainly; a fraction becomes the next smaller unit.
fn suggest_duration(number: &str, unit: &str) -> Option<String> {
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

fn suggest_size(number: &str, unit: &str) -> Option<String> {
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => return whole_size(number),
        "k" | "kb" | "ki" | "kib" => "KiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        "g" | "gb" | "gi" | "gib" => "GiB",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

/// Plain bytes as the largest unit that holds them without rest, else rounded up.
fn whole_size(number: &str) -> Option<String> {
    let kib = number.parse::<u64>().ok().filter(|bytes| *bytes > 0)?.div_ceil(1 << 10);
    Some(show_size(kib.checked_mul(1 << 10)?))
}

fn show(amount: u64, units: &[(&str, u64)], rest: &str) -> String {
    let unit = units.iter().rev().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", amount.checked_div(*factor).unwrap_or_default()),
        None => format!("{amount}{rest}"),
    }
}
