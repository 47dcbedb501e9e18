use std::collections::BTreeSet;

use proptest::prelude::*;
use sealock_core::policy::Plane;

use super::*;

const EXEC: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn every_path_begins_with_a_word() {
    for route in table::all() {
        let word = route.pattern.split('/').next().unwrap();
        assert!(!word.is_empty() && !word.starts_with('{'), "{}", route.pattern);
        assert!(table::beginning_with(word).contains(&route), "{}", route.pattern);
    }
}

fn route(method: &str, target: &str) -> Result<Routed, RouteError> {
    parse(method, target.as_bytes(), Version::NEWEST)
}

fn get(target: &str) -> Routed {
    route("GET", target).unwrap_or_else(|error| panic!("{target}: {}", error.message()))
}

fn post(target: &str) -> Routed {
    route("POST", target).unwrap_or_else(|error| panic!("{target}: {}", error.message()))
}

/// The status and the text with which a request is refused.
fn refusal(method: &str, target: &str) -> (u16, String) {
    match route(method, target) {
        Ok(routed) => panic!("{method} {target} was let through as {}", routed.target()),
        Err(error) => (error.status(), error.message()),
    }
}

#[test]
fn every_action_of_the_docker_plane_has_a_route_and_a_sample() {
    let sampled: BTreeSet<Action> = samples().map(|(_, _, action)| action).collect();
    // Asked along with requests, and no requests of their own.
    let asked_along = [
        Action::DockerMount,
        Action::DockerImageRun,
        Action::DockerSeeOthers,
        Action::DockerSeeEnvironment,
        Action::DockerSeeLabels,
    ];
    let of_the_plane = Action::ALL.iter().copied().filter(|one| one.plane() == Plane::Docker);
    let missing: Vec<Action> =
        of_the_plane.filter(|one| !asked_along.contains(one) && !sampled.contains(one)).collect();
    assert!(missing.is_empty(), "no route: {missing:?}");
    for (method, target, action) in samples() {
        let routed = route(method, target).unwrap_or_else(|error| panic!("{target}: {error:?}"));
        assert_eq!(routed.action(), action, "{method} {target}");
        let written = routed.target();
        assert_eq!(route(method, &written).unwrap(), routed, "{written}");
        let versioned = format!("/v1.51{target}");
        assert_eq!(route(method, &versioned).unwrap().action(), action, "{versioned}");
    }
}

#[test]
fn every_parameter_of_the_table_is_read_and_written() {
    let value_of = |kind: Kind| match kind {
        Kind::Bool | Kind::BoolTrue | Kind::StrictBool => "true",
        Kind::Int => "7",
        Kind::Json | Kind::Jsons => r#"{"os":"linux"}"#,
        Kind::Filters => r#"{"label":["a=b"]}"#,
        Kind::Ps => "aux",
        _ => "word",
    };
    for one in table::all() {
        let path = one.sample.split('?').next().unwrap();
        let query: Vec<String> =
            one.query.iter().map(|(name, kind)| format!("{name}={}", value_of(*kind))).collect();
        let target = format!("{path}?{}", query.join("&"));
        let routed = route(one.method, &target).unwrap_or_else(|error| {
            panic!("{} {target}: {}", one.method, error.message());
        });
        assert_eq!(routed.action(), one.action);
        let expected: Vec<&str> = one
            .query
            .iter()
            .filter(|(_, kind)| *kind != Kind::Ignored)
            .map(|(name, _)| *name)
            .collect();
        let written = routed.target();
        let names: Vec<&str> = written
            .split_once('?')
            .map(|(_, query)| {
                query.split('&').map(|pair| pair.split('=').next().unwrap()).collect()
            })
            .unwrap_or_default();
        assert_eq!(names, expected, "{target} became {written}");
    }
}

