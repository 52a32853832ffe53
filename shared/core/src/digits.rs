//! A number in decimal digits, without an allocation.

/// Most digits that a `u64` has.
const MOST: usize = 20;

/// The digits of a number.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    digits: [u8; MOST],
    start: usize,
}

impl Digits {
    /// Those of `number`.
    #[must_use]
    pub fn of(number: u64) -> Self {
        let mut digits = [b'0'; MOST];
        let mut start = MOST;
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or_default());
            start = start.saturating_sub(1);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    /// The number that `text` is, in digits.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<u64> {
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let digits = self.digits.get(self.start..).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default() // all of them are ASCII
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_and_the_largest_number_have_their_digits() {
        for number in [0, 1, 9, 10, 99, 100, u64::MAX - 1, u64::MAX] {
            assert_eq!(Digits::of(number).as_str(), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn digits_read_as_the_number(number in any::<u64>(), shift in 0_u32..64) {
            prop_assert_eq!(Digits::of(number >> shift).as_str().parse(), Ok(number >> shift));
            prop_assert_eq!(Digits::read(Digits::of(number >> shift).as_str().as_bytes()), Some(number >> shift));
        }
    }
}
