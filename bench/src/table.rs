//! The table: for a person as Markdown, for the next run as JSON.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

/// One comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) what: String,
    /// Our figure.
    pub(crate) ours: Figure,
    /// The peer and its figure; none where there is only a budget.
    pub(crate) peer: Option<Peer>,
    /// What the design asks for, in words.
    pub(crate) budget: String,
    /// Whether it is met.
    pub(crate) met: bool,
}

/// Who we are compared with.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) figure: Figure,
    /// How many times as good as the peer we are.
    pub(crate) ratio: f64,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "unit", content = "value", rename_all = "kebab-case")]
pub(crate) enum Figure {
    Milliseconds(f64),
    Microseconds(f64),
    PerSecond(f64),
    MebibytesPerSecond(f64),
    Megabytes(f64),
}

impl Figure {
    pub(crate) fn time(duration: Duration) -> Self {
        Self::Milliseconds(duration.as_secs_f64() * 1000.0)
    }

    pub(crate) fn short(duration: Duration) -> Self {
        Self::Microseconds(duration.as_secs_f64() * 1e6)
    }

    pub(crate) fn throughput(bytes: u64, duration: Duration) -> Self {
        Self::MebibytesPerSecond(bytes as f64 / f64::from(1 << 20) / duration.as_secs_f64())
    }

    pub(crate) fn rate(count: u64, duration: Duration) -> Self {
        Self::PerSecond(count as f64 / duration.as_secs_f64())
    }

    /// How many times as good as another this is.
    fn ratio(self, other: Self) -> f64 {
        match (self, other) {
            (Self::Milliseconds(ours), Self::Milliseconds(theirs))
            | (Self::Microseconds(ours), Self::Microseconds(theirs))
            | (Self::Megabytes(ours), Self::Megabytes(theirs)) => theirs / ours,
            (Self::PerSecond(ours), Self::PerSecond(theirs))
            | (Self::MebibytesPerSecond(ours), Self::MebibytesPerSecond(theirs)) => ours / theirs,
            _ => f64::NAN,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Milliseconds(value) if value < 10.0 => format!("{value:.2} ms"),
            Self::Milliseconds(value) => format!("{value:.0} ms"),
            Self::Microseconds(value) if value < 10.0 => format!("{value:.2} µs"),
            Self::Microseconds(value) => format!("{value:.0} µs"),
            Self::PerSecond(value) => format!("{value:.0} /s"),
            Self::MebibytesPerSecond(value) => format!("{value:.0} MiB/s"),
            Self::Megabytes(value) => format!("{value:.0} MB"),
        }
    }
}

/// All comparisons of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    machine: String,
    quick: bool,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(quick: bool) -> Self {
        Self { machine: machine(), quick, rows: Vec::new() }
    }

    /// With what another group has come to.
    pub(crate) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
    }

    /// Us against a peer; the budget is how many times as good we have to be.
    pub(crate) fn against(
        &mut self,
        what: impl Into<String>,
        ours: Figure,
        peer: (&str, Figure),
        least: f64,
    ) {
        let ratio = ours.ratio(peer.1);
        self.push(Row {
            what: what.into(),
            ours,
            peer: Some(Peer { name: peer.0.to_owned(), figure: peer.1, ratio }),
            budget: format!("≥ {least}×"),
            met: ratio >= least,
        });
    }

    /// Us beside something that does less, to see what there is to be had: no budget.
    pub(crate) fn beside(&mut self, what: impl Into<String>, ours: Figure, peer: (&str, Figure)) {
        let ratio = ours.ratio(peer.1);
        let peer = Some(Peer { name: peer.0.to_owned(), figure: peer.1, ratio });
        self.push(Row { what: what.into(), ours, peer, budget: String::new(), met: true });
    }

    /// Us against a figure of the design.
    pub(crate) fn budget(&mut self, what: impl Into<String>, ours: Figure, budget: Figure) {
        self.within(what, ours, None, budget);
    }

    /// The same, with a peer's figure for comparison.
    pub(crate) fn within(
        &mut self,
        what: impl Into<String>,
        ours: Figure,
        peer: Option<(&str, Figure)>,
        budget: Figure,
    ) {
        let less = matches!(
            budget,
            Figure::Milliseconds(_) | Figure::Microseconds(_) | Figure::Megabytes(_)
        );
        let sign = if less { '≤' } else { '≥' };
        let met = ours.ratio(budget) >= 1.0;
        let budget = format!("{sign} {}", budget.shown());
        let peer = peer.map(|(name, figure)| Peer {
            name: name.to_owned(),
            figure,
            ratio: ours.ratio(figure),
        });
        self.push(Row { what: what.into(), ours, peer, budget, met });
    }

    /// Only what it is: no peer, no budget.
    pub(crate) fn alone(&mut self, what: impl Into<String>, ours: Figure) {
        let what = what.into();
        self.push(Row { what, ours, peer: None, budget: String::new(), met: true });
    }

    fn push(&mut self, row: Row) {
        eprintln!("  {}", line(&row));
        self.rows.push(row);
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("| what | sealock | peer | ratio | budget | |\n");
        text.push_str("| --- | ---: | ---: | ---: | ---: | --- |\n");
        for row in &self.rows {
            text.push_str(&line(row));
            text.push('\n');
        }
        let quick = if self.quick { "; quick: figures mean little" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{}{quick}", self.machine);
        text
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn line(row: &Row) -> String {
    let (peer, ratio) = row.peer.as_ref().map_or_else(
        || (String::new(), String::new()),
        |peer| (format!("{} {}", peer.name, peer.figure.shown()), format!("{:.1}×", peer.ratio)),
    );
    let met = match row.met {
        _ if row.budget.is_empty() => "",
        true => "met",
        false => "**missed**",
    };
    format!("| {} | {} | {peer} | {ratio} | {} | {met} |", row.what, row.ours.shown(), row.budget)
}

/// Processor, cores, kernel.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_time_is_better_and_more_throughput_is_better() {
        let mut table = Table::new(false);
        let time = |millis| Figure::time(Duration::from_millis(millis));
        table.against("a", time(10), ("peer", time(20)), 2.0);
        table.against("b", time(20), ("peer", time(10)), 1.0);
        table.budget("c", Figure::PerSecond(6000.0), Figure::PerSecond(5000.0));
        table.budget("d", time(30), time(20));
        table.beside("e", time(30), ("raw", time(20)));
        table.within("f", time(10), Some(("peer", time(5))), time(20));
        let met: Vec<bool> = table.rows.iter().map(|row| row.met).collect();
        assert_eq!(met, [true, false, true, false, true, true]);
        let text = table.to_markdown();
        assert!(text.contains("| a | 10 ms | peer 20 ms | 2.0× | ≥ 2× | met |"), "{text}");
        assert!(text.contains("| d | 30 ms |  |  | ≤ 20 ms | **missed** |"), "{text}");
        assert!(text.contains("| f | 10 ms | peer 5.00 ms | 0.5× | ≤ 20 ms | met |"), "{text}");
        assert!(text.contains("| e | 30 ms | raw 20 ms | 0.7× |  |  |"), "{text}");
    }
}
