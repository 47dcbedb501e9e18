//! Everything that somebody may want to do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::text::plain;

/// The part of Sealock that an action belongs to; each has its own mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// Certificates and the authority.
    Authority,
    /// Files into containers.
    Delivery,
    /// The engine's API.
    Docker,
    /// The vault.
    Secrets,
    /// Tokens, and the calls between services that carry them.
    Traffic,
    /// Status, audit and the policy itself.
    Control,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $plane:ident;)*) => {
        /// What somebody wants to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Action { $($(#[$doc])* #[serde(rename = $id)] $name,)* }

        impl Action {
            /// Every action there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The id of the Cedar action, such as `Cert::Issue`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// The plane it belongs to.
            pub const fn plane(self) -> Plane {
                match self { $(Self::$name => Plane::$plane,)* }
            }
        }
    };
}

actions! {
    /// Have a certificate with a name issued.
    CertIssue = "Cert::Issue", Authority;
    /// Have a CSR with a name signed.
    CertSign = "Cert::Sign", Authority;
    /// Have a certificate with a name renewed.
    CertRenew = "Cert::Renew", Authority;
    /// Have a name in a certificate that is not everybody's: one by which the daemon's own doors are known, or the host of a
    /// service by the settings. Beside the right to the certificate.
    CertReserved = "Cert::Reserved", Authority;
    /// Have a certificate that is for more than TLS: to sign code or e-mail. Beside the right to the certificate.
    CertPurpose = "Cert::Purpose", Authority;
    /// Have a certificate for a name by ACME without having to prove it by a challenge. Beside the right to the certificate.
    CertUnproved = "Cert::Unproved", Authority;
    /// Have a name in a certificate of another issuer than our own: one under a root of somebody else. Beside the right to
    /// the certificate.
    CertUnder = "Cert::Under", Authority;
    /// Have a key and a CSR made for a certificate that another authority signs, or drop them.
    CertRequest = "Cert::Request", Authority;
    /// Have a certificate taken that another authority has signed.
    CertImport = "Cert::Import", Authority;
    /// Have such a certificate with its key.
    CertUse = "Cert::Use", Authority;
    /// Say which roots of others are trusted, and handed out.
    TrustManage = "Trust::Manage", Authority;
    /// Have the trust bundle put into one's own container.
    TrustDeliver = "Trust::Deliver", Authority;
    /// Make, see and remove what vouches for ACME accounts; deactivate accounts.
    AcmeManage = "Acme::Manage", Authority;
    /// Revoke a certificate.
    CertRevoke = "Cert::Revoke", Authority;
    /// List certificates, or see one.
    CertRead = "Cert::Read", Authority;
    /// Publish a certificate in an LDAP directory, and take out of the entry what is no longer good.
    DirectoryPublish = "Directory::Publish", Authority;
    /// The same with a certificate that another authority has signed, and with those that follow it.
    DirectoryPublishImported = "Directory::PublishImported", Authority;
    /// Make, rotate or export the authority's keys.
    CaManage = "Ca::Manage", Authority;
    /// See the authority and its revocation list.
    CaRead = "Ca::Read", Authority;
    /// Put files into a container.
    TransferSend = "Transfer::Send", Delivery;
    /// Offer files to whoever has the ticket.
    TransferOffer = "Transfer::Offer", Delivery;
    /// Take what was offered.
    TransferReceive = "Transfer::Receive", Delivery;
    /// Read a secret's value.
    SecretRead = "Secret::Read", Secrets;
    /// See that a secret is there, and its versions without their values.
    SecretList = "Secret::List", Secrets;
    /// Give a secret a new value.
    SecretWrite = "Secret::Write", Secrets;
    /// Delete a version of a secret, or take that back.
    SecretDelete = "Secret::Delete", Secrets;
    /// Destroy versions of a secret for good.
    SecretPurge = "Secret::Purge", Secrets;
    /// Replace the vault's key, export the vault, or import into it.
    VaultManage = "Vault::Manage", Secrets;
    /// Have a token for a service.
    TokenIssue = "Token::Issue", Traffic;
    /// Have it found out whether a token is good.
    TokenIntrospect = "Token::Introspect", Traffic;
    /// Revoke tokens: one, those of somebody, or all before a time.
    TokenRevoke = "Token::Revoke", Control;
    /// See who may ask for tokens with a secret.
    ClientRead = "Client::Read", Control;
    /// Give somebody a secret with which to ask for tokens, a new one, or none any more.
    ClientManage = "Client::Manage", Control;
    /// See who waits to be let in.
    LoginRead = "Login::Read", Control;
    /// Say who a person is that wants a certificate: confirm or deny a login, or give a code.
    LoginConfirm = "Login::Confirm", Control;
    /// Have one's own certificate renewed.
    LoginRenew = "Login::Renew", Control;
    /// Call a service.
    HttpCall = "Http::Call", Traffic;
    /// Be a service's Gatekeeper: hold what decides on its calls.
    GatekeeperServe = "Gatekeeper::Serve", Traffic;
    /// See the state of the daemon.
    StatusRead = "Status::Read", Control;
    /// Read, verify and export the audit log.
    AuditRead = "Audit::Read", Control;
    /// See the policy and have decisions explained.
    PolicyRead = "Policy::Read", Control;
    /// Have the policy folder read again.
    PolicyReload = "Policy::Reload", Control;
    /// Put somebody into a group.
    PolicyAssign = "Policy::Assign", Control;
    /// Put a preset into the policy.
    PolicyUse = "Policy::Use", Control;

    // The engine's API, by the names of its operations (`operationId` in Docker's API description).
    /// See whether the engine is there.
    DockerSystemPing = "Docker::SystemPing", Docker;
    /// See the engine's version.
    DockerSystemVersion = "Docker::SystemVersion", Docker;
    /// See the engine's facts and figures.
    DockerSystemInfo = "Docker::SystemInfo", Docker;
    /// Follow the engine's events.
    DockerSystemEvents = "Docker::SystemEvents", Docker;
    /// See what takes how much of the disk.
    DockerSystemDataUsage = "Docker::SystemDataUsage", Docker;
    /// Have credentials for a registry checked.
    DockerSystemAuth = "Docker::SystemAuth", Docker;
    /// List containers.
    DockerContainerList = "Docker::ContainerList", Docker;
    /// See all facts of a container, its environment included.
    DockerContainerInspect = "Docker::ContainerInspect", Docker;
    /// List a container's processes.
    DockerContainerTop = "Docker::ContainerTop", Docker;
    /// Read or follow a container's output.
    DockerContainerLogs = "Docker::ContainerLogs", Docker;
    /// List which files a container has changed.
    DockerContainerChanges = "Docker::ContainerChanges", Docker;
    /// Read or follow a container's use of resources.
    DockerContainerStats = "Docker::ContainerStats", Docker;
    /// Wait until a container stops.
    DockerContainerWait = "Docker::ContainerWait", Docker;
    /// See whether a file is in a container.
    DockerContainerArchiveInfo = "Docker::ContainerArchiveInfo", Docker;
    /// Read files of a container.
    DockerContainerArchive = "Docker::ContainerArchive", Docker;
    /// Write files into a container.
    DockerContainerArchivePut = "Docker::ContainerArchivePut", Docker;
    /// Read a container's whole file system.
    DockerContainerExport = "Docker::ContainerExport", Docker;
    /// Make a container. What it mounts of the host is asked apart, as `Docker::Mount`.
    DockerContainerCreate = "Docker::ContainerCreate", Docker;
    /// Start a container.
    DockerContainerStart = "Docker::ContainerStart", Docker;
    /// Stop a container.
    DockerContainerStop = "Docker::ContainerStop", Docker;
    /// Restart a container.
    DockerContainerRestart = "Docker::ContainerRestart", Docker;
    /// Send a signal to a container.
    DockerContainerKill = "Docker::ContainerKill", Docker;
    /// Pause a container.
    DockerContainerPause = "Docker::ContainerPause", Docker;
    /// Let a paused container go on.
    DockerContainerUnpause = "Docker::ContainerUnpause", Docker;
    /// Set the size of a container's terminal.
    DockerContainerResize = "Docker::ContainerResize", Docker;
    /// Give a container another name.
    DockerContainerRename = "Docker::ContainerRename", Docker;
    /// Remove a container.
    DockerContainerDelete = "Docker::ContainerDelete", Docker;
    /// Change a container's limits and restart policy.
    DockerContainerUpdate = "Docker::ContainerUpdate", Docker;
    /// Attach to a container's streams.
    DockerContainerAttach = "Docker::ContainerAttach", Docker;
    /// Attach to a container's streams by a WebSocket.
    DockerContainerAttachWebsocket = "Docker::ContainerAttachWebsocket", Docker;
    /// Remove all stopped containers.
    DockerContainerPrune = "Docker::ContainerPrune", Docker;
    /// Prepare a command in a container.
    DockerContainerExec = "Docker::ContainerExec", Docker;
    /// Start a prepared command.
    DockerExecStart = "Docker::ExecStart", Docker;
    /// Set the size of a command's terminal.
    DockerExecResize = "Docker::ExecResize", Docker;
    /// See how a command has ended.
    DockerExecInspect = "Docker::ExecInspect", Docker;
    /// List a container's checkpoints.
    DockerCheckpointList = "Docker::CheckpointList", Docker;
    /// Write a container's memory to the disk.
    DockerCheckpointCreate = "Docker::CheckpointCreate", Docker;
    /// Remove a checkpoint.
    DockerCheckpointDelete = "Docker::CheckpointDelete", Docker;
    /// List images.
    DockerImageList = "Docker::ImageList", Docker;
    /// See all facts of an image.
    DockerImageInspect = "Docker::ImageInspect", Docker;
    /// See how an image was made.
    DockerImageHistory = "Docker::ImageHistory", Docker;
    /// Search images in a registry.
    DockerImageSearch = "Docker::ImageSearch", Docker;
    /// See an image in its registry.
    DockerDistributionInspect = "Docker::DistributionInspect", Docker;
    /// Pull an image.
    DockerImageCreate = "Docker::ImageCreate", Docker;
    /// Make an image of an archive or of what a URL gives.
    DockerImageImport = "Docker::ImageImport", Docker;
    /// Push an image to its registry.
    DockerImagePush = "Docker::ImagePush", Docker;
    /// Give an image another name. The resource is the new name.
    DockerImageTag = "Docker::ImageTag", Docker;
    /// Remove an image or a name of it.
    DockerImageDelete = "Docker::ImageDelete", Docker;
    /// Read an image as an archive.
    DockerImageGet = "Docker::ImageGet", Docker;
    /// Read images as an archive.
    DockerImageGetAll = "Docker::ImageGetAll", Docker;
    /// Load images from an archive.
    DockerImageLoad = "Docker::ImageLoad", Docker;
    /// Make an image of a container.
    DockerImageCommit = "Docker::ImageCommit", Docker;
    /// Remove unused images.
    DockerImagePrune = "Docker::ImagePrune", Docker;
    /// Build an image.
    DockerImageBuild = "Docker::ImageBuild", Docker;
    /// Cancel a build.
    DockerBuildCancel = "Docker::BuildCancel", Docker;
    /// Empty the build cache.
    DockerBuildPrune = "Docker::BuildPrune", Docker;
    /// List networks.
    DockerNetworkList = "Docker::NetworkList", Docker;
    /// See all facts of a network.
    DockerNetworkInspect = "Docker::NetworkInspect", Docker;
    /// Make a network.
    DockerNetworkCreate = "Docker::NetworkCreate", Docker;
    /// Connect a container to a network.
    DockerNetworkConnect = "Docker::NetworkConnect", Docker;
    /// Disconnect a container from a network.
    DockerNetworkDisconnect = "Docker::NetworkDisconnect", Docker;
    /// Remove a network.
    DockerNetworkDelete = "Docker::NetworkDelete", Docker;
    /// Remove unused networks.
    DockerNetworkPrune = "Docker::NetworkPrune", Docker;
    /// List volumes.
    DockerVolumeList = "Docker::VolumeList", Docker;
    /// See all facts of a volume.
    DockerVolumeInspect = "Docker::VolumeInspect", Docker;
    /// Make a volume.
    DockerVolumeCreate = "Docker::VolumeCreate", Docker;
    /// Change a cluster volume.
    DockerVolumeUpdate = "Docker::VolumeUpdate", Docker;
    /// Remove a volume.
    DockerVolumeDelete = "Docker::VolumeDelete", Docker;
    /// Remove unused volumes.
    DockerVolumePrune = "Docker::VolumePrune", Docker;
    /// Open a BuildKit session.
    DockerSession = "Docker::Session", Docker;
    /// Speak gRPC with BuildKit.
    DockerGrpc = "Docker::Grpc", Docker;
    /// See the swarm.
    DockerSwarmInspect = "Docker::SwarmInspect", Docker;
    /// Make a swarm.
    DockerSwarmInit = "Docker::SwarmInit", Docker;
    /// Join a swarm.
    DockerSwarmJoin = "Docker::SwarmJoin", Docker;
    /// Leave the swarm.
    DockerSwarmLeave = "Docker::SwarmLeave", Docker;
    /// Change the swarm.
    DockerSwarmUpdate = "Docker::SwarmUpdate", Docker;
    /// Read the key that unlocks the swarm.
    DockerSwarmUnlockKey = "Docker::SwarmUnlockKey", Docker;
    /// Unlock the swarm.
    DockerSwarmUnlock = "Docker::SwarmUnlock", Docker;
    /// List the swarm's nodes.
    DockerNodeList = "Docker::NodeList", Docker;
    /// See a node.
    DockerNodeInspect = "Docker::NodeInspect", Docker;
    /// Change a node.
    DockerNodeUpdate = "Docker::NodeUpdate", Docker;
    /// Remove a node.
    DockerNodeDelete = "Docker::NodeDelete", Docker;
    /// List services.
    DockerServiceList = "Docker::ServiceList", Docker;
    /// See a service.
    DockerServiceInspect = "Docker::ServiceInspect", Docker;
    /// Read a service's output.
    DockerServiceLogs = "Docker::ServiceLogs", Docker;
    /// Make a service.
    DockerServiceCreate = "Docker::ServiceCreate", Docker;
    /// Change a service.
    DockerServiceUpdate = "Docker::ServiceUpdate", Docker;
    /// Remove a service.
    DockerServiceDelete = "Docker::ServiceDelete", Docker;
    /// List tasks.
    DockerTaskList = "Docker::TaskList", Docker;
    /// See a task.
    DockerTaskInspect = "Docker::TaskInspect", Docker;
    /// Read a task's output.
    DockerTaskLogs = "Docker::TaskLogs", Docker;
    /// List the swarm's secrets, without their values.
    DockerSecretList = "Docker::SecretList", Docker;
    /// See a secret, without its value.
    DockerSecretInspect = "Docker::SecretInspect", Docker;
    /// Make a secret.
    DockerSecretCreate = "Docker::SecretCreate", Docker;
    /// Change a secret.
    DockerSecretUpdate = "Docker::SecretUpdate", Docker;
    /// Remove a secret.
    DockerSecretDelete = "Docker::SecretDelete", Docker;
    /// List the swarm's configurations, with their content.
    DockerConfigList = "Docker::ConfigList", Docker;
    /// See a configuration, with its content.
    DockerConfigInspect = "Docker::ConfigInspect", Docker;
    /// Make a configuration.
    DockerConfigCreate = "Docker::ConfigCreate", Docker;
    /// Change a configuration.
    DockerConfigUpdate = "Docker::ConfigUpdate", Docker;
    /// Remove a configuration.
    DockerConfigDelete = "Docker::ConfigDelete", Docker;
    /// List plugins.
    DockerPluginList = "Docker::PluginList", Docker;
    /// See a plugin.
    DockerPluginInspect = "Docker::PluginInspect", Docker;
    /// See which privileges a plugin wants.
    DockerPluginPrivileges = "Docker::PluginPrivileges", Docker;
    /// Install a plugin.
    DockerPluginPull = "Docker::PluginPull", Docker;
    /// Make a plugin of an archive.
    DockerPluginCreate = "Docker::PluginCreate", Docker;
    /// Enable a plugin.
    DockerPluginEnable = "Docker::PluginEnable", Docker;
    /// Disable a plugin.
    DockerPluginDisable = "Docker::PluginDisable", Docker;
    /// Upgrade a plugin.
    DockerPluginUpgrade = "Docker::PluginUpgrade", Docker;
    /// Push a plugin to its registry.
    DockerPluginPush = "Docker::PluginPush", Docker;
    /// Set a plugin up.
    DockerPluginSet = "Docker::PluginSet", Docker;
    /// Remove a plugin.
    DockerPluginDelete = "Docker::PluginDelete", Docker;
    /// Have a path of the host mounted into a container.
    DockerMount = "Docker::Mount", Docker;
    /// Make a container of an image; asked along with the container's creation.
    DockerImageRun = "Docker::ImageRun", Docker;
    /// Have what others made be there at all: without it, somebody sees only what they made themselves.
    DockerSeeOthers = "Docker::SeeOthers", Docker;
    /// See the values of a container's or service's environment.
    DockerSeeEnvironment = "Docker::SeeEnvironment", Docker;
    /// See the values of labels.
    DockerSeeLabels = "Docker::SeeLabels", Docker;
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| UnknownAction(plain(&text.chars().take(80).collect::<String>())))
    }
}

/// A text that is no action's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an action (such as Cert::Issue)")]
pub struct UnknownAction(String);

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
