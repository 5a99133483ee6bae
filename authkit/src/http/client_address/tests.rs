use std::net::SocketAddr;

use super::*;
use crate::testing::SeededRandom;

/// The proxies of these tests: two networks of each family.
const PROXIES: [&str; 4] = ["10.0.0.0/8", "192.0.2.128/25", "2001:db8:aaaa::/48", "fd00::/8"];

fn trusted() -> TrustedProxies {
    TrustedProxies::new(PROXIES.iter().map(|proxy| proxy.parse().unwrap()))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// What is found when a proxy that is trusted, 10.0.0.1, sends these headers.
fn behind(pairs: &[(&str, &str)]) -> String {
    client_address(Some(ip("10.0.0.1")), &headers(pairs), &trusted()).unwrap().to_string()
}

fn listed(value: &str) -> String {
    behind(&[("x-forwarded-for", value)])
}

fn forwarded(value: &str) -> String {
    behind(&[("forwarded", value)])
}

#[test]
fn s_036_a_peer_that_is_not_trusted_speaks_for_itself_only() {
    let forged = headers(&[
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("true-client-ip", "203.0.113.9"),
    ]);
    for peer in ["198.51.100.7", "2001:db8::7", "192.0.2.127", "::1"] {
        assert_eq!(client_address(Some(ip(peer)), &forged, &trusted()), Some(ip(peer)));
    }
    // Nobody is trusted unless the settings say so.
    let nobody = TrustedProxies::default();
    assert_eq!(client_address(Some(ip("10.0.0.1")), &forged, &nobody), Some(ip("10.0.0.1")));
    assert_eq!(client_address(None, &forged, &trusted()), None, "no socket, no address");
}

#[test]
fn s_037_behind_a_trusted_proxy_the_right_most_untrusted_hop_counts() {
    for (chain, expected) in [
        ("203.0.113.9", "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1,203.0.113.9,10.0.0.2", "203.0.113.9"),
        ("1.1.1.1 ,\t203.0.113.9\t, 10.0.0.2 , 192.0.2.130", "203.0.113.9"),
        ("10.0.0.9, 203.0.113.9", "203.0.113.9"),
        // Nobody but proxies: the one farthest away.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
    ] {
        assert_eq!(listed(chain), expected, "{chain}");
        let elements: Vec<String> =
            chain.split(',').map(|hop| format!(" For=\"{}\";proto=https", hop.trim())).collect();
        assert_eq!(forwarded(&elements.join(",")), expected, "{elements:?}");
    }
    // All values of a header are one list, in the order in which they come.
    let values = [("x-forwarded-for", "1.1.1.1, 203.0.113.9"), ("x-forwarded-for", "10.0.0.2")];
    assert_eq!(behind(&values), "203.0.113.9");
    assert_eq!(behind(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")]), "203.0.113.9");
    assert_eq!(behind(&[("forwarded", "for=1.1.1.1"), ("forwarded", "for=203.0.113.9")]), "203.0.113.9");
    assert_eq!(behind(&[("x-real-ip", "203.0.113.9")]), "10.0.0.1", "only two headers are looked at");
    // A peer in its IPv6 form is the same proxy.
    let peer = Some(ip("::ffff:10.0.0.1"));
    let found = client_address(peer, &headers(&[("x-forwarded-for", "203.0.113.9")]), &trusted());
    assert_eq!(found, Some(ip("203.0.113.9")));
}

#[test]
fn addresses_are_canonical_in_whatever_form_they_come() {
    for (text, expected) in [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::FFFF:cb00:7109", "203.0.113.9"),
        ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
        ("2001:DB8:0:0::0009", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:65535", "2001:db8::9"),
    ] {
        assert_eq!(listed(text), expected, "{text}");
        assert_eq!(forwarded(&format!("for=\"{text}\"")), expected, "{text}");
        assert_eq!(forwarded(&format!("for={text}")), expected, "{text}: some proxies leave the marks out");
    }
    // Through a proxy in its IPv6 form, too.
    assert_eq!(listed("203.0.113.9, ::ffff:10.0.0.2"), "203.0.113.9");
}

#[test]
fn junk_ends_the_walk_and_is_never_skipped() {
    let long = "9".repeat(4096);
    for junk in [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "203.0.113",
        "203.0.113.256",
        "0203.0.113.9",
        "0xcb.0.113.9",
        "3405803785",
        "203.0.113.9:",
        "203.0.113.9:x",
        "203.0.113.9:123456",
        "203.0.113.9 x",
        "[203.0.113.9]",
        "[2001:db8::9",
        "2001:db8::9]",
        "[2001:db8::9]80",
        "[2001:db8::9]:",
        "fe80::1%eth0",
        "2001:db8::9/64",
        "\"203.0.113.9\"x",
        "for=203.0.113.9",
        "203.0.113.9;",
        "\u{ff12}03.0.113.9",
        "*",
        &long,
    ] {
        assert_eq!(listed(junk), "10.0.0.1", "{junk}");
        assert_eq!(listed(&format!("1.1.1.1, {junk}, 10.0.0.2")), "10.0.0.2", "{junk}: the last good one");
        assert_eq!(listed(&format!("1.1.1.1, {junk}, 203.0.113.9")), "203.0.113.9", "{junk}: not looked at");
    }
    for junk in [
        "",
        ";",
        "for",
        "for=",
        "for=\"\"",
        "for=unknown",
        "for=_hidden",
        "by=203.0.113.9",
        "proto=https",
        "for=203.0.113.9;for=203.0.113.9",
        "for=203.0.113.9;by",
        "for=203.0.113.9 by=x",
        "=203.0.113.9",
        "f or=203.0.113.9",
        "for =203.0.113.9",
        "for= 203.0.113.9",
        "for=\"203.0.113.9",
        "for=203.0.113.9\"",
        "for=\"203.0.113.9\"x",
        "for=\"203.0.113.9\\",
        "203.0.113.9",
        "for=\"[203.0.113.9]\"",
        "for=\"a,b\"",
        "for=\u{ff12}03.0.113.9",
        &format!("for=203.0.113.9;x={long}"),
    ] {
        assert_eq!(forwarded(junk), "10.0.0.1", "{junk}");
        assert_eq!(forwarded(&format!("for=1.1.1.1, {junk}, for=10.0.0.2")), "10.0.0.2", "{junk}");
        assert_eq!(forwarded(&format!("for=1.1.1.1, {junk}, for=203.0.113.9")), "203.0.113.9", "{junk}");
    }
    // Bytes that are no text.
    let mut bytes = HeaderMap::new();
    bytes.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"1.1.1.1, \xff\xfe").unwrap());
    assert_eq!(client_address(Some(ip("10.0.0.1")), &bytes, &trusted()), Some(ip("10.0.0.1")));
    // An empty value of its own is an empty item.
    assert_eq!(behind(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "")]), "10.0.0.1");
}

