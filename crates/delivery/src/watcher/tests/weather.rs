//! Whatever happens to the containers, and in whatever order: once it is quiet, everything that runs is
//! served what was delivered last (or has the secret that is in the vault), nothing is left of what is gone,
//! and no alarm stays behind.

use std::time::Duration;

use proptest::prelude::*;

use super::super::status::{DeliveryState, VerifyState};
use super::fixture::{container, id, service, with_secret};
use super::simulation::{Conduct, Simulation};

#[derive(Debug, Clone)]
enum Happening {
    Start(u64),
    Restart(u64),
    Stop(u64),
    Destroy(u64),
    Conduct(u64, bool, bool, bool, bool),
    Pass(u32),
    SetBack(u32),
    Policy,
    /// A secret gets a new version, or is deleted.
    Vault(bool),
    Trust,
    Resync,
    WatcherRestarts,
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = 1_u64..4;
    prop_oneof![
        3 => which.clone().prop_map(Happening::Start),
        2 => which.clone().prop_map(Happening::Restart),
        1 => which.clone().prop_map(Happening::Stop),
        1 => which.clone().prop_map(Happening::Destroy),
        3 => (which, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(n, a, b, c, d)| Happening::Conduct(n, a, b, c, d)),
        4 => (0_u32..2000).prop_map(Happening::Pass),
        1 => (0_u32..100_000).prop_map(Happening::SetBack),
        1 => Just(Happening::Policy),
        3 => (0_u8..5).prop_map(|which| Happening::Vault(which > 0)),
        1 => Just(Happening::Trust),
        1 => Just(Happening::Resync),
        1 => Just(Happening::WatcherRestarts),
    ]
}

/// What the containers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fleet {
    Certificates,
    /// Certificates with key stores beside them.
    Stores,
    Secrets,
}

/// The vault's secret gets a version that it never had.
fn set(host: &mut Simulation) {
    host.version += 1;
    host.vault.set("prod/db", host.version);
}