#[test]
fn the_forwarded_target_is_written_anew() {
    let routed = get(
        "/v1.41/containers/json?limit=007&all=True&size=no&filters=%7B%22label%22%3A%5B%22a%22%5D%7D&",
    );
    assert_eq!(
        routed.target(),
        "/v1.41/containers/json?all=1&limit=7&size=0&filters=%7B%22label%22:%7B%22a%22:true%7D%7D"
    );
    assert_eq!(routed.version().unwrap().to_string(), "1.41");
    assert!(routed.bool("all") && !routed.bool("size"));
    assert_eq!(routed.int("limit"), Some(7));
    assert_eq!(get("/info?").target(), "/info");
    assert_eq!(
        post("/build?t=b&q=1&t=a:2&buildargs=%7B%22A%22:%22b%26c%22%7D").target(),
        "/build?t=docker.io/library/b:latest&t=docker.io/library/a:2&q=1&buildargs=%7B%22A%22:%22b%26c%22%7D"
    );
}

#[test]
fn a_path_has_one_spelling() {
    for target in [
        // Encoded words and versions.
        "/%63ontainers/json",
        "/containers/js%6fn",
        "/%76%31.41/info",
        "/v1%2e41/info",
        "/_pin%67",
        // Encoded slashes and dots.
        "/containers%2Fcreate",
        "/containers%2fjson",
        "/images/team%2Fapp/json",
        "/containers/%2e%2e/json",
        "/containers/%2E/json",
        "/containers/web%2f..%2fother/json",
        "/containers/web%2Fjson",
        // Encoded twice.
        "/containers%252Fjson",
        "/%2563ontainers/json",
        "/containers/%252e%252e/json",
        // Broken, and beyond ASCII.
        "/containers/%/json",
        "/containers/%4/json",
        "/containers/%zz/json",
        "/containers/%+1/json",
        "/containers/w%c0%afb/json",
        "/containers/we%00b/json",
        "/containers/w%c3%bcb/json",
        "/containers/%u0041/json",
        // Empty segments and dots.
        "//containers/json",
        "/containers//json",
        "/containers/json/",
        "/v1.41//containers/json",
        "/",
        "/networks/",
        "/./containers/json",
        "/containers/./json",
        "/containers/../info",
        "/v1.41/../info",
        "/containers/web/..",
        // Other parsers' separators.
        "/containers/json;a=b",
        "/containers;x/json",
        "/containers\\json",
        "/containers/json#x",
        "/containers/web|x/json",
        "/containers/(web)/json",
        "/containers/web+x/json",
        "/containers/web,x/json",
    ] {
        let (status, text) = refusal("GET", target);
        assert_eq!(status, 400, "{target}: {text}");
    }
}

#[test]
fn only_a_plain_path_is_a_target() {
    for target in [
        "",
        "*",
        "http://engine/containers/json",
        "HTTP://engine/info",
        "engine:2375",
        "containers/json",
        "?/containers/json",
        " /info",
        "/in fo",
        "/info HTTP/1.1",
        "/info\r\nHost: x",
        "/info\t",
        "/info\0",
        "/inf\u{f6}",
        "/info\u{7f}",
    ] {
        assert_eq!(refusal("GET", target).0, 400, "{target:?}");
    }
    assert!(parse("GET", b"/info\xff", Version::NEWEST).is_err());
    assert!(parse("GET", b"/containers/json?filters=\xff", Version::NEWEST).is_err());
    let long = format!("/containers/json?all={}", "1".repeat(MAXIMUM_TARGET));
    assert_eq!(refusal("GET", &long).0, 414);
}

#[test]
fn case_matters() {
    for target in ["/Containers/json", "/INFO", "/containers/web/JSON", "/swarm/UnlockKey"] {
        assert_eq!(refusal("GET", target).0, 404, "{target}");
    }
    // The name of a container, which can only be removed there.
    assert_eq!(refusal("GET", "/containers/JSON").0, 405);
    assert_eq!(refusal("get", "/info").0, 405);
    assert!(refusal("GET", "/containers/json?All=1").1.contains("not known"));
}

