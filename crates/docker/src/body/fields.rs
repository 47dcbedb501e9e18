//! The fields of the API 1.24 to 1.51, object by object.
//!
//! A name that is missing here is an unknown field, and a request with it is one with a risk. So what is
//! added here has to be looked at by `settings` too, unless it is harmless.

use super::shape::Kind::{
    Anything, Flag, Natural, Object, ObjectListMap, ObjectMap, Objects, Ratio, Set, Text,
    TextLists, TextMap, TextOrTexts, Texts, Whole, Wholes,
};
use super::shape::Shape;

/// The body of a create: a container's configuration with what goes beside it.
pub(super) static CREATE: Shape = Shape(&[
    ("Hostname", Text),
    ("Domainname", Text),
    ("User", Text),
    ("AttachStdin", Flag),
    ("AttachStdout", Flag),
    ("AttachStderr", Flag),
    ("ExposedPorts", Set),
    ("Tty", Flag),
    ("OpenStdin", Flag),
    ("StdinOnce", Flag),
    ("Env", Texts),
    ("Cmd", TextOrTexts),
    ("Healthcheck", Object(&HEALTH)),
    ("ArgsEscaped", Flag),
    ("Image", Text),
    ("Volumes", Set),
    ("WorkingDir", Text),
    ("Entrypoint", TextOrTexts),
    ("NetworkDisabled", Flag),
    ("MacAddress", Text),
    ("OnBuild", Texts),
    ("Labels", TextMap),
    ("StopSignal", Text),
    ("StopTimeout", Whole),
    ("Shell", TextOrTexts),
    ("HostConfig", Object(&HOST)),
    ("NetworkingConfig", Object(&NETWORKING)),
]);

static HEALTH: Shape = Shape(&[
    ("Test", Texts),
    ("Interval", Whole),
    ("Timeout", Whole),
    ("StartPeriod", Whole),
    ("StartInterval", Whole),
    ("Retries", Whole),
]);

/// `HostConfig`.
pub(super) static HOST: Shape = Shape(&[
    ("Binds", Texts),
    ("ContainerIDFile", Text),
    ("LogConfig", Object(&LOG)),
    ("NetworkMode", Text),
    ("PortBindings", ObjectListMap(&PORT_BINDING)),
    ("RestartPolicy", Object(&RESTART)),
    ("AutoRemove", Flag),
    ("VolumeDriver", Text),
    ("VolumesFrom", Texts),
    ("ConsoleSize", Wholes),
    ("Annotations", TextMap),
    ("CapAdd", TextOrTexts),
    ("CapDrop", TextOrTexts),
    ("CgroupnsMode", Text),
    ("Dns", Texts),
    ("DnsOptions", Texts),
    ("DnsSearch", Texts),
    ("ExtraHosts", Texts),
    ("GroupAdd", Texts),
    ("IpcMode", Text),
    ("Cgroup", Text),
    ("Links", Texts),
    ("OomScoreAdj", Whole),
    ("PidMode", Text),
    ("Privileged", Flag),
    ("PublishAllPorts", Flag),
    ("ReadonlyRootfs", Flag),
    ("SecurityOpt", Texts),
    ("StorageOpt", TextMap),
    ("Tmpfs", TextMap),
    ("UTSMode", Text),
    ("UsernsMode", Text),
    ("ShmSize", Whole),
    ("Sysctls", TextMap),
    ("Runtime", Text),
    ("Isolation", Text),
    ("Mounts", Objects(&MOUNT)),
    ("MaskedPaths", Texts),
    ("ReadonlyPaths", Texts),
    ("Init", Flag),
    ("InitPath", Text),
    // From here on: Resources, which are in the body of an update too.
    ("CpuShares", Whole),
    ("Memory", Whole),
    ("NanoCpus", Whole),
    ("CgroupParent", Text),
    ("BlkioWeight", Natural),
    ("BlkioWeightDevice", Objects(&WEIGHT_DEVICE)),
    ("BlkioDeviceReadBps", Objects(&THROTTLE_DEVICE)),
    ("BlkioDeviceWriteBps", Objects(&THROTTLE_DEVICE)),
    ("BlkioDeviceReadIOps", Objects(&THROTTLE_DEVICE)),
    ("BlkioDeviceWriteIOps", Objects(&THROTTLE_DEVICE)),
    ("CpuPeriod", Whole),
    ("CpuQuota", Whole),
    ("CpuRealtimePeriod", Whole),
    ("CpuRealtimeRuntime", Whole),
    ("CpusetCpus", Text),
    ("CpusetMems", Text),
    ("Devices", Objects(&DEVICE)),
    ("DeviceCgroupRules", Texts),
    ("DeviceRequests", Objects(&DEVICE_REQUEST)),
    ("KernelMemory", Whole),
    ("KernelMemoryTCP", Whole),
    ("MemoryReservation", Whole),
    ("MemorySwap", Whole),
    ("MemorySwappiness", Whole),
    ("OomKillDisable", Flag),
    ("PidsLimit", Whole),
    ("Ulimits", Objects(&ULIMIT)),
    ("CpuCount", Whole),
    ("CpuPercent", Whole),
    ("IOMaximumIOps", Natural),
    ("IOMaximumBandwidth", Natural),
]);

