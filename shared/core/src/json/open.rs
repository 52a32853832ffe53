//! The containers that are open, one bit each.

/// Containers that may be open at once. OpenAI's schemas need about ten; serde_json stops at 128.
pub const MAX_DEPTH: usize = 512;

/// Open containers, outermost first: a set bit is an object, a clear one an array.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    bits: [u64; MAX_DEPTH / 64],
    pub(super) depth: u32,
}

impl Open {
    /// False when there is no room.
    pub(super) fn push(&mut self, object: bool) -> bool {
        let depth = self.depth;
        let Some(word) = self.word(depth) else {
            return false;
        };
        let bit = 1_u64.wrapping_shl(depth); // wraps at 64: the bit within the word
        if object {
            *word |= bit;
        } else {
            *word &= !bit;
        }
        self.depth = depth.saturating_add(1);
        true
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn in_object(&mut self) -> bool {
        let top = self.depth.saturating_sub(1);
        self.word(top).is_some_and(|word| *word & 1_u64.wrapping_shl(top) != 0)
    }

    fn word(&mut self, depth: u32) -> Option<&mut u64> {
        self.bits.get_mut(usize::try_from(depth / u64::BITS).ok()?)
    }
}
