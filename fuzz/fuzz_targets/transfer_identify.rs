//! What a container process reads about itself: control groups, mounts, host name, status files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealock_transfer::identify::{
    from_cgroup, from_hostname, from_mountinfo, pid_namespace, started,
};

fuzz_target!(|text: &[u8]| {
    let hexadecimal = |id: &str| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    for found in [from_cgroup(text), from_mountinfo(text)].into_iter().flatten().flatten() {
        let id = found.to_string();
        assert!(hexadecimal(&id), "{id}");
        assert!(String::from_utf8_lossy(text).contains(&id), "made up: {id}");
    }
    let _ = from_hostname(text);
    let _ = pid_namespace(text);
    let (process, system) = text.split_at(text.len() / 2);
    let _ = started(process, system);
});
