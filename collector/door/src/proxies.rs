//! Whose word is taken for where a request comes from: that of listed proxies, and of nobody else (S17).
//!
//! A peer's address is the one at the other end of its connection. Behind a proxy that is the proxy's, so all its clients would share the
//! attempts of one address. A proxy that `door.trusted_proxies` lists is believed what it adds to `X-Forwarded-For`:
//!
//! ```text
//!   X-Forwarded-For: made up by the client, 203.0.113.7, 10.0.0.3      connection from 10.0.0.2
//!                                           ╰─ taken     ╰─ listed                     ╰─ listed
//! ```
//!
//! Read from the right, the first address that is not a listed proxy's is the client's; what stands left of it the client may have made up.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

/// Where proxies say for whom they ask.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Proxies behind each other that are gone through.
const HOPS_MAX: usize = 16;

/// The networks of proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Arc<[Network]>);

/// Addresses with the same first bits; IPv4 as in IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u128,
    mask: u128,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or one address.
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.map_or(Some(width), |length| length.parse().ok().filter(|length| *length <= width))?;
        let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
        Some(Self { bits: bits(address) & mask, mask })
    }

    fn has(self, address: IpAddr) -> bool {
        bits(address) & self.mask == self.bits
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Proxies {
    /// # Errors
    /// What is no network.
    pub(crate) fn parse(listed: &[String]) -> Result<Self, String> {
        let networks = listed.iter().map(|text| Network::parse(text).ok_or_else(|| text.clone()));
        networks.collect::<Result<Vec<_>, _>>().map(|networks| Self(networks.into()))
    }

    /// Who asks, when this peer has sent this head.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.has(client) {
            return client;
        }
        // From the right, and no further than it takes: what stands left may be long, and somebody else's.
        let said = headers.get_all(FORWARDED_FOR).iter().rev();
        let said = said.flat_map(|list| list.as_bytes().rsplit(|byte| *byte == b','));
        for said in said.take(HOPS_MAX) {
            let Some(before) = address(said) else { break };
            client = before.to_canonical();
            if !self.has(client) {
                break;
            }
        }
        client
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(address))
    }
}

/// An address, as proxies write it: some with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip())).or_else(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(listed: &[&str], peer: &str, said: &[&str]) -> String {
        let listed: Vec<String> = listed.iter().map(|text| (*text).to_owned()).collect();
        let headers = said
            .iter()
            .map(|value| {
                let value = http::HeaderValue::from_bytes(value.as_bytes()).expect("a value");
                (FORWARDED_FOR.parse().expect("a name"), value)
            })
            .collect();
        Proxies::parse(&listed).expect("networks").client(peer.parse().expect("an address"), &headers).to_string()
    }

    /// S17: only listed proxies are believed, and only what they have added.
    #[test]
    fn s17_listed_proxies_say_who_asks() {
        for (listed, peer, said, expected) in [
            (&[][..], "10.0.0.2", &["203.0.113.7"][..], "10.0.0.2"),
            (&["10.0.0.0/8"], "192.0.2.1", &["203.0.113.7"], "192.0.2.1"),
            (&["10.0.0.0/8"], "10.0.0.2", &["203.0.113.7"], "203.0.113.7"),
            (&["10.0.0.0/8"], "10.0.0.2", &["1.1.1.1, 203.0.113.7, 10.0.0.3"], "203.0.113.7"),
            (&["10.0.0.0/8"], "10.0.0.2", &["1.1.1.1, 203.0.113.7", "10.0.0.3"], "203.0.113.7"),
            (&["10.0.0.0/8"], "::ffff:10.0.0.2", &["203.0.113.7:4711"], "203.0.113.7"),
            (&["10.0.0.2"], "10.0.0.2", &["10.0.0.3"], "10.0.0.3"),
            (&["fd00::/8"], "fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["fd00::/8"], "fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            (&["10.0.0.0/8"], "10.0.0.2", &[], "10.0.0.2"),
            (&["10.0.0.0/8"], "10.0.0.2", &["1.1.1.1, unknown"], "10.0.0.2"),
            (&["10.0.0.0/8"], "10.0.0.2", &[""], "10.0.0.2"),
            // A value that is no text in a place hides nothing that stands right of it, and lets nothing through that stands left of it.
            (&["10.0.0.0/8"], "10.0.0.2", &["1.1.1.1", "\u{e4}, 203.0.113.7"], "203.0.113.7"),
            (&["10.0.0.0/8"], "10.0.0.2", &["1.1.1.1", "\u{e4}"], "10.0.0.2"),
            (&["0.0.0.0/0"], "10.0.0.2", &["1.1.1.1, 2.2.2.2"], "1.1.1.1"),
        ] {
            assert_eq!(client(listed, peer, said), expected, "{listed:?} {peer} {said:?}");
        }
        let long = vec!["10.0.0.3"; 10_000].join(",");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.2", &[&long]), "10.0.0.3");
        for odd in ["", "proxy.example", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/-1", "10.0.0.1:80"] {
            assert_eq!(Proxies::parse(&[odd.to_owned()]).map(drop), Err(odd.to_owned()));
        }
    }
}