fn happen(host: &mut Simulation, fleet: Fleet, happening: &Happening) {
    let there = |host: &Simulation, number: u64| host.containers.contains_key(&id(number));
    match *happening {
        Happening::Start(number) if !there(host, number) => {
            let name = format!("web{number}");
            host.start(match fleet {
                Fleet::Certificates | Fleet::Stores => {
                    let labels = [
                        ("sealock.cert.web.format", "jks"),
                        ("sealock.cert.web.password", "prod/db"),
                    ];
                    let labels = if fleet == Fleet::Stores { &labels[..] } else { &[] };
                    let mut new = container(number, &name, labels, host.now);
                    new.labels.extend(service("10m"));
                    new
                }
                Fleet::Secrets => with_secret(number, &name, host.now),
            });
        }
        Happening::Restart(number) if there(host, number) => host.restart(&id(number)),
        Happening::Stop(number) if there(host, number) => host.stop(&id(number)),
        Happening::Destroy(number) if there(host, number) => host.destroy(&id(number)),
        Happening::Conduct(number, denied, no_space, deaf, keeps_files) if there(host, number) => {
            let starts_empty = denied ^ deaf;
            host.model(&id(number)).conduct =
                Conduct { denied, no_space, deaf, keeps_files, starts_empty, ..Conduct::default() };
        }
        Happening::Pass(seconds) => host.pass(Duration::from_secs(seconds.into())),
        Happening::SetBack(seconds) => {
            host.now = host.now.minus(Duration::from_secs(seconds.into()));
            host.turn();
        }
        Happening::Policy => host.policy_epoch += 1,
        Happening::Vault(true) => set(host),
        Happening::Vault(false) => host.vault.0.clear(),
        Happening::Trust => {
            host.trust = format!("{}+", host.trust);
            host.trust_changed = host.now;
        }
        Happening::Resync => host.resync(),
        Happening::WatcherRestarts => host.restart_watcher(),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn after_any_weather_everything_is_served(
        fleet in prop_oneof![Just(Fleet::Certificates), Just(Fleet::Stores)],
        happenings in prop::collection::vec(happening(), 0..40)
    ) {
        let mut host = Simulation::new();
        for one in &happenings {
            happen(&mut host, fleet, one);
        }
        set(&mut host);
        for model in host.models.values_mut() {
            let keeps_files = model.conduct.keeps_files;
            model.conduct = Conduct { keeps_files, ..Conduct::default() };
        }
        host.policy_epoch += 1;
        let before: usize = host.models.values().map(|model| model.deliveries.len()).sum();
        host.resync();
        // One life of a certificate: what is renewed is told, and what was missed is looked at again.
        host.pass(Duration::from_secs(1200));
        let pending = |host: &mut Simulation| {
            host.status().iter().any(|one| {
                one.state != DeliveryState::Stopped
                    && matches!(one.verify, VerifyState::Pending { .. })
            })
        };
        // Those that were renewed a moment ago; the next renewal of each is minutes away.
        for _ in 0..10 {
            if pending(&mut host) {
                host.pass(Duration::from_secs(5));
            }
        }

        prop_assert_eq!(host.alarms(), []);
        prop_assert_eq!(host.status().len(), host.containers.len());
        for status in host.status() {
            if !host.containers[&status.container_id].running {
                prop_assert_eq!(status.state, DeliveryState::Stopped);
                continue;
            }
            prop_assert_eq!(status.state, DeliveryState::Delivered, "{:?}", status);
            prop_assert!(matches!(status.verify, VerifyState::Served { .. }), "{:?}", status);
            prop_assert!(status.not_after > Some(host.now), "{:?}", status);
            let model = host.models[&status.container_id].clone();
            prop_assert_eq!(model.files.values().next(), status.serial.as_ref());
        }
        for entry in host.book.entries.values().filter(|entry| entry.running()) {
            let password = entry.record.as_ref().unwrap().read_secret().map(|it| it.version);
            let now = (fleet == Fleet::Stores).then_some(host.version);
            prop_assert_eq!(password, now, "a store under an old password");
        }
        // Twenty minutes, lives of ten: one at once, then every six minutes and a bit.
        let after: usize = host.models.values().map(|model| model.deliveries.len()).sum();
        prop_assert!(after - before <= 5 * host.containers.len(), "{} deliveries", after - before);
    }

    #[test]
    fn after_any_weather_every_container_has_the_secret_of_now(
        happenings in prop::collection::vec(happening(), 0..40)
    ) {
        let mut host = Simulation::new();
        for one in &happenings {
            happen(&mut host, Fleet::Secrets, one);
        }
        for model in host.models.values_mut() {
            let keeps_files = model.conduct.keeps_files;
            model.conduct = Conduct { keeps_files, ..Conduct::default() };
        }
        host.policy_epoch += 1;
        set(&mut host);
        host.resync();
        host.pass(Duration::from_secs(600));

        prop_assert_eq!(host.alarms(), []);
        prop_assert_eq!(host.secrets().len(), host.containers.len());
        for status in host.secrets() {
            if !host.containers[&status.container_id].running {
                prop_assert_eq!(status.state, DeliveryState::Stopped);
                continue;
            }
            prop_assert_eq!(status.state, DeliveryState::Delivered, "{:?}", status);
            prop_assert_eq!(status.version, Some(host.version), "{:?}", status);
            let model = host.models[&status.container_id].clone();
            let there = Some(host.version.to_string());
            prop_assert_eq!(model.files.values().next(), there.as_ref());
            prop_assert_eq!(model.served, there, "a process works with an old one");
        }
        // Quiet: nothing is read, delivered or told any more.
        let before: Vec<_> = host.models.values().map(|one| (one.asked, one.signals.len())).collect();
        host.resync();
        host.pass(Duration::from_secs(7200));
        let after: Vec<_> = host.models.values().map(|one| (one.asked, one.signals.len())).collect();
        prop_assert_eq!(before, after);
    }
}
