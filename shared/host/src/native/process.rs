//! The module's entry points that are about the whole process: metrics stand there, for those of a configuration would be
//! gone with it, and with them what they have counted (Envoy 1.40).
#![allow(unsafe_code, reason = "entry points have fixed names and are handed pointers")]

use std::ffi::c_void;
use std::sync::OnceLock;

use super::ffi::{self, Bytes, Handle};
use super::metrics;

/// Milliseconds between two times that Envoy is told of what has changed.
const PAUSE_MS: u64 = 20;

/// What lasts as long as Envoy does.
pub(crate) struct Process {
    /// Envoy's numbers for the metrics, in the order of their families.
    metrics: Vec<usize>,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

/// `None`: Envoy's bootstrap configuration does not name the module.
pub(crate) fn process() -> Option<&'static Process> {
    PROCESS.get()
}

/// Stands for what there is one of.
fn one() -> *const c_void {
    (&raw const PROCESS).cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_new(
    config: Handle,
    _: Bytes,
    _: Bytes,
) -> *const c_void {
    // SAFETY: Envoy keeps the configuration that it is making, and the timer as long. It waits for the last call before
    // it serves.
    unsafe {
        PROCESS.get_or_init(|| {
            let timer = ffi::envoy_dynamic_module_callback_bootstrap_extension_timer_new(config);
            ffi::envoy_dynamic_module_callback_bootstrap_extension_timer_enable(timer, PAUSE_MS);
            Process { metrics: metrics::define(config) }
        });
        ffi::envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(config);
    }
    one()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_new(_: *const c_void, _: Handle) -> *const c_void {
    one()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_timer_fired(
    config: Handle,
    _: *const c_void,
    timer: Handle,
) {
    if let Some(process) = process() {
        metrics::tell(config, &process.metrics);
    }
    // SAFETY: this timer is never deleted.
    unsafe { ffi::envoy_dynamic_module_callback_bootstrap_extension_timer_enable(timer, PAUSE_MS) };
}

/// Envoy waits until `done` is called.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_shutdown(
    _: Handle,
    _: *const c_void,
    done: extern "C" fn(*mut c_void),
    context: *mut c_void,
) {
    done(context);
}

super::unheard! {
    envoy_dynamic_module_on_bootstrap_extension_config_destroy,
    envoy_dynamic_module_on_bootstrap_extension_config_scheduled,
    envoy_dynamic_module_on_bootstrap_extension_destroy,
    envoy_dynamic_module_on_bootstrap_extension_server_initialized,
    envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized,
    envoy_dynamic_module_on_bootstrap_extension_drain_started,
    envoy_dynamic_module_on_bootstrap_extension_http_callout_done,
    envoy_dynamic_module_on_bootstrap_extension_file_changed,
    envoy_dynamic_module_on_bootstrap_extension_admin_request,
    envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update,
    envoy_dynamic_module_on_bootstrap_extension_cluster_removal,
    envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update,
    envoy_dynamic_module_on_bootstrap_extension_listener_removal,
}