#[test]
fn a_version_has_one_spelling_and_bounds() {
    for target in [
        "/v1.024/info",
        "/v01.41/info",
        "/V1.41/info",
        "/v1.41.0/info",
        "/v1./info",
        "/v1/info",
        "/v.41/info",
        "/v1.4_1/info",
        "/v2.41/info",
        "/v1.99999/info",
        "/v1..41/info",
        "/v1.-41/info",
    ] {
        let (status, text) = refusal("GET", target);
        assert_eq!((status, text.contains("/v1.41/")), (400, true), "{target}: {text}");
    }
    for old in ["/v1.23/info", "/v1.12/containers/web/start", "/v1.0/info", "/v1.2/info"] {
        assert!(refusal("GET", old).1.contains("too old"), "{old}");
    }
    let ceiling: Version = "1.41".parse().unwrap();
    let error = parse("GET", b"/v1.42/info", ceiling).unwrap_err();
    assert_eq!(
        error.message(),
        "client version 1.42 is too new. Maximum supported API version is 1.41"
    );
    assert!(parse("GET", b"/v1.41/info", ceiling).is_ok());
    assert_eq!(get("/v1.24/info").target(), "/v1.24/info");
    assert_eq!(get("/info").target(), "/info");
    assert_eq!(refusal("GET", "/v1.41/v1.41/info").0, 404);
    assert_eq!(refusal("GET", "/v1.41").0, 404);
    assert_eq!(get("/volumes/v1.41").target(), "/volumes/v1.41");
}

#[test]
fn what_is_not_in_the_table_is_refused() {
    for (method, target) in [
        ("GET", "/debug/pprof/heap"),
        ("GET", "/debug/vars"),
        ("POST", "/containers/web/copy"),
        ("POST", "/v1.24/containers/web/copy"),
        ("GET", "/containers/web/json/more"),
        ("GET", "/containers/a/b/json"),
        ("GET", "/images"),
        ("GET", "/exec/json"),
        ("POST", "/networks/a/b"),
        ("GET", "/metrics"),
        ("POST", "/libpod/containers/create"),
        ("OPTIONS", "/anything"),
    ] {
        assert_eq!(refusal(method, target), (404, "page not found".to_owned()), "{target}");
    }
    for (method, target, allowed) in [
        ("GET", "/containers/create", "POST"),
        ("POST", "/containers/json", "GET"),
        ("HEAD", "/containers/json", "GET"),
        ("OPTIONS", "/info", "GET"),
        ("PATCH", "/containers/web", "DELETE"),
        ("DELETE", "/_ping", "GET, HEAD"),
        ("GET", "/grpc", "POST"),
        ("GET", "/containers/ps", "DELETE"),
        ("PRI", "/session", "POST"),
    ] {
        let (status, text) = refusal(method, target);
        assert_eq!(status, 405, "{method} {target}");
        assert!(text.ends_with(&format!("for {allowed}")) || text.contains(allowed), "{text}");
    }
}

#[test]
fn an_operation_is_not_older_than_it_is() {
    assert_eq!(refusal("POST", "/v1.24/containers/prune").0, 404);
    assert!(refusal("GET", "/v1.29/configs").1.contains("since version 1.30"));
    assert!(route("POST", "/v1.25/containers/prune").is_ok());
    assert!(route("GET", "/configs").is_ok());
}

