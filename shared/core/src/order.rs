//! Puts lists in order with one sorting algorithm for all of them.
//!
//! The standard library's is compiled anew for each type that is sorted, about 5 KB of a module each time. Here
//! only the keys are sorted, which are of one type.

/// Puts `items` in the order of their keys. Items of the same key keep their order.
pub fn by_key<T>(items: &mut [T], key: impl FnMut(&T) -> (u64, u64)) {
    for (a, b) in moves(items.iter().map(key).collect()) {
        items.swap(a, b);
    }
}

/// As [`by_key`], by two places in a text or a list.
pub fn by_place<T>(items: &mut [T], mut place: impl FnMut(&T) -> (usize, usize)) {
    let wide = |place: usize| u64::try_from(place).unwrap_or(u64::MAX);
    by_key(items, |item| {
        let (major, minor) = place(item);
        (wide(major), wide(minor))
    });
}

/// The swaps that put what has these keys in order.
#[inline(never)]
fn moves(keys: Vec<(u64, u64)>) -> Vec<(usize, usize)> {
    if keys.is_sorted() {
        return Vec::new();
    }
    let places = keys.into_iter().enumerate();
    let mut places: Vec<_> = places.map(|(place, (major, minor))| (major, minor, place)).collect();
    places.sort_unstable();
    let mut from: Vec<usize> = places.into_iter().map(|(.., place)| place).collect();
    let mut moves = Vec::new();
    for start in 0..from.len() {
        // Once round the circle in which items change places; who has moved stays.
        let mut to = start;
        while let Some(place) = from.get_mut(to) {
            let source = std::mem::replace(place, to);
            if source == start || source == to {
                break;
            }
            moves.push((to, source));
            to = source;
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_stable_sort(
            keys in proptest::collection::vec((0..4_u64, 0..4_u64), 0..40),
        ) {
            let mut items: Vec<_> = keys.into_iter().enumerate().collect();
            let mut want = items.clone();
            want.sort_by_key(|(_, key)| *key);
            by_key(&mut items, |(_, key)| *key);
            prop_assert_eq!(items, want);
        }
    }
}
