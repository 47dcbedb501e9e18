//! A service: the same settings under other names.

use super::super::error::BodyError;
use super::super::json::Value;
use super::{Risk, Settings, has_items, has_members};
use super::{mount, network, options, security};

/// The body of a service's create and update.
pub(in super::super) fn service(
    settings: &mut Settings,
    body: &mut Value,
) -> Result<(), BodyError> {
    settings.of_container();
    settings.labels_of(body);
    attachments(settings, body);
    if let Some(endpoint) = body.get("EndpointSpec") {
        for port in endpoint.list("Ports") {
            let published = port.number("PublishedPort").unwrap_or_default();
            let published = u16::try_from(published)
                .map_err(|_| BodyError::value("EndpointSpec.Ports", "has what is no port"))?;
            settings.port(published);
            settings.add("publishedAddresses", "0.0.0.0");
        }
    }
    let Some(task) = body.get_mut("TaskTemplate") else {
        return Ok(());
    };
    settings.risk_if(!matches!(task.text("Runtime"), "" | "container"), Risk::ServiceRuntime);
    for kind in ["PluginSpec", "NetworkAttachmentSpec"] {
        settings.risk_if(task.get(kind).is_some(), Risk::ServiceRuntime);
    }
    attachments(settings, task);
    if let Some(log) = task.get("LogDriver") {
        options::log(settings, log.text("Name"), log.members("Options"));
    }
    if let Some(limits) = task.get("Resources").and_then(|resources| resources.get("Limits")) {
        settings.limit("memory", limits.number("MemoryBytes"));
        settings.limit("nanoCpus", limits.number("NanoCPUs"));
        settings.limit("pidsLimit", limits.number("Pids"));
    }
    if let Some(policy) = task.get("RestartPolicy") {
        settings.text("restartPolicy", policy.text("Condition"));
    }
    match task.get_mut("ContainerSpec") {
        Some(container) => container_spec(settings, container),
        None => Ok(()),
    }
}

fn attachments(settings: &mut Settings, value: &Value) {
    for attachment in value.list("Networks") {
        network::network_reference(settings, attachment.text("Target"));
        settings.risk_if(has_members(attachment, "DriverOpts"), Risk::EndpointOptions);
    }
}

fn container_spec(settings: &mut Settings, spec: &mut Value) -> Result<(), BodyError> {
    settings.image = Some(spec.text("Image").to_owned()).filter(|image| !image.is_empty());
    settings.text("image", spec.text("Image"));
    settings.text("user", spec.text("User"));
    settings.foreign_labels(spec);
    let field = "TaskTemplate.ContainerSpec";
    let keys = ["CapabilityAdd", "CapabilityDrop"];
    security::capabilities(settings, spec, keys, &format!("{field}.CapabilityAdd"))?;
    if let Some(privileges) = spec.get("Privileges") {
        let own = ["CredentialSpec", "SELinuxContext", "Seccomp", "AppArmor"];
        let any = own.iter().any(|name| has_members(privileges, name));
        settings.risk_if(any, Risk::SecurityOpt);
        settings.flag("noNewPrivileges", privileges.flag("NoNewPrivileges"));
    }
    mount::mounts(settings, spec, &format!("{field}.Mounts"))?;
    options::sysctls(settings, spec);
    settings.risk_if(has_items(spec, "Ulimits"), Risk::Ulimits);
    settings.risk_if(has_items(spec, "Groups"), Risk::GroupAdd);
    settings.risk_if(spec.number("OomScoreAdj").is_some_and(|score| score < 0), Risk::OomScore);
    settings.risk_if(!matches!(spec.text("Isolation"), "" | "default"), Risk::Isolation);
    let secrets = has_items(spec, "Secrets") || has_items(spec, "Configs");
    settings.risk_if(secrets, Risk::SwarmSecrets);
    Ok(())
}
