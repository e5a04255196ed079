//! Which addresses may be dialled (S12): none that leads inside, unless the settings name it.
//!
//! A name is resolved once, every address of it is checked, and one of exactly these is dialled: what a name server answers
//! later does not matter. Addresses written into the URL are checked before. Redirects are not followed, so nothing else is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How long a connection may take to be made (S12).
const CONNECT: Duration = Duration::from_secs(5);

/// What the settings let through.
#[derive(Clone, Default)]
pub(crate) struct Guard {
    allowed: Arc<Vec<Allowed>>,
    names: Names,
}

/// Who tells the addresses of a name.
#[derive(Clone, Default)]
enum Names {
    #[default]
    System,
    /// A name server that a test plays.
    #[cfg(test)]
    Played(Arc<Played>),
}

/// What a test's name server answers about a name.
#[cfg(test)]
type Played = dyn Fn(&str) -> Vec<SocketAddr> + Send + Sync;

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    /// A host by its name, after IDNA.
    Host(String),
    /// A block of addresses: the first one and how many bits count.
    Block(IpAddr, u8),
}

impl Guard {
    /// Reads names, addresses and blocks such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// One sentence about the first that is none of them.
    pub(crate) fn new(entries: &[String]) -> Result<Self, String> {
        entries
            .iter()
            .map(|entry| Allowed::parse(entry.trim()))
            .collect::<Result<Vec<_>, _>>()
            .map(|all| Self { allowed: Arc::new(all), names: Names::default() })
    }

    /// A client that dials what this guard lets through and nothing else: it follows no redirect and asks no proxy.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn client(&self) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
            .dns_resolver(Arc::new(self.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
    }

    /// Checks the host of a URL before anything is dialled.
    ///
    /// # Errors
    /// Why it is not dialled.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), String> {
        let address = match url.host() {
            Some(url::Host::Ipv4(address)) => IpAddr::V4(address),
            Some(url::Host::Ipv6(address)) => IpAddr::V6(address),
            Some(url::Host::Domain(_)) => return Ok(()),
            None => return Err("the URL has no host".to_owned()),
        };
        self.check(&address.to_string(), address)
    }

    fn check(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let Some(kind) = refused(address) else { return Ok(()) };
        if self.allows_host(host) || self.allowed.iter().any(|allowed| allowed.holds(address)) {
            return Ok(());
        }
        Err(format!("{host} leads to {address}, which is {kind}; name it in query.alert_private_targets to allow that"))
    }

