//! The clock, set forward and back by hours and by years, while a CA is asked by protocol.

use std::time::Duration;

use sealock_core::{Clock as _, ImportedName, Timestamp};

use super::Tried;
use crate::command::CertRequest;
use crate::error::{ErrorCode, ServiceError};
use crate::service::CorporateWorld;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const SPANS: [Duration; 5] =
    [HOUR, Duration::from_secs(30 * 3600), DAY, DAY.saturating_mul(9), DAY.saturating_mul(3000)];

fn name() -> ImportedName {
    "web".parse().unwrap()
}

/// A certificate that a CA is asked for.
fn asked() -> CorporateWorld {
    let world = CorporateWorld::with(
        "[upstream.corp]\nkind = \"acme\"\nurl = \"https://127.0.0.1:1/dir\"\n",
    );
    world.trust_root();
    world.request(wanted()).unwrap();
    world
}

fn wanted() -> CertRequest {
    CertRequest { upstream: Some("corp".into()), ..CorporateWorld::wanted() }
}

/// When it is asked for next, as the daemon sees it.
fn next(world: &CorporateWorld) -> Option<Timestamp> {
    world.service().keep_successors().unwrap();
    world.service().enrolments_due().unwrap().first().map(|(_, next)| *next)
}

fn settle(world: &CorporateWorld, tried: &Tried) {
    let key = world.service().enrolment(&name()).unwrap().key;
    world.service().settle_enrolment(&name(), &key, tried).unwrap();
}

fn fail(world: &CorporateWorld) {
    let error = ServiceError::new(ErrorCode::Unavailable, "the CA is away");
    settle(world, &Tried::Failed(error, None));
}

/// After a few failures: how long it is waited for the next try.
fn failing(tries: usize) -> (CorporateWorld, Duration) {
    let world = asked();
    for _ in 0..tries {
        world.clock.set(next(&world).unwrap().max(world.clock.now()));
        fail(&world);
    }
    let pause = next(&world).unwrap().since(world.clock.now());
    assert!(pause >= Duration::from_secs(60));
    (world, pause)
}

#[test]
fn a_clock_that_is_set_back_puts_the_next_try_off_no_further_and_hurries_it_no_more() {
    for tries in [1, 4, 12] {
        for span in SPANS {
            let (mut world, pause) = failing(tries);
            world.clock.set(world.clock.now().minus(span));
            let now = world.clock.now();
            let at = next(&world).unwrap();
            assert_eq!(at, now.plus(pause), "{tries} {span:?}");
            assert_eq!(next(&world), Some(at), "it does not move on with each look");
            world.reopen();
            assert_eq!(next(&world), Some(at), "nor with a start");
            world.clock.set(at);
            assert!(next(&world).unwrap() <= world.clock.now());
            fail(&world);
            assert!(next(&world).unwrap() > world.clock.now(), "no loop of tries");
        }
    }
    // A person who asks again is heard, whatever the clock was before.
    let (world, _) = failing(12);
    world.clock.set(world.clock.now().minus(400 * DAY));
    world.request(wanted()).unwrap();
    assert!(next(&world).unwrap() <= world.clock.now());
    // What a server puts off, too.
    let world = asked();
    settle(&world, &Tried::Later(DAY));
    world.clock.set(world.clock.now().minus(20 * HOUR));
    assert_eq!(next(&world), Some(world.clock.now().plus(DAY)));
}

#[test]
fn a_clock_that_is_set_forward_and_back_again_leaves_nothing_for_the_old_future() {
    for span in SPANS {
        let (world, _) = failing(3);
        world.clock.advance(span);
        assert!(next(&world).unwrap() <= world.clock.now().plus(HOUR), "{span:?}");
        world.clock.set(next(&world).unwrap().max(world.clock.now()));
        fail(&world);
        let pause = next(&world).unwrap().since(world.clock.now());
        world.clock.set(world.clock.now().minus(span));
        assert_eq!(next(&world), Some(world.clock.now().plus(pause)), "{span:?}");
    }
    // A first one that was never tried is due whatever the clock says.
    for span in SPANS {
        let world = asked();
        next(&world);
        world.clock.set(world.clock.now().minus(span));
        assert!(next(&world).unwrap() <= world.clock.now(), "{span:?}");
    }
}

#[test]
fn tries_in_vain_are_few_in_a_day_however_the_clock_jumps() {
    let mut tries = 0;
    let world = asked();
    for minute in 0..1440_u32 {
        world.clock.advance(Duration::from_secs(60));
        match minute % 240 {
            60 => world.clock.advance(5000 * DAY),
            70 => world.clock.set(world.clock.now().minus(5000 * DAY)),
            120 => world.clock.set(world.clock.now().minus(3 * HOUR)),
            180 => world.clock.advance(3 * HOUR),
            _ => {}
        }
        if next(&world).unwrap() <= world.clock.now() {
            fail(&world);
            tries += 1;
        }
    }
    // As many as on a day without, and one for each time that the clock goes forward.
    assert!((9..=9 + 12).contains(&tries), "{tries}");
}

/// The CA signs by its own clock, which is so far behind ours.
fn served(world: &CorporateWorld, behind: Duration) {
    let ours = world.clock.now();
    world.clock.set(ours.minus(behind));
    let leaf = world.sign(&world.standing().waiting.unwrap().csr, 90);
    world.clock.set(ours);
    world.import(&[leaf, world.issuing.2.clone()]).unwrap();
}

#[test]
fn a_clock_that_is_ahead_makes_no_loop_of_orders_and_is_forgotten_when_it_is_right() {
    let world = asked();
    served(&world, Duration::ZERO);
    assert_eq!(next(&world), None);
    // Two thirds of the life of whatever the CA signs now are over when it comes.
    world.clock.advance(80 * DAY);
    let mut orders = 0;
    for _ in 0..10 * 24 * 6 {
        if next(&world).is_some_and(|at| at <= world.clock.now()) {
            served(&world, 80 * DAY);
            orders += 1;
        }
        world.clock.advance(Duration::from_secs(600));
    }
    assert!((9..=11).contains(&orders), "about one a day: {orders}");
    if world.standing().waiting.is_some() {
        served(&world, 80 * DAY);
    }
    world.clock.set(world.clock.now().minus(80 * DAY));
    assert_eq!(next(&world), None, "what is held is good, and has its life before it");
    world.clock.advance(59 * DAY);
    assert_eq!(next(&world), None);
    world.clock.advance(2 * DAY);
    let at = next(&world).unwrap();
    assert!(at <= world.clock.now().plus(HOUR), "and is renewed in time");
    // A CSR that was made while the clock was ahead does not wait for that time.
    world.clock.set(world.clock.now().minus(HOUR * 30));
    assert!(next(&world).unwrap() <= world.clock.now().plus(HOUR));
}
