//! The table of keys: whose key has this digest, in time that does not depend on how many there are.

use hashbrown::HashTable;

use crate::digest::Digest;

/// Keys and their owners, about 44 bytes each.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    digests: Vec<Digest>,
    owners: Vec<usize>,
    index: HashTable<u32>, // positions in `digests`
}

impl Keys {
    /// Adds a key.
    ///
    /// # Errors
    /// The owner that has this key already.
    pub(crate) fn insert(&mut self, digest: Digest, owner: usize) -> Result<(), usize> {
        if let Some(owner) = self.owner(&digest) {
            return Err(owner);
        }
        // More keys than a u32 counts do not fit into any memory that a filter has.
        let position = u32::try_from(self.digests.len()).unwrap_or(u32::MAX);
        self.digests.push(digest);
        self.owners.push(owner);
        let digests = &self.digests;
        let hash = |position: &u32| digest_at(digests, *position).map_or(0, Digest::slot_hash);
        self.index.insert_unique(digest.slot_hash(), position, hash);
        Ok(())
    }

    /// Whose key it is.
    pub(crate) fn owner(&self, digest: &Digest) -> Option<usize> {
        let same = |position: &u32| digest_at(&self.digests, *position) == Some(digest);
        let position = *self.index.find(digest.slot_hash(), same)?;
        self.owners.get(usize::try_from(position).ok()?).copied()
    }

    /// Every key with its owner, in the order they were added.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Digest, usize)> {
        self.digests.iter().zip(self.owners.iter().copied())
    }

    /// Gives back the room for further keys.
    pub(crate) fn shrink(&mut self) {
        self.digests.shrink_to_fit();
        self.owners.shrink_to_fit();
    }
}

fn digest_at(digests: &[Digest], position: u32) -> Option<&Digest> {
    digests.get(usize::try_from(position).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_finds_its_owner_and_no_other_does() {
        let mut keys = Keys::default();
        for n in 0..5000_usize {
            assert_eq!(keys.insert(Digest::of(&n.to_le_bytes()), n / 2), Ok(()));
        }
        keys.shrink();
        for n in 0..5000_usize {
            let digest = Digest::of(&n.to_le_bytes());
            assert_eq!(keys.owner(&digest), Some(n / 2));
            assert_eq!(keys.insert(digest, 7), Err(n / 2));
        }
        assert!(keys.iter().map(|(_, owner)| owner).eq((0..5000).map(|n| n / 2)));
        assert_eq!(keys.owner(&Digest::of(b"unknown")), None);
        assert_eq!(Keys::default().owner(&Digest::of(b"unknown")), None);
    }

    #[test]
    fn digests_that_share_their_slot_are_told_apart() {
        let ends = ["00", "01", "02"].map(|end| Digest::from_hex(&format!("{:062}{end}", 0)).unwrap());
        let mut keys = Keys::default();
        for (owner, digest) in ends.into_iter().enumerate().take(2) {
            assert_eq!(keys.insert(digest, owner), Ok(()));
        }
        assert_eq!(ends.map(|digest| keys.owner(&digest)), [Some(0), Some(1), None]);
    }
}
