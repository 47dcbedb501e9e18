use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn cli() -> Program {
    Program { name: "sealock-cli".to_owned(), proved: false }
}

fn begun(devices: &mut Devices, origin: &str, second: i64) -> Begun {
    let origin = DeviceOrigin::named(origin);
    devices.begin(&cli(), Some("alice".into()), &origin, at(second)).unwrap().unwrap()
}

fn alice() -> Approved {
    let user = "spiffe://t.sealock/human/alice".parse().unwrap();
    Approved { user, life: Duration::from_secs(3600) }
}

#[test]
fn a_program_waits_asks_and_is_told_once() {
    let mut devices = Devices::default();
    let login = begun(&mut devices, "10.0.0.1", 0);
    let code = login.device_code.as_str();
    assert_eq!(devices.poll(&cli(), code, at(5)), Polled::Pending);
    assert_eq!(devices.poll(&cli(), code, at(7)), Polled::SlowDown);
    assert_eq!(devices.poll(&cli(), code, at(12)), Polled::SlowDown, "10 s from now on");
    assert_eq!(devices.poll(&cli(), code, at(27)), Polled::Pending);
    let others = [Program { name: "other".to_owned(), ..cli() }, Program { proved: true, ..cli() }];
    for other in others {
        let answer = devices.poll(&other, code, at(50));
        assert_eq!(answer, Polled::Unknown, "{other} is another program");
    }
    assert_eq!(devices.poll(&cli(), "x", at(50)), Polled::Unknown);
    let found = devices.find(&login.user_code, "admin", at(51)).unwrap();
    assert_eq!((found.wanted.as_deref(), found.origin.as_str()), (Some("alice"), "10.0.0.1"));
    devices.decide(&login.user_code, Some(alice()), at(52)).unwrap();
    let again = devices.decide(&login.user_code, None, at(53));
    assert_eq!(again, Err(DeviceFault::NoCode), "what was decided is decided");
    assert_eq!(devices.poll(&cli(), code, at(60)), Polled::Approved(alice()));
    assert_eq!(devices.poll(&cli(), code, at(90)), Polled::Unknown, "told once");
    let login = begun(&mut devices, "10.0.0.1", 100);
    devices.decide(&login.user_code, Some(alice()), at(101)).unwrap();
    devices.revoke(&alice().user);
    assert_eq!(devices.poll(&cli(), &login.device_code, at(105)), Polled::Denied);
    assert_eq!(devices.poll(&cli(), &login.device_code, at(115)), Polled::Unknown);
    assert!(devices.entries.is_empty());
}

#[test]
fn nobody_waits_for_ever() {
    let mut devices = Devices::default();
    let login = begun(&mut devices, "10.0.0.1", 0);
    assert!(devices.find(&login.user_code, "admin", at(599)).is_ok());
    assert_eq!(devices.find(&login.user_code, "admin", at(600)), Err(DeviceFault::NoCode));
    assert!(devices.decide(&login.user_code, Some(alice()), at(600)).is_err());
    assert!(devices.waiting(at(600)).is_empty());
    assert_eq!(devices.poll(&cli(), &login.device_code, at(601)), Polled::Expired);
    // What was said yes to is not good for longer either.
    let login = begun(&mut devices, "10.0.0.1", 1000);
    devices.decide(&login.user_code, Some(alice()), at(1001)).unwrap();
    assert_eq!(devices.poll(&cli(), &login.device_code, at(1600)), Polled::Expired);
}

#[test]
fn a_crowd_fills_neither_memory_nor_the_places_of_others() {
    let mut devices = Devices::default();
    for _ in 0..MOST_OF_ONE {
        begun(&mut devices, "10.0.0.1", 0);
    }
    let more = devices.begin(&cli(), None, &DeviceOrigin::named("10.0.0.1"), at(1)).unwrap();
    assert_eq!(more.err(), Some(DeviceFault::TooMany));
    begun(&mut devices, "10.0.0.2", 1);
    let mut taken = 0;
    for origin in 0..2 * MOST {
        let origin = DeviceOrigin::named(format!("o{origin}"));
        let more = devices.begin(&cli(), None, &origin, at(2)).unwrap();
        taken += usize::from(more.is_ok());
    }
    assert_eq!((taken, devices.entries.len()), (MOST - MOST_OF_ONE - 1, MOST));
    begun(&mut devices, "10.0.0.1", 700);
    assert_eq!(devices.entries.len(), 1);
}

#[test]
fn a_network_with_many_addresses_takes_no_more_than_its_part() {
    let mut devices = Devices::default();
    let mut taken = |network: &str, origins: usize| {
        let begin = |number: usize| {
            let address = format!("{network}:{number:x}::1").parse().unwrap();
            devices.begin(&cli(), None, &DeviceOrigin::at(address), at(0)).unwrap().is_ok()
        };
        (0..origins).map(begin).filter(|is_in| *is_in).count()
    };
    assert_eq!(taken("2001:db8:1", 2 * MOST), MOST_OF_NETWORK);
    assert_eq!(taken("2001:db8:2", 1), 1, "another goes on");
    // Addresses of IPv4 have no such network.
    for number in 0..=MOST_OF_NETWORK {
        begun(&mut devices, &format!("10.0.0.{number}"), 1);
    }
}

#[test]
fn a_code_is_not_found_by_trying() {
    let mut devices = Devices::default();
    let login = begun(&mut devices, "10.0.0.1", 0);
    let wrong: UserCode = "BBBB-BBBB".parse().unwrap();
    for _ in 0..GUESSES {
        assert_eq!(devices.find(&wrong, "eve", at(1)), Err(DeviceFault::NoCode));
    }
    assert_eq!(devices.find(&login.user_code, "eve", at(2)), Err(DeviceFault::Guessed));
    assert!(devices.find(&login.user_code, "admin", at(2)).is_ok(), "others go on");
    for who in 0..2 * MOST_GUESSERS {
        let _ = devices.find(&wrong, &who.to_string(), at(3));
    }
    assert!(devices.guesses.len() <= MOST_GUESSERS);
    assert!(devices.find(&login.user_code, "eve", at(601)).is_err());
    let login = begun(&mut devices, "10.0.0.1", 602);
    assert!(devices.find(&login.user_code, "eve", at(603)).is_ok(), "it is forgotten");
}

#[test]
fn a_user_code_is_read_as_people_type_it() {
    let code = UserCode::new().unwrap();
    let shown = code.to_string();
    assert_eq!((shown.len(), shown.as_bytes()[4]), (9, b'-'));
    for typed in
        [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), shown.replace('-', " ")]
    {
        assert_eq!(typed.parse().as_ref(), Ok(&code), "{typed}");
    }
    for bad in ["", "BCDF", "BCDF-GHJA", "BCDF-GHJ1", "BCDF-GHJKL", "BCDF-GHJÄ", &"B".repeat(99)] {
        assert!(bad.parse::<UserCode>().is_err(), "{bad}");
    }
    let mut seen = [0_u32; 256];
    for _ in 0..2000 {
        for letter in UserCode::new().unwrap().0 {
            seen[usize::from(letter)] += 1;
        }
    }
    assert!(ALPHABET.iter().all(|letter| (600..1000).contains(&seen[usize::from(*letter)])));
}
