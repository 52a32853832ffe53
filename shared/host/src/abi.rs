//! What Sluice asks of the host, over either of the two interfaces that Envoy offers: proxy-wasm and dynamic modules.
//!
//! A call that fails reads as "nothing there". What is meant by it is the stream, or the root, of the callback at hand.

pub(crate) use crate::platform::hostcalls::*;

/// Severity of a log line.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Level {
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// Bytes that a module can read.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum BufferType {
    RequestBody = 0,
    ResponseBody = 1,
    DownstreamData = 2,
    UpstreamData = 3,
    CalloutBody = 4,
    PluginConfiguration = 7,
}

/// Headers that a module can read.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum MapType {
    Request = 0,
    Response = 2,
    Callout = 6,
}

/// Kind of a statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}
