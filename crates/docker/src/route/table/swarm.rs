//! The swarm, and what runs in it.

use sealock_core::policy::Action as A;

use super::Answer::{QuietIf, Work};
use super::Body::{Json, PassedJson};
use super::Route;
use crate::route::query::Kind::{self, Bool, Filters, Int, StrictBool, Text};

const FILTERS: &[(&str, Kind)] = &[("filters", Filters)];
const VERSION: &[(&str, Kind)] = &[("version", Int)];

const LOGS: &[(&str, Kind)] = &[
    ("follow", Bool),
    ("stdout", Bool),
    ("stderr", Bool),
    ("since", Text),
    // The engine's client sends it; the engine does not read it yet.
    ("until", Text),
    ("timestamps", Bool),
    ("tail", Text),
    ("details", Bool),
];

pub(super) const ROUTES: &[Route] = &[
    Route::get(A::DockerSwarmInspect, "swarm", "/swarm"),
    Route::post(A::DockerSwarmInit, "swarm/init", "/swarm/init").body(PassedJson).answer(Work),
    Route::post(A::DockerSwarmJoin, "swarm/join", "/swarm/join").body(PassedJson).answer(Work),
    Route::post(A::DockerSwarmLeave, "swarm/leave", "/swarm/leave?force=1")
        .query(&[("force", Bool)])
        .answer(Work),
    Route::post(A::DockerSwarmUpdate, "swarm/update", "/swarm/update?version=7")
        .query(&[
            ("version", Int),
            ("rotateWorkerToken", StrictBool),
            ("rotateManagerToken", StrictBool),
            ("rotateManagerUnlockKey", StrictBool),
        ])
        .required(&["version"])
        .body(PassedJson),
    Route::get(A::DockerSwarmUnlockKey, "swarm/unlockkey", "/swarm/unlockkey").since(25),
    Route::post(A::DockerSwarmUnlock, "swarm/unlock", "/swarm/unlock").since(25).body(PassedJson),
    Route::get(A::DockerNodeList, "nodes", "/nodes").query(FILTERS),
    Route::get(A::DockerNodeInspect, "nodes/{node}", "/nodes/self"),
    Route::post(A::DockerNodeUpdate, "nodes/{node}/update", "/nodes/one/update?version=7")
        .query(VERSION)
        .required(&["version"])
        .body(PassedJson),
    Route::delete(A::DockerNodeDelete, "nodes/{node}", "/nodes/one?force=1")
        .query(&[("force", Bool)]),
    Route::get(A::DockerServiceList, "services", "/services?status=true")
        .query(&[("status", StrictBool), ("filters", Filters)]),
    Route::get(A::DockerServiceInspect, "services/{service}", "/services/web?insertDefaults=true")
        .query(&[("insertDefaults", StrictBool)]),
    Route::get(A::DockerServiceLogs, "services/{service}/logs", "/services/web/logs?stdout=1")
        .since(25)
        .query(LOGS)
        .answer(QuietIf("follow")),
    Route::post(A::DockerServiceCreate, "services/create", "/services/create")
        .body(Json)
        .answer(Work),
    Route::post(
        A::DockerServiceUpdate,
        "services/{service}/update",
        "/services/web/update?version=7",
    )
    .query(&[("version", Int), ("registryAuthFrom", Text), ("rollback", Text)])
    .required(&["version"])
    .body(Json)
    .answer(Work),
    Route::delete(A::DockerServiceDelete, "services/{service}", "/services/web"),
    Route::get(A::DockerTaskList, "tasks", "/tasks").query(FILTERS),
    Route::get(A::DockerTaskInspect, "tasks/{task}", "/tasks/k3x9"),
    Route::get(A::DockerTaskLogs, "tasks/{task}/logs", "/tasks/k3x9/logs?stdout=1&follow=1")
        .since(29)
        .query(LOGS)
        .answer(QuietIf("follow")),
    Route::get(A::DockerSecretList, "secrets", "/secrets").since(25).query(FILTERS),
    Route::get(A::DockerSecretInspect, "secrets/{secret}", "/secrets/password").since(25),
    Route::post(A::DockerSecretCreate, "secrets/create", "/secrets/create")
        .since(25)
        .body(PassedJson),
    Route::post(
        A::DockerSecretUpdate,
        "secrets/{secret}/update",
        "/secrets/password/update?version=7",
    )
    .since(26)
    .query(VERSION)
    .required(&["version"])
    .body(PassedJson),
    Route::delete(A::DockerSecretDelete, "secrets/{secret}", "/secrets/password").since(25),
    Route::get(A::DockerConfigList, "configs", "/configs").since(30).query(FILTERS),
    Route::get(A::DockerConfigInspect, "configs/{config}", "/configs/site").since(30),
    Route::post(A::DockerConfigCreate, "configs/create", "/configs/create")
        .since(30)
        .body(PassedJson),
    Route::post(A::DockerConfigUpdate, "configs/{config}/update", "/configs/site/update?version=7")
        .since(30)
        .query(VERSION)
        .required(&["version"])
        .body(PassedJson),
    Route::delete(A::DockerConfigDelete, "configs/{config}", "/configs/site").since(30),
];
