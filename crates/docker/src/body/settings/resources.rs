//! Limits and devices: what a create and an update have in common.

use super::super::error::BodyError;
use super::super::json::Value;
use super::{Risk, Settings, has_items, host_path};

/// The fields of `Resources`, wherever they stand; `prefix` leads there.
pub(super) fn resources(
    settings: &mut Settings,
    value: &Value,
    prefix: &str,
) -> Result<(), BodyError> {
    settings.limit("memory", value.number("Memory"));
    settings.limit("nanoCpus", effective_cpus(value));
    settings.limit("pidsLimit", value.number("PidsLimit"));
    settings.risk_if(value.number("MemorySwap").is_some_and(|swap| swap < 0), Risk::LimitsLifted);
    settings.text("cgroupParent", value.text("CgroupParent"));
    settings.risk_if(!value.text("CgroupParent").is_empty(), Risk::CgroupParent);
    settings.risk_if(value.flag("OomKillDisable"), Risk::OomKillDisable);
    settings.risk_if(has_items(value, "Ulimits"), Risk::Ulimits);
    settings.risk_if(has_items(value, "DeviceCgroupRules"), Risk::DeviceCgroupRules);
    settings.risk_if(has_items(value, "DeviceRequests"), Risk::DeviceRequests);
    let realtime = ["CpuRealtimePeriod", "CpuRealtimeRuntime"];
    let any = realtime.iter().any(|field| value.number(field).is_some_and(|time| time != 0));
    settings.risk_if(any, Risk::CpuRealtime);
    for (place, device) in value.list("Devices").iter().enumerate() {
        settings.risk(Risk::Devices);
        let field = format!("{prefix}Devices[{place}].PathOnHost");
        settings.add("devices", host_path(device.text("PathOnHost"), &field)?);
    }
    Ok(())
}

/// The share of processors, by `NanoCpus` or by quota and period, in 10⁻⁹.
pub(in super::super) fn effective_cpus(value: &Value) -> Option<i64> {
    let nano = value.number("NanoCpus").filter(|nano| *nano > 0);
    nano.or_else(|| {
        let quota = value.number("CpuQuota").filter(|quota| *quota > 0)?;
        // The kernel's own period, in microseconds.
        let period = value.number("CpuPeriod").filter(|period| *period > 0).unwrap_or(100_000);
        i64::try_from(i128::from(quota) * 1_000_000_000 / i128::from(period)).ok()
    })
}
