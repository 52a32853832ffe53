//! Keys of consumers: how a strong one is made, and what gateway.yaml says of it.

use std::io::Read;

use crate::gateway::sha256_hex;

/// What keys begin with, as clients expect of OpenAI's.
const PREFIX: &str = "sk-";
/// 62 to the power of 43 is more than 2 to the power of 256.
const CHARS: usize = 43;
const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The largest multiple of 62 that a byte can be below: bytes from here on would favour some characters.
const FAIR: u8 = 248;
/// Longest key that is read, in bytes: Envoy takes no larger headers.
const MAX_BYTES: u64 = 60 << 10;

/// A key of 256 random bits, in characters that every header, shell and editor takes as one word.
///
/// # Errors
/// The operating system gives no random bytes.
pub fn new_key() -> Result<String, String> {
    let mut key = String::from(PREFIX);
    while key.len() < PREFIX.len().saturating_add(CHARS) {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR);
        key.extend(
            fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 62))).map(|byte| char::from(*byte)),
        );
    }
    key.truncate(PREFIX.len().saturating_add(CHARS));
    Ok(key)
}

/// What gateway.yaml says of `key`: `sha256:` and 64 hex digits.
#[must_use]
pub fn hash(key: &str) -> String {
    format!("sha256:{}", sha256_hex(key))
}

/// Reads a key, one line.
///
/// # Errors
/// What was read is no key; what to write instead. Never repeats it.
pub fn read(from: impl Read) -> Result<String, String> {
    let mut text = String::new();
    let read = from.take(MAX_BYTES).read_to_string(&mut text);
    read.map_err(|error| format!("standard input cannot be read ({error}); write the key on one line"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let key = line.strip_suffix('\r').unwrap_or(line);
    if key.is_empty() {
        return Err("standard input holds no key; write the key on one line".into());
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("standard input holds more than a key; write the key on one line, without spaces".into());
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_has_256_bits_in_plain_characters_and_is_never_the_same() {
        let keys: HashSet<String> = (0..200).map(|_| new_key().unwrap()).collect();
        assert_eq!(keys.len(), 200);
        let mut used = HashSet::new();
        for key in &keys {
            let random = key.strip_prefix("sk-").unwrap();
            assert!(random.len() == 43 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
            used.extend(random.bytes());
        }
        assert_eq!(used.len(), 62);
    }

    #[test]
    fn a_key_is_one_line_with_or_without_its_end() {
        for (text, want) in
            [("sk-a", Some("sk-a")), ("sk-a\n", Some("sk-a")), ("sk-a\r\n", Some("sk-a"))].into_iter().chain(
                ["", "\n", "sk-a\n\n", "sk-a\nsk-b", "sk-a sk-b", " sk-a", "sk-é", "sk-\u{7}"]
                    .map(|t| (t, None)),
            )
        {
            assert_eq!(read(text.as_bytes()).ok().as_deref(), want, "{text:?}");
        }
        assert!(read(&b"sk-\xff"[..]).is_err());
    }

    #[test]
    fn a_hash_is_the_sha_256_of_the_key() {
        // the example of gateway.yaml: the SHA-256 of "password"
        assert_eq!(
            hash("password"),
            "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
        );
    }
}
