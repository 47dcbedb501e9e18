//! Why a Dockerfile is refused.

use thiserror::Error;

/// A Dockerfile that is not built from.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("Dockerfile line {line}: {fault}")]
pub struct DockerfileError {
    /// From 1; 0 for the file as a whole.
    pub line: usize,
    /// What it is.
    pub fault: Fault,
}

/// What is wrong, or what is not read here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// More than the limit.
    #[error("the file has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// More than the limit.
    #[error("there are more than {limit} instructions")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Joined over all its lines.
    #[error("the instruction has more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Nothing but comments.
    #[error("the file has no instruction")]
    Empty,
    /// In the file, or in one instruction.
    #[error("the text is not UTF-8")]
    NotText,
    /// NUL, a lone carriage return, and the like.
    #[error("there is a control character")]
    Control,
    /// The directive `# escape=`.
    #[error(
        "another escape character than the backslash is not read here; leave the directive out"
    )]
    Escape,
    /// Nothing follows, or it depends on the engine's version whether anything does.
    #[error("the instruction ends in a backslash")]
    Trailing,
    /// `<<` in RUN, COPY or ADD.
    #[error(
        "here-documents need BuildKit, which is not let through here; put the text into a file of the context"
    )]
    Heredoc,
    /// Not one of the builder's.
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    /// With a quote, a backslash, or a name that none has.
    #[error("a flag is to be written as --name=value, without quotes and backslashes")]
    Flag,
    /// `RUN --mount` and the like.
    #[error("flags of RUN need BuildKit, which is not let through here")]
    RunFlags,
    /// Before the first FROM there is only ARG.
    #[error("no build stage yet: only ARG may stand before the first FROM")]
    NoStage,
    /// What follows FROM.
    #[error("FROM takes an image, and AS with the name of the stage")]
    From,
    /// With quotes or backslashes, or what is expanded in a way that engines do not agree on.
    #[error(
        "the name of the image is to be written plainly; of variables, $NAME, ${{NAME}}, ${{NAME:-word}} and ${{NAME:+word}} are read"
    )]
    ImageName,
    /// A variable without a value.
    #[error("the name of the image is empty: a variable in it has no value here")]
    EmptyName,
    /// More than the limit.
    #[error("more than {limit} images are named")]
    TooManyImages {
        /// The limit.
        limit: usize,
    },
    /// `COPY --from` without a value.
    #[error("--from is to name a stage or an image")]
    CopyFrom,
    /// In the configuration of an image, of more than one line.
    #[error("an ONBUILD instruction is more than one plain line")]
    OnBuild,
    /// In an ONBUILD instruction, of the file or of its base.
    #[error(
        "an ONBUILD instruction may not take files from another image, nor hold another FROM or ONBUILD"
    )]
    OnBuildFrom,
}

impl Fault {
    pub(super) const fn at(self, line: usize) -> DockerfileError {
        DockerfileError { line, fault: self }
    }

    /// Shows as much of the word as tells a typing error.
    pub(super) fn unknown_instruction(word: &str) -> Self {
        let shown = word.chars().take(20).flat_map(char::escape_debug).collect();
        Self::UnknownInstruction(shown)
    }
}