/// The body of an update: `Resources` and the restart policy.
pub(super) static UPDATE: Shape = Shape(&[
    ("RestartPolicy", Object(&RESTART)),
    ("CpuShares", Whole),
    ("Memory", Whole),
    ("NanoCpus", Whole),
    ("CgroupParent", Text),
    ("BlkioWeight", Natural),
    ("BlkioWeightDevice", Objects(&WEIGHT_DEVICE)),
    ("BlkioDeviceReadBps", Objects(&THROTTLE_DEVICE)),
    ("BlkioDeviceWriteBps", Objects(&THROTTLE_DEVICE)),
    ("BlkioDeviceReadIOps", Objects(&THROTTLE_DEVICE)),
    ("BlkioDeviceWriteIOps", Objects(&THROTTLE_DEVICE)),
    ("CpuPeriod", Whole),
    ("CpuQuota", Whole),
    ("CpuRealtimePeriod", Whole),
    ("CpuRealtimeRuntime", Whole),
    ("CpusetCpus", Text),
    ("CpusetMems", Text),
    ("Devices", Objects(&DEVICE)),
    ("DeviceCgroupRules", Texts),
    ("DeviceRequests", Objects(&DEVICE_REQUEST)),
    ("KernelMemory", Whole),
    ("KernelMemoryTCP", Whole),
    ("MemoryReservation", Whole),
    ("MemorySwap", Whole),
    ("MemorySwappiness", Whole),
    ("OomKillDisable", Flag),
    ("PidsLimit", Whole),
    ("Ulimits", Objects(&ULIMIT)),
    ("CpuCount", Whole),
    ("CpuPercent", Whole),
    ("IOMaximumIOps", Natural),
    ("IOMaximumBandwidth", Natural),
]);

static LOG: Shape = Shape(&[("Type", Text), ("Config", TextMap)]);
static PORT_BINDING: Shape = Shape(&[("HostIp", Text), ("HostPort", Text)]);
static RESTART: Shape = Shape(&[("Name", Text), ("MaximumRetryCount", Whole)]);
static WEIGHT_DEVICE: Shape = Shape(&[("Path", Text), ("Weight", Natural)]);
static THROTTLE_DEVICE: Shape = Shape(&[("Path", Text), ("Rate", Natural)]);
static ULIMIT: Shape = Shape(&[("Name", Text), ("Hard", Whole), ("Soft", Whole)]);
static DEVICE: Shape =
    Shape(&[("PathOnHost", Text), ("PathInContainer", Text), ("CgroupPermissions", Text)]);