#[test]
fn a_parameter_comes_once_and_is_known() {
    for (method, target, part) in [
        ("GET", "/containers/json?all=1&all=0", "comes twice"),
        ("GET", "/containers/json?filters={}&filters={}", "comes twice"),
        ("POST", "/images/create?fromImage=a&fromImage=b&tag=1", "comes twice"),
        ("POST", "/images/create?fromImage=a&tag=1&tag=2", "comes twice"),
        ("POST", "/containers/web/rename?name=a1&name=b1", "comes twice"),
        ("GET", "/containers/json?everything=1", "not known"),
        ("POST", "/containers/web/pause?x=/start", "not known"),
        ("GET", "/info?x", "not known"),
        ("POST", "/images/create?fromImage=a&tag=1&repo=b", "not known"),
        ("POST", "/images/create?fromImage=a&tag=1&changes=USER+root", "not known"),
        ("GET", "/containers/json?al%6c=1", "malformed"),
        ("GET", "/containers/json?%61ll=1", "malformed"),
        ("GET", "/containers/json?=1", "malformed"),
        ("GET", "/containers/json?a+b=1", "malformed"),
        ("GET", "/containers/json?all[]=1", "malformed"),
        ("GET", "/containers/json?all=1;size=1", "may not stand"),
        ("GET", "/containers/json?all=1#size=1", "may not stand"),
        ("GET", "/containers/json?all=%", "broken"),
        ("GET", "/containers/json?all=%1", "broken"),
        ("GET", "/containers/json?all=%ff", "not UTF-8"),
        ("GET", "/containers/json?limit=1e3", "not a number"),
        ("GET", "/containers/json?limit=%2B3", "not a number"),
        ("GET", "/containers/json?limit=99999999999999999999", "not a number"),
        ("GET", "/containers/json?all=1%00", "control character"),
        ("GET", "/containers/web/archive?path=/etc%0a", "control character"),
        ("GET", "/containers/web/archive", "missing"),
        ("GET", "/containers/web/archive?path=", "missing"),
        ("GET", "/networks/backend?verbose=yes", "neither true nor false"),
        ("GET", "/containers/web/stats?stream=", "empty"),
        ("POST", "/images/create?fromSrc=-&tag=1", "needs `repo`"),
        ("POST", "/build?labels={\"a\":\"1\",\"a\":\"2\"}", "each key once"),
        ("POST", "/build?labels={}x", "each key once"),
        ("POST", "/build?outputs=[{\"Attrs\":{\"a\":1,\"a\":2}}]", "each key once"),
    ] {
        let (status, text) = refusal(method, target);
        assert_eq!(status, 400, "{target}");
        assert!(text.contains(part), "{target}: {text}");
    }
}

#[test]
fn a_parameter_does_not_come_without_end() {
    let names = |count: usize| format!("/images/get?{}", vec!["names=a"; count].join("&"));
    assert!(route("GET", &names(512)).is_ok());
    assert!(refusal("GET", &names(513)).1.contains("more than 512 times"));
}

#[test]
fn what_docker_and_its_libraries_send_is_let_through() {
    for (method, target) in [
        // The CLI's classic build.
        (
            "POST",
            "/v1.41/build?buildargs=%7B%7D&cachefrom=%5B%5D&cgroupparent=&cpuperiod=0&cpuquota=0&cpusetcpus=&cpusetmems=&cpushares=0&dockerfile=Dockerfile&labels=%7B%7D&memory=0&memswap=0&networkmode=default&rm=1&shmsize=0&t=app&target=&ulimits=null&version=1",
        ),
        (
            "POST",
            "/v1.41/build?buildid=4f&remote=client-session&session=x1&version=2&outputs=%5B%7B%22Type%22%3A%22moby%22%2C%22Attrs%22%3A%7B%7D%7D%5D",
        ),
        ("POST", "/v1.41/containers/web/attach?stderr=1&stdin=1&stdout=1&stream=1"),
        ("POST", "/v1.41/containers/web/wait?condition=next-exit"),
        ("POST", "/v1.41/images/create?fromImage=alpine&tag=latest"),
        ("PUT", "/v1.41/containers/web/archive?noOverwriteDirNonDir=true&path=%2Fsrv"),
        ("DELETE", "/v1.41/containers/web?force=1&link=&v=1"),
        // docker-py
        (
            "GET",
            "/v1.41/containers/json?limit=-1&all=1&size=0&trunc_cmd=0&filters=%7B%22status%22%3A+%5B%22running%22%5D%7D",
        ),
        ("GET", "/v1.41/images/json?only_ids=0&all=0"),
        ("GET", "/v1.41/containers/web/logs?stderr=1&stdout=1&timestamps=0&follow=1&tail=all"),
        ("POST", "/v1.41/images/app/tag?tag=1&repo=host%3A5000%2Fteam%2Fapp&force=0"),
        ("DELETE", "/v1.41/images/app%3A1?force=False"),
        ("GET", "/v1.41/networks/backend?verbose=True"),
        ("GET", "/v1.41/images/app%3A1/json"),
    ] {
        let routed = route(method, target);
        let routed = routed.unwrap_or_else(|error| panic!("{target}: {}", error.message()));
        assert!(routed.target().starts_with("/v1.41/"), "{target}");
    }
}

