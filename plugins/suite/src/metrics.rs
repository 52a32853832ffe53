//! What each filter counts.

use sluice_core::filter::Filter;
use sluice_core::metric::Family;
use sluice_core::network::NetworkFilter;

/// A plugin's name and its families.
pub type Declared = (&'static str, &'static [Family]);

/// Every plugin with its families. What several have in common, each of them declares.
pub const METRICS: [Declared; 10] = [
    of::<ai_log::AiLog>(),
    of::<consumer_auth::ConsumerAuth>(),
    of::<model_router::ModelRouter>(),
    of::<token_limit::TokenLimit>(),
    of::<content_guard::ContentGuard>(),
    of::<response_cache::ResponseCache>(),
    of::<fallback::Fallback>(),
    of::<key_rotation::KeyRotation>(),
    of::<provider_adapter::ProviderAdapter>(),
    (redis_bridge::RedisBridge::NAME, redis_bridge::RedisBridge::METRICS),
];

const fn of<F: Filter>() -> Declared {
    (F::NAME, F::METRICS)
}

#[cfg(test)]
mod tests;
