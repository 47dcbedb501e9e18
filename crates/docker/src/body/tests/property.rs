//! What holds of every body.

use proptest::collection::vec;
use proptest::prelude::*;
use sealock_core::policy::Action;

use super::super::json::{Value, read as read_json};
use super::super::shape::{Kind, Shape};
use super::super::{fields, read};
use super::Limits;

/// Texts that mean something somewhere.
const TEXTS: [&str; 34] = [
    "",
    "a",
    "host",
    "none",
    "bridge",
    "private",
    "container:x",
    "/",
    "/etc",
    "//etc/./x/",
    "/a/..",
    "a:/b",
    "/a:/b",
    "/a:/b:ro,rshared",
    "/a:/b:z",
    "80",
    "80-90",
    "90-80",
    "ALL",
    "sys_admin",
    "CAP_CHOWN",
    "seccomp=unconfined",
    "no-new-privileges",
    "no-new-privileges=false",
    "bind",
    "volume",
    "tmpfs",
    "local",
    "json-file",
    "lowerdir=/:/etc,ro",
    "bind,ro",
    "nfs",
    "size=1m",
    "ä\n\"",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => proptest::sample::select(&TEXTS[..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

/// Keys that do.
const KEYS: [&str; 10] =
    ["type", "o", "device", "80/tcp", "sealock.x", "a", "b", "net.core.x", "/data", "host"];

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&KEYS[..]).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ]
}

/// Of these keys, the first of those that fold together.
fn object(mut members: Vec<(String, Value)>) -> Value {
    let mut seen = std::collections::HashSet::new();
    members.retain(|(key, _)| seen.insert(super::super::json::folded(key)));
    Value::Object(members)
}

fn texts() -> BoxedStrategy<Value> {
    vec(text().prop_map(Value::Text), 0..3).prop_map(Value::List).boxed()
}

fn of_kind(kind: Kind) -> BoxedStrategy<Value> {
    let map = |values: BoxedStrategy<Value>| vec((key(), values), 0..3).prop_map(object).boxed();
    match kind {
        Kind::Flag => any::<bool>().prop_map(Value::Flag).boxed(),
        Kind::Whole => {
            prop_oneof![-2..3i64, any::<i64>()].prop_map(|n| Value::Number(n.into())).boxed()
        }
        Kind::Natural => {
            prop_oneof![0..3u64, any::<u64>()].prop_map(|n| Value::Number(n.into())).boxed()
        }
        Kind::Ratio => Just(Value::Fraction("0.25".to_owned())).boxed(),
        Kind::Anything | Kind::Text => text().prop_map(Value::Text).boxed(),
        Kind::Texts => texts(),
        Kind::TextOrTexts => prop_oneof![texts(), text().prop_map(Value::Text)].boxed(),
        Kind::Wholes => Just(Value::List(vec![Value::Number(1)])).boxed(),
        Kind::TextLists => vec(texts(), 0..2).prop_map(Value::List).boxed(),
        Kind::TextMap => map(text().prop_map(Value::Text).boxed()),
        Kind::Set => map(Just(Value::Object(Vec::new())).boxed()),
        Kind::Object(shape) => of_shape(shape),
        Kind::Objects(shape) => vec(of_shape(shape), 0..3).prop_map(Value::List).boxed(),
        Kind::ObjectMap(shape) => map(prop_oneof![Just(Value::Null), of_shape(shape)].boxed()),
        Kind::ObjectListMap(shape) => map(vec(of_shape(shape), 0..3).prop_map(Value::List).boxed()),
    }
}

/// Some fields of the shape, now and then `null`, of another type, or unknown.
fn of_shape(shape: &'static Shape) -> BoxedStrategy<Value> {
    if shape.0.is_empty() {
        return Just(Value::Object(Vec::new())).boxed();
    }
    let field = proptest::sample::select(shape.0).prop_flat_map(|(name, kind)| {
        let value = prop_oneof![
            30 => of_kind(kind),
            2 => Just(Value::Null),
            1 => Just(Value::Number(1)),
        ];
        (Just(name.to_owned()), value)
    });
    let unknown = (key(), text().prop_map(Value::Text));
    vec(prop_oneof![20 => field.boxed(), 1 => unknown.boxed()], 0..5).prop_map(object).boxed()
}

