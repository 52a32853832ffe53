//! A process and all that it has started: a gateway may be several.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use sluice_bench::{Failure, process};

/// Processor time of `root` and its descendants so far, in user and kernel.
///
/// # Errors
/// `root` is gone.
pub(crate) fn cpu(root: u32) -> Result<Duration, Failure> {
    let mut sum = process::cpu(root)?;
    for id in descendants(root, &parents()) {
        sum += process::cpu(id).unwrap_or_default(); // gone since
    }
    Ok(sum)
}

/// Memory that they have in use, in bytes; what they share counts for each.
///
/// # Errors
/// `root` is gone.
pub(crate) fn resident(root: u32) -> Result<u64, Failure> {
    let others =
        descendants(root, &parents()).into_iter().map(|id| process::resident(id).unwrap_or_default());
    Ok(process::resident(root)? + others.sum::<u64>())
}

/// The parent of every process.
fn parents() -> BTreeMap<u32, u32> {
    let ids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| Some((id, parent(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?)))
        .collect()
}

/// `ppid`, <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>. A name may hold spaces and brackets.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn descendants(root: u32, parents: &BTreeMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(of) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| **parent == of).map(|(id, _)| *id));
        next += 1;
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::{descendants, parent};

    #[test]
    fn a_parent_is_found_whatever_the_name() {
        assert_eq!(parent("77 (a ) b) S 12 77 77 0"), Some(12));
        assert_eq!(parent("77 (a"), None);
    }

    #[test]
    fn descendants_are_children_and_theirs() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 2)].into();
        assert_eq!(descendants(2, &parents), [3, 6, 4]);
        assert_eq!(descendants(5, &parents), Vec::<u32>::new());
    }
}
