//! Starting a program with one secret and with a hundred.

use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::scene::{MANY, Scene, Source, Starter, secret};
use crate::measure::{Piece, all_in_turn, in_turn, median, slowest_hundredth};
use crate::table::{Figure, Table};

/// What is added to a start without us.
#[derive(Clone, Copy)]
struct Added {
    median: Duration,
    /// To the median of starts without us.
    p99: Duration,
}

/// One source with every starter that has it; Summon may not be here.
struct Starts {
    run: Added,
    summon: Added,
    peer: Option<Added>,
}

/// Puts rows of starts into the table.
struct Rows<'a, 'b> {
    scene: &'a Scene<'b>,
    table: &'a mut Table,
}

pub(super) fn run(scene: &Scene<'_>, table: &mut Table) -> Result<()> {
    let count = |count| if scene.settings.quick { 2 } else { count };
    let literal = starts(scene, (Source::Literal, 1), count(200))?;
    let stream = starts(scene, (Source::Provider("stream"), 1), count(200))?;
    let [vault] = added(scene, (Source::Vault, 1), [Starter::Run], count(200))?;
    let mut rows = Rows { scene, table };
    rows.within("`run`, 1 literal", literal.run, literal.peer, 3.0);
    rows.within("`run`, 1 variable from the vault", vault, stream.peer, 3.0);
    rows.both("1 variable by a stream provider", &stream);

    let stream = starts(scene, (Source::Provider("stream"), MANY), count(100))?;
    let [vault] = added(scene, (Source::Vault, MANY), [Starter::Run], count(100))?;
    rows.within("`run`, 100 variables from the vault", vault, stream.peer, 5.0);
    rows.both("100 variables by a stream provider", &stream);

    let legacy = starts(scene, (Source::Provider("legacy"), MANY), count(40))?;
    let what = "100 variables by a legacy provider of 1 ms";
    rows.within(&format!("`run`, {what}"), legacy.run, legacy.peer, 15.0);
    rows.within(&format!("`summon`, {what}"), legacy.summon, legacy.peer, 15.0);
    rows.beside_nothing(what, "legacy", legacy.run, count(40))?;
    for (provider, kind, rounds) in [("legacy-libc", "with a C library", 40), ("shell", "in sh", 8)]
    {
        let starts = starts(scene, (Source::Provider(provider), MANY), count(rounds))?;
        let what = format!("{what}, {kind}");
        rows.both(&what, &starts);
        rows.beside_nothing(&what, provider, starts.run, count(rounds))?;
    }
    Ok(())
}

impl Rows<'_, '_> {
    fn what(&self, what: &str, added: Added) -> String {
        let absent = if self.scene.settings.summon.is_none() { "; no Summon here" } else { "" };
        format!("{what}, added (p99 {:.1} ms{absent})", milliseconds(added.p99))
    }

    fn within(&mut self, what: &str, ours: Added, peer: Option<Added>, budget: f64) {
        let peer = peer.map(|peer| ("summon", Figure::time(peer.median)));
        let what = self.what(what, ours);
        let budget = Figure::Milliseconds(budget);
        self.table.within(what, Figure::time(ours.median), peer, budget);
    }

    /// Both ways of ours against Summon, without another budget.
    fn both(&mut self, what: &str, starts: &Starts) {
        for (name, ours) in [("run", starts.run), ("summon", starts.summon)] {
            let what = self.what(&format!("`{name}`, {what}"), ours);
            let figure = Figure::time(ours.median);
            match starts.peer {
                Some(peer) => {
                    self.table.against(what, figure, ("summon", Figure::time(peer.median)), 1.0);
                }
                None => self.table.alone(what, figure),
            }
        }
    }

    /// Beside starting the providers and waiting for their ends, whatever they say: nobody can take less.
    fn beside_nothing(
        &mut self,
        what: &str,
        provider: &'static str,
        ours: Added,
        rounds: usize,
    ) -> Result<()> {
        let scene = self.scene;
        let [bare] = in_turn(rounds, [&mut || started_by_nobody(scene, provider)])?;
        let bare = ("their processes alone", Figure::time(bare));
        self.table.beside(format!("`run`, {what}"), Figure::time(ours.median), bare);
        Ok(())
    }
}

fn starts(scene: &Scene<'_>, wanted: (Source, usize), rounds: usize) -> Result<Starts> {
    let starters = [Starter::Run, Starter::Summon];
    if scene.settings.summon.is_none() {
        let [run, summon] = added(scene, wanted, starters, rounds)?;
        return Ok(Starts { run, summon, peer: None });
    }
    let starters = [Starter::Run, Starter::Summon, Starter::Peer];
    let [run, summon, peer] = added(scene, wanted, starters, rounds)?;
    Ok(Starts { run, summon, peer: Some(peer) })
}

/// What each starter adds; a start without any of them is taken in the same turns.
fn added<const STARTERS: usize>(
    scene: &Scene<'_>,
    wanted: (Source, usize),
    starters: [Starter; STARTERS],
    rounds: usize,
) -> Result<[Added; STARTERS]> {
    for starter in starters {
        scene.check(starter, wanted)?;
    }
    let program = scene.program("nothing");
    let all = std::iter::once(Starter::Plain).chain(starters);
    let commands: Vec<Command> =
        all.map(|starter| scene.command(starter, wanted, &program)).collect::<Result<_>>()?;
    let mut timed: Vec<_> =
        commands.into_iter().map(|mut command| move || to_its_end(&mut command)).collect();
    let mut pieces: Vec<Piece<'_>> = timed.iter_mut().map(|piece| piece as Piece<'_>).collect();
    let mut times = all_in_turn(rounds, &mut pieces)?.into_iter();
    let plain = median(times.next().context("no times")?);
    let mut added = times.map(|times| Added {
        p99: slowest_hundredth(times.clone()).saturating_sub(plain),
        median: median(times).saturating_sub(plain),
    });
    let none = Added { median: Duration::MAX, p99: Duration::MAX };
    Ok(std::array::from_fn(|_| added.next().unwrap_or(none)))
}

/// From the start of a process to its end.
fn to_its_end(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    let taken = started.elapsed();
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(taken)
}

/// All providers' processes, from twice as many threads as there are processors.
fn started_by_nobody(scene: &Scene<'_>, provider: &'static str) -> Result<Duration> {
    let program = scene.program(provider);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut children = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= MANY {
                break;
            }
            let mut command = Command::new(&program);
            command.arg(secret(number)).stdin(Stdio::null()).stdout(Stdio::null());
            children.push(command.spawn()?);
        }
        for mut child in children {
            child.wait()?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let threads = 2 * thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let started = Instant::now();
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(started.elapsed())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
