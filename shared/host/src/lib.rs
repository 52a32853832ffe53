//! Runs a [`Filter`](sluice_core::filter::Filter) or a [`NetworkFilter`](sluice_core::network::NetworkFilter)
//! inside Envoy, over proxy-wasm (`proxy_wasm`) or as a dynamic module (`native`), and is the only crate that speaks either.
//!
//! What the host does differently from what one would think is handled here, once; what is so only of native filters,
//! in `native`:
//!
//! | trap (Envoy 1.40) | answer |
//! | --- | --- |
//! | a body that trailers follow never sees `end_of_stream` | trailers end the body (`stream`) |
//! | headers with `end_of_stream` | an empty body that has ended |
//! | while paused, `body_size` is the whole buffer | a filter is shown each byte once |
//! | the SDK panics on an unexpected status, on an unknown context | own hostcalls and entry points (`proxy_wasm`), which never do |
//! | what was held of an attempt still comes after its headers made Envoy drop it | it passes unseen (`proxy_wasm`) |
//! | a callout that nobody answers gets a 503 or 504 of Envoy's own | told apart: `NotAnswered` (`callout`) |
//! | `set_buffer` refuses a part of a buffer | bodies are replaced whole |
//! | a changed body keeps its old `content-length` | corrected while the headers are held |
//! | shared data has no "only if absent": version 0 overwrites | a lock for first writes (`shared`) |
//! | one timer per root context | shared out to streams (`proxy_wasm`) |
//! | a stream's end cancels its callouts | those that must outlive it are the root context's (`detached`) |
//! | a local reply or a resume runs other filters' callbacks | the host defers both until ours has returned |

mod abi;
mod by_number;
mod callout;
mod detached;
mod dispatch;
mod envoy;
mod exchange;
mod facts;
mod flow;
mod kind;
mod network;
mod progress;
mod reply;
mod root;
mod shared;
mod stage;
mod stream;
mod wake;

#[cfg(not(target_family = "wasm"))]
pub mod native;
#[cfg(target_family = "wasm")]
pub mod proxy_wasm;

/// How modules of this target speak to Envoy.
#[cfg(not(target_family = "wasm"))]
pub use crate::native as platform;
#[cfg(target_family = "wasm")]
pub use crate::proxy_wasm as platform;

pub use crate::dispatch::{Action, ConnectionContext, NewRoot, RootContext, StreamContext};
pub use crate::kind::Kind;
pub use crate::network::NetworkRoot;
pub use crate::root::{Root, Unknown, root_id};

/// Exports one filter, or several picked by `plugin_root_id` (`chain`: any of them in one), as this module's entry point.
/// Network filters stand behind the others: `register!(A, B; network: C)`, `register!(network: C)`.
///
/// The entry point exists only in the crate that is being built as a module (`--cfg sluice_module`, see
/// `scripts/build-wasm` and `scripts/build-native`), so that one module can link several plugins.
#[macro_export]
macro_rules! register {
    (network: $($network:ty),+ $(,)?) => { $crate::register!(; network: $($network),+); };
    ($($filter:ty),* $(,)? $(; network: $($network:ty),+ $(,)?)?) => {
        #[cfg(sluice_module)]
        #[allow(unsafe_code, missing_docs, unreachable_pub, reason = "an entry point has a fixed name")]
        mod module_entry_point {
            use super::*;

            const KINDS: &[$crate::Kind] = &[$($crate::Kind::of::<$filter>()),*];
            const NETWORK: &[&str] = &[$($(<$network as ::sluice_core::network::NetworkFilter>::NAME),+)?];

            #[cfg(not(target_family = "wasm"))]
            const METRICS: &[&[::sluice_core::metric::Family]] = &[
                $(<$filter as ::sluice_core::filter::Filter>::METRICS,)*
                $($(<$network as ::sluice_core::network::NetworkFilter>::METRICS),+)?
            ];

            fn root(context: u32) -> ::std::rc::Rc<dyn $crate::RootContext> {
                let root_id = $crate::root_id();
                $($(if KINDS.is_empty() && NETWORK.len() == 1
                    || root_id == <$network as ::sluice_core::network::NetworkFilter>::NAME {
                    return ::std::rc::Rc::new($crate::NetworkRoot::<$network>::new(context));
                })+)?
                match $crate::Root::named(&root_id, KINDS, context) {
                    Some(root) => ::std::rc::Rc::new(root),
                    None => {
                        let known = KINDS.iter().map(|kind| kind.name).chain(NETWORK.iter().copied()).collect();
                        ::std::rc::Rc::new($crate::Unknown { root_id, known })
                    }
                }
            }

            #[cfg(not(target_family = "wasm"))]
            #[unsafe(no_mangle)]
            extern "C" fn envoy_dynamic_module_on_program_init() -> *const ::std::ffi::c_char {
                $crate::platform::start(root, METRICS.iter().copied().flatten());
                $crate::platform::abi_version().as_ptr()
            }

            #[cfg(target_family = "wasm")]
            #[unsafe(no_mangle)]
            extern "C" fn _initialize() {
                $crate::platform::start(root);
            }
        }
    };
}