static DEVICE_REQUEST: Shape = Shape(&[
    ("Driver", Text),
    ("Count", Whole),
    ("DeviceIDs", Texts),
    ("Capabilities", TextLists),
    ("Options", TextMap),
]);

static MOUNT: Shape = Shape(&[
    ("Type", Text),
    ("Source", Text),
    ("Target", Text),
    ("ReadOnly", Flag),
    ("Consistency", Text),
    ("BindOptions", Object(&BIND_OPTIONS)),
    ("VolumeOptions", Object(&VOLUME_OPTIONS)),
    ("ImageOptions", Object(&IMAGE_OPTIONS)),
    ("TmpfsOptions", Object(&TMPFS_OPTIONS)),
    ("ClusterOptions", Object(&NOTHING)),
]);
static BIND_OPTIONS: Shape = Shape(&[
    ("Propagation", Text),
    ("NonRecursive", Flag),
    ("CreateMountpoint", Flag),
    ("ReadOnlyNonRecursive", Flag),
    ("ReadOnlyForceRecursive", Flag),
]);
static VOLUME_OPTIONS: Shape = Shape(&[
    ("NoCopy", Flag),
    ("Labels", TextMap),
    ("Subpath", Text),
    ("DriverConfig", Object(&DRIVER)),
]);
static IMAGE_OPTIONS: Shape = Shape(&[("Subpath", Text)]);
static TMPFS_OPTIONS: Shape =
    Shape(&[("SizeBytes", Whole), ("Mode", Natural), ("Options", TextLists)]);
static DRIVER: Shape = Shape(&[("Name", Text), ("Options", TextMap)]);
static NOTHING: Shape = Shape(&[]);

static NETWORKING: Shape = Shape(&[("EndpointsConfig", ObjectMap(&ENDPOINT))]);
static ENDPOINT: Shape = Shape(&[
    ("IPAMConfig", Object(&ENDPOINT_IPAM)),
    ("Links", Texts),
    ("Aliases", Texts),
    ("MacAddress", Text),
    ("DriverOpts", TextMap),
    ("GwPriority", Whole),
    // What an inspect gives, and what programs that make a container anew send back.
    ("NetworkID", Text),
    ("EndpointID", Text),
    ("Gateway", Text),
    ("IPAddress", Text),
    ("IPPrefixLen", Whole),
    ("IPv6Gateway", Text),
    ("GlobalIPv6Address", Text),
    ("GlobalIPv6PrefixLen", Whole),
    ("DNSNames", Texts),
]);
static ENDPOINT_IPAM: Shape =
    Shape(&[("IPv4Address", Text), ("IPv6Address", Text), ("LinkLocalIPs", Texts)]);

pub(super) static EXEC: Shape = Shape(&[
    ("User", Text),
    ("Privileged", Flag),
    ("Tty", Flag),
    ("ConsoleSize", Wholes),
    ("AttachStdin", Flag),
    ("AttachStderr", Flag),
    ("AttachStdout", Flag),
    ("Detach", Flag),
    ("DetachKeys", Text),
    ("Env", Texts),
    ("WorkingDir", Text),
    ("Cmd", TextOrTexts),
    // The path names the container; old clients repeat it here, and the engine reads past it.
    ("Container", Text),
]);
pub(super) static EXEC_START: Shape =
    Shape(&[("Detach", Flag), ("Tty", Flag), ("ConsoleSize", Wholes)]);

pub(super) static NETWORK_CREATE: Shape = Shape(&[
    ("Name", Text),
    ("CheckDuplicate", Flag),
    ("Driver", Text),
    ("Scope", Text),
    ("EnableIPv4", Flag),
    ("EnableIPv6", Flag),
    ("IPAM", Object(&IPAM)),
    ("Internal", Flag),
    ("Attachable", Flag),
    ("Ingress", Flag),
    ("ConfigOnly", Flag),
    ("ConfigFrom", Object(&CONFIG_FROM)),
    ("Options", TextMap),
    ("Labels", TextMap),
]);
static IPAM: Shape =
    Shape(&[("Driver", Text), ("Options", TextMap), ("Config", Objects(&IPAM_CONFIG))]);
