//! Where something is published: a directory of the settings, or a server that was named.

use sealock_directory::{Create, DirectoryError, Dn, Location};
use serde_json::Value;

use super::Service;
use super::ldap::How;
use super::publish::worded;
use crate::command::{Publish, PublishedAt};
use crate::error::{ErrorCode, ServiceError};

/// Where something is published.
pub(super) struct Place<'a> {
    pub(super) url: Location,
    pub(super) dn: Dn,
    directory: Option<&'a str>,
    pub(super) create: Option<Create>,
    pub(super) how: How<'a>,
    /// Whether whoever has named it may name this very host.
    pub(super) local_allowed: bool,
}

impl Place<'_> {
    pub(super) fn at(&self) -> PublishedAt {
        PublishedAt {
            url: self.url.to_string(),
            dn: self.dn.to_string(),
            directory: self.directory.map(str::to_owned),
        }
    }

    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        let mut context = vec![
            ("url", Value::from(self.url.to_string())),
            ("dn", Value::from(self.dn.to_string())),
        ];
        context.extend(self.directory.map(|name| ("directory", Value::from(name))));
        context
    }
}

impl Service {
    pub(super) fn place<'a>(
        &'a self,
        publish: &'a Publish,
        name: &str,
        here: bool,
    ) -> Result<Place<'a>, ServiceError> {
        let usage = |text: &str| ServiceError::new(ErrorCode::Usage, text);
        let given = publish.dn.as_deref().map(str::parse::<Dn>).transpose();
        let given = given.map_err(|error| {
            ServiceError::of(ErrorCode::Usage, &error)
                .hint("such as cn=web,ou=people,dc=corp,dc=example; `,` and other special characters in a value have a backslash before them")
        })?;
        match (&publish.directory, &publish.server) {
            (Some(directory), None) => self.place_of_settings(directory, given, name),
            (None, Some(server)) => {
                let dn = given.ok_or_else(|| usage("the entry is not named").hint("give --dn"))?;
                let url = server.url.parse();
                let url = url.map_err(|error| {
                    ServiceError::of(ErrorCode::Usage, &error)
                        .hint("such as ldaps://ldap.corp.example or ldap://10.0.0.5:389")
                })?;
                let create = server.create.as_deref().map(str::parse::<Create>).transpose();
                let create = create.map_err(|error| usage(&format!("create {error}")))?;
                if !here {
                    may_be_named_from_elsewhere(&url, server.dangerous_plain)?;
                }
                let how = How::Given(server);
                Ok(Place { url, dn, directory: None, create, how, local_allowed: here })
            }
            _ => Err(usage("either a directory of the settings or a server is named")
                .hint("give --directory NAME, or --ldap URL and --dn DN")),
        }
    }

    pub(super) fn place_of_settings<'a>(
        &'a self,
        directory: &'a str,
        dn: Option<Dn>,
        name: &str,
    ) -> Result<Place<'a>, ServiceError> {
        let settings = &self.config().settings.directories;
        let set =
            settings.get(directory).and_then(|set| Some((set, set.url.clone()?, set.dn.as_ref()?)));
        let Some((set, url, template)) = set else {
            let text = format!("the settings have no directory `{directory}`");
            return Err(ServiceError::new(ErrorCode::NotFound, text).hint(self.about_settings(
                format!("write [directory.{directory}] with url and dn into sealock.toml"),
            )));
        };
        let dn = match dn {
            Some(dn) => dn,
            None => {
                template.fill(name).map_err(|error| ServiceError::of(ErrorCode::Usage, &error))?
            }
        };
        Ok(Place {
            url,
            dn,
            directory: Some(directory),
            create: set.create,
            how: How::Settings(set),
            local_allowed: true,
        })
    }
}

/// A socket's other end would see this process, which is root, whoever has asked for it; and what listens on loopback
/// trusts whoever is here. What the name of a server leads to is looked at when it is dialled.
fn may_be_named_from_elsewhere(url: &Location, dangerous_plain: bool) -> Result<(), ServiceError> {
    if url.is_of_this_host() {
        return Err(worded(&DirectoryError::Local(url.clone())));
    }
    if dangerous_plain {
        let text = "only who is on the daemon's own host may have it ask a directory without TLS";
        return Err(ServiceError::new(ErrorCode::Usage, text)
            .hint("write ldaps://, or give --start-tls; or name a directory of the settings"));
    }
    Ok(())
}
