//! The service layer, its doors and the daemon, on scratch state folders.

#[cfg(test)]
mod acme;
#[cfg(test)]
mod acme_attested;
#[cfg(test)]
mod acme_bounds;
#[cfg(test)]
mod acme_caa;
#[cfg(test)]
mod acme_client;
#[cfg(test)]
mod acme_errors;
#[cfg(test)]
mod acme_good;
#[cfg(test)]
mod acme_issuer;
#[cfg(test)]
mod acme_kill;
#[cfg(test)]
mod acme_library;
#[cfg(test)]
mod acme_many;
#[cfg(test)]
mod acme_where;
#[cfg(test)]
mod api;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod directory_secret;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod forward_broker;
#[cfg(test)]
mod guard_feed;
#[cfg(test)]
mod impostor;
#[cfg(test)]
mod inventory;
#[cfg(test)]
mod issuers;
#[cfg(test)]
mod issuers_two;
#[cfg(test)]
mod key_stores;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod presets;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod publish;
#[cfg(test)]
mod reserved;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod services;
#[cfg(test)]
mod settings_schema;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod transfers;