#[test]
fn elements_of_forwarded_are_read_as_rfc_7239_has_them() {
    for (value, expected) in [
        ("for=203.0.113.9", "203.0.113.9"),
        ("FOR=\"203.0.113.9\"", "203.0.113.9"),
        ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"203.0.113.9:_x1\"", "203.0.113.9"),
        ("by=10.0.0.2;for=203.0.113.9;host=a.example;proto=https", "203.0.113.9"),
        ("proto=https ; for=203.0.113.9 ;", "203.0.113.9"),
        (";;for=203.0.113.9", "203.0.113.9"),
        ("for=\"203.0.\\113.9\"", "203.0.113.9"),
        ("for=1.1.1.1;ext=\"a,b;for=2.2.2.2\", for=203.0.113.9;ext=\"c,d\"", "203.0.113.9"),
        ("for=203.0.113.9;ext=\"a\\\"b,c\", for=10.0.0.2;ext=\"\\\\\"", "203.0.113.9"),
    ] {
        assert_eq!(forwarded(value), expected, "{value}");
    }
    // What a client leaves open swallows nothing of what the proxy appended.
    for open in ["for=\"1.1.1.1", "for=1.1.1.1;x=\"", "for=1.1.1.1;x=\"\\", "\"", "\\", "for=\"1.1.1.1\\\""] {
        assert_eq!(forwarded(&format!("{open}, for=203.0.113.9")), "203.0.113.9", "{open}");
        assert_eq!(forwarded(&format!("{open}, for=\"[2001:db8::9]:1\";by=_p")), "2001:db8::9", "{open}");
    }
}