    fn allows_host(&self, host: &str) -> bool {
        self.allowed.iter().any(|allowed| matches!(allowed, Allowed::Host(name) if name.eq_ignore_ascii_case(host)))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = match &guard.names {
                Names::System => tokio::net::lookup_host((host.as_str(), 0)).await?.collect(),
                #[cfg(test)]
                Names::Played(answer) => answer(&host),
            };
            for address in &found {
                // One that leads inside spoils them all: a name that has both is playing games.
                guard.check(&host, address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Allowed {
    fn parse(entry: &str) -> Result<Self, String> {
        let wrong = || format!("{entry:?} is no host name, address or block such as 10.0.0.0/8");
        let (address, bits) = match entry.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (entry, None),
        };
        if let Ok(address) = address.parse::<IpAddr>() {
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(all);
            return if bits <= all { Ok(Self::Block(address, bits)) } else { Err(wrong()) };
        }
        if bits.is_some() {
            return Err(wrong());
        }
        match url::Host::parse(entry) {
            Ok(url::Host::Domain(name)) => Ok(Self::Host(name)),
            _ => Err(wrong()),
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        let Self::Block(first, bits) = self else { return false };
        let same = |a: u128, b: u128, all: u8| *bits == 0 || (a ^ b) >> (all - bits) == 0;
        match (*first, plain(address)) {
            (IpAddr::V4(first), IpAddr::V4(address)) => same(first.to_bits().into(), address.to_bits().into(), 32),
            (IpAddr::V6(first), IpAddr::V6(address)) => same(first.to_bits(), address.to_bits(), 128),
            _ => false,
        }
    }
}

/// An IPv4 address in the clothes of an IPv6 one is that IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let low = || Ipv4Addr::from_bits(u32::from(segments[6]) << 16 | u32::from(segments[7]));
    match segments {
        // Mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96), NAT64 (64:ff9b::/96 and its local prefix).
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => low().into(),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 1, _, _, _, _, _] => low().into(),
        // 6to4.
        [0x2002, high, low, ..] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into(),
        // Compatible (::/96), but for :: and ::1, which are themselves.
        [0, 0, 0, 0, 0, 0, high, low_segment] if high != 0 || low_segment > 1 => low().into(),
        _ => address,
    }
}

/// What kind of inside address it is; `None` for one of the public net.
fn refused(address: IpAddr) -> Option<&'static str> {
    match plain(address) {
        IpAddr::V4(v4) => refused_v4(v4),
        IpAddr::V6(v6) => refused_v6(v6),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [127, ..] => "loopback",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [169, 254, ..] => "link-local (cloud metadata lives there)",
        [100, 64..=127, ..] => "carrier-grade NAT",
        [0, ..] => "this network",
        [192, 0, 0, _] => "reserved for protocols",
        [198, 18..=19, ..] => "reserved for benchmarks",
        [224..=239, ..] => "multicast",
        [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn refused_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments()[0] {
        _ if address.is_loopback() => "loopback",
        _ if address.is_unspecified() => "unspecified",
        0xfc00..=0xfdff => "private (unique local)",
        0xfe80..=0xfebf => "link-local",
        0xfec0..=0xfeff => "site-local",
        0xff00..=0xffff => "multicast",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    /// S12: every spelling of an inside address is refused.
    #[test]
    fn s12_inside_addresses_are_refused() {
        let guard = Guard::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "2130706433",
            "017700000001",
            "0",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.1",
            "240.0.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[fe80::1]",
            "[ff02::1]",
            "[fec0::1]",
        ] {
            assert!(guard.check_url(&url(&format!("http://{host}/x"))).is_err(), "{host}");
        }
        for host in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[::ffff:8.8.8.8]"] {
            assert_eq!(guard.check_url(&url(&format!("https://{host}/"))), Ok(()), "{host}");
        }
    }

    #[test]
    fn settings_let_through() {
        let entries = ["127.0.0.1", "10.0.0.0/8", "alerts.internal", "fd00::/8"].map(str::to_owned);
        let guard = Guard::new(&entries).expect("entries");
        for host in ["127.0.0.1", "10.255.0.1", "[fd01::1]", "[::ffff:10.0.0.1]"] {
            assert_eq!(guard.check_url(&url(&format!("http://{host}/"))), Ok(()), "{host}");
        }
        assert!(guard.check_url(&url("http://127.0.0.2/")).is_err());
        assert_eq!(guard.check("ALERTS.internal", IpAddr::from([192, 168, 0, 9])), Ok(()));
        assert!(
            guard.check("other.internal", IpAddr::from([192, 168, 0, 9])).expect_err("refused").contains("private")
        );
        for entry in ["10.0.0.0/33", "a b", "x/8", ""] {
            assert!(Guard::new(&[entry.to_owned()]).is_err(), "{entry:?}");
        }
    }

    /// S12: a name that resolves inside is refused when it is resolved, whatever it resolved to before.
    #[tokio::test]
    async fn s12_names_are_checked_when_they_are_resolved() {
        let refused = Guard::default().resolve("localhost".parse().expect("a name")).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("loopback")));
        let guard = Guard::new(&["localhost".to_owned()]).expect("an entry");
        assert!(guard.resolve("localhost".parse().expect("a name")).await.is_ok());
    }
    /// Spellings that become an inside address only when they are read as a URL: full-width digits, a dot of another script.
    #[test]
    fn s12_hosts_are_compared_as_they_are_dialled() {
        let guard = Guard::default();
        for host in ["①②⑦.⓪.⓪.①", "127。0。0。1", "0x7f000001", "0177.0.0.1", "127.0.0.1."] {
            let url = url(&format!("http://{host}/"));
            assert!(guard.check_url(&url).is_err(), "{host} is {url}");
        }
        let guard = Guard::new(&["bücher.example".to_owned()]).expect("an entry");
        assert_eq!(guard.check("xn--bcher-kva.example", IpAddr::from([10, 0, 0, 1])), Ok(()));
    }

    /// S12: a name server that says something harmless first and an inside address later, or both at once, gains nothing: every
    /// answer is checked, and what was checked is what is dialled.
    #[tokio::test]
    async fn s12_rebinding_dials_nothing_inside() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        // The harmless one is 127.0.0.1, which this guard allows; 127.0.0.2 is inside.
        let outside = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = outside.local_addr().expect("an address").port();
        let inside = tokio::net::TcpListener::bind(("127.0.0.2", port)).await.expect("the same port");
        let dialled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dialled);
        tokio::spawn(async move {
            while inside.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = outside.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        let asked = AtomicUsize::new(0);
        let answer = move |_: &str| {
            let harmless = SocketAddr::from(([127, 0, 0, 1], 0));
            let bad = SocketAddr::from(([127, 0, 0, 2], 0));
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => vec![harmless],
                1 => vec![bad],
                _ => vec![harmless, bad],
            }
        };
        let mut guard = Guard::new(&["127.0.0.1".to_owned()]).expect("an entry");
        guard.names = Names::Played(Arc::new(answer));
        let client = guard.client().expect("a client");
        let url = format!("http://rebinds.example:{port}/hook");
        let first = client.post(&url).send().await.expect("the harmless answer is dialled");
        assert_eq!(first.status(), 200);
        for attempt in ["the other address", "both addresses"] {
            let error = client.post(&url).send().await.expect_err(attempt);
            assert!(format!("{error:?}").contains("loopback"), "{attempt}: {error:?}");
        }
        assert_eq!(dialled.load(Ordering::SeqCst), 0);
    }
}
