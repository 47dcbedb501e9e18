//! The names of what reaches beyond a plain container.

macro_rules! risks {
    ($($name:ident = $text:literal,)*) => {
        /// Something in a request that reaches beyond a plain container. The table is in the
        /// [module's documentation](super).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the table in the module's documentation says it of each")]
        pub enum Risk { $($name,)* }

        impl Risk {
            /// Every risk there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in the set `context.risks`; it stays the same.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

risks! {
    Annotations = "annotations",
    Buildkit = "buildkit",
    BuildOutputs = "build-outputs",
    BuildRemote = "build-remote",
    CapAdd = "cap-add",
    Cgroup = "cgroup",
    CgroupnsMode = "cgroupns-mode",
    CgroupParent = "cgroup-parent",
    ClusterVolume = "cluster-volume",
    CommitChanges = "commit-changes",
    ContainerIdFile = "container-id-file",
    CpuRealtime = "cpu-realtime",
    DeviceCgroupRules = "device-cgroup-rules",
    DeviceRequests = "device-requests",
    Devices = "devices",
    EndpointOptions = "endpoint-options",
    GroupAdd = "group-add",
    InitPath = "init-path",
    IpcMode = "ipc-mode",
    Isolation = "isolation",
    LimitsLifted = "limits-lifted",
    Links = "links",
    LogConfig = "log-config",
    MaskedPaths = "masked-paths",
    MountPropagation = "mount-propagation",
    MountType = "mount-type",
    NetworkDriver = "network-driver",
    NetworkMode = "network-mode",
    NetworkOptions = "network-options",
    NetworkSubnet = "network-subnet",
    OomKillDisable = "oom-kill-disable",
    OomScore = "oom-score",
    PidMode = "pid-mode",
    Privileged = "privileged",
    PublishedPorts = "published-ports",
    Relabel = "relabel",
    Runtime = "runtime",
    SealockLabels = "sealock-labels",
    SecurityOpt = "security-opt",
    ServiceRuntime = "service-runtime",
    StorageOpt = "storage-opt",
    SwarmSecrets = "swarm-secrets",
    Sysctls = "sysctls",
    TmpfsOptions = "tmpfs-options",
    Ulimits = "ulimits",
    UnknownField = "unknown-field",
    UsernsMode = "userns-mode",
    UtsMode = "uts-mode",
    VolumeDriver = "volume-driver",
    VolumeOptions = "volume-options",
    VolumesFrom = "volumes-from",
}
