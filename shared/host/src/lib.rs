//! Runs a [`Filter`](sluice_core::filter::Filter) inside Envoy. The only crate that makes hostcalls.

/// Exports one filter, or several picked by `plugin_root_id`, as this module's proxy-wasm entry point.
#[macro_export]
macro_rules! register {
    ($($filter:ty),+ $(,)?) => {};
}
