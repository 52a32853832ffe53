//! Numbers, short enough for a column.

use std::time::Duration;

use super::buckets::Quantile;
use crate::file::show_duration;

/// What stands where nothing is known.
const NONE: &str = "-";

/// What can be shown: no gateway counts further.
fn known(number: Option<f64>) -> Option<f64> {
    const MOST: f64 = 1e18;
    number.filter(|number| number.is_finite()).map(|number| number.clamp(0.0, MOST))
}

/// A count or a rate: `7`, `0.3`, `12.4`, `940`, `1.2k`, `38M`. Five characters at most, up to 999T.
#[must_use]
pub fn count(number: impl Into<Option<f64>>) -> String {
    let Some(number) = known(number.into()) else { return NONE.to_owned() };
    const UNITS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // 999.6 is shown as 1k, not as 1000
    match UNITS.into_iter().find(|(size, _)| number >= size * 0.9995) {
        Some((size, unit)) => format!("{}{unit}", digits(number / size)),
        None => digits(number),
    }
}

/// Three digits where there are three.
fn digits(number: f64) -> String {
    let steps = match number {
        number if number >= 99.95 => 1.0,
        number if number >= 0.095 => 10.0,
        _ => 100.0,
    };
    format!("{}", (number * steps).round() / steps)
}

/// A share: `0%`, `0.4%`, `12%`.
#[must_use]
pub fn percent(number: Option<f64>) -> String {
    match known(number) {
        Some(number) if number > 0.0 && number < 0.05 => "<0.1%".to_owned(),
        Some(number) if number >= 9.95 => format!("{number:.0}%"),
        Some(number) => format!("{}%", digits((number * 10.0).round() / 10.0)),
        None => NONE.to_owned(),
    }
}

/// Dollars: `$0`, `$0.0042`, `$4.20`, `$182`, `$1.2k`.
#[must_use]
pub fn dollars(number: impl Into<Option<f64>>) -> String {
    match known(number.into()) {
        None => NONE.to_owned(),
        Some(number) if number <= 0.0 => "$0".to_owned(),
        Some(number) if number < 0.000_05 => "<$0.0001".to_owned(),
        Some(number) if number < 0.1 => format!("${number:.4}"),
        Some(number) if number < 99.995 => format!("${number:.2}"),
        Some(number) => format!("${}", count(number)),
    }
}

/// Milliseconds: `4ms`, `820ms`, `2.4s`, `1m20s`; with `>` if they are more than the buckets tell.
#[must_use]
pub fn time(quantile: Option<Quantile>) -> String {
    match quantile {
        None => NONE.to_owned(),
        Some(Quantile::About(ms)) => milliseconds(ms),
        Some(Quantile::Above(ms)) => format!(">{}", milliseconds(ms)),
    }
}

fn milliseconds(ms: f64) -> String {
    match ms {
        ms if !ms.is_finite() => NONE.to_owned(),
        ms if ms < 999.5 => format!("{}ms", digits(ms)),
        ms if ms < 59_950.0 => format!("{}s", digits(ms / 1e3)),
        ms => age(ms / 1e3),
    }
}

/// Seconds in its two largest units: `42s`, `5m 3s`, `2h 13m`, `9d 4h`.
#[must_use]
pub fn age(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = Duration::try_from_secs_f64(seconds).map_or(0, |age| age.as_secs());
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        let number = left.checked_div(size).unwrap_or_default();
        left = left.checked_rem(size).unwrap_or_default();
        if number > 0 || !parts.is_empty() || size == 1 {
            parts.push(format!("{number}{unit}"));
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// A size: `512B`, `20KiB`, `1.5MiB`.
#[must_use]
pub fn bytes(number: Option<f64>) -> String {
    const UNITS: [(f64, &str); 3] = [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1_024.0, "KiB")];
    let Some(number) = known(number) else { return NONE.to_owned() };
    match UNITS.into_iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) => format!("{}{unit}", digits(number / size)),
        None => format!("{number:.0}B"),
    }
}

/// The time that rates are those of: `last 10s`; nothing before there is one.
#[must_use]
pub fn window(seconds: Option<f64>) -> String {
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.round().max(1.0)).ok());
    seconds.map_or_else(|| "no rates yet".to_owned(), |seconds| format!("last {}", show_duration(seconds)))
}

/// Eight heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last `width` values as a curve whose highest point is the highest value; no bar stands for nothing.
#[must_use]
pub fn curve(values: &[f64], width: usize) -> String {
    let values = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let top = values.iter().copied().fold(0.0, f64::max);
    let bar = |value: &f64| {
        let steps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].into_iter().zip(BARS);
        if *value > 0.0 {
            steps.into_iter().find(|(step, _)| value * 8.0 <= step * top).map_or('█', |(_, bar)| bar)
        } else {
            ' '
        }
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.03, 0.3, 7.0, 12.41, 99.97, 940.0, 999.6, 1_234.0, 38_000_000.0, 5e12];
        assert_eq!(
            all.map(count),
            ["0", "0.03", "0.3", "7", "12.4", "100", "940", "1k", "1.2k", "38M", "5T"]
        );
        let all = [None, Some(0.0), Some(0.01), Some(0.42), Some(3.0), Some(12.3), Some(100.0)];
        assert_eq!(all.map(percent), ["-", "0%", "<0.1%", "0.4%", "3%", "12%", "100%"]);
        let all = [0.0, 0.000_01, 0.0042, 4.2, 182.4, 1_234.0];
        assert_eq!(all.map(dollars), ["$0", "<$0.0001", "$0.0042", "$4.20", "$182", "$1.2k"]);
        let all = [0.4, 4.0, 820.4, 2_400.0, 80_000.0].map(|ms| time(Some(Quantile::About(ms))));
        assert_eq!(all, ["0.4ms", "4ms", "820ms", "2.4s", "1m 20s"]);
        assert_eq!(time(Some(Quantile::Above(60_000.0))), ">1m 0s");
        assert_eq!([42.0, 303.0, 7_980.0, 792_000.0].map(age), ["42s", "5m 3s", "2h 13m", "9d 4h"]);
        assert_eq!([Some(512.0), Some(20_480.0), None].map(bytes), ["512B", "20KiB", "-"]);
        assert_eq!([Some(10.2), Some(0.2), None].map(window), ["last 10s", "last 1s", "no rates yet"]);
    }

    #[test]
    fn a_curve_ends_with_the_newest_and_reaches_the_top_once() {
        assert_eq!(curve(&[0.0, 1.0, 4.0, 8.0], 3), "▁▄█");
        assert_eq!(curve(&[0.0, 0.0], 9), "  ");
        assert_eq!(curve(&[], 9), "");
    }

    proptest! {
        #[test]
        fn any_number_can_be_shown(number in any::<f64>(), width in 0..40_usize) {
            let shown = [count(number), percent(Some(number)), dollars(number), bytes(Some(number)), window(Some(number))];
            prop_assert!(shown.iter().all(|text| !text.contains("NaN") && !text.contains("inf")), "{shown:?}");
            let _ = (age(number), time(Some(Quantile::About(number))));
            prop_assert!(curve(&[number; 50], width).chars().count() <= width);
        }

        #[test]
        fn a_count_needs_five_characters_at_most(number in 0.0..999e12) {
            prop_assert!(count(number).len() <= 5, "{}", count(number));
        }
    }
}
