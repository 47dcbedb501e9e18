//! What every door and every caller of ours has in common on the network: TLS settings, a certificate that
//! can be replaced while connections are open, an accept loop that survives, limits, draining, and a
//! forwarding engine for HTTP/1.1 and HTTP/2.
//!
//! An attacker is whoever can connect: they control every byte, how slowly it comes, and how many
//! connections there are. So each phase has a deadline, each size a bound, places are shared out between those who have
//! shown who they are and those who have not ([`Places`]), and the accept loop goes on when the process has run out of file
//! descriptors.

mod descriptors;
mod http;
mod limits;
mod listener;
mod places;
pub mod proxy;
mod shutdown;
pub mod tls;

pub use descriptors::descriptors;
pub use http::{Incoming, serve_http};
pub use limits::Limits;
pub use listener::{Accept, accept_loop, accept_with};
pub use places::{Crowded, Origin, Place, Places, Shares};
pub use shutdown::Shutdown;