#[test]
fn bools_are_read_as_the_engine_reads_them() {
    for (value, is) in [
        ("1", true),
        ("true", true),
        ("True", true),
        ("yes", true),
        ("2", true),
        ("off", true),
        ("f", true),
        ("0", false),
        ("No", false),
        ("FALSE", false),
        ("none", false),
        ("+false+", false),
        ("fal%C5%BFe", true),
    ] {
        let routed = get(&format!("/containers/json?all={value}"));
        assert_eq!(routed.bool("all"), is, "{value}");
    }
    assert!(!get("/containers/json?all=").bool("all"));
    assert!(get("/containers/web/stats").bool("stream"));
    assert!(!get("/containers/web/stats?stream=0").bool("stream"));
    assert!(get("/networks/backend?verbose=t").target().ends_with("verbose=true"));
}

#[test]
fn what_clients_send_for_nothing_is_not_forwarded() {
    assert_eq!(get("/containers/json?trunc_cmd=0&all=0").target(), "/containers/json?all=0");
    assert_eq!(
        post("/containers/web/attach?stream=1&hijack=true").target(),
        "/containers/web/attach?stream=1"
    );
    // bollard sends all that it knows of.
    let routed = post("/images/create?fromImage=nginx&fromSrc=&repo=&tag=1&platform=");
    assert_eq!(routed.action(), Action::DockerImageCreate);
    assert_eq!(routed.target(), "/images/create?fromImage=docker.io/library/nginx&tag=1");
}

#[test]
fn a_pull_is_no_import() {
    assert_eq!(post("/images/create?fromImage=a").action(), Action::DockerImageCreate);
    let import = post(
        "/images/create?fromSrc=http://host/x.tar&repo=team/app&changes=USER+a&changes=ENV+b%0Ac",
    );
    assert_eq!(import.action(), Action::DockerImageImport);
    assert_eq!(import.new_images()[0].to_string(), "docker.io/team/app:latest");
    assert_eq!(import.texts("changes"), ["USER a", "ENV b\nc"]);
    assert_eq!(import.text("fromSrc"), Some("http://host/x.tar"));
    for target in
        ["/images/create", "/images/create?fromImage=a&fromSrc=-", "/images/create?fromImage="]
    {
        assert!(refusal("POST", target).1.contains("fromImage, fromSrc"), "{target}");
    }
}

