//! Keys of consumers: `env:NAME`, `file:PATH`, `sha256:<64 hex>` or, for trying things out, the key itself. All that
//! is kept of one is its hash or where it stands. No message repeats one.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use sluice_core::config::SecretSource;

use crate::file::Cursor;
use crate::gateway::{Sources, secret};

/// Keys with fewer characters can be guessed.
const MIN_CHARS: usize = 16;

const WANT: &str = "env:NAME, file:PATH or sha256: and 64 hex digits, as `sluice key new` prints them";

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerKey {
    /// Its SHA-256 in 64 hex digits of lower case.
    pub sha256: String,
    /// Where the key stands.
    pub origin: Origin,
    /// Shorter than what nobody guesses, as far as it is known.
    pub weak: bool,
    /// It looks like a hash without `sha256:` before it.
    pub like_hash: bool,
}

/// Where a key stands. Of all but [`Origin::Env`] Envoy gets the hash alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In this variable of Envoy's environment.
    Env(String),
    /// In a file of its own.
    File,
    /// In gateway.yaml.
    Literal,
    /// With its owner alone: gateway.yaml holds the hash.
    Nowhere,
}

/// The SHA-256 of `text` in 64 hex digits of lower case.
#[must_use]
pub fn sha256_hex(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Where each key stands, by its hash: consumer and key.
pub(super) type Seen = HashMap<String, (usize, usize)>;

/// Reads the keys of consumer `consumer`, none of which may be in `seen`.
pub(super) fn read(
    at: &Cursor<'_>,
    consumer: usize,
    seen: &mut Seen,
    sources: &Sources<'_>,
) -> Option<Vec<ConsumerKey>> {
    let items = at.items("a list of keys such as [env:MOBILE_APP_KEY]", true)?;
    let keys: Vec<_> = items.iter().map(|at| key(at, sources)).collect();
    let mut good = Some(());
    for (index, (at, key)) in items.iter().zip(&keys).enumerate() {
        let Some(key) = key else { continue };
        match seen.get(&key.sha256) {
            Some((consumer, key)) => {
                good = at.refuse(format!(
                    "is the same key as consumers[{consumer}].keys[{key}]; remove one of them"
                ));
            }
            None => drop(seen.insert(key.sha256.clone(), (consumer, index))),
        }
    }
    good?;
    keys.into_iter().collect()
}

fn key(at: &Cursor<'_>, sources: &Sources<'_>) -> Option<ConsumerKey> {
    let text = at.text(WANT)?;
    if let Some(("sha256", hex)) = text.split_once(':') {
        return hash(at, hex);
    }
    let secret = secret::read(at, sources)?;
    let value = secret.source().read(&|name| (sources.env)(name)).ok()?;
    let value = value.expose();
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return at.refuse(
            "holds a space or a letter that no header can carry; write a key of letters, digits and signs, \
             as `sluice key new` makes one",
        );
    }
    let origin = match secret.source() {
        SecretSource::Env(name) => Origin::Env(name.clone()),
        SecretSource::Value(_) if secret.is_literal() => Origin::Literal,
        SecretSource::Value(_) => Origin::File,
    };
    let sha256 = sha256_hex(value);
    Some(ConsumerKey { sha256, origin, weak: value.len() < MIN_CHARS, like_hash: is_hash(value) })
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn hash(at: &Cursor<'_>, hex: &str) -> Option<ConsumerKey> {
    if !is_hash(hex) {
        return at.refuse("has no 64 hex digits after sha256:; write what `sluice key hash` prints");
    }
    let sha256 = hex.to_ascii_lowercase();
    if sha256 == sha256_hex("") {
        return at.refuse("is the hash of an empty key; write what `sluice key hash` prints for the key");
    }
    Some(ConsumerKey { sha256, origin: Origin::Nowhere, weak: false, like_hash: false })
}