static IPAM_CONFIG: Shape = Shape(&[
    ("Subnet", Text),
    ("IPRange", Text),
    ("Gateway", Text),
    ("AuxiliaryAddresses", TextMap),
]);
static CONFIG_FROM: Shape = Shape(&[("Network", Text)]);
pub(super) static NETWORK_CONNECT: Shape =
    Shape(&[("Container", Text), ("EndpointConfig", Object(&ENDPOINT))]);
pub(super) static NETWORK_DISCONNECT: Shape = Shape(&[("Container", Text), ("Force", Flag)]);

pub(super) static VOLUME_CREATE: Shape = Shape(&[
    ("Name", Text),
    ("Driver", Text),
    ("DriverOpts", TextMap),
    ("Labels", TextMap),
    ("ClusterVolumeSpec", Anything),
]);
pub(super) static VOLUME_UPDATE: Shape = Shape(&[("Spec", Anything)]);

/// The body of a service's create and update.
pub(super) static SERVICE: Shape = Shape(&[
    ("Name", Text),
    ("Labels", TextMap),
    ("TaskTemplate", Object(&TASK)),
    ("Mode", Object(&SERVICE_MODE)),
    ("UpdateConfig", Object(&ROLLING)),
    ("RollbackConfig", Object(&ROLLING)),
    ("Networks", Objects(&ATTACHMENT)),
    ("EndpointSpec", Object(&ENDPOINT_SPEC)),
]);
static TASK: Shape = Shape(&[
    ("ContainerSpec", Object(&SERVICE_CONTAINER)),
    ("PluginSpec", Anything),
    ("NetworkAttachmentSpec", Anything),
    ("Resources", Object(&SERVICE_RESOURCES)),
    ("RestartPolicy", Object(&SERVICE_RESTART)),
    ("Placement", Object(&PLACEMENT)),
    ("Networks", Objects(&ATTACHMENT)),
    ("LogDriver", Object(&DRIVER)),
    ("ForceUpdate", Natural),
    ("Runtime", Text),
]);
static SERVICE_CONTAINER: Shape = Shape(&[
    ("Image", Text),
    ("Labels", TextMap),
    ("Command", Texts),
    ("Args", Texts),
    ("Hostname", Text),
    ("Env", Texts),
    ("Dir", Text),
    ("User", Text),
    ("Groups", Texts),
    ("Privileges", Object(&PRIVILEGES)),
    ("Init", Flag),
    ("StopSignal", Text),
    ("TTY", Flag),
    ("OpenStdin", Flag),
    ("ReadOnly", Flag),
    ("Mounts", Objects(&MOUNT)),
    ("StopGracePeriod", Whole),
    ("Healthcheck", Object(&HEALTH)),
    ("Hosts", Texts),
    ("DNSConfig", Object(&DNS)),
    ("Secrets", Objects(&REFERENCE)),
    ("Configs", Objects(&REFERENCE)),
    ("Isolation", Text),
    ("Sysctls", TextMap),
    ("CapabilityAdd", Texts),
    ("CapabilityDrop", Texts),
    ("Ulimits", Objects(&ULIMIT)),
    ("OomScoreAdj", Whole),
]);
static PRIVILEGES: Shape = Shape(&[
    ("CredentialSpec", Object(&CREDENTIAL_SPEC)),
    ("SELinuxContext", Object(&SELINUX)),
    ("Seccomp", Object(&SECCOMP)),
    ("AppArmor", Object(&APPARMOR)),
    ("NoNewPrivileges", Flag),
]);
static CREDENTIAL_SPEC: Shape = Shape(&[("Config", Text), ("File", Text), ("Registry", Text)]);
static SELINUX: Shape =
    Shape(&[("Disable", Flag), ("User", Text), ("Role", Text), ("Type", Text), ("Level", Text)]);
