//! Replies that the adapter sends in a filter's name.

use sluice_core::context;
use sluice_core::filter::{Next, Side};
use sluice_core::openai::Operation;
use sluice_core::openai::error::{Code, ERROR_HEADER, LocalReply};

use crate::abi;
use crate::facts::Name;
use crate::stage::Stage;

/// Length of the request body as the client announces it.
pub(crate) fn declared_length(stage: &Stage) -> Option<usize> {
    let value = stage.header(Side::Request, "content-length")?;
    std::str::from_utf8(&value).ok()?.trim().parse().ok()
}

/// The answer to a request whose body is longer than a filter can hold.
pub(crate) fn too_large(max_bytes: usize) -> Next {
    let message = format!("The request body is larger than {max_bytes} bytes.");
    Next::Reply(LocalReply::error(Code::RequestTooLarge, None, &message))
}

/// Answers the client, and publishes which error it was.
pub(crate) fn send(stage: &Stage, reply: LocalReply) {
    let path = if reply.status < 400 { None } else { stage.header(Side::Request, ":path") };
    let path = String::from_utf8(path.unwrap_or_default()).unwrap_or_default();
    let reply = reply.shaped(Operation::of_path(&path));
    let headers: Vec<(&str, &str)> =
        reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let error = headers.iter().find(|(name, _)| *name == ERROR_HEADER).map(|(_, code)| *code);
    if let Some(code) = error {
        stage.facts.set(Name::Known(context::ERROR), code.as_bytes());
    }
    abi::send_reply(reply.status, &headers, reply.body.as_bytes(), error.unwrap_or("sluice"));
}