#[test]
fn image_and_tag_are_put_together_first() {
    let pulled = |query: &str| {
        let routed = post(&format!("/images/create?{query}"));
        let Some(Object::Image(image)) = routed.objects().first() else { panic!("{query}") };
        (image.to_string(), routed.target())
    };
    let written = "/images/create?fromImage=docker.io/library/nginx&tag=1.27".to_owned();
    for query in ["fromImage=nginx&tag=1.27", "tag=1.27&fromImage=nginx", "fromImage=nginx:1.27"] {
        assert_eq!(pulled(query), ("docker.io/library/nginx:1.27".to_owned(), written.clone()));
    }
    // All tags, which is not `latest`.
    assert_eq!(pulled("fromImage=nginx").0, "docker.io/library/nginx");
    let digest = format!("sha256:{EXEC}");
    for query in [
        format!("fromImage=nginx&tag={digest}"),
        format!("fromImage=nginx@{digest}"),
        format!("fromImage=nginx:1@{digest}"),
    ] {
        assert_eq!(pulled(&query).0, format!("docker.io/library/nginx@{digest}"));
        assert!(pulled(&query).1.ends_with(&format!("nginx&tag={digest}")), "{query}");
    }
    for query in ["fromImage=nginx:1&tag=2", &format!("fromImage=nginx@{digest}&tag=2")] {
        let (_, text) = refusal("POST", &format!("/images/create?{query}"));
        assert!(text.contains("given twice"), "{text}");
    }
    // A name of digits is a name here, and an id where an image is looked up.
    assert_eq!(pulled("fromImage=cafe&tag=1").0, "docker.io/library/cafe:1");
    assert!(refusal("POST", &format!("/images/create?fromImage={EXEC}")).1.contains("id"));
}

#[test]
fn images_in_the_path_are_forwarded_in_their_long_form() {
    for (target, written) in [
        ("/images/nginx/json", "/images/docker.io/library/nginx:latest/json"),
        ("/images/index.docker.io/nginx/json", "/images/docker.io/library/nginx:latest/json"),
        ("/images/json/json", "/images/docker.io/library/json:latest/json"),
        ("/images/get/get", "/images/docker.io/library/get/get"),
        ("/images/a/get/json", "/images/docker.io/a/get:latest/json"),
        ("/images/host:5000/a/b:1/history", "/images/host:5000/a/b:1/history"),
        ("/images/host%3A5000/a%40b/json", ""),
        ("/images/host%3A5000/a/json", "/images/host:5000/a:latest/json"),
        ("/images/sha256:abc123/json", "/images/sha256:abc123/json"),
        ("/images/abc123/json", "/images/abc123/json"),
        // An export without a tag is of all tags.
        ("/images/nginx/get", "/images/docker.io/library/nginx/get"),
        ("/distribution/cafe/json", "/distribution/docker.io/library/cafe:latest/json"),
        ("/plugins/team/driver/json", "/plugins/docker.io/team/driver:latest/json"),
    ] {
        match route("GET", target) {
            Ok(routed) => assert_eq!(routed.target(), written, "{target}"),
            Err(error) => assert_eq!("", written, "{target}: {}", error.message()),
        }
    }
    let all = get("/images/get?names=nginx&names=abc123&names=a/b:1");
    let names: Vec<String> = all.objects().iter().map(Object::name).collect();
    assert_eq!(names, ["docker.io/library/nginx", "abc123", "docker.io/a/b:1"]);
}

#[test]
fn a_push_names_one_tag_or_all() {
    let pushed = |target: &str| {
        let routed = post(target);
        (routed.objects()[0].name(), routed.target())
    };
    assert_eq!(
        pushed("/images/team/app/push?tag=1"),
        ("docker.io/team/app:1".to_owned(), "/images/docker.io/team/app/push?tag=1".to_owned())
    );
    assert_eq!(pushed("/images/team/app/push").0, "docker.io/team/app");
    assert_eq!(pushed("/images/team/app:1/push").0, "docker.io/team/app:1");
    assert_eq!(refusal("POST", "/images/team/app:1/push?tag=2").0, 400);
    assert_eq!(refusal("POST", &format!("/images/app@sha256:{EXEC}/push")).0, 400);
    assert_eq!(refusal("POST", &format!("/images/app/push?tag=sha256:{EXEC}")).0, 400);
}