fn any_value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Flag),
        any::<i64>().prop_map(|number| Value::Number(number.into())),
        any::<u64>().prop_map(|number| Value::Number(number.into())),
        "\\PC{0,12}".prop_map(Value::Text),
        "[\\x01-\\x7f]{0,12}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::List),
            vec(("\\PC{0,6}", inner), 0..6).prop_map(object),
        ]
    })
    .boxed()
}

fn bodies() -> BoxedStrategy<(Action, Value)> {
    let of = |action: Action, shape: &'static Shape| {
        of_shape(shape).prop_map(move |body| (action, body)).boxed()
    };
    prop_oneof![
        4 => of(Action::DockerContainerCreate, &fields::CREATE),
        1 => of_shape(&fields::HOST).prop_map(|host| {
            let host = vec![("HostConfig".to_owned(), host)];
            (Action::DockerContainerCreate, Value::Object(host))
        }),
        1 => of(Action::DockerContainerUpdate, &fields::UPDATE),
        1 => of(Action::DockerContainerExec, &fields::EXEC),
        1 => of(Action::DockerExecStart, &fields::EXEC_START),
        1 => of(Action::DockerNetworkCreate, &fields::NETWORK_CREATE),
        1 => of(Action::DockerNetworkConnect, &fields::NETWORK_CONNECT),
        1 => of(Action::DockerNetworkDisconnect, &fields::NETWORK_DISCONNECT),
        1 => of(Action::DockerVolumeCreate, &fields::VOLUME_CREATE),
        1 => of(Action::DockerVolumeUpdate, &fields::VOLUME_UPDATE),
        2 => of(Action::DockerServiceCreate, &fields::SERVICE),
        1 => of(Action::DockerImageCommit, &fields::CREATE),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_emitted_reads_as_the_same_value(value in any_value()) {
        let emitted = value.emit();
        prop_assert_eq!(&read_json(emitted.as_bytes(), 1 << 20).unwrap(), &value);
        // And as the same for a reader that is not ours.
        let other: serde_json::Value = serde_json::from_str(&emitted).unwrap();
        let back = read_json(other.to_string().as_bytes(), 1 << 20).unwrap();
        prop_assert!(same_but_for_order(&back, &value));
    }

    #[test]
    fn what_is_forwarded_asks_for_the_same((action, body) in bodies()) {
        let limits = Limits::default();
        let Ok(asked) = read(action, Some((1, 41)), &[], body.emit().as_bytes(), limits) else {
            return Ok(());
        };
        let again = read(action, Some((1, 41)), asked.query(), &asked.body(), limits);
        prop_assert_eq!(again.as_ref(), Ok(&asked));
    }

    #[test]
    fn no_bytes_break_it(data in vec(any::<u8>(), 0..200)) {
        super::super::fuzz(&data);
    }
}

/// Random bodies of which none is taken would prove nothing.
#[test]
fn most_random_bodies_are_taken() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let taken = (0..300)
        .filter(|_| {
            let (action, body) = bodies().new_tree(&mut runner).unwrap().current();
            read(action, None, &[], body.emit().as_bytes(), Limits::default()).is_ok()
        })
        .count();
    assert!(taken > 100, "{taken} of 300");
}

fn same_but_for_order(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(others)) => {
            one.len() == others.len()
                && one.iter().all(|(key, value)| {
                    let found = others.iter().find(|(name, _)| name == key);
                    found.is_some_and(|(_, found)| same_but_for_order(value, found))
                })
        }
        (Value::List(one), Value::List(others)) => {
            one.len() == others.len()
                && one.iter().zip(others).all(|(one, other)| same_but_for_order(one, other))
        }
        (one, other) => one == other,
    }
}
