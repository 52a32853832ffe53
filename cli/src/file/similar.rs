//! "did you mean": the name that was probably meant.

use sluice_core::config::shown;

/// Most letters that may be wrong, missing or swapped in a name that is taken for a slip of `name`.
fn tolerance(name: &str) -> usize {
    match name.chars().count() {
        0..=2 => 0,
        3..=5 => 2,
        _ => 3,
    }
}

/// The nearest of `known`, as `; did you mean "openai"?`, or else `otherwise` after a semicolon.
#[must_use]
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let lower = name.to_lowercase().replace('-', "_");
    let near = |known: &&str| known.len().abs_diff(name.len()) <= tolerance(name);
    let best = known
        .filter(near)
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase().replace('-', "_")), known))
        .min_by_key(|(distance, _)| *distance);
    match best {
        Some((distance, known)) if distance <= tolerance(name) => {
            format!("; did you mean \"{}\"?", shown(known))
        }
        _ => format!("; {otherwise}"),
    }
}
