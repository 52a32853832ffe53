//! A histogram, and what it tells of how long most take.

/// A histogram: how many were at most so large.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

/// A value that a share of all did not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quantile {
    /// About this.
    About(f64),
    /// More than the largest that the buckets tell apart.
    Above(f64),
}

impl Buckets {
    /// Adds `count` to those of at most `bound`, which may be infinite.
    pub fn add(&mut self, bound: f64, count: f64) {
        match self.0.binary_search_by(|(own, _)| own.total_cmp(&bound)) {
            Ok(at) => {
                if let Some((_, own)) = self.0.get_mut(at) {
                    *own += count;
                }
            }
            Err(at) => self.0.insert(at, (bound, count)),
        }
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let old =
            |bound: &f64| before.0.iter().find(|(own, _)| own == bound).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().map(|(bound, count)| (*bound, (count - old(bound)).max(0.0))).collect())
    }

    /// How many there are in all.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// What `share` (0 to 1) of all did not exceed, as Prometheus' `histogram_quantile` finds it: evenly spread within
    /// its bucket. `None` of nothing.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Quantile> {
        let rank = self.count() * share.clamp(0.0, 1.0);
        if self.count() <= 0.0 {
            return None;
        }
        let (mut bottom, mut below) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= rank && *count > below {
                if bound.is_infinite() {
                    break;
                }
                return Some(Quantile::About(bottom + (bound - bottom) * ((rank - below) / (count - below))));
            }
            (bottom, below) = if bound.is_infinite() { (bottom, below) } else { (*bound, count.max(below)) };
        }
        Some(Quantile::Above(bottom))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn buckets(counts: &[(f64, f64)]) -> Buckets {
        let mut buckets = Buckets::default();
        counts.iter().for_each(|(bound, count)| buckets.add(*bound, *count));
        buckets
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let ten = buckets(&[(f64::INFINITY, 10.0), (10.0, 5.0), (20.0, 9.0)]);
        for (share, want) in [
            (0.5, Quantile::About(10.0)),
            (0.7, Quantile::About(15.0)),
            (0.1, Quantile::About(2.0)),
            (0.99, Quantile::Above(20.0)),
        ] {
            assert_eq!(ten.quantile(share), Some(want), "{share}");
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Buckets::default().quantile(0.5), None);
        assert_eq!(buckets(&[(1.0, 3.0)]).since(&buckets(&[(1.0, 3.0)])).quantile(0.5), None);
    }

    #[test]
    fn what_came_since_is_the_difference() {
        let since = buckets(&[(1.0, 3.0), (2.0, 9.0)]).since(&buckets(&[(1.0, 2.0), (2.0, 4.0)]));
        assert_eq!(since, buckets(&[(1.0, 1.0), (2.0, 5.0)]));
    }

    proptest! {
        #[test]
        fn a_quantile_is_a_number_within_the_bounds(
            counts in prop::collection::vec((0.0..100.0, 0.0..1e9), 0..9),
            before in prop::collection::vec((0.0..100.0, 0.0..1e9), 0..9),
            share in 0.0..=1.0,
        ) {
            match buckets(&counts).since(&buckets(&before)).quantile(share) {
                Some(Quantile::About(value) | Quantile::Above(value)) => prop_assert!((0.0..=100.0).contains(&value)),
                None => {}
            }
        }
    }
}
