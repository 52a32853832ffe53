//! What a caller is told who may not call.

use sluice_core::context;
use sluice_core::filter::{Host, Next};
use sluice_core::metric::{Label, series};
pub(crate) use sluice_core::openai::error::Code;
use sluice_core::openai::error::LocalReply;

use crate::places::Places;

/// Counts the refusal and answers the client. The message repeats nothing of the request.
pub(crate) fn reply(host: &mut dyn Host, code: Code, places: &Places) -> Next {
    host.count(&series("consumer_auth_refused_total", &[(Label::ErrorType, code.name())]), 1);
    context::ERROR.set(host, code.name());
    let mut reply = LocalReply::error(code, None, &message(code, places));
    if code.status() == 401 {
        // RFC 9110 section 11.6.1: a 401 names a scheme.
        reply.headers.push(("www-authenticate", "Bearer".to_owned()));
    }
    Next::Reply(reply)
}

fn message(code: Code, places: &Places) -> String {
    let message = match code {
        Code::MissingApiKey => return format!("You must send an API key: {places}."),
        Code::AmbiguousApiKey => "The request holds two different API keys; send one.",
        Code::ExpiredApiKey => "This API key has expired.",
        Code::IpNotAllowed => "This caller may not send requests from this address.",
        Code::RouteNotAllowed => "This caller may not send requests to this path.",
        _ => "This API key is not valid.",
    };
    message.to_owned()
}
