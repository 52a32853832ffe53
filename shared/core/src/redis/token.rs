//! Names for what one request holds in Redis.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

/// Makes names that nobody else makes, on any worker of any gateway.
#[derive(Debug)]
pub struct Tokens {
    prefix: u64,
    next: Cell<u64>,
}

impl Default for Tokens {
    /// Begins with a prefix of its own, drawn at random.
    fn default() -> Self {
        Self { prefix: RandomState::new().hash_one("token"), next: Cell::default() }
    }
}

impl Tokens {
    /// One more name, of at most 33 letters, digits and points.
    pub fn make(&self) -> String {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        format!("{:016x}.{number:x}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_names_are_the_same() {
        let workers = [Tokens::default(), Tokens::default()];
        let names: BTreeSet<_> =
            workers.iter().flat_map(|worker| [(); 100].map(|()| worker.make())).collect();
        assert_eq!(names.len(), 200);
        assert!(names.iter().all(|name| name.len() <= 33));
    }
}
