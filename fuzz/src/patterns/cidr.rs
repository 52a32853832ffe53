//! Any network that a consumer is bound to holds the addresses that agree with it bit by bit, and no other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::str::from_utf8;

use consumer_auth::ConsumerAuth;
use serde_json::json;
use sluice_core::config::RouteConfigs;
use sluice_core::filter::{Filter, Next};
use sluice_core::testing::FakeHost;

use crate::parts::pair;

/// 128 bits, IPv4 as it stands in IPv6 (RFC 4291 section 2.5.5.2), so that both are compared alike.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Address and how many of its 128 bits count; none if it is written in no way that everybody reads alike.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length): (IpAddr, _) = match text.split_once('/') {
        Some((address, length)) => (address.parse().ok()?, Some(length)),
        None => (text.parse().ok()?, None),
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    let is_plain = |digits: &str| !digits.starts_with('+');
    let length = length.map_or(Some(width), |digits| digits.parse().ok().filter(|_| is_plain(digits)))?;
    (length <= width).then_some((address, 128 - width + length))
}

fn holds((address, length): (IpAddr, u32), client: IpAddr) -> bool {
    let differ = bits(address) ^ bits(client);
    // Nobody's IPv4 address lies in an IPv6 network that only happens to hold the mapped ones.
    let is_v4 = |bits: u128| Ipv6Addr::from(bits).to_ipv4_mapped().is_some();
    let kinds_agree = length >= 96 || !is_v4(bits(client));
    kinds_agree && differ.checked_shr(128 - length).unwrap_or(0) == 0
}

fn admits(network: &str, client: IpAddr) -> Option<bool> {
    let json = json!({"consumers": [{"name": "guest", "from": [network]}], "anonymous": "guest"});
    let configs = RouteConfigs::parse(json.to_string().as_bytes(), |raw| ConsumerAuth::check(raw, &|_| None));
    let mut host = FakeHost::with_request(&[(":path", "/v1/chat/completions")]);
    host.set_attribute("source.address", &std::net::SocketAddr::new(client, 1).to_string());
    let mut filter = ConsumerAuth::new(Rc::clone(&configs.ok()?.get("")));
    Some(filter.on_request_headers(&mut host, false) == Next::Pass)
}

/// Network, NUL, address as text or as its 4 or 16 bytes.
pub(crate) fn check(input: &[u8]) {
    let (text, client) = pair(input);
    let Ok(text) = from_utf8(text) else { return };
    let read = from_utf8(client).ok().and_then(|text| text.parse().ok());
    let v4 = || <[u8; 4]>::try_from(client).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    let v6 = || <[u8; 16]>::try_from(client).ok().map(|bytes| Ipv6Addr::from(bytes).into());
    let client: IpAddr = read.or_else(v4).or_else(v6).unwrap_or(Ipv4Addr::new(10, 1, 2, 3).into());
    let admitted = admits(text, client);
    assert_eq!(admitted.is_some(), network(text).is_some(), "{text}");
    if let (Some(admitted), Some(network)) = (admitted, network(text)) {
        assert_eq!(admitted, holds(network, client), "{text} {client}");
    }
}