#[test]
fn the_two_headers_are_never_mixed() {
    let both = |list: &str, rfc: &str| behind(&[("x-forwarded-for", list), ("forwarded", rfc)]);
    // A proxy that writes both.
    assert_eq!(both("1.1.1.1, 203.0.113.9", "for=2.2.2.2, for=203.0.113.9"), "203.0.113.9");
    // A proxy that writes one and passes on what the client wrote into the other.
    assert_eq!(both("203.0.113.9", "for=1.1.1.1"), "10.0.0.1");
    assert_eq!(both("1.1.1.1", "for=203.0.113.9"), "10.0.0.1");
    assert_eq!(both("203.0.113.9", ""), "10.0.0.1");
    assert_eq!(both("203.0.113.9", "for=unknown"), "10.0.0.1");
    assert_eq!(both("203.0.113.9, 10.0.0.2", "for=203.0.113.9"), "203.0.113.9");
}

#[test]
fn long_lists_are_bounded() {
    let chain = |hops: usize| format!("203.0.113.9{}", ", 10.0.0.2".repeat(hops));
    assert_eq!(listed(&chain(MAX_HOPS - 1)), "203.0.113.9");
    assert_eq!(listed(&chain(MAX_HOPS)), "10.0.0.2");
    assert_eq!(listed(&chain(100_000)), "10.0.0.2");
    assert_eq!(listed(&format!("{} 203.0.113.9", "1.1.1.1,".repeat(100_000))), "203.0.113.9");
    assert_eq!(forwarded(&format!("{} for=203.0.113.9", "\",".repeat(100_001))), "203.0.113.9");
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("x-forwarded-for", "10.0.0.3"), 5_000).collect();
    assert_eq!(behind(&many), "10.0.0.3");
}

/// How one proxy writes down who it was asked by.
#[derive(Clone, Copy, Debug)]
enum Style {
    List,
    NewLine,
    Port,
    Rfc,
    Both,
}

const STYLES: [Style; 5] = [Style::List, Style::NewLine, Style::Port, Style::Rfc, Style::Both];

fn append(headers: &mut HeaderMap, name: &HeaderName, item: &str, new_line: bool) {
    let last = headers.get_all(name).into_iter().next_back().cloned();
    let Some(last) = last.filter(|_| !new_line) else {
        headers.append(name.clone(), HeaderValue::from_str(item).unwrap());
        return;
    };
    let mut all: Vec<HeaderValue> = headers.get_all(name).into_iter().cloned().collect();
    let joined = [last.as_bytes(), b", ", item.as_bytes()].concat();
    *all.last_mut().unwrap() = HeaderValue::from_bytes(&joined).unwrap();
    headers.remove(name);
    for value in all {
        headers.append(name.clone(), value);
    }
}

fn write_down(headers: &mut HeaderMap, style: Style, from: IpAddr) {
    let node = match from {
        IpAddr::V4(ip) => format!("for={ip}"),
        IpAddr::V6(ip) => format!("for=\"[{ip}]:443\";by=_here"),
    };
    match style {
        Style::List => append(headers, &X_FORWARDED_FOR, &from.to_string(), false),
        Style::NewLine => append(headers, &X_FORWARDED_FOR, &from.to_string(), true),
        Style::Port => append(headers, &X_FORWARDED_FOR, &SocketAddr::new(from, 4711).to_string(), false),
        Style::Rfc => append(headers, &FORWARDED, &node, false),
        Style::Both => {
            append(headers, &X_FORWARDED_FOR, &from.to_string(), false);
            append(headers, &FORWARDED, &node, true);
        }
    }
}

