//! Runs a [`Filter`](sluice_core::filter::Filter) inside Envoy. The only crate that makes hostcalls.
//!
//! What the host does differently from what one would think is handled here, once:
//!
//! | trap (Envoy 1.40) | answer |
//! | --- | --- |
//! | a body that trailers follow never sees `end_of_stream` | trailers end the body ([`stream`]) |
//! | headers with `end_of_stream` | an empty body that has ended |
//! | while paused, `body_size` is the whole buffer | a filter is shown each byte once |
//! | the SDK panics on an unexpected status | own hostcalls ([`abi`]), which never do |
//! | `create_http_context` returning `None` panics | a stream without a filter |
//! | `set_buffer` refuses a part of a buffer | bodies are replaced whole |
//! | a changed body keeps its old `content-length` | corrected while the headers are held |
//! | one timer per root context | shared out to streams ([`wake`]) |
//! | a local reply or a resume runs other filters' callbacks | the host defers both until ours has returned |

mod abi;
mod envoy;
mod pairs;
mod root;
mod stream;
mod wake;

pub use crate::root::{Root, Unknown, root_id};

#[doc(hidden)]
pub use proxy_wasm;

/// Exports one filter, or several picked by `plugin_root_id`, as this module's proxy-wasm entry point.
///
/// The entry point exists only in the crate that is being built as a module (`--cfg sluice_module`, see
/// `scripts/build-wasm`), so that one module can link several plugins.
#[macro_export]
macro_rules! register {
    ($($filter:ty),+ $(,)?) => {
        #[cfg(sluice_module)]
        #[allow(unsafe_code, missing_docs, unreachable_pub, reason = "expands to proxy_wasm::main!")]
        mod entry {
            use super::*;
            use $crate::proxy_wasm;

            const NAMES: &[&str] = &[$(<$filter as ::sluice_core::filter::Filter>::NAME),+];

            fn root(context: u32) -> Box<dyn proxy_wasm::traits::RootContext> {
                let id = $crate::root_id();
                $(if NAMES.len() == 1 || id == <$filter as ::sluice_core::filter::Filter>::NAME {
                    return Box::new($crate::Root::<$filter>::new(context));
                })+
                Box::new($crate::Unknown { root_id: id, known: NAMES })
            }

            proxy_wasm::main! {{
                proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
                proxy_wasm::set_root_context(root);
            }}
        }
    };
}
