//! The binary as a user meets it: its output, its exit codes, real clients, a real engine.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod as_files;
mod authority;
mod chain;
mod demo;
mod docker;
#[path = "../../../docker/tests/check/dockerd.rs"]
#[expect(clippy::panic, reason = "a test fails by panicking")]
mod dockerd;
mod envelope;
mod forwarder;
mod forwarder_elsewhere;
mod forwarder_life;
mod forwarder_settings;
mod forwarder_transparent;
mod forwarder_ways;
mod gatekeeper;
mod gatekeeper_alone;
mod gatekeeper_audit;
mod gatekeeper_policy;
mod gatekeeper_tokens;
mod gateway;
mod gateway_alone;
mod gateway_bollard;
mod gateway_build;
mod gateway_clients;
mod gateway_containers;
mod gateway_docker;
mod gateway_escape;
mod gateway_faults;
mod gateway_limits;
mod gateway_owner;
mod gateway_protocols;
mod gateway_races;
mod gateway_redact;
mod gateway_routes;
mod gateway_socket;
mod gateway_terminal;
mod gateway_tls_engine;
mod groups;
mod grpc;
mod guide;
mod labels;
mod life;
mod login;
mod oauth;
mod oauth_curl;
mod offer;
mod policy;
mod policy_tools;
mod promises;
mod raw;
mod run;
mod secrets;
mod send;
mod services;
mod sidecar;
mod strangers;
mod summon;
mod support;
mod terminal;
mod tokens;
mod traffic_clients;
mod usage;
mod workload;
