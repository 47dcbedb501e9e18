//! Everything that puts a folder, a volume or a device into a container.

use std::collections::BTreeMap;

use super::super::error::BodyError;
use super::super::json::Value;
use super::options::is_plain_tmpfs;
use super::{Risk, Settings, host_path};

/// A path of the host that is to be mounted: the question `Docker::Mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// Absolute and normalised.
    pub path: String,
    /// Whether nothing can be written through it.
    pub read_only: bool,
    /// Such as `rshared`, where the caller says one.
    pub propagation: Option<String>,
}

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// What a bind may say behind its second colon.
const BIND_WORDS: [&str; 9] =
    ["", "rw", "ro", "z", "Z", "nocopy", "consistent", "cached", "delegated"];

/// `Binds`, `Mounts` and `Tmpfs`; sources are written back normalised, so that the engine opens the path
/// that was decided on.
pub(super) fn host_mounts(settings: &mut Settings, host: &mut Value) -> Result<(), BodyError> {
    if let Some(Value::List(binds)) = host.get_mut("Binds") {
        for (place, bind) in binds.iter_mut().enumerate() {
            if let Value::Text(text) = bind {
                *text = self::bind(settings, text, &format!("HostConfig.Binds[{place}]"))?;
            }
        }
    }
    mounts(settings, host, "HostConfig.Mounts")?;
    for (_, options) in host.members("Tmpfs") {
        let plain = is_plain_tmpfs(options.as_text().unwrap_or_default());
        settings.risk_if(!plain, Risk::TmpfsOptions);
    }
    Ok(())
}

/// `[SOURCE:]TARGET[:OPTIONS]`, as the engine reads it on Linux.
fn bind(settings: &mut Settings, text: &str, field: &str) -> Result<String, BodyError> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, words) = match parts.as_slice() {
        // A folder in the container for a volume without a name.
        [target] => return Ok((*target).to_owned()),
        [source, target] => (*source, *target, None),
        [source, target, words] => (*source, *target, Some(*words)),
        _ => return Err(BodyError::value(field, "has more than three parts")),
    };
    if !target.starts_with('/') {
        return Err(BodyError::value(field, "has to name an absolute path in the container"));
    }
    let words_list: Vec<&str> = words.unwrap_or_default().split(',').collect();
    let known = |word: &&str| BIND_WORDS.contains(word) || PROPAGATIONS.contains(word);
    if !words_list.iter().all(known) {
        return Err(BodyError::value(field, "has an option that is not known"));
    }
    settings.risk_if(words_list.iter().any(|word| matches!(*word, "z" | "Z")), Risk::Relabel);
    let read_only = words_list.contains(&"ro");
    let propagation = words_list.iter().rfind(|word| PROPAGATIONS.contains(word)).copied();
    propagates(settings, propagation);
    let source = if source.starts_with('/') {
        let path = host_path(source, field)?;
        mount(settings, &path, read_only, propagation);
        settings.add("mountTypes", "bind");
        path
    } else {
        volume_name(settings, source, field)?;
        settings.add("mountTypes", "volume");
        source.to_owned()
    };
    let words = words.map(|words| format!(":{words}")).unwrap_or_default();
    Ok(format!("{source}:{target}{words}"))
}

/// The objects under `Mounts`, of a container and of a service alike.
pub(super) fn mounts(
    settings: &mut Settings,
    value: &mut Value,
    field: &str,
) -> Result<(), BodyError> {
    if let Some(Value::List(mounts)) = value.get_mut("Mounts") {
        for (place, mount) in mounts.iter_mut().enumerate() {
            one_mount(settings, mount, &format!("{field}[{place}]"))?;
        }
    }
    Ok(())
}

fn one_mount(settings: &mut Settings, value: &mut Value, field: &str) -> Result<(), BodyError> {
    let source_field = format!("{field}.Source");
    let kind = value.text("Type").to_owned();
    settings.add("mountTypes", kind.as_str());
    let source = value.text("Source").to_owned();
    match kind.as_str() {
        "bind" => {
            let path = host_path(&source, &source_field)?;
            let propagation = value.get("BindOptions").map(|options| options.text("Propagation"));
            let propagation = propagation.filter(|word| !word.is_empty());
            propagates(settings, propagation);
            mount(settings, &path, value.flag("ReadOnly"), propagation);
            value.set("Source", Value::Text(path));
        }
        "volume" if !source.is_empty() => volume_name(settings, &source, &source_field)?,
        "volume" => {}
        "tmpfs" => {
            // Pairs and single words; the engine writes them one after the other.
            let options = value.get("TmpfsOptions").map_or(&[][..], |all| all.list("Options"));
            let plain = options.iter().all(|option| match option {
                Value::List(words) => {
                    let words: Vec<&str> = words.iter().filter_map(Value::as_text).collect();
                    is_plain_tmpfs(&words.join("="))
                }
                _ => false,
            });
            settings.risk_if(!plain, Risk::TmpfsOptions);
        }
        _ => settings.risk(Risk::MountType),
    }
    // Whatever the type: an engine that reads them for another one than ours is not worth the trust.
    if let Some(options) = value.get("VolumeOptions") {
        settings.foreign_labels(options);
        if let Some(driver) = options.get("DriverConfig") {
            let field = format!("{field}.VolumeOptions.DriverConfig.Options");
            volume_driver(settings, driver.text("Name"), driver.members("Options"), &field)?;
        }
    }
    Ok(())
}

