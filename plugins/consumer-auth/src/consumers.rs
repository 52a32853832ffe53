//! The table of consumers, built while the configuration is being read: one hundred thousand take some 8 MB, and never
//! stand in memory in a longer form.

mod draft;
#[cfg(test)]
mod tests;

use std::num::{NonZeroU32, NonZeroU64};

pub(crate) use self::draft::Draft;
use crate::bounds::Policy;
use crate::digest::Digest;
use crate::identity::Identity;
use crate::keys::Keys;
use crate::texts::Texts;

/// All consumers, numbered in the order written.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    names: Texts,
    entries: Vec<Entry>,
    policies: Vec<Policy>,
    metadata: Texts,
    keys: Keys,
}

/// One consumer in 16 bytes of a filter's memory: numbers into what it may share with others.
#[derive(Debug)]
struct Entry {
    policy: usize,
    metadata: Option<NonZeroU32>, // its number, from 1
    expires_s: Option<NonZeroU64>,
}

impl Consumers {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of the consumer with this name. Looks at each.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// Number of the consumer with this key.
    pub(crate) fn owner(&self, key: &Digest) -> Option<usize> {
        self.keys.owner(key)
    }

    /// Every key with the number of the consumer that has it.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&Digest, usize)> {
        self.keys.iter()
    }

    /// The consumer with this number.
    pub(crate) fn get(&self, number: usize) -> Option<Identity<'_>> {
        let entry = self.entries.get(number)?;
        Some(Identity {
            name: self.names.get(number)?,
            policy: Some(self.policies.get(entry.policy)?),
            metadata: entry.metadata.and_then(|from_1| self.metadata_at(from_1)),
            expires_s: entry.expires_s.map(NonZeroU64::get),
            key: None,
        })
    }
    fn metadata_at(&self, from_1: NonZeroU32) -> Option<&str> {
        self.metadata.get(usize::try_from(from_1.get()).ok()?.checked_sub(1)?)
    }
}
