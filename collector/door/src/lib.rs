//! Everything between a peer and a handler: the socket, who is asking, limits on connections.
//!
//! A room offers routes and never sees a socket; security is written once, here. `main.rs` opens three
//! doors: OTLP over gRPC, OTLP over HTTP, and the desk (page and API).
//!
//! | file          | knows                                                                    |
//! |---------------|--------------------------------------------------------------------------|
//! | `config.rs`   | addresses and limits, with their defaults                                |
//! | `listen.rs`   | bind, accept, HTTP/1.1 and HTTP/2 on one socket, close in good order     |
//! | `identity.rs` | who is asking, and may they: before a handler sees the request           |
//! | `hosts.rs`    | names under which loopback answers                                       |
//! | `cors.rs`     | pages of other origins that may send                                     |
//! | `sessions.rs` | signing in with a browser                                                |
//! | `attempts.rs` | how often an address may fail                                            |
//! | `proxies.rs`  | whose word is taken for where a request comes from                       |
//! | `pace.rs`     | how long a connection may keep us waiting                                |
//! | `watch.rs`    | files that are read again when they change                               |
//! | `keys.rs`     | API keys: made, kept as hashes, recognized                               |
//! | `tokens.rs`   | signed tokens (JWT): verified, turned into tenant and scopes              |
//! | `jwks.rs`     | where the public keys of tokens come from                                |
//! | `refusal.rs`  | what a peer hears that may not pass, in the words of its transport       |
//! | `tls.rs`      | certificates: read, renewed, asked of senders                            |
//! | `error.rs`    | why a door could not be opened, and what to do                           |
//! | `fuzz.rs`     | ways in for fuzzing, and for nothing else                                |
//!
//! Without keys a door opens on loopback only, unless `allow_insecure` says that somebody else guards it.

mod attempts;
mod config;
mod cors;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod hosts;
mod identity;
mod jwks;
mod keys;
mod listen;
mod pace;
mod proxies;
mod refusal;
mod sessions;
mod tls;
mod tokens;
mod watch;

pub use config::{Config, Listener};
pub use error::{Error, Result};
pub use identity::{Access, Needs};
pub use keys::{Key, NewKey, create_key, list_keys, revoke_key};
pub use listen::{Door, open};
pub use sessions::session_routes;

#[cfg(test)]
mod tests;
