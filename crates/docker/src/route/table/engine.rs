//! The engine itself, networks, volumes, plugins, and the ways into BuildKit.

use sealock_core::policy::Action as A;

use super::Answer::{Quiet, Work};
use super::Body::{Archive, Json, PassedJson};
use super::Route;
use crate::route::query::Kind::{
    self, Bool, Filters, Int, NewPlugin, RemotePlugin, StrictBool, Text, Texts,
};
use crate::route::table::Hijack;

const FILTERS: &[(&str, Kind)] = &[("filters", Filters)];
const FORCE: &[(&str, Kind)] = &[("force", Bool)];

pub(super) const ROUTES: &[Route] = &[
    Route::get(A::DockerSystemPing, "_ping", "/_ping"),
    Route::new("HEAD", A::DockerSystemPing, "_ping", "/_ping"),
    Route::get(A::DockerSystemVersion, "version", "/version"),
    Route::get(A::DockerSystemInfo, "info", "/info"),
    Route::get(A::DockerSystemEvents, "events", "/events?since=1")
        .query(&[("since", Text), ("until", Text), ("filters", Filters)])
        .answer(Quiet),
    Route::get(A::DockerSystemDataUsage, "system/df", "/system/df?type=volume")
        .since(25)
        .query(&[("type", Texts)])
        .answer(Work),
    Route::post(A::DockerSystemAuth, "auth", "/auth").body(PassedJson).answer(Work),
    Route::post(A::DockerSession, "session", "/session").since(31).hijack(Hijack::H2c),
    Route::post(A::DockerGrpc, "grpc", "/grpc").since(39).hijack(Hijack::H2c),
    Route::get(A::DockerNetworkList, "networks", "/networks").query(FILTERS),
    Route::get(A::DockerNetworkInspect, "networks/{network}", "/networks/backend?scope=local")
        .query(&[("verbose", StrictBool), ("scope", Text)]),
    Route::post(A::DockerNetworkCreate, "networks/create", "/networks/create")
        .body(Json)
        .answer(Work),
    Route::post(A::DockerNetworkConnect, "networks/{network}/connect", "/networks/backend/connect")
        .body(Json)
        .answer(Work),
    Route::post(
        A::DockerNetworkDisconnect,
        "networks/{network}/disconnect",
        "/networks/backend/disconnect",
    )
    .body(Json)
    .answer(Work),
    Route::delete(A::DockerNetworkDelete, "networks/{network}", "/networks/backend").answer(Work),
    Route::post(A::DockerNetworkPrune, "networks/prune", "/networks/prune")
        .since(25)
        .query(FILTERS)
        .answer(Work),
    Route::get(A::DockerVolumeList, "volumes", "/volumes").query(FILTERS),
    Route::get(A::DockerVolumeInspect, "volumes/{volume}", "/volumes/data"),
    Route::post(A::DockerVolumeCreate, "volumes/create", "/volumes/create").body(Json).answer(Work),
    Route::new("PUT", A::DockerVolumeUpdate, "volumes/{volume}", "/volumes/data?version=7")
        .since(42)
        .query(&[("version", Int)])
        .required(&["version"])
        .body(Json),
    Route::delete(A::DockerVolumeDelete, "volumes/{volume}", "/volumes/data?force=1")
        .query(FORCE)
        .answer(Work),
    Route::post(A::DockerVolumePrune, "volumes/prune", "/volumes/prune")
        .since(25)
        .query(FILTERS)
        .answer(Work),
    Route::get(A::DockerPluginList, "plugins", "/plugins").since(25).query(FILTERS),
    Route::get(A::DockerPluginInspect, "plugins/{plugin}/json", "/plugins/team/driver/json")
        .since(25),
    Route::get(
        A::DockerPluginPrivileges,
        "plugins/privileges",
        "/plugins/privileges?remote=team/driver",
    )
    .since(25)
    .query(&[("remote", RemotePlugin)])
    .required(&["remote"])
    .answer(Work),
    Route::post(A::DockerPluginPull, "plugins/pull", "/plugins/pull?remote=team/driver&name=local")
        .since(25)
        .query(&[("remote", RemotePlugin), ("name", NewPlugin)])
        .required(&["remote"])
        .body(PassedJson)
        .answer(Work),
    Route::post(A::DockerPluginCreate, "plugins/create", "/plugins/create?name=team/driver")
        .since(25)
        .query(&[("name", NewPlugin)])
        .required(&["name"])
        .body(Archive)
        .answer(Work),
    Route::post(
        A::DockerPluginEnable,
        "plugins/{plugin}/enable",
        "/plugins/team/driver/enable?timeout=0",
    )
    .since(25)
    .query(&[("timeout", Int)])
    .answer(Work),
    Route::post(A::DockerPluginDisable, "plugins/{plugin}/disable", "/plugins/team/driver/disable")
        .since(25)
        .query(FORCE)
        .answer(Work),
    Route::post(
        A::DockerPluginUpgrade,
        "plugins/{plugin}/upgrade",
        "/plugins/team/driver/upgrade?remote=team/driver:2",
    )
    .since(26)
    .query(&[("remote", RemotePlugin)])
    .required(&["remote"])
    .body(PassedJson)
    .answer(Work),
    Route::post(A::DockerPluginPush, "plugins/{plugin}/push", "/plugins/team/driver/push")
        .since(25)
        .answer(Work),
    Route::post(A::DockerPluginSet, "plugins/{plugin}/set", "/plugins/team/driver/set")
        .since(25)
        .body(PassedJson),
    Route::delete(A::DockerPluginDelete, "plugins/{plugin}", "/plugins/team/driver?force=1")
        .since(25)
        .query(FORCE)
        .answer(Work),
];
