//! Reads `keys` and `rotation` of a provider.

use std::ops::RangeInclusive;

use super::{Key, Rotation};
use crate::file::Cursor;
use crate::file::tree::Content;
use crate::gateway::Sources;
use crate::gateway::secret;

/// Weights that key-rotation takes.
const WEIGHTS: RangeInclusive<u32> = 1..=1000;

type KeysAndRotation = (Option<Vec<Key>>, Option<Rotation>);

/// Reads both, which must fit each other.
pub(super) fn keys_and_rotation(
    keys: Option<&Cursor<'_>>,
    rotation: Option<&Cursor<'_>>,
    sources: &Sources<'_>,
) -> KeysAndRotation {
    let written = rotation.map(|at| at.choice(&Rotation::NAMES));
    let Some(at) = keys else {
        if let Some(at) = rotation {
            at.refuse::<()>("has no `keys` to choose from; remove it or add keys");
        }
        return (Some(Vec::new()), Some(Rotation::RoundRobin));
    };
    let items = at.items("secrets such as [env:OPENAI_KEY]", false);
    let (keys, weighted) = items.map_or((None, None), |items| keys_of(&items, sources));
    if let (Some(at), Some(Some(Rotation::Weighted)), None, Some(_)) = (rotation, written, &weighted, &keys) {
        at.warn("gives equal shares, as no key has a weight; write keys as {key: env:NAME, weight: 3}");
    }
    let rotation = match (written, &weighted) {
        (Some(Some(rotation)), Some(at)) if rotation != Rotation::Weighted => at.refuse(format!(
            "has no effect with rotation {}; remove it or write `rotation: weighted`",
            rotation.as_str()
        )),
        (Some(rotation), _) => rotation,
        (None, Some(_)) => Some(Rotation::Weighted),
        (None, None) => Some(Rotation::RoundRobin),
    };
    (keys, rotation)
}

/// The keys, and where the first weight stands.
fn keys_of<'a>(items: &[Cursor<'a>], sources: &Sources<'_>) -> (Option<Vec<Key>>, Option<Cursor<'a>>) {
    let mut weighted = None;
    let keys: Vec<_> = items.iter().map(|at| key(at, sources, &mut weighted)).collect();
    let mut seen: Vec<(String, &Cursor<'_>)> = Vec::new();
    for (at, key) in items.iter().zip(&keys) {
        let Some(value) = key.as_ref().and_then(|key| key.secret.source().read(sources.env).ok()) else {
            continue;
        };
        match seen.iter().find(|(earlier, _)| earlier == value.expose()) {
            Some((_, earlier)) => {
                at.refuse::<()>(format!("is the same key as {}; remove one of them", earlier.path()));
            }
            None => seen.push((value.expose().to_owned(), at)),
        }
    }
    (keys.into_iter().collect(), weighted)
}

fn key<'a>(at: &Cursor<'a>, sources: &Sources<'_>, weighted: &mut Option<Cursor<'a>>) -> Option<Key> {
    if !matches!(at.content(), Content::Map(_)) {
        return Some(Key { secret: secret::read(at, sources)?, weight: 1 });
    }
    let mut fields = at.fields("env:NAME, file:PATH or {key: env:NAME, weight: 3}")?.quiet();
    let secret = fields.required("key", "`key: env:NAME`").and_then(|at| secret::read(&at, sources));
    let weight = fields.optional("weight");
    fields.finish();
    if weighted.is_none() {
        weighted.clone_from(&weight);
    }
    let weight = weight.map_or(Some(1), |at| at.number32(WEIGHTS));
    Some(Key { secret: secret?, weight: weight? })
}
