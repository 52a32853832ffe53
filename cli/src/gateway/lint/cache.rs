//! A cache that gives nothing again, or to others than its author thinks.

use super::served::unserved;
use crate::file::Cursor;
use crate::gateway::{Cache, Gateway, Scope, When};

/// Looks at `cache`.
pub(super) fn look(root: &Cursor<'_>, gateway: &Gateway) {
    let (Some(at), Some(cache)) = (root.field("cache"), &gateway.cache) else {
        return;
    };
    unserved(&at, &cache.models, &When::default(), &gateway.models);
    scope(&at, cache, gateway);
    if let (Some(at), Some(_)) = (at.field("memory"), &gateway.redis) {
        at.warn("has no effect, as answers are kept in `redis`; remove it");
    }
}

fn scope(at: &Cursor<'_>, cache: &Cache, gateway: &Gateway) {
    let Some(at) = at.field("scope") else {
        return;
    };
    let nobody = gateway.consumers.is_empty();
    if cache.scope != Scope::Everyone && nobody {
        at.warn("sets nobody apart, as there are no `consumers`: all share answers; add consumers or write everyone");
    } else if cache.scope == Scope::Tier && gateway.consumers.iter().all(|consumer| consumer.tier.is_none()) {
        at.warn(
            "is as consumer, as no consumer has a tier to share answers in; give them one, or write consumer",
        );
    }
}
