//! Everything between a peer and a handler: the socket, who is asking, limits on connections.
//!
//! A room offers routes and never sees a socket; security is written once, here. `main.rs` opens three
//! doors: OTLP over gRPC, OTLP over HTTP, and the desk (page and API).
//!
//! | file          | knows                                                                    |
//! |---------------|--------------------------------------------------------------------------|
//! | `config.rs`   | addresses and limits, with their defaults                                |
//! | `listen.rs`   | bind, accept, HTTP/1.1 and HTTP/2 on one socket, close in good order     |
//! | `identity.rs` | who is asking: put into each request before a handler sees it            |
//! | `error.rs`    | why a door could not be opened, and what to do                           |
//!
//! Not here yet: TLS, keys and tokens, cross-origin answers. Until then a door opens on loopback only,
//! unless `allow_insecure` says that somebody else guards it.

mod config;
mod error;
mod identity;
mod listen;

pub use config::{Config, Listener};
pub use error::{Error, Result};
pub use listen::{Door, open};

#[cfg(test)]
mod tests;
