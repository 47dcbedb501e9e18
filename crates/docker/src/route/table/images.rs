//! Images, registries and builds.

use sealock_core::policy::Action as A;

use super::Answer::Work;
use super::Body::{Archive, Json, PassedJson};
use super::Route;
use crate::route::query::Kind::Json as JsonText;
use crate::route::query::Kind::{
    self, Bool, BoolTrue, Container, Filters, Ignored, Images, Int, Jsons, Lines, ManyLines,
    NewImages, NewRepository, Pulled, Tag, Text, Texts,
};

const BUILD: &[(&str, Kind)] = &[
    ("t", NewImages),
    ("dockerfile", Text),
    ("remote", Text),
    ("target", Text),
    ("platform", Text),
    ("version", Text),
    ("session", Text),
    ("buildid", Text),
    ("q", Bool),
    ("nocache", Bool),
    ("pull", Bool),
    ("rm", BoolTrue),
    ("forcerm", Bool),
    ("squash", Bool),
    ("networkmode", Text),
    ("cgroupparent", Text),
    ("isolation", Text),
    ("extrahosts", Texts),
    ("securityopt", Texts),
    ("memory", Int),
    ("memswap", Int),
    ("cpushares", Int),
    ("cpuperiod", Int),
    ("cpuquota", Int),
    ("cpusetcpus", Text),
    ("cpusetmems", Text),
    ("shmsize", Int),
    ("ulimits", JsonText),
    ("buildargs", JsonText),
    ("labels", JsonText),
    ("cachefrom", JsonText),
    ("outputs", JsonText),
];

const PLATFORM: &[(&str, Kind)] = &[("platform", JsonText)];

pub(super) const ROUTES: &[Route] = &[
    Route::get(A::DockerImageList, "images/json", "/images/json?all=1").query(&[
        ("all", Bool),
        ("digests", Bool),
        ("shared-size", Bool),
        ("manifests", Bool),
        ("filter", Text),
        ("filters", Filters),
        // docker-py
        ("only_ids", Ignored),
    ]),
    Route::get(A::DockerImageInspect, "images/{image}/json", "/images/nginx:1.27/json")
        .query(&[("manifests", Bool), ("platform", JsonText)]),
    Route::get(A::DockerImageHistory, "images/{image}/history", "/images/team/app/history")
        .query(PLATFORM),
    Route::get(A::DockerImageSearch, "images/search", "/images/search?term=nginx")
        .query(&[("term", Text), ("limit", Int), ("filters", Filters)])
        .required(&["term"])
        .answer(Work),
    Route::get(
        A::DockerDistributionInspect,
        "distribution/{distribution}/json",
        "/distribution/nginx/json",
    )
    .since(30)
    .answer(Work),
    Route::post(A::DockerImageCreate, "images/create", "/images/create?fromImage=nginx&tag=1.27")
        .when("fromImage")
        .query(&[("fromImage", Pulled), ("tag", Tag), ("platform", Text)])
        .answer(Work),
    Route::post(A::DockerImageImport, "images/create", "/images/create?fromSrc=-&repo=team/app")
        .when("fromSrc")
        .query(&[
            ("fromSrc", Text),
            ("repo", NewRepository),
            ("tag", Tag),
            ("message", Lines),
            ("changes", ManyLines),
            ("platform", Text),
        ])
        .body(Archive)
        .answer(Work),
    Route::post(A::DockerImagePush, "images/{repository}/push", "/images/team/app/push?tag=1")
        .query(&[("tag", Tag), ("platform", JsonText)])
        // Old clients send their credentials in it.
        .body(PassedJson)
        .answer(Work),
    Route::post(A::DockerImageTag, "images/{image}/tag", "/images/nginx/tag?repo=team/app&tag=1")
        .query(&[
            ("repo", NewRepository),
            ("tag", Tag),
            // docker-py
            ("force", Ignored),
        ])
        .required(&["repo"]),
    Route::delete(A::DockerImageDelete, "images/{image}", "/images/team/app:1?noprune=1")
        .query(&[("force", Bool), ("noprune", Bool), ("platforms", Jsons)])
        .answer(Work),
    Route::get(A::DockerImageGet, "images/{images}/get", "/images/nginx/get")
        .query(PLATFORM)
        .answer(Work),
    Route::get(A::DockerImageGetAll, "images/get", "/images/get?names=nginx&names=team/app")
        .query(&[("names", Images), ("platform", JsonText)])
        .required(&["names"])
        .answer(Work),
    Route::post(A::DockerImageLoad, "images/load", "/images/load?quiet=1")
        .query(&[("quiet", BoolTrue), ("platform", JsonText)])
        .body(Archive)
        .answer(Work),
    Route::post(A::DockerImageCommit, "commit", "/commit?container=web&repo=team/app&tag=1")
        .query(&[
            ("container", Container),
            ("repo", NewRepository),
            ("tag", Tag),
            ("comment", Lines),
            ("author", Text),
            ("pause", BoolTrue),
            ("changes", ManyLines),
        ])
        .required(&["container"])
        .body(Json)
        .answer(Work),
    Route::post(A::DockerImagePrune, "images/prune", "/images/prune")
        .since(25)
        .query(&[("filters", Filters)])
        .answer(Work),
    Route::post(A::DockerImageBuild, "build", "/build?t=team/app:1&networkmode=none")
        .query(BUILD)
        .body(Archive)
        .answer(Work),
    Route::post(A::DockerBuildCancel, "build/cancel", "/build/cancel?id=one")
        .since(39)
        .query(&[("id", Text)])
        .required(&["id"]),
    Route::post(A::DockerBuildPrune, "build/prune", "/build/prune?all=1")
        .since(31)
        .query(&[
            ("all", Bool),
            ("keep-storage", Int),
            ("reserved-space", Int),
            ("max-used-space", Int),
            ("min-free-space", Int),
            ("filters", Filters),
        ])
        .answer(Work),
];
