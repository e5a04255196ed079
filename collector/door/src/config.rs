//! Addresses and limits of the three doors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cors::is_origin;
use crate::jwks::Source;
use crate::proxies::Proxies;

/// A year.
const SESSION_HOURS_MAX: u64 = 365 * 24;

/// Settings of the doors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where OTLP over gRPC is taken. Port 0 takes a free one.
    pub otlp_grpc: SocketAddr,
    /// Where OTLP over HTTP is taken.
    pub otlp_http: SocketAddr,
    /// Where the page and the API are served.
    pub http: SocketAddr,
    /// Allows addresses other than loopback although nobody has to sign in. Everybody who can reach the
    /// address can then read and write everything.
    pub allow_insecure: bool,
    /// File of the API keys, made by `hodoscope keys create`; empty for none. With it every request needs a key, and
    /// addresses other than loopback are allowed.
    pub keys_file: String,
    /// Public keys (a JWK Set) of whoever signs tokens: a file, read again when it changes, or an https address, fetched every ten minutes
    /// and when a token names an unknown key; empty for no tokens. Beside API keys, tokens are then taken: RS256, ES256, EdDSA.
    pub jwt_keys: String,
    /// Who must have signed them: the claim `iss`.
    pub jwt_issuer: String,
    /// For whom they must be: the claim `aud`.
    pub jwt_audience: String,
    /// The claim that names the tenant; empty when everybody is of the tenant `default`.
    pub jwt_tenant_claim: String,
    /// Requests with a wrong key that an address may make per minute before it hears 429 instead of 401; 0 for any number.
    /// Requests without a key are not counted, and holders of a valid key are never refused for it.
    pub failed_attempts_per_minute: u32,
    /// Addresses or networks (`10.0.0.0/8`) of proxies in front that are believed what they say in `X-Forwarded-For`: whose wrong keys
    /// are counted. Nobody else is.
    pub trusted_proxies: Vec<String>,
    /// How long signing in with a browser lasts, in hours; a restart ends it, too.
    pub session_hours: u64,
    /// Host names, without port, that loopback is asked under beside `localhost` and its addresses, such as the name that a proxy
    /// on this machine passes on. Looked at while nobody needs a key: with keys every name is taken.
    pub hosts: Vec<String>,
    /// Origins of pages that may send telemetry over OTLP/HTTP from browsers, such as `https://shop.example` or
    /// `https://*.shop.example`; `*` for all, then without credentials. Empty: none.
    pub cors_origins: Vec<String>,
    /// How long browsers may remember that a page may send, in seconds.
    pub cors_max_age_s: u64,
    /// Certificate chain of every port, PEM, read again when it changes; empty for no TLS.
    pub tls_cert: String,
    /// Private key of the certificate, PEM.
    pub tls_key: String,
    /// Certificates, PEM: on the OTLP ports senders must show one that these have signed (mTLS). Empty: nobody has to.
    pub tls_client_ca: String,
    /// Connections per door; further ones wait in the backlog of the system. Never more than a sixth of the
    /// files the process may open, which are half of them for all three doors.
    pub connections_max: usize,
    /// How long a new connection may take until its first request's head is here, counted from when it was accepted and with the
    /// TLS handshake, in seconds; over HTTP/2 until its preface is. Also how long a body may come slower than 1 KiB/s.
    pub first_byte_timeout_s: u64,
    /// How long a connection may stay without a request, or not read what is sent to it, in seconds.
    pub idle_timeout_s: u64,
    /// How long requests may take to finish when the door closes, in seconds; later ones are cut.
    pub close_timeout_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            http: loopback(4319),
            allow_insecure: false,
            keys_file: String::new(),
            jwt_keys: String::new(),
            jwt_issuer: String::new(),
            jwt_audience: String::new(),
            jwt_tenant_claim: String::new(),
            failed_attempts_per_minute: 60,
            trusted_proxies: Vec::new(),
            session_hours: 12,
            hosts: Vec::new(),
            cors_origins: Vec::new(),
            cors_max_age_s: 7200,
            tls_cert: String::new(),
            tls_key: String::new(),
            tls_client_ca: String::new(),
            connections_max: 4096,
            first_byte_timeout_s: 10,
            idle_timeout_s: 75,
            close_timeout_s: 20,
        }
    }
}

/// Which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Listener {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// The page and the API.
    Http,
}

impl Listener {
    /// Name of the setting that holds its address.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::Http => "http",
        }
    }

    /// The flag that sets its address.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::OtlpGrpc => "--otlp-grpc",
            Self::OtlpHttp => "--otlp-http",
            Self::Http => "--http",
        }
    }
}

impl Config {
    /// Address of a door.
    pub const fn address(&self, listener: Listener) -> SocketAddr {
        match listener {
            Listener::OtlpGrpc => self.otlp_grpc,
            Listener::OtlpHttp => self.otlp_http,
            Listener::Http => self.http,
        }
    }

    /// Names the first setting that cannot work.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("connections_max", self.connections_max as u64),
            ("first_byte_timeout_s", self.first_byte_timeout_s),
            ("idle_timeout_s", self.idle_timeout_s),
            ("session_hours", self.session_hours),
        ];
        Source::parse(&self.jwt_keys)?;
        if let Err(odd) = Proxies::parse(&self.trusted_proxies) {
            return Err(format!("door.trusted_proxies lists addresses or networks such as 10.0.0.0/8, not {odd:?}"));
        }
        if let Some(odd) = self.cors_origins.iter().find(|listed| !is_origin(listed)) {
            return Err(format!(
                "door.cors_origins lists origins such as https://shop.example or https://*.shop.example, or *, not {odd:?}"
            ));
        }
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("door.{name} must be greater than 0")),
            None if self.session_hours > SESSION_HOURS_MAX => {
                Err(format!("door.session_hours is at most {SESSION_HOURS_MAX}, a year"))
            }
            None if self.hosts.iter().any(|name| name.is_empty() || name.contains([':', '/', '*', '@', ' '])) => {
                Err("door.hosts lists plain host names such as traces.example.com, without port or wildcard".to_owned())
            }
            None if !self.jwt_keys.is_empty() && (self.jwt_issuer.is_empty() || self.jwt_audience.is_empty()) => Err(
                "door.jwt_keys needs door.jwt_issuer and door.jwt_audience: tokens of others, or for others, are not taken"
                    .to_owned(),
            ),
            None if self.tls_cert.is_empty() != self.tls_key.is_empty() => {
                Err("door.tls_cert and door.tls_key are given both or neither".to_owned())
            }
            None if self.tls_cert.is_empty() && !self.tls_client_ca.is_empty() => {
                Err("door.tls_client_ca needs door.tls_cert and door.tls_key: without TLS nobody shows a certificate"
                    .to_owned())
            }
            None => Ok(()),
        }
    }

    pub(crate) const fn session_lasting(&self) -> Duration {
        Duration::from_secs(self.session_hours * 3600)
    }

    pub(crate) const fn first_byte_timeout(&self) -> Duration {
        Duration::from_secs(self.first_byte_timeout_s)
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }

    pub(crate) const fn close_timeout(&self) -> Duration {
        Duration::from_secs(self.close_timeout_s)
    }
}
