//! Names of rendered things.

use sha2::{Digest as _, Sha256};

/// `text` with everything but letters, digits, `-` and `_` made `_`: fit for a cluster name and a statistic.
pub(super) fn slug(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.chars().map(|c| if plain(c) { c } else { '_' }).take(40).collect()
}

/// First hex digits of the SHA-256 of `content`: another content, another name.
pub(super) fn digest(content: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content.as_bytes()).iter().take(4).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
