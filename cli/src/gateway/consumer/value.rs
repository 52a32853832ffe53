//! Single values of a consumer: names, expiry, addresses, paths.

use consumer_auth::bounds::plain_network;
use ipnet::IpNet;
use sluice_core::config::shown;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::file::Cursor;
use crate::gateway::pattern;

/// Longest name of a consumer or a tier, in bytes, as consumer-auth has it: it stands in records and statistics.
const MAX_BYTES: usize = 128;

/// A name that can stand in a header and in one word of a record.
pub(super) fn name(at: &Cursor<'_>, what: &str) -> Option<String> {
    let text = at.text(&format!("the name of a {what}"))?;
    let good = |c: char| !c.is_whitespace() && !c.is_control();
    if text.len() > MAX_BYTES || !text.chars().all(good) {
        return at.refuse(format!("is no name of a {what}; write 1 to {MAX_BYTES} bytes without spaces"));
    }
    Some(text.to_owned())
}

/// Seconds since the epoch; a date means its first moment in UTC. Years before 1970 are their end.
pub(super) fn expires(at: &Cursor<'_>) -> Option<u64> {
    let text = at.text("a date such as 2027-06-30 or 2027-06-30T12:00:00Z")?;
    let midnight = format!("{text}T00:00:00Z");
    let moment =
        OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(&midnight, &Rfc3339));
    match moment {
        Ok(moment) => Some(u64::try_from(moment.unix_timestamp()).unwrap_or_default()),
        Err(_) if OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339).is_ok() => {
            at.refuse(format!("{text} has no time zone; write {text}Z for UTC, or an offset such as +08:00"))
        }
        Err(_) => at.refuse(format!(
            "{:?} is no date of RFC 3339; write one such as 2027-06-30 or 2027-06-30T12:00:00Z",
            shown(text)
        )),
    }
}

/// One range of addresses; a plain address is a range of its own.
pub(super) fn range(at: &Cursor<'_>) -> Option<IpNet> {
    let text = at.text("an address or a range such as 10.0.0.0/8")?;
    match plain_network(text) {
        Some(range) if range != range.trunc() => {
            let (network, address) = (range.trunc(), range.addr());
            at.warn(format!("{range} means {network}; write that, or {address} for one address"));
            Some(network)
        }
        Some(range) => Some(range),
        None => at.refuse(format!(
            "{:?} is no address and no range of addresses; write one such as 10.0.0.0/8 or 127.0.0.1",
            shown(text)
        )),
    }
}

/// A glob over paths.
pub(super) fn path(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("the glob of a path such as /v1/chat/*")?;
    if !text.starts_with('/') {
        return at.refuse(format!(
            "{:?} begins no path; write a glob that begins with / such as /v1/chat/*",
            shown(text)
        ));
    }
    match pattern::parse(text) {
        Ok(glob) => Some(glob.as_str().to_owned()),
        Err(why) => at.refuse(why),
    }
}
