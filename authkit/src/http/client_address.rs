//! Which address a request comes from (R4).
//!
//! The socket's peer, unless the peer is a trusted proxy (`TRUSTED_PROXIES`). Then the chain that proxies wrote is
//! read from its right end, where the nearest one appended: each address is believed because the one to its right is
//! a trusted proxy, and the first that is none is the client's. Whatever stands further to the left was sent by that
//! client and is not looked at, so nothing that a client sends changes the result.
//!
//! - All values of `X-Forwarded-For` are one list, and so are all of `Forwarded` (RFC 7239). `X-Real-IP` and others
//!   are never looked at.
//! - A proxy that writes one of the two headers usually passes a client's forged other one on. So they are never
//!   mixed: each is read alone, and when they disagree, the peer's address counts. Have the proxy drop the header
//!   that it does not write.
//! - An item that is no address (`unknown`, an obfuscated name, an empty item, junk) ends the walk: the last good
//!   address to its right counts, or the peer's. It is never skipped, which would take the client's word for it.
//! - Addresses are canonical: IPv4 in its IPv6 form is IPv4, ports and brackets are dropped.
//! - At most [`MAX_HOPS`] items are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};

use crate::config::TrustedProxies;

/// Items of a chain that are read, from the right.
pub const MAX_HOPS: usize = 32;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bytes of one item: an address takes up to 57, a `Forwarded` element may say more.
const MAX_ITEM: usize = 512;

/// The client's address: see the module. `peer` is the other end of the socket; without one there is no address,
/// whatever the headers say.
pub fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    if !trusted.contains(peer) {
        return Some(peer);
    }
    let by_list = read(headers, &X_FORWARDED_FOR, |values| walk(peer, trusted, values.flat_map(addresses)));
    let by_rfc = read(headers, &FORWARDED, |values| walk(peer, trusted, values.flat_map(elements)));
    match (by_list, by_rfc) {
        (Some(one), Some(other)) if one != other => Some(peer),
        (Some(found), _) | (None, Some(found)) => Some(found),
        (None, None) => Some(peer),
    }
}

type Values<'h> = std::iter::Rev<http::header::ValueIter<'h, HeaderValue>>;

/// What `read` makes of a header's values, last one first; `None` without the header.
fn read(headers: &HeaderMap, name: &HeaderName, read: impl FnOnce(Values<'_>) -> IpAddr) -> Option<IpAddr> {
    headers.contains_key(name).then(|| read(headers.get_all(name).into_iter().rev()))
}

/// Follows the chain, nearest hop first, for as long as the last address is a proxy's that we trust.
fn walk(peer: IpAddr, trusted: &TrustedProxies, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
    let mut last = peer;
    for hop in hops.take(MAX_HOPS) {
        let Some(hop) = hop else { break };
        last = hop;
        if !trusted.contains(hop) {
            break;
        }
    }
    last
}

/// The items of one `X-Forwarded-For`, last one first.
fn addresses(value: &HeaderValue) -> impl Iterator<Item = Option<IpAddr>> {
    let items = value.as_bytes().rsplit(|byte| *byte == b',');
    items.map(|item| text(item).and_then(|item| address(item.trim_matches(WHITE))))
}

/// The `for` of each element of one `Forwarded`, last one first.
fn elements(value: &HeaderValue) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(value.as_bytes());
    std::iter::from_fn(move || {
        let (before, element) = cut_last(rest?);
        rest = before;
        Some(text(element).and_then(forwarded_for).and_then(|node| address(&node)))
    })
}

/// Optional white space (RFC 9110 section 5.6.3).
const WHITE: [char; 2] = [' ', '\t'];

fn text(item: &[u8]) -> Option<&str> {
    std::str::from_utf8(item).ok().filter(|item| item.len() <= MAX_ITEM)
}

/// What stands before the last element, and that element. Commas in quoted strings separate nothing. Read from the
/// right, so that a quotation mark which a client left open cannot swallow what a proxy appended.
fn cut_last(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    for (at, byte) in value.iter().enumerate().rev() {
        let before = value.get(..at).unwrap_or_default();
        match byte {
            b'"' if !quoted => quoted = true,
            b'"' => quoted = before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1,
            b',' if !quoted => return (Some(before), value.get(at + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    (None, value)
}

/// The node that an element of `Forwarded` names by `for`, without its quotation marks. `None` when the element is
/// malformed, or names no node, or two.
fn forwarded_for(element: &str) -> Option<String> {
    let mut found = None;
    let mut rest = element.trim_matches(WHITE);
    loop {
        if !rest.is_empty() && !rest.starts_with(';') {
            let (name, after) = rest.split_once('=')?;
            if name.is_empty() || !name.chars().all(is_token) {
                return None;
            }
            let (value, after) = value(after)?;
            if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
                return None;
            }
            rest = after.trim_start_matches(WHITE);
        }
        match rest.strip_prefix(';') {
            Some(next) => rest = next.trim_start_matches(WHITE),
            None if rest.is_empty() => return found,
            None => return None,
        }
    }
}

/// A quoted string or a token, and what follows it. Brackets and colons are taken outside of quotation marks too,
/// where some proxies write them.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c| !is_token(c) && !matches!(c, '[' | ']' | ':')).unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return (!value.is_empty()).then(|| (value.to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// An address, in brackets or not, with a port or not, in canonical form.
fn address(text: &str) -> Option<IpAddr> {
    let ip = if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
            return None;
        }
        IpAddr::from(ip.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(ip) = text.parse::<IpAddr>() {
        ip
    } else {
        let (ip, _) = text.split_once(':').filter(|(_, port)| is_port(port))?;
        IpAddr::from(ip.parse::<Ipv4Addr>().ok()?)
    };
    Some(ip.to_canonical())
}

/// A port, or an obfuscated one such as `_x1` (RFC 7239 section 6.2).
fn is_port(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.chars().all(plain),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests;