/// The body of a volume's create.
pub(in super::super) fn volume_create(
    settings: &mut Settings,
    body: &Value,
) -> Result<(), BodyError> {
    settings.labels_of(body);
    let name = body.text("Name");
    if !name.is_empty() {
        volume_name(settings, name, "Name")?;
    }
    settings.risk_if(body.get("ClusterVolumeSpec").is_some(), Risk::ClusterVolume);
    volume_driver(settings, body.text("Driver"), body.members("DriverOpts"), "DriverOpts")
}

pub(super) fn is_local(driver: &str) -> bool {
    matches!(driver, "" | "local")
}

fn volume_name(settings: &mut Settings, name: &str, field: &str) -> Result<(), BodyError> {
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !good {
        return Err(BodyError::value(field, "is neither an absolute path nor a volume's name"));
    }
    settings.add("volumes", name);
    settings.volumes.insert(name.to_owned());
    Ok(())
}

/// A volume's driver and its options: for the local one they are the arguments of `mount(2)`.
fn volume_driver(
    settings: &mut Settings,
    driver: &str,
    options: &[(String, Value)],
    field: &str,
) -> Result<(), BodyError> {
    settings.text("volumeDriver", driver);
    if !is_local(driver) {
        settings.risk(Risk::VolumeDriver);
        settings.risk_if(!options.is_empty(), Risk::VolumeOptions);
        return Ok(());
    }
    let option = |name: &str| {
        let found = options.iter().find(|(key, _)| key == name);
        found.and_then(|(_, value)| value.as_text()).unwrap_or_default()
    };
    let known = options.iter().all(|(key, _)| matches!(key.as_str(), "type" | "o" | "device"));
    let (kind, words, device) = (option("type"), option("o"), option("device"));
    // The device of a tmpfs is a name only.
    let tmpfs = kind == "tmpfs" && known && is_plain_tmpfs(words) && !device.contains('/');
    if tmpfs || options.is_empty() {
        return Ok(());
    }
    settings.risk(Risk::VolumeOptions);
    let network = matches!(kind, "cifs" | "smb3" | "nfs" | "nfs4");
    local_mounts(settings, words, Some(device).filter(|_| !network).unwrap_or_default(), field)
}

/// The paths that the local driver would mount.
fn local_mounts(
    settings: &mut Settings,
    words: &str,
    device: &str,
    field: &str,
) -> Result<(), BodyError> {
    let words: Vec<&str> = words.split(',').collect();
    let read_only = words.contains(&"ro");
    let propagation = words.iter().rfind(|word| PROPAGATIONS.contains(word)).copied();
    propagates(settings, propagation);
    // A relative one would be looked up from the engine's own folder, and is refused.
    let binds = words.iter().any(|word| matches!(*word, "bind" | "rbind"));
    if device.starts_with('/') || binds {
        let path = host_path(device, field)?;
        mount(settings, &path, read_only, propagation);
    }
    for word in words {
        let Some((key, folders)) = word.split_once('=') else {
            continue;
        };
        let layers = matches!(key, "lowerdir" | "lowerdir+" | "datadir+" | "upperdir" | "workdir");
        if !layers {
            continue;
        }
        if folders.contains('\\') {
            return Err(BodyError::value(field, "must not have a backslash in a folder"));
        }
        let read_only = read_only || key == "lowerdir";
        for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
            let path = host_path(folder, field)?;
            mount(settings, &path, read_only, propagation);
        }
    }
    Ok(())
}

/// What a volume that is there already mounts, by its driver and its options: whoever may mount it gets that.
pub fn existing_volume(
    driver: &str,
    options: &BTreeMap<String, String>,
) -> Result<(Vec<HostMount>, Vec<Risk>), BodyError> {
    let mut settings = Settings::default();
    let options: Vec<(String, Value)> =
        options.iter().map(|(key, value)| (key.clone(), Value::Text(value.clone()))).collect();
    volume_driver(&mut settings, driver, &options, "Options")?;
    Ok((settings.mounts, settings.risks.into_iter().collect()))
}

fn propagates(settings: &mut Settings, propagation: Option<&str>) {
    let beyond = propagation.is_some_and(|word| matches!(word, "shared" | "rshared"));
    settings.risk_if(beyond, Risk::MountPropagation);
}

fn mount(settings: &mut Settings, path: &str, read_only: bool, propagation: Option<&str>) {
    settings.add("bindSources", path);
    settings.mounts.push(HostMount {
        path: path.to_owned(),
        read_only,
        propagation: propagation.map(str::to_owned),
    });
}
