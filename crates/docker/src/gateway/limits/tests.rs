use super::*;

fn most(number: u32) -> Most {
    NonZeroU32::new(number).map_or(Most::Off, Most::At)
}

fn quota(limits: &[(Limit, u32)]) -> Quota {
    limits.iter().map(|(limit, number)| (*limit, most(*number))).collect()
}

fn everybody(limits: &[(Limit, u32)]) -> Allowance {
    Quotas { everybody: quota(limits), named: BTreeMap::new() }.of("human/alice", &[])
}

/// How many of `tries` requests at that instant are let through.
fn passed(entered: &Entered, tries: usize, now: Instant) -> usize {
    (0..tries).filter(|_| entered.begin(now).is_ok()).count()
}

#[test]
fn a_burst_is_let_through_and_then_the_rate() {
    let limiter = Limiter::default();
    let allowance = everybody(&[(Limit::Rate, 10), (Limit::Burst, 5)]);
    let start = Instant::now();
    let entered = limiter.enter("alice", allowance, start).unwrap();
    assert_eq!(passed(&entered, 100, start), 5);
    let over = entered.begin(start).unwrap_err();
    assert_eq!((over.limit, over.most.get(), over.retry_after()), (Limit::Rate, 10, 1));
    assert_eq!(over.wait, Duration::from_millis(100));
    assert!(over.to_string().contains("gateway.rate allows 10 in a second"), "{over}");
    // Whoever waits as long as they are told gets one more, and exactly one.
    assert_eq!(passed(&entered, 100, start + over.wait), 1);
    // Refused requests cost nothing: after a second at the rate there are ten.
    let second = start + Duration::from_secs(1);
    let tries = (2..=10).map(|tenth| passed(&entered, 9, start + over.wait * tenth));
    assert_eq!(tries.sum::<usize>(), 9);
    assert_eq!(passed(&entered, 9, second), 0);
    // A pause earns a burst, and never more than one.
    assert_eq!(passed(&entered, 100, start + Duration::from_secs(3600)), 5);
}

#[test]
fn a_new_connection_is_no_new_budget() {
    let limiter = Limiter::default();
    let allowance = everybody(&[(Limit::Rate, 1), (Limit::Burst, 3)]);
    let start = Instant::now();
    let let_through: usize = (0..1000)
        .map(|_| passed(&limiter.enter("alice", allowance.clone(), start).unwrap(), 2, start))
        .sum();
    assert_eq!(let_through, 3);
    let other = limiter.enter("bob", allowance, start).unwrap();
    assert_eq!(passed(&other, 10, start), 3, "others have their own");
}

#[test]
fn what_is_under_way_is_counted_until_it_ends() {
    let limiter = Limiter::default();
    let allowance = everybody(&[(Limit::Concurrent, 2), (Limit::Connections, 2)]);
    let now = Instant::now();
    let enter = || limiter.enter("alice", allowance.clone(), now);
    let (first, second) = (enter().unwrap(), enter().unwrap());
    let over = enter().unwrap_err();
    assert_eq!(over.limit, Limit::Connections);
    assert!(over.to_string().contains("gateway.connections allows 2"), "{over}");
    let (one, two) = (first.begin(now).unwrap(), second.begin(now).unwrap());
    let over = first.begin(now).unwrap_err();
    assert_eq!((over.limit, over.retry_after()), (Limit::Concurrent, 1));
    drop(one);
    let three = second.begin(now).unwrap();
    assert!(first.begin(now).is_err());
    drop((two, three, first));
    assert!(enter().is_ok(), "a connection that ended leaves its place");
    assert_eq!(second.0.lock().running, 0);
}

#[test]
fn it_is_noted_once_in_a_minute() {
    let limiter = Limiter::default();
    let start = Instant::now();
    let entered = limiter.enter("a", everybody(&[(Limit::Rate, 1), (Limit::Burst, 1)]), start);
    let entered = entered.unwrap();
    // A second's worth is used up at each of the instants at which it is tried.
    let notes = |at: Duration| {
        let tries = (0..50).filter_map(|_| entered.begin(start + at).err());
        tries.filter(|over| over.note).count()
    };
    assert_eq!(notes(Duration::ZERO), 1);
    assert_eq!(notes(Duration::from_secs(59)), 0);
    assert_eq!(notes(Duration::from_secs(60)), 1);
    assert_eq!(notes(Duration::from_secs(61)), 0);
}

#[test]
fn the_nearest_setting_counts_and_of_several_groups_the_strictest() {
    let named = [
        ("group/ci", quota(&[(Limit::Rate, 50), (Limit::Burst, 400), (Limit::Concurrent, 9)])),
        ("group/slow", quota(&[(Limit::Rate, 20)])),
        ("group/free", quota(&[(Limit::Rate, 0), (Limit::Connections, 0)])),
        ("service/runner", quota(&[(Limit::Rate, 30)])),
    ];
    let quotas = Quotas {
        everybody: quota(&[(Limit::Rate, 500), (Limit::Burst, 1000), (Limit::Connections, 7)]),
        named: named.map(|(name, quota)| (name.to_owned(), quota)).into(),
    };
    let of = |member: &str, groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        quotas.of(member, &groups)
    };
    let plain = of("human/alice", &["readers"]);
    assert_eq!((plain.rate.most, plain.burst.get()), (most(500), 1000));
    assert_eq!((plain.connections.most, plain.concurrent.most), (most(7), Most::Off));
    let ci = of("human/alice", &["ci"]);
    assert_eq!((ci.rate.most, ci.burst.get(), ci.concurrent.most), (most(50), 400, most(9)));
    let both = of("human/alice", &["ci", "slow", "free"]);
    assert_eq!(both.rate.setting, "limits.\"group/slow\".rate");
    assert_eq!(both.connections.most, Most::Off, "a group may lift everybody's limit");
    let runner = of("service/runner", &["ci", "slow"]);
    assert_eq!(runner.rate.setting, "limits.\"service/runner\".rate");
    assert_eq!(runner.burst.get(), 60, "a burst that is set farther away than the rate is none");
    assert_eq!(runner.concurrent.most, most(9));
    assert_eq!(of("human/alice", &["free"]).burst, NonZeroU32::MAX);
}

#[test]
fn who_was_here_long_ago_is_forgotten() {
    let limiter = Limiter::default();
    let allowance = everybody(&[(Limit::Rate, 1), (Limit::Burst, 2)]);
    let start = Instant::now();
    let stays = limiter.enter("stays", allowance.clone(), start).unwrap();
    for number in 0..10_000 {
        let now = start + Duration::from_secs(number);
        let entered = limiter.enter(&number.to_string(), allowance.clone(), now).unwrap();
        assert_eq!(passed(&entered, 3, now), 2);
    }
    let known = limiter.0.lock();
    assert!(known.budgets.len() <= 2 * REMEMBERED, "{}", known.budgets.len());
    assert!(known.budgets.contains_key("stays"));
    drop(known);
    drop(stays);
}

#[test]
fn numbers_and_off_are_limits_and_nothing_else_is() {
    assert_eq!("off".parse(), Ok(Most::Off));
    assert_eq!("20".parse(), Ok(most(20)));
    for bad in ["", "0", "-1", "1.5", "4294967296", "none", " 1"] {
        assert!(bad.parse::<Most>().is_err(), "{bad}");
    }
}
