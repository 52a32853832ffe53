//! What makes two requests the same one: a digest over everything that can change an answer.
//!
//! There are two. The [`Gist`] is of what is asked: the path, the headers that mean something, and the whole body, known
//! fields and unknown ones, in a form that leaves out only how it is written: the order of members, whitespace, escapes.
//! Which form of answer is asked for ([`Asked::stream`], [`Asked::usage`]) is left out too, for one answer serves them
//! all. The [`Key`] is of the gist, of whose request it is, and of where it goes.
//!
//! Both are BLAKE2b (RFC 7693): as hard to find a second question for as for SHA-256, and less work in a WebAssembly
//! module, which has words of 64 bits but no instructions for SHA.

mod canon;
mod root;
#[cfg(test)]
mod tests;

use std::fmt;

use blake2::{Blake2b256, Digest as _};
use serde::Deserialize;
use sluice_core::json;

use self::canon::Canon;
use self::root::Root;

/// Changes with the meaning of what is digested into a key, and with what is kept under it.
const KEY_VERSION: &[u8] = b"sluice-cache-3";

/// Changes with the meaning of what is digested into a gist.
const GIST_VERSION: &[u8] = b"sluice-gist-2";

/// Digits of a gist that stand for it: enough that among a million questions one in 37 million sets of them has two
/// alike.
const GIST_DIGITS: usize = 16;

/// What was asked, whoever asked it and of whom: BLAKE2b-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gist([u8; 32]);

impl Gist {
    /// Its first 16 hex digits, in lower case: equal questions have equal ones.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.0).take(GIST_DIGITS).collect()
    }
}

impl fmt::Debug for Gist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gist({})", self.short())
    }
}

fn hex(bytes: &[u8]) -> impl Iterator<Item = char> {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'))
}

/// Names one answer: BLAKE2b-256 over what was asked, by whom and of whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The digest.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest as 64 hex digits in lower case.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0).collect()
    }
}

impl From<[u8; 32]> for Key {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.hex())
    }
}

/// Who may get what was answered to whom.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The same consumer.
    #[default]
    Consumer,
    /// Consumers of the same tier.
    Tier,
    /// Everyone.
    Everyone,
}

/// What besides its body decides how a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances<'a> {
    /// Among whom answers are shared.
    pub scope: Scope,
    /// Name of the consumer or tier; empty for everyone.
    pub scope_value: &'a str,
    /// Path with query.
    pub path: &'a str,
    /// The router's rule that applies.
    pub rule: Option<&'a str>,
    /// The target it picked.
    pub target: Option<&'a str>,
    /// The model it stands for.
    pub base_model: Option<&'a str>,
    /// The cluster that it is sent to, where a header says so.
    pub cluster: Option<&'a [u8]>,
    /// Headers that reach the provider and mean something: names in lower case. The order of names is of no meaning,
    /// that of one name's values is.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

/// A request as a cache sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which answer it may get; the same for every form of it.
    pub key: Key,
    /// What it asks; the same for everyone.
    pub gist: Gist,
    /// Whether the answer shall be a stream.
    pub stream: bool,
    /// Whether a stream shall report usage (`stream_options.include_usage`).
    pub usage: bool,
    /// Why it may neither be answered from the cache nor its answer be kept: `store`, `background`, `conversation`,
    /// or `stream` where the form asked for is not plain.
    pub bypass: Option<&'static str>,
}

/// Why a body has no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not one JSON object: {0}")]
pub struct Unreadable(#[from] pub json::Error);

/// Reads a request's `body`, whole, in one pass.
///
/// # Errors
/// The body is not one JSON object.
pub fn read(circumstances: &Circumstances<'_>, body: &[u8]) -> Result<Asked, Unreadable> {
    let mut canon = Canon::new(body);
    canon.bytes(GIST_VERSION);
    circumstances.write_question(&mut canon);
    let mut root = Root::default();
    let mut reader = json::Reader::new(body);
    canon.object(&mut reader, |canon, reader, name| root.member(canon, reader, name))?;
    reader.end()?;
    let gist = Gist(Blake2b256::digest(canon.written(0)).into());
    let key = circumstances.key(&gist);
    Ok(Asked { key, gist, stream: root.stream(), usage: root.usage(), bypass: root.bypass() })
}

impl Circumstances<'_> {
    /// Writes what is part of the question, whoever asks.
    fn write_question(&self, canon: &mut Canon<'_>) {
        canon.bytes(self.path.as_bytes());
        let mut headers = self.headers.clone();
        headers.sort_by_key(|(name, _)| *name);
        for (name, value) in headers {
            canon.bytes(name.as_bytes());
            canon.bytes(value);
        }
        canon.end();
    }

    /// The key of a question: who asks it, and whom.
    fn key(&self, gist: &Gist) -> Key {
        let scope: &[u8] = match self.scope {
            Scope::Consumer => b"consumer",
            Scope::Tier => b"tier",
            Scope::Everyone => b"everyone",
        };
        let mut canon = Canon::new(&[]);
        for part in [KEY_VERSION, scope, self.scope_value.as_bytes()] {
            canon.bytes(part);
        }
        for part in [self.rule, self.target, self.base_model] {
            canon.maybe(part.map(str::as_bytes));
        }
        canon.maybe(self.cluster);
        canon.bytes(&gist.0);
        Key(Blake2b256::digest(canon.written(0)).into())
    }
}