/// What a client may put in front: good addresses, proxies' own, junk, half-open quotation marks, any bytes.
fn forged(random: &SeededRandom) -> HeaderMap {
    const PARTS: [&str; 24] = [
        "1.1.1.1",
        "10.0.0.1",
        "10.9.9.9",
        "192.0.2.200",
        "2001:db8:aaaa::1",
        "fd00::1",
        "unknown",
        "_x",
        "",
        " ",
        ",",
        ";",
        "\"",
        "\\",
        "for=",
        "for=\"",
        "For=10.0.0.1",
        "for=1.1.1.1",
        "for=\"[fd00::1]\"",
        "by=10.0.0.1",
        "=",
        "[",
        "]:1",
        "::ffff:10.0.0.1",
    ];
    let mut headers = HeaderMap::new();
    for name in [X_FORWARDED_FOR, FORWARDED, HeaderName::from_static("x-real-ip")] {
        for _ in 0..random.below(3) {
            let mut value = Vec::new();
            for _ in 0..random.below(8) {
                if random.below(8) == 0 {
                    value.extend(random.bytes(3).into_iter().filter(|byte| *byte >= 32 && *byte != 127));
                } else {
                    value.extend_from_slice(PARTS[random.below(PARTS.len())].as_bytes());
                }
                if random.below(2) == 0 {
                    value.extend_from_slice(b", ");
                }
            }
            headers.append(name.clone(), HeaderValue::from_bytes(&value).unwrap());
        }
    }
    headers
}

/// Whatever a client sends in front, the result is the peer's address or one that a trusted proxy appended; and when
/// the proxies write one header and drop the other, as they should, it is the client's very own.
#[test]
fn nothing_that_a_client_sends_changes_who_it_is() {
    let trusted = trusted();
    let clients = ["203.0.113.9", "198.51.100.20", "2001:db8:1::9", "192.0.2.127"].map(ip);
    let proxies = ["10.0.0.1", "10.7.0.2", "192.0.2.129", "2001:db8:aaaa::5", "fd12::1"].map(ip);
    let (mut exact, mut disputed) = (0, 0);
    for seed in 0..20_000 {
        let random = SeededRandom::new(seed);
        let client = clients[random.below(clients.len())];
        let mut headers = forged(&random);
        let style = STYLES[random.below(STYLES.len())];
        let drops_other = random.below(2) == 0;
        let (mut from, mut appended) = (client, vec![client]);
        for hop in 0..=random.below(4) {
            if hop == 0 && drops_other {
                match style {
                    Style::Rfc => drop(headers.remove(&X_FORWARDED_FOR)),
                    Style::Both => {}
                    _ => drop(headers.remove(&FORWARDED)),
                }
            }
            write_down(&mut headers, style, from);
            from = proxies[random.below(proxies.len())];
            appended.push(from);
        }
        let found = client_address(Some(from), &headers, &trusted).unwrap();
        assert!(appended.contains(&found), "seed {seed}: {found} of {headers:?}");
        if drops_other || matches!(style, Style::Both) {
            assert_eq!(found, client, "seed {seed}: {headers:?}");
            exact += 1;
        } else if found != client {
            assert_eq!(found, from, "seed {seed}: only the peer stands in: {headers:?}");
            disputed += 1;
        }
    }
    assert!(exact > 10_000 && disputed > 1_000, "{exact} {disputed}");
}

/// Without a trusted peer the headers do not count at all.
#[test]
fn nothing_that_a_stranger_sends_counts() {
    let trusted = trusted();
    for seed in 0..5_000 {
        let random = SeededRandom::new(seed);
        let peer = ip(["203.0.113.9", "2001:db8::1", "127.0.0.1"][random.below(3)]);
        assert_eq!(client_address(Some(peer), &forged(&random), &trusted), Some(peer), "seed {seed}");
    }
}
