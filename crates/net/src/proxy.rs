//! Forwards HTTP/1.1 and HTTP/2: between clients that nobody trusts and a server that they may use only as far as a
//! handler lets them.
//!
//! ```text
//! client ── sniff ── TLS ── serve ── handler ── Upstream ── server
//!                            ╰──────── Tunnel ────────╯
//! ```
//!
//! - [`sniff`] tells TLS from everything else by one byte, and answers everything else.
//! - [`serve`] reads requests strictly and gives them to a handler, which answers or begins a [`Tunnel`].
//! - [`serve_http2`] and [`serve_either`] do so over HTTP/2, without tunnels.
//! - [`Upstream`] forwards what the handler made of a request, or upgrades a connection.
//! - [`Cut`] ends a connection at once, whatever it does.
//!
//! Invariants:
//!
//! - A server never sees bytes of a client's head: everything that is forwarded is written anew from what
//!   was parsed, with a framing of our own. A request with two readings is refused.
//! - Bodies are never gathered: what the one side does not take, the other side cannot send.
//! - A body that breaks off is seen to break off at the other side, in both directions.
//! - Nothing outlives its connection: when the client leaves, the handler, the request to the server and its
//!   connection go too.
//! - What is quiet is cheap: a stream or tunnel with nothing to carry holds no buffer.
//!
//! An attacker is a client: they control every byte, when it comes, and when they leave. Bodies and streams
//! have no limit on size or time; a body that does not come has a deadline for each piece ([`crate::Limits`]).
//! A client that reads slowly slows down its own answer only.
//!
//! A client that ends its side of a tunnel and then vanishes is noticed when the server says something, as
//! with the server itself: nothing is read from it any more.
//!
//! Over HTTP/2 a client is many: each request is cut by itself ([`Cut::of_stream`]), and a body that does not come is
//! waited for as long as the answer goes on. Trailers pass only from HTTP/2 to HTTP/2.
//!
//! CONNECT is refused, but where [`Terms::connect`] has it shown to the handler.
//!
//! HTTP/1.0 is answered without keep-alive, and a streamed body ends with the connection; over TLS, one that
//! breaks off lacks the close_notify.

mod close;
mod cut;
mod framing;
pub mod fuzz;
mod guard;
mod headers;
mod http2;
mod outbox;
mod refused;
mod rest;
mod rewound;
mod serve;
mod sniff;
mod streaming;
mod tunnel;
mod turn;
mod upstream;

pub use cut::Cut;
pub use framing::Refusal;
pub use headers::strip_hop_by_hop;
pub use http2::{serve_either, serve_http2};
pub use refused::Refused;
pub use rewound::Rewound;
pub use serve::{Answer, Terms, serve};
pub use sniff::{keep_alive, sniff};
pub use tunnel::{NoTunnel, Tunnel};
pub use upstream::{
    Address, Dial, Dialled, RequestBody, Upgrade, Upgraded, Upstream, UpstreamBody, UpstreamError,
    UpstreamSettings, Versions,
};
