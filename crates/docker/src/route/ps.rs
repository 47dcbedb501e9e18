//! Options of `ps`, which the engine runs on the host for `docker top`.
//!
//! It reads the answer by its columns, so that options which shift, sort, select or widen them show processes of the
//! host, and `e` shows their environment. Only whole words that are known to do neither are let through.

/// Formats that have the process id in a column of its own.
const FORMATS: [&str; 14] =
    ["-ef", "-e", "-f", "-eF", "-F", "-el", "-l", "-ely", "aux", "-aux", "ax", "-ax", "u", "-A"];

/// Columns of one word each, or the last one.
const COLUMNS: [&str; 32] = [
    "pid", "ppid", "pgid", "sid", "sess", "user", "uid", "euser", "ruser", "group", "gid", "comm",
    "ucmd", "args", "cmd", "command", "stat", "s", "state", "time", "etime", "etimes", "cputime",
    "tty", "pcpu", "%cpu", "pmem", "%mem", "rss", "vsz", "nice", "ni",
];

/// The words, with one space between them.
pub(super) fn options(text: &str) -> Option<String> {
    let mut words = text.split_ascii_whitespace();
    let mut all = Vec::new();
    while let Some(word) = words.next() {
        all.push(word);
        if FORMATS.contains(&word) {
            continue;
        }
        let columns = match word {
            "-o" | "-eo" | "o" | "-Ao" => {
                let columns = words.next()?;
                all.push(columns);
                columns
            }
            joined => joined.strip_prefix("-o").or_else(|| joined.strip_prefix("-eo"))?,
        };
        if !columns.split(',').all(|column| COLUMNS.contains(&column)) {
            return None;
        }
    }
    Some(all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_chosen_and_nothing_else_is() {
        for good in
            ["-ef", "aux", "-o pid,cmd", "-eo pid,user,args", "-opid,comm", "  -e   -o pid "]
        {
            assert!(options(good).is_some(), "{good}");
        }
        for bad in [
            "axeww",
            "auxe",
            "e",
            "-o pid,environ",
            "-o lstart,supgid,ppid,pid,args e",
            "-eo pid=PPID",
            "-o pid --sort=-vsz",
            "-u 0",
            "-p 1",
            "-o",
            "-o pid,,args",
            "-O pid",
            "--forest",
            "-q 1",
        ] {
            assert!(options(bad).is_none(), "{bad}");
        }
    }
}
