//! Under which names the doors on loopback answer (S11, DNS rebinding).
//!
//! A page of any site can make its own name point at this machine and then ask what it likes: the browser takes it for one site
//! with the answers. It still says the name in `Host`. So where nobody needs a key and only loopback is served, requests must name
//! this machine: `localhost` and names below it, a loopback address, or what `door.hosts` lists, each with any port. Nobody can own the names
//! below `localhost` (RFC 6761), so no site can point them anywhere. What proxies say in `X-Forwarded-Host` is not looked at: the page
//! could say it as well.
//!
//! On the OTLP ports the names by which containers know their host are taken as well, because the containers of a laptop send to them. Nobody
//! can own those either (ICANN 2024), but browsers ask the network for them, so a network can point them anywhere: on the desk, where there
//! is something to read, they are taken only when listed.

use std::net::IpAddr;

use axum::extract::Request;
use http::header;
use http::uri::Authority;

use crate::config::Listener;

/// The host of a container, as Docker and Podman call it inside.
const OF_CONTAINERS: [&str; 2] = ["host.docker.internal", "host.containers.internal"];

/// Names that are taken.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    listed: Vec<String>,
    takes_containers: bool,
}

impl Hosts {
    /// Those of one door, with the names that the settings list.
    pub(crate) fn new(listener: Listener, listed: Vec<String>) -> Self {
        Self { listed, takes_containers: listener != Listener::Http }
    }

    /// True when every name the request says is taken. Browsers always say one; who says none is none.
    pub(crate) fn take(&self, request: &Request) -> bool {
        let target = request.uri().authority();
        let mut said = request.headers().get_all(header::HOST).iter();
        target.is_none_or(|authority| self.has(authority.as_str()))
            && said.all(|value| value.to_str().is_ok_and(|text| text.is_empty() || self.has(text)))
    }

    fn has(&self, text: &str) -> bool {
        let Ok(authority) = text.parse::<Authority>() else { return false };
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let top = host.rsplit('.').next().unwrap_or_default();
        top.eq_ignore_ascii_case("localhost")
            || self.takes_containers && OF_CONTAINERS.iter().any(|name| name.eq_ignore_ascii_case(host))
            || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
            || self.listed.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn s11_only_names_of_this_machine_are_taken() {
        let hosts = Hosts::new(Listener::OtlpHttp, vec!["Traces.example".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST:4319",
            "localhost.",
            "shop.localhost:4319",
            "a.b.LOCALHOST.",
            "host.docker.internal:4318",
            "Host.Containers.Internal",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.8.9.10:4319",
            "[::1]:4319",
            "[::1]",
            "[::ffff:127.0.0.1]:1",
            "traces.example",
            "traces.EXAMPLE:80",
        ] {
            assert!(hosts.has(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4319",
            "localhost.evil.example",
            "evillocalhost",
            "host.docker.internal.evil.example",
            "x.host.docker.internal",
            "docker.internal",
            "127.0.0.1.evil.example",
            "0.0.0.0:4319",
            "10.0.0.1",
            "[::]:4319",
            "localhost@evil.example",
            "evil.example@localhost",
            "a.traces.example",
            "localhost:4319/x",
            "",
            " ",
            "::1",
        ] {
            assert!(!hosts.has(host), "{host}");
        }
    }

    /// A network can point the names of a container's host anywhere: where there is something to read they must be listed.
    #[test]
    fn s11_names_for_containers_are_for_senders() {
        for name in OF_CONTAINERS {
            assert!(Hosts::new(Listener::OtlpGrpc, Vec::new()).has(name), "{name}");
            assert!(!Hosts::new(Listener::Http, Vec::new()).has(&format!("{name}:4319")), "{name}");
            assert!(Hosts::new(Listener::Http, vec![name.to_owned()]).has(&format!("{name}:4319")), "{name}");
        }
    }

    /// The name stands in the request's target (HTTP/2, proxies' form), in a header, or in both: all must be ours.
    #[test]
    fn s11_every_place_of_the_name_counts() {
        let hosts = Hosts::new(Listener::Http, Vec::new());
        let takes = |uri: &str, headers: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in headers {
                request = request.header("host", *host);
            }
            hosts.take(&request.body(Body::empty()).expect("a request"))
        };
        assert!(takes("/", &["localhost"]) && takes("http://localhost:1/", &[]) && takes("/", &[]));
        assert!(!takes("/", &["evil.example"]) && !takes("http://evil.example/", &["localhost"]));
        assert!(!takes("http://localhost/", &["evil.example"]) && !takes("/", &["localhost", "evil.example"]));
        let forwarded =
            Request::builder().uri("/").header("host", "evil.example").header("x-forwarded-host", "localhost");
        assert!(!hosts.take(&forwarded.body(Body::empty()).expect("a request")));
    }
}
