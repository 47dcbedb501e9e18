//! HTTP between services: who calls is said by a short-lived token, and checked where the call arrives.

pub mod broker;
pub mod feed;
pub mod forwarder;
pub mod gatekeeper;
pub mod http;
pub mod oauth;
pub mod registry;
pub mod sdf;
pub mod token;