static SECCOMP: Shape = Shape(&[("Mode", Text), ("Profile", Text)]);
static APPARMOR: Shape = Shape(&[("Mode", Text)]);
static DNS: Shape = Shape(&[("Nameservers", Texts), ("Search", Texts), ("Options", Texts)]);
static REFERENCE: Shape = Shape(&[
    ("File", Object(&REFERENCE_FILE)),
    ("Runtime", Object(&NOTHING)),
    ("SecretID", Text),
    ("SecretName", Text),
    ("ConfigID", Text),
    ("ConfigName", Text),
]);
static REFERENCE_FILE: Shape =
    Shape(&[("Name", Text), ("UID", Text), ("GID", Text), ("Mode", Natural)]);
static SERVICE_RESOURCES: Shape = Shape(&[
    ("Limits", Object(&SERVICE_LIMITS)),
    ("Reservations", Object(&SERVICE_RESERVATIONS)),
    ("SwapBytes", Whole),
    ("MemorySwappiness", Whole),
]);
static SERVICE_LIMITS: Shape =
    Shape(&[("NanoCPUs", Whole), ("MemoryBytes", Whole), ("Pids", Whole)]);
static SERVICE_RESERVATIONS: Shape = Shape(&[
    ("NanoCPUs", Whole),
    ("MemoryBytes", Whole),
    ("GenericResources", Objects(&GENERIC_RESOURCE)),
]);
static GENERIC_RESOURCE: Shape = Shape(&[
    ("NamedResourceSpec", Object(&NAMED_RESOURCE)),
    ("DiscreteResourceSpec", Object(&DISCRETE_RESOURCE)),
]);
static NAMED_RESOURCE: Shape = Shape(&[("Kind", Text), ("Value", Text)]);
static DISCRETE_RESOURCE: Shape = Shape(&[("Kind", Text), ("Value", Whole)]);
static SERVICE_RESTART: Shape =
    Shape(&[("Condition", Text), ("Delay", Whole), ("MaxAttempts", Natural), ("Window", Whole)]);
static PLACEMENT: Shape = Shape(&[
    ("Constraints", Texts),
    ("Preferences", Objects(&PREFERENCE)),
    ("MaxReplicas", Natural),
    ("Platforms", Objects(&PLATFORM)),
]);
static PREFERENCE: Shape = Shape(&[("Spread", Object(&SPREAD))]);
static SPREAD: Shape = Shape(&[("SpreadDescriptor", Text)]);
static PLATFORM: Shape = Shape(&[("Architecture", Text), ("OS", Text)]);
static ATTACHMENT: Shape = Shape(&[("Target", Text), ("Aliases", Texts), ("DriverOpts", TextMap)]);
static SERVICE_MODE: Shape = Shape(&[
    ("Replicated", Object(&REPLICATED)),
    ("Global", Object(&NOTHING)),
    ("ReplicatedJob", Object(&REPLICATED_JOB)),
    ("GlobalJob", Object(&NOTHING)),
]);
static REPLICATED: Shape = Shape(&[("Replicas", Natural)]);
static REPLICATED_JOB: Shape = Shape(&[("MaxConcurrent", Natural), ("TotalCompletions", Natural)]);
static ROLLING: Shape = Shape(&[
    ("Parallelism", Natural),
    ("Delay", Whole),
    ("FailureAction", Text),
    ("Monitor", Whole),
    ("MaxFailureRatio", Ratio),
    ("Order", Text),
]);
static ENDPOINT_SPEC: Shape = Shape(&[("Mode", Text), ("Ports", Objects(&SERVICE_PORT))]);
static SERVICE_PORT: Shape = Shape(&[
    ("Name", Text),
    ("Protocol", Text),
    ("TargetPort", Natural),
    ("PublishedPort", Natural),
    ("PublishMode", Text),
]);