#[test]
fn new_names_are_apart_from_what_is_there() {
    let tag = post("/images/abc123/tag?repo=host:5000/a&tag=2&force=1");
    assert_eq!(tag.objects()[0].name(), "abc123");
    assert_eq!(tag.new_images()[0].to_string(), "host:5000/a:2");
    assert_eq!(tag.target(), "/images/abc123/tag?repo=host:5000/a&tag=2");
    let commit = post("/commit?container=web&repo=team/app");
    assert_eq!(
        (commit.objects()[0].kind(), commit.objects()[0].name()),
        ("container", "web".into())
    );
    assert_eq!(commit.new_images()[0].to_string(), "docker.io/team/app:latest");
    assert!(commit.bool("pause"));
    assert!(post("/commit?container=web").new_images().is_empty());
    assert_eq!(refusal("POST", "/commit?repo=a").0, 400);
    let built = post("/build?t=a&t=b:1");
    assert_eq!(built.new_images().len(), 2);
    assert_eq!(refusal("POST", &format!("/build?t=a@sha256:{EXEC}")).0, 400);
    // Watchtower makes containers with the slash that the engine puts before their names.
    assert_eq!(post("/containers/create?name=/web").target(), "/containers/create?name=web");
    assert_eq!(refusal("POST", "/containers/create?name=//web").0, 400);
    assert_eq!(refusal("POST", "/containers/web/rename?name=a/b").0, 400);
    let upgrade = post("/plugins/local/upgrade?remote=team/driver:2");
    let names: Vec<String> = upgrade.objects().iter().map(Object::name).collect();
    assert_eq!(names, ["docker.io/library/local:latest", "docker.io/team/driver:2"]);
}

/// Docker's client asks of one kind after the other what `docker inspect NAME` is about, and goes on at a 404 or at
/// these words.
#[test]
fn who_asks_what_a_name_is_of_may_go_on() {
    for target in ["/containers/app:1/json", "/containers/sha256:0123/json", "/volumes/app:1"] {
        assert_eq!(refusal("GET", target).0, 404, "{target}");
    }
    let (status, text) = refusal("GET", "/images/Upper/json");
    assert_eq!(status, 400);
    assert!(text.starts_with("invalid reference format: "), "{text}");
}

#[test]
fn names_and_ids_have_a_small_alphabet() {
    let long = "a".repeat(256);
    for name in ["web-1_x.y", "a", "0", "deadbeef", EXEC, &"a".repeat(255), "create", "json"] {
        assert_eq!(get(&format!("/containers/{name}/json")).objects()[0].name(), name);
    }
    for name in ["z", "A", "-web", ".web", "_web", "web:1", "web@1", &long] {
        let (status, text) = refusal("GET", &format!("/containers/{name}/json"));
        assert_eq!(status, 404, "{name}: {text}");
    }
    for name in ["web%20x", "we~b"] {
        let (status, text) = refusal("GET", &format!("/containers/{name}/json"));
        assert!([400, 404].contains(&status), "{name}: {text}");
    }
    assert_eq!(refusal("GET", "/exec/0123/json").0, 404);
    assert_eq!(refusal("GET", &format!("/exec/{}/json", EXEC.to_uppercase())).0, 404);
    let checkpoint = route("DELETE", "/containers/web/checkpoints/one?dir=/srv").unwrap();
    assert_eq!(
        (checkpoint.objects()[0].kind(), checkpoint.objects()[0].name()),
        ("checkpoint", "one".into())
    );
    assert_eq!(checkpoint.target(), "/containers/web/checkpoints/one?dir=/srv");
}

#[test]
fn filters_can_be_put_in_their_place() {
    let filters = Filters::default().with_label("a", "b");
    let routed = get("/services?status=true").with_filters(filters.clone()).unwrap();
    assert_eq!(
        routed.target(),
        "/services?status=true&filters=%7B%22label%22:%7B%22a%3Db%22:true%7D%7D"
    );
    assert_eq!(route("GET", &routed.target()).unwrap(), routed);
    assert_eq!(routed.filters(), filters);
    let first = get("/images/json?all=1&filter=x").with_filters(filters.clone()).unwrap();
    assert!(first.target().starts_with("/images/json?all=1&filter=x&filters="));
    assert_eq!(
        first.with_filters(Filters::default()).unwrap().target(),
        "/images/json?all=1&filter=x"
    );
    assert!(get("/info").with_filters(filters).is_none());
    assert_eq!(refusal("GET", "/events?filters={\"label\":{\"x\":false}}").0, 400);
}

