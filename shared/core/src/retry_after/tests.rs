//! What providers really send, and what they should not.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// 2026-01-31T12:00:00Z.
const NOW_MS: u64 = 1_769_860_800_000;

fn wait(pairs: &[(&str, &str)]) -> Option<u64> {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    wait_ms(&Headers::new(pairs.collect()), NOW_MS)
}

#[test]
fn moments_are_read_in_every_form() {
    for (text, want) in [
        ("2", Some(2_000)),
        (" 2 ", Some(2_000)),
        ("1.5", Some(1_500)),
        (".25", Some(250)),
        ("0.0001", Some(1)),
        ("1s", Some(1_000)),
        ("6m0s", Some(360_000)),
        ("120ms", Some(120)),
        ("1m30.5s", Some(90_500)),
        ("1h2m3s", Some(3_723_000)),
        ("2d", Some(172_800_000)),
        ("900us", Some(1)),
        ("900µs", Some(1)),
        ("17ns", Some(1)),
        ("Sat, 31 Jan 2026 12:00:05 GMT", Some(5_000)),
        ("2026-01-31T12:00:05Z", Some(5_000)),
        ("2026-01-31t12:00:05.25z", Some(5_250)),
        ("2026-01-31T13:00:05+01:00", Some(5_000)),
        ("2026-01-31T06:30:05-05:30", Some(5_000)),
        ("2026-03-01T00:00:00Z", Some(28 * 86_400_000 + 43_200_000)),
        ("99999999999999999999999", Some(u64::MAX.div_ceil(NS_PER_MS))),
        ("0", None),
        ("0s", None),
        ("-1", None),
        ("-1s", None),
        ("", None),
        (".", None),
        ("s", None),
        ("1x", None),
        ("1s2", None),
        ("1.2.3s", None),
        ("soon", None),
        ("NaN", None),
        ("1e3", None),
        ("Sat, 31 Jan 2026 11:59:59 GMT", None),
        ("2026-01-31T11:59:59Z", None),
        ("2026-13-31T12:00:05Z", None),
        ("2026-01-31T24:00:05Z", None),
        ("2026-01-31D12:00:05Z", None),
        ("2026-01-31T12:00:05", None),
        ("2026-01-31T12:00:05.Z", None),
        ("2026-01-31T12:00Z", None),
        ("2026-01-31T12:00:05+0100", None),
    ] {
        assert_eq!(moment_ms(text, NOW_MS), want, "{text:?}");
    }
}

#[test]
fn the_epoch_and_leap_days_are_where_they_belong() {
    for (date, want) in [
        ("1970-01-01", 0),
        ("1970-12-31", 364),
        ("2000-02-29", 11_016),
        ("2000-03-01", 11_017),
        ("2024-02-29", 19_782),
        ("2026-01-31", 20_484),
        ("2100-03-01", 47_541),
    ] {
        assert_eq!(days(date), Some(want), "{date}");
    }
}

type Case = (&'static str, &'static [(&'static str, &'static str)], Option<u64>);

const HEADERS: &[Case] = &[
    ("nothing", &[], None),
    ("milliseconds", &[("retry-after", "9"), ("retry-after-ms", "1500")], Some(1_500)),
    ("fractional milliseconds", &[("retry-after-ms", "12.3")], Some(13)),
    ("unreadable milliseconds", &[("retry-after-ms", "x"), ("retry-after", "2")], Some(2_000)),
    ("zero says nothing", &[("retry-after-ms", "0"), ("retry-after", "0")], None),
    ("retry-after before limits", &[("retry-after", "2"), ("x-ratelimit-reset-tokens", "6m0s")], Some(2_000)),
    (
        "the limit that is used up",
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "17"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ],
        Some(1_000),
    ),
    (
        "the longer one of two that are used up",
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ],
        Some(360_000),
    ),
    (
        "the longer one when none is said to be used up",
        &[("x-ratelimit-reset-requests", "1s"), ("x-ratelimit-reset-tokens", "120ms")],
        Some(1_000),
    ),
    ("Azure's unknown", &[("x-ratelimit-remaining-tokens", "-1"), ("x-ratelimit-reset-tokens", "0")], None),
    (
        "Anthropic's moments",
        &[
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-01-31T12:00:01Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-01-31T12:00:30Z"),
        ],
        Some(30_000),
    ),
];

#[test]
fn the_most_exact_header_wins() {
    for (name, headers, want) in HEADERS {
        assert_eq!(wait(headers), *want, "{name}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,40}", now_ms: u64) {
        let _ = moment_ms(&text, now_ms);
    }

    #[test]
    fn whole_seconds_mean_the_same_in_every_form(s in 1u64..2_000_000) {
        let wait = Duration::from_secs(s);
        let ms = u64::try_from(wait.as_millis()).ok();
        prop_assert_eq!(moment_ms(&s.to_string(), NOW_MS), ms);
        prop_assert_eq!(moment_ms(&format!("{s}s"), NOW_MS), ms);
        prop_assert_eq!(moment_ms(&format!("{}h{}m{}s", s / 3600, s / 60 % 60, s % 60), NOW_MS), ms);
        let date = UNIX_EPOCH.checked_add(Duration::from_millis(NOW_MS)).and_then(|now| now.checked_add(wait));
        let date = httpdate::fmt_http_date(date.unwrap());
        prop_assert_eq!(moment_ms(&date, NOW_MS), ms);
    }
}
