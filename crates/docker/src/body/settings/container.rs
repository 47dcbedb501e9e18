//! A container's configuration and its `HostConfig`.

use super::super::error::BodyError;
use super::super::json::Value;
use super::{Risk, Settings, container_of, filled, has_items, has_members};
use super::{mount, network, options, resources, security};

/// The body of a create.
pub(in super::super) fn container(
    settings: &mut Settings,
    body: &mut Value,
) -> Result<(), BodyError> {
    settings.of_container();
    settings.flag("privileged", false);
    image_config(settings, body)?;
    settings.image = Some(body.text("Image").to_owned()).filter(|image| !image.is_empty());
    settings.text("image", body.text("Image"));
    if let Some(host) = body.get_mut("HostConfig") {
        host_config(settings, host)?;
    }
    network::attachments(settings, body)
}

/// The part of it that an image has too.
pub(in super::super) fn image_config(
    settings: &mut Settings,
    config: &Value,
) -> Result<(), BodyError> {
    settings.text("user", config.text("User"));
    settings.labels_of(config);
    // Old engines read a key with a colon as a bind, and newer ones as a folder of that name.
    if config.members("Volumes").iter().any(|(path, _)| path.contains(':')) {
        return Err(BodyError::value("Volumes", "must not have a colon in a path"));
    }
    Ok(())
}

/// The body of an update.
pub(in super::super) fn update(settings: &mut Settings, body: &Value) -> Result<(), BodyError> {
    resources::resources(settings, body, "")?;
    // Nought and less lift what was set; in a create they only say that there is none.
    let lifted = body.number("PidsLimit").is_some_and(|limit| limit <= 0)
        || body.number("CpuQuota").is_some_and(|quota| quota < 0);
    settings.risk_if(lifted, Risk::LimitsLifted);
    restart_policy(settings, body);
    Ok(())
}

/// The body of an exec.
pub(in super::super) fn exec(settings: &mut Settings, body: &Value) {
    settings.flag("privileged", body.flag("Privileged"));
    settings.risk_if(body.flag("Privileged"), Risk::Privileged);
    settings.text("user", body.text("User"));
}

fn host_config(settings: &mut Settings, host: &mut Value) -> Result<(), BodyError> {
    settings.flag("privileged", host.flag("Privileged"));
    settings.risk_if(host.flag("Privileged"), Risk::Privileged);
    security::capabilities(settings, host, ["CapAdd", "CapDrop"], "HostConfig.CapAdd")?;
    security::security_options(settings, filled(host, "SecurityOpt"));
    // Even an empty list replaces the default.
    let masks = host.get("MaskedPaths").is_some() || host.get("ReadonlyPaths").is_some();
    settings.risk_if(masks, Risk::MaskedPaths);
    namespaces(settings, host);
    resources::resources(settings, host, "HostConfig.")?;
    restart_policy(settings, host);
    mount::host_mounts(settings, host)?;
    network::published_ports(settings, host)?;
    others(settings, host);
    Ok(())
}

fn restart_policy(settings: &mut Settings, value: &Value) {
    if let Some(policy) = value.get("RestartPolicy") {
        settings.text("restartPolicy", policy.text("Name"));
    }
}

/// A field, its attribute and risk, and what is harmless.
type Mode = (&'static str, &'static str, Risk, &'static [&'static str]);

const MODES: [Mode; 5] = [
    ("PidMode", "pidMode", Risk::PidMode, &[]),
    ("IpcMode", "ipcMode", Risk::IpcMode, &["private", "shareable", "none"]),
    ("UTSMode", "utsMode", Risk::UtsMode, &[]),
    ("UsernsMode", "usernsMode", Risk::UsernsMode, &[]),
    ("CgroupnsMode", "cgroupnsMode", Risk::CgroupnsMode, &["private"]),
];

fn namespaces(settings: &mut Settings, host: &Value) {
    for (field, attribute, risk, harmless) in MODES {
        let mode = host.text(field);
        settings.text(attribute, mode);
        settings.risk_if(!mode.is_empty() && !harmless.contains(&mode), risk);
        settings.containers.extend(container_of(mode).map(str::to_owned));
    }
}

fn others(settings: &mut Settings, host: &Value) {
    let texts = [
        ("ContainerIDFile", Risk::ContainerIdFile),
        ("Cgroup", Risk::Cgroup),
        ("Runtime", Risk::Runtime),
        ("InitPath", Risk::InitPath),
    ];
    for (field, risk) in texts {
        settings.risk_if(!host.text(field).is_empty(), risk);
    }
    settings.containers.extend(container_of(host.text("Cgroup")).map(str::to_owned));
    settings.text("runtime", host.text("Runtime"));
    settings.risk_if(!matches!(host.text("Isolation"), "" | "default"), Risk::Isolation);
    settings.risk_if(has_members(host, "Annotations"), Risk::Annotations);
    settings.risk_if(has_members(host, "StorageOpt"), Risk::StorageOpt);
    settings.risk_if(has_items(host, "GroupAdd"), Risk::GroupAdd);
    settings.risk_if(host.number("OomScoreAdj").is_some_and(|score| score < 0), Risk::OomScore);
    options::sysctls(settings, host);
    if let Some(log) = host.get("LogConfig") {
        options::log(settings, log.text("Type"), log.members("Config"));
    }
    // `container:alias`, or the container alone.
    network::links(settings, host);
    // `container[:ro]`
    for source in filled(host, "VolumesFrom") {
        settings.risk(Risk::VolumesFrom);
        let reference = source.split(':').next().unwrap_or(source);
        settings.containers.insert(reference.to_owned());
    }
    settings.text("volumeDriver", host.text("VolumeDriver"));
    settings.risk_if(!mount::is_local(host.text("VolumeDriver")), Risk::VolumeDriver);
}