#[test]
fn streams_that_may_stay_quiet_are_known() {
    for (method, target, quiet) in [
        ("GET", "/events", true),
        ("GET", "/containers/web/stats", true),
        ("GET", "/containers/web/stats?stream=false", false),
        ("GET", "/containers/web/logs?follow=1&stdout=1", true),
        ("GET", "/containers/web/logs?stdout=1", false),
        ("POST", "/containers/web/wait", true),
        ("POST", "/containers/web/attach?stream=1", true),
        ("GET", "/containers/web/attach/ws", true),
        ("POST", "/session", true),
        ("GET", "/services/web/logs?follow=1", true),
        ("GET", "/info", false),
        ("POST", "/images/load", false),
    ] {
        assert_eq!(route(method, target).unwrap().may_stay_quiet(), quiet, "{target}");
    }
    let hijack = |method: &str, target: &str| route(method, target).unwrap().route().hijack;
    assert_eq!(hijack("POST", "/containers/web/attach"), Hijack::Raw);
    assert_eq!(hijack("POST", &format!("/exec/{EXEC}/start")), Hijack::Raw);
    assert_eq!(hijack("GET", "/containers/web/attach/ws"), Hijack::WebSocket);
    assert_eq!(hijack("POST", "/grpc"), Hijack::H2c);
    assert_eq!(hijack("GET", "/containers/web/logs"), Hijack::Never);
}

/// Targets near the routes: samples with bytes changed, taken out and put in.
fn near_targets() -> impl Strategy<Value = Vec<u8>> {
    let samples: Vec<&'static str> = samples().map(|(_, target, _)| target).collect();
    let pieces = prop::sample::select(vec![
        "%", "%2f", "%2e", "..", "/", "//", "?", "&", "=", ";", "%25", "%00", ":", "@", "+",
        "v1.41", "a", "{}", "sha256:", "\n", "#", "\u{17f}", "%3A", "json", "tag=1",
    ]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), pieces, any::<bool>()), 0..4);
    (prop::sample::select(samples), edits).prop_map(|(sample, edits)| {
        let mut bytes = sample.as_bytes().to_vec();
        for (at, piece, replaces) in edits {
            let at = at.index(bytes.len());
            bytes.splice(at..at + usize::from(replaces), piece.bytes());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn what_is_let_through_has_one_reading(method in 0u8..6, target in near_targets()) {
        let mut data = vec![method];
        data.extend(target);
        fuzz(&data);
    }

    #[test]
    fn any_bytes_are_read_or_refused(data in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&data);
    }
}

#[test]
fn a_container_is_named_by_its_id_from_then_on() {
    let id = Reference::parse(&"ab".repeat(32)).unwrap();
    for (method, target) in [
        ("GET", "/v1.41/containers/web/json"),
        ("POST", "/containers/web/rename?name=other"),
        ("DELETE", "/containers/web/checkpoints/first"),
        ("POST", "/v1.41/commit?container=web&repo=r"),
    ] {
        let routed = parse(method, target.as_bytes(), Version::NEWEST).unwrap();
        let written = routed.with_container(&id).target();
        assert!(written.contains(id.as_str()) && !written.contains("web"), "{written}");
        let again = parse(method, written.as_bytes(), Version::NEWEST).unwrap();
        assert_eq!(again.target(), written);
    }
    let routed = parse("GET", b"/networks/web", Version::NEWEST).unwrap();
    assert_eq!(routed.with_container(&id).target(), "/networks/web");
}
