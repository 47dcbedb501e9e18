//! Rows of a table: what is run, and what comes of it.

use std::fs;

use super::stage::{Outcome, Running, Stage, fits, is_ours};

/// A look at what is left when the command has ended.
type Look = fn(&Stage);

/// One sentence of the contract.
pub(super) struct Row {
    sentence: &'static str,
    flags: Vec<String>,
    files: Vec<(String, String)>,
    set: Vec<(String, String)>,
    unset: Vec<&'static str>,
    folder: &'static str,
    input: Option<&'static str>,
    command: Vec<String>,
    code: i32,
    out: String,
    err: String,
    left: Vec<Look>,
    ours: bool,
}

/// Begins a row; it runs `true` with a file of nothing, and says nothing.
pub(super) fn row(sentence: &'static str) -> Row {
    Row {
        sentence,
        flags: Vec::new(),
        files: vec![("secrets.yml".to_owned(), "{}\n".to_owned())],
        set: Vec::new(),
        unset: Vec::new(),
        folder: "",
        input: None,
        command: vec!["true".to_owned()],
        code: 0,
        out: String::new(),
        err: String::new(),
        left: Vec::new(),
        ours: false,
    }
}

impl Row {
    pub(super) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// The same as `-p`.
    pub(super) fn provider(self, name: &str) -> Self {
        self.flags(&["-p", name])
    }

    /// `secrets.yml`.
    pub(super) fn yaml(mut self, text: &str) -> Self {
        self.files[0].1 = text.to_owned();
        self
    }

    pub(super) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn unset(mut self, name: &'static str) -> Self {
        self.unset.push(name);
        self
    }

    /// Where one stands, below the usual folder.
    pub(super) fn at(mut self, folder: &'static str) -> Self {
        self.folder = folder;
        self
    }

    pub(super) fn input(mut self, text: &'static str) -> Self {
        self.input = Some(text);
        self
    }

    pub(super) fn command(mut self, command: &[&str]) -> Self {
        self.command = command.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    pub(super) fn sh(self, script: &str) -> Self {
        self.command(&["sh", "-c", script])
    }

    /// All of its standard output; `…` is anything, `{work}` and the like are folders of the stage.
    pub(super) fn prints(mut self, text: &str) -> Self {
        self.out = text.to_owned();
        self
    }

    pub(super) fn complains(mut self, text: &str) -> Self {
        self.err = text.to_owned();
        self
    }

    pub(super) fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    /// An error of its own: one line on standard output, 127.
    pub(super) fn fails(self, text: &str) -> Self {
        self.code(127).prints(&format!("{text}\n"))
    }

    pub(super) fn leaves(mut self, look: Look) -> Self {
        self.left.push(look);
        self
    }

    /// A difference from Summon that is meant.
    pub(super) fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    fn run(&self) -> Result<(), String> {
        let stage = Stage::new();
        for (name, text) in &self.files {
            stage.write(name, stage.filled_in(text));
        }
        fs::create_dir_all(stage.work(self.folder)).unwrap();
        let mut command = stage.summon(&[]);
        command.args(self.flags.iter().map(|flag| stage.filled_in(flag)));
        command.args(self.command.iter().map(|word| stage.filled_in(word)));
        command.current_dir(stage.work(self.folder));
        command.envs(self.set.iter().map(|(name, value)| (name, stage.filled_in(value))));
        for name in &self.unset {
            command.env_remove(name);
        }
        let outcome = match self.input {
            Some(input) => Running::with_input(command, input).wait(),
            None => Running::start(command).wait(),
        };
        let (out, err) = (stage.filled_in(&self.out), stage.filled_in(&self.err));
        let Outcome { code, signal, out: printed, err: complained } = &outcome;
        if *code != Some(self.code) || !fits(&out, printed) || !fits(&err, complained) {
            return Err(format!(
                "{}\n  wanted {} {out:?} {err:?}\n  got {code:?} {signal:?} {printed:?} {complained:?}",
                self.sentence, self.code
            ));
        }
        self.left.iter().for_each(|look| look(&stage));
        Ok(())
    }
}

impl Stage {
    fn filled_in(&self, text: &str) -> String {
        let folder = |name: &str| self.path(name).display().to_string();
        text.replace("{work}", &folder("work"))
            .replace("{providers}", &folder("providers"))
            .replace("{bin}", &folder("bin"))
            .replace("{home}", &folder("home"))
            .replace("{stage}", folder("").trim_end_matches('/'))
    }
}

/// All rows hold, or all that do not are named.
pub(super) fn hold(rows: impl IntoIterator<Item = Row>) {
    let rows = rows.into_iter().filter(|row| !row.ours || is_ours());
    let wrong: Vec<String> = rows.filter_map(|row| row.run().err()).collect();
    assert!(wrong.is_empty(), "{} rows do not hold:\n{}", wrong.len(), wrong.join("\n"));
}
