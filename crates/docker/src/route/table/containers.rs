//! Containers, what runs in them, and their checkpoints.

use sealock_core::policy::Action as A;

use super::Answer::{Quiet, QuietIf, Work};
use super::Body::{Archive, Json};
use super::Route;
use crate::route::query::Kind::{
    self, Bool, BoolTrue, Filters, Ignored, Int, NewContainer, Ps, Reference, Text,
};
use crate::route::table::Hijack;

const STREAMS: &[(&str, Kind)] = &[
    ("stream", Bool),
    ("stdin", Bool),
    ("stdout", Bool),
    ("stderr", Bool),
    ("logs", Bool),
    ("detachKeys", Text),
    // dockerode
    ("hijack", Ignored),
];

const LOGS: &[(&str, Kind)] = &[
    ("follow", Bool),
    ("stdout", Bool),
    ("stderr", Bool),
    ("since", Text),
    ("until", Text),
    ("timestamps", Bool),
    ("tail", Text),
    ("details", Bool),
];

const SIZE: &[(&str, Kind)] = &[("h", Int), ("w", Int)];
const GRACE: &[(&str, Kind)] = &[("signal", Text), ("t", Int)];
const PATH: &[(&str, Kind)] = &[("path", Text)];
const FILTERS: &[(&str, Kind)] = &[("filters", Filters)];
const DIRECTORY: &[(&str, Kind)] = &[("dir", Text)];

pub(super) const ROUTES: &[Route] = &[
    Route::get(A::DockerContainerList, "containers/json", "/containers/json?all=1").query(&[
        ("all", Bool),
        ("limit", Int),
        ("size", Bool),
        ("since", Reference),
        ("before", Reference),
        ("filters", Filters),
        // docker-py
        ("trunc_cmd", Ignored),
    ]),
    Route::get(
        A::DockerContainerInspect,
        "containers/{container}/json",
        "/containers/web/json?size=1",
    )
    .query(&[("size", Bool)]),
    Route::get(A::DockerContainerTop, "containers/{container}/top", "/containers/web/top")
        .query(&[("ps_args", Ps)]),
    Route::get(
        A::DockerContainerLogs,
        "containers/{container}/logs",
        "/containers/web/logs?follow=1&stdout=1",
    )
    .query(LOGS)
    .answer(QuietIf("follow")),
    Route::get(
        A::DockerContainerChanges,
        "containers/{container}/changes",
        "/containers/web/changes",
    )
    .answer(Work),
    Route::get(A::DockerContainerStats, "containers/{container}/stats", "/containers/web/stats")
        .query(&[("stream", BoolTrue), ("one-shot", Bool)])
        .answer(QuietIf("stream")),
    Route::post(
        A::DockerContainerWait,
        "containers/{container}/wait",
        "/containers/web/wait?condition=next-exit",
    )
    .query(&[("condition", Text)])
    .answer(Quiet),
    Route::new(
        "HEAD",
        A::DockerContainerArchiveInfo,
        "containers/{container}/archive",
        "/containers/web/archive?path=/etc/hosts",
    )
    .query(PATH)
    .required(&["path"]),
    Route::get(
        A::DockerContainerArchive,
        "containers/{container}/archive",
        "/containers/web/archive?path=/etc/hosts",
    )
    .query(PATH)
    .required(&["path"])
    .answer(Work),
    Route::new(
        "PUT",
        A::DockerContainerArchivePut,
        "containers/{container}/archive",
        "/containers/web/archive?path=/srv",
    )
    .query(&[("path", Text), ("noOverwriteDirNonDir", Bool), ("copyUIDGID", Bool)])
    .required(&["path"])
    .body(Archive)
    .answer(Work),
    Route::get(A::DockerContainerExport, "containers/{container}/export", "/containers/web/export")
        .answer(Work),
    Route::post(A::DockerContainerCreate, "containers/create", "/containers/create?name=web")
        .query(&[("name", NewContainer), ("platform", Text)])
        .body(Json)
        .answer(Work),
    Route::post(A::DockerContainerStart, "containers/{container}/start", "/containers/web/start")
        .query(&[("detachKeys", Text), ("checkpoint", Reference), ("checkpoint-dir", Text)])
        .answer(Work),
    Route::post(A::DockerContainerStop, "containers/{container}/stop", "/containers/web/stop?t=5")
        .query(GRACE)
        .answer(Quiet),
    Route::post(
        A::DockerContainerRestart,
        "containers/{container}/restart",
        "/containers/web/restart?t=5",
    )
    .query(GRACE)
    .answer(Quiet),
    Route::post(
        A::DockerContainerKill,
        "containers/{container}/kill",
        "/containers/web/kill?signal=HUP",
    )
    .query(&[("signal", Text)])
    .answer(Work),
    Route::post(A::DockerContainerPause, "containers/{container}/pause", "/containers/web/pause")
        .answer(Work),
    Route::post(
        A::DockerContainerUnpause,
        "containers/{container}/unpause",
        "/containers/web/unpause",
    )
    .answer(Work),
    Route::post(
        A::DockerContainerResize,
        "containers/{container}/resize",
        "/containers/web/resize?h=24&w=80",
    )
    .query(SIZE),
    Route::post(
        A::DockerContainerRename,
        "containers/{container}/rename",
        "/containers/web/rename?name=web2",
    )
    .query(&[("name", NewContainer)])
    .required(&["name"]),
    Route::delete(A::DockerContainerDelete, "containers/{container}", "/containers/web?force=1")
        .query(&[("force", Bool), ("v", Bool), ("link", Bool)])
        .answer(Work),
    Route::post(
        A::DockerContainerUpdate,
        "containers/{container}/update",
        "/containers/web/update",
    )
    .body(Json)
    .answer(Work),
    Route::post(
        A::DockerContainerAttach,
        "containers/{container}/attach",
        "/containers/web/attach?stream=1&stdout=1",
    )
    .query(STREAMS)
    .hijack(Hijack::Raw),
    Route::get(
        A::DockerContainerAttachWebsocket,
        "containers/{container}/attach/ws",
        "/containers/web/attach/ws?stream=1",
    )
    .query(STREAMS)
    .hijack(Hijack::WebSocket),
    Route::post(A::DockerContainerPrune, "containers/prune", "/containers/prune")
        .since(25)
        .query(FILTERS)
        .answer(Work),
    Route::post(A::DockerContainerExec, "containers/{container}/exec", "/containers/web/exec")
        .body(Json),
    Route::post(
        A::DockerExecStart,
        "exec/{exec}/start",
        "/exec/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/start",
    )
    .body(Json)
    .hijack(Hijack::Raw),
    Route::post(
        A::DockerExecResize,
        "exec/{exec}/resize",
        "/exec/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/resize?h=24&w=80",
    )
    .query(SIZE),
    Route::get(
        A::DockerExecInspect,
        "exec/{exec}/json",
        "/exec/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/json",
    ),
    Route::get(
        A::DockerCheckpointList,
        "containers/{container}/checkpoints",
        "/containers/web/checkpoints",
    )
    .since(25)
    .query(DIRECTORY),
    Route::post(
        A::DockerCheckpointCreate,
        "containers/{container}/checkpoints",
        "/containers/web/checkpoints",
    )
    .since(25)
    .body(Json)
    .answer(Work),
    Route::delete(
        A::DockerCheckpointDelete,
        "containers/{container}/checkpoints/{checkpoint}",
        "/containers/web/checkpoints/before?dir=/srv/checkpoints",
    )
    .since(25)
    .query(DIRECTORY)
    .answer(Work),
];
