//! Decimal numbers that stay exact: what a file writes is what is counted.

use std::fmt;

use sluice_core::config::shown;

/// A decimal number of 0 or more, in whole units of its last place: `2.5` with 6 places is 2500000. Displays as people
/// write it, without needless zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    units: u64,
    places: u8,
}

impl Decimal {
    /// So many units of the last of `places` places.
    #[must_use]
    pub fn new(units: u64, places: u8) -> Self {
        Self { units, places }
    }

    /// In whole units of the last place.
    #[must_use]
    pub fn units(self) -> u64 {
        self.units
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = 10_u64.saturating_pow(u32::from(self.places));
        let whole = self.units.checked_div(scale).unwrap_or_default();
        let rest = self.units.checked_rem(scale).unwrap_or_default();
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let rest = format!("{rest:0places$}", places = usize::from(self.places));
        write!(f, "{whole}.{}", rest.trim_end_matches('0'))
    }
}

/// Reads `50`, `0.25`.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn parse(text: &str, places: u8) -> Result<Decimal, String> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(rest) {
        return Err(format!("{:?} is no number", shown(text)));
    }
    let rest = rest.trim_end_matches('0');
    if rest.len() > usize::from(places) {
        return Err(format!(
            "{} has more digits after the point than the {places} that are kept",
            shown(text)
        ));
    }
    let filled = format!("{whole}{rest:0<places$}", places = usize::from(places));
    match filled.parse() {
        Ok(units) => Ok(Decimal { units, places }),
        Err(_) => Err(format!("{} is too large", shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_exact_to_its_last_place() {
        for (text, places, units, shown) in [
            ("50", 9, 50_000_000_000, "50"),
            ("0.1", 9, 100_000_000, "0.1"),
            ("0.000000001", 9, 1, "0.000000001"),
            ("2.50", 6, 2_500_000, "2.5"),
            ("007.0", 3, 7_000, "7"),
            ("1.100000000000000000", 3, 1_100, "1.1"),
            ("0", 3, 0, "0"),
        ] {
            let decimal = parse(text, places).unwrap();
            assert_eq!((decimal.units(), decimal.to_string().as_str()), (units, shown), "{text}");
        }
        assert_eq!(Decimal::new(7_000, 3), parse("7", 3).unwrap());
    }

    #[test]
    fn what_is_no_decimal_or_too_fine_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "$5",
            "0x1",
            "1.2.3",
            "1_000",
            "0.0001",
            "99999999999999999999",
        ] {
            assert!(parse(text, 3).is_err(), "{text}");
        }
    }
}
