//! The module's entry points: which context a callback of the host is about.
//!
//! Envoy 1.40 goes on calling the filters of an attempt that it has just dropped: when a held answer is let go, its
//! headers may make Envoy retry, and the body and trailers that were held with them still come after the context
//! has been deleted. Here they pass unseen. (The SDK's dispatcher panics on a context that it does not know, and a
//! panic kills the VM with every stream in it.)
#![allow(unsafe_code, reason = "entry points have fixed names, and one hands memory to the host")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sluice_core::filter::Side;
use sluice_core::network::Way;

use crate::abi::{self, Level};
use crate::by_number::ByNumber;
use crate::dispatch::{Action, ConnectionContext, NewRoot, RootContext, StreamContext};

thread_local! {
    static NEW_ROOT: Cell<Option<NewRoot>> = const { Cell::new(None) };
    static ROOTS: RefCell<ByNumber<Rc<dyn RootContext>>> = RefCell::default();
    static STREAMS: RefCell<ByNumber<Rc<dyn StreamContext>>> = RefCell::default();
    static CONNECTIONS: RefCell<ByNumber<Rc<dyn ConnectionContext>>> = RefCell::default();
    /// The stream or the root that waits for a callout, by the callout's token.
    static CALLOUTS: RefCell<ByNumber<u32>> = RefCell::default();
}

/// Starts the module; called by its `_initialize`.
pub fn start(new_root: NewRoot) {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: a module without a main function runs its constructors itself, once, before all else.
    unsafe { __wasm_call_ctors() };
    std::panic::set_hook(Box::new(|panic| abi::log(Level::Critical, &panic.to_string())));
    NEW_ROOT.set(Some(new_root));
}

/// Notes that the end of callout `token` is for `context`: to the host, all callouts are the root context's.
pub(crate) fn expect_callout(token: u32, context: u32) {
    CALLOUTS.with_borrow_mut(|callouts| callouts.insert(token, context));
}

// Nothing stays borrowed while a context is called: a hostcall may run callbacks of others.
fn root(context: u32) -> Option<Rc<dyn RootContext>> {
    ROOTS.with_borrow(|roots| roots.get(&context).cloned())
}

fn stream(context: u32) -> Option<Rc<dyn StreamContext>> {
    STREAMS.with_borrow(|streams| streams.get(&context).cloned())
}

fn act(context: u32, call: impl FnOnce(&dyn StreamContext) -> Action) -> Action {
    stream(context).map_or(Action::Continue, |stream| call(&*stream))
}

fn pass_data(context: u32, way: Way, size: usize) -> Action {
    let connection = CONNECTIONS.with_borrow(|connections| connections.get(&context).cloned());
    if let Some(connection) = connection {
        connection.on_data(way, size);
    }
    Action::Continue
}

/// Makes the context of whatever `root` filters; `false` if it filters nothing.
fn create(root: &dyn RootContext, context: u32) -> bool {
    if let Some(stream) = root.create_stream(context) {
        STREAMS.with_borrow_mut(|streams| streams.insert(context, stream));
    } else if let Some(connection) = root.create_connection(context) {
        CONNECTIONS.with_borrow_mut(|connections| connections.insert(context, connection));
    } else {
        return false;
    }
    true
}

/// The entry points themselves: names and shapes of
/// <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>.
mod exports {
    use super::{
        Action, CALLOUTS, CONNECTIONS, NEW_ROOT, ROOTS, STREAMS, Side, Way, abi, act, create, pass_data,
        root, stream,
    };

    #[unsafe(no_mangle)]
    extern "C" fn proxy_abi_version_0_2_1() {}

    /// Memory that the host fills; whoever receives it from a hostcall frees it.
    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
        Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_vm_start(_: u32, _: u32) -> u32 {
        1
    }

    /// A context without a parent is a root.
    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
        if root(parent).is_some_and(|root| create(&*root, context)) {
            return;
        }
        if let (0, Some(new_root)) = (parent, NEW_ROOT.get()) {
            let root = new_root(context);
            ROOTS.with_borrow_mut(|roots| roots.insert(context, root));
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_configure(context: u32, _: u32) -> u32 {
        root(context).is_some_and(|root| root.on_configure()).into()
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_tick(context: u32) {
        if let Some(root) = root(context) {
            root.on_tick();
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_request_headers(context: u32, _: u32, end: u32) -> Action {
        act(context, |stream| stream.on_headers(Side::Request, end != 0))
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_request_body(context: u32, size: usize, end: u32) -> Action {
        act(context, |stream| stream.on_body(Side::Request, size, end != 0))
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_request_trailers(context: u32, _: u32) -> Action {
        act(context, |stream| stream.on_trailers(Side::Request))
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_response_headers(context: u32, _: u32, end: u32) -> Action {
        act(context, |stream| stream.on_headers(Side::Response, end != 0))
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_response_body(context: u32, size: usize, end: u32) -> Action {
        act(context, |stream| stream.on_body(Side::Response, size, end != 0))
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_response_trailers(context: u32, _: u32) -> Action {
        act(context, |stream| stream.on_trailers(Side::Response))
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_downstream_data(context: u32, size: usize, _: u32) -> Action {
        pass_data(context, Way::Out, size)
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_upstream_data(context: u32, size: usize, _: u32) -> Action {
        pass_data(context, Way::Back, size)
    }

    /// May come for a stream that is gone.
    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_http_call_response(_: u32, token: u32, _: u32, body_size: usize, _: u32) {
        let Some(context) = CALLOUTS.with_borrow_mut(|callouts| callouts.remove(&token)) else { return };
        if !abi::set_effective_context(context) {
            return;
        }
        if let Some(stream) = stream(context) {
            stream.on_callout(token, body_size);
        } else if let Some(root) = root(context) {
            root.on_callout(token, body_size);
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_log(context: u32) {
        if let Some(stream) = stream(context) {
            stream.on_done();
        }
    }

    /// An upstream filter is never asked to log (Envoy 1.40): its end is here.
    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_done(context: u32) -> u32 {
        proxy_on_log(context);
        1
    }

    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_delete(context: u32) {
        let gone = STREAMS.with_borrow_mut(|streams| streams.remove(&context));
        let connection = CONNECTIONS.with_borrow_mut(|connections| connections.remove(&context));
        let root = ROOTS.with_borrow_mut(|roots| roots.remove(&context));
        let open = gone.as_ref().map(|stream| stream.open_callouts()).unwrap_or_default();
        if !open.is_empty() {
            CALLOUTS.with_borrow_mut(|callouts| callouts.retain(|token, _| !open.contains(token)));
        }
        if root.is_some() {
            CALLOUTS.with_borrow_mut(|callouts| callouts.retain(|_, waits| *waits != context));
        }
        // Dropped here, where nothing is borrowed.
        drop((gone, connection, root));
    }
}
