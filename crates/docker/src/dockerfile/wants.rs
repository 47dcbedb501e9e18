//! What a Dockerfile wants that policy decides on.

use std::collections::BTreeSet;

use super::error::{DockerfileError, Fault};
pub use super::variables::BuildArguments;
use super::variables::Variables;
use super::{Dockerfile, Instruction, Keyword, is_id, words};
use crate::body::Risk;

/// Images that one file names.
const MOST_IMAGES: usize = 64;

/// What a file wants.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Wants {
    /// In the order in which they stand there.
    pub images: Vec<Wanted>,
    /// What it does besides.
    pub risks: BTreeSet<Risk>,
    /// The keys of the labels that it sets.
    pub label_keys: BTreeSet<String>,
}

/// An image that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As it stands there, with its variables filled in.
    pub name: String,
    /// Whether a stage is based on it, and so its labels and `ONBUILD` instructions are the stage's; files are only
    /// taken from others.
    pub is_base: bool,
    /// From 1.
    pub line: usize,
    /// Which instruction.
    pub(super) place: usize,
}

impl Dockerfile {
    /// What it wants, with these build arguments.
    pub fn wants(&self, given: &BuildArguments) -> Result<Wants, DockerfileError> {
        let mut reading = Reading::default();
        for (place, instruction) in self.instructions.iter().enumerate() {
            reading
                .instruction(place, instruction, given)
                .map_err(|fault| fault.at(instruction.line))?;
        }
        if !reading.begun {
            return Err(Fault::NoStage.at(0));
        }
        Ok(reading.wants)
    }

    /// What the `ONBUILD` instructions of a base image want, which the engine takes as if they stood after the
    /// `FROM`. They cannot be written anew, so they may name no image.
    pub fn triggered(instructions: &[String]) -> Result<Wants, DockerfileError> {
        let mut reading = Reading { begun: true, ..Reading::default() };
        for (place, text) in instructions.iter().enumerate() {
            // The engine reads these as they are: what could be more than the one line is not read.
            if text.contains('\n') || text.trim_start().starts_with('#') {
                return Err(Fault::OnBuild.at(place + 1));
            }
            let read = Self::parse(text.as_bytes())?;
            for instruction in &read.instructions {
                let refused = Fault::OnBuildFrom.at(place + 1);
                if instruction.flags.iter().any(|flag| flag.name == "from")
                    || matches!(instruction.keyword, Keyword::From | Keyword::OnBuild)
                {
                    return Err(refused);
                }
                reading
                    .instruction(place, instruction, &BuildArguments::new())
                    .map_err(|fault| fault.at(place + 1))?;
            }
        }
        Ok(reading.wants)
    }
}

#[derive(Default)]
struct Reading {
    wants: Wants,
    /// Of the arguments before the first stage.
    variables: Variables,
    /// The stages that are over, by their names.
    stages: Vec<Option<String>>,
    /// The name of the stage that is not.
    current: Option<String>,
    begun: bool,
}

impl Reading {
    fn instruction(
        &mut self,
        place: usize,
        instruction: &Instruction,
        given: &BuildArguments,
    ) -> Result<(), Fault> {
        match instruction.keyword {
            Keyword::From => return self.from(place, instruction),
            Keyword::Arg if !self.begun => {
                self.variables.declare(&instruction.rest, given);
                return Ok(());
            }
            _ if !self.begun => return Err(Fault::NoStage),
            Keyword::Add | Keyword::Copy => {
                for flag in instruction.flags.iter().filter(|flag| flag.name == "from") {
                    let source = flag.value.as_deref().filter(|value| !value.is_empty());
                    self.source(place, instruction, source.ok_or(Fault::CopyFrom)?)?;
                }
                if instruction.keyword == Keyword::Add && words::is_fetched(&instruction.rest) {
                    self.wants.risks.insert(Risk::BuildRemote);
                }
            }
            // Of a base it is carried out at once, also of a stage of this very file.
            Keyword::OnBuild => {
                let triggered = Dockerfile::triggered(std::slice::from_ref(&instruction.rest));
                let triggered = triggered.map_err(|error| error.fault)?;
                self.wants.risks.extend(triggered.risks);
                self.wants.label_keys.extend(triggered.label_keys);
            }
            Keyword::Label => {
                let (keys, is_risky) = words::label_keys(&instruction.rest);
                self.wants.label_keys.extend(keys);
                if is_risky {
                    self.wants.risks.insert(Risk::SealockLabels);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn from(&mut self, place: usize, instruction: &Instruction) -> Result<(), Fault> {
        let words: Vec<&str> = instruction.rest.split_whitespace().collect();
        let (image, stage) = match words.as_slice() {
            [image] => (*image, None),
            [image, word, stage] if word.eq_ignore_ascii_case("as") => {
                (*image, Some(stage_name(stage)?))
            }
            _ => return Err(Fault::From),
        };
        if self.begun {
            let over = self.current.take();
            self.stages.push(over);
        }
        self.begun = true;
        self.current = stage;
        // The engine looks for a stage by the name after its variables are filled in.
        let name = self.variables.expand(image)?;
        if name.is_empty() {
            return Err(Fault::EmptyName);
        }
        if name == "scratch" || self.is_stage(&name) {
            // Where a variable says so, the engine's own reading of it must not matter.
            return if image == name { Ok(()) } else { Err(Fault::ImageName) };
        }
        self.image(place, instruction, name, true)
    }

    /// Of `COPY --from`, in which the engine fills in no variable.
    fn source(&mut self, place: usize, instruction: &Instruction, name: &str) -> Result<(), Fault> {
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
        if self.is_stage(name) || is_number && name.len() < 6 {
            return Ok(());
        }
        self.image(place, instruction, name.to_owned(), false)
    }

    fn image(
        &mut self,
        place: usize,
        instruction: &Instruction,
        name: String,
        is_base: bool,
    ) -> Result<(), Fault> {
        if name.contains('$') {
            return Err(Fault::ImageName);
        }
        if self.wants.images.len() == MOST_IMAGES {
            return Err(Fault::TooManyImages { limit: MOST_IMAGES });
        }
        self.wants.images.push(Wanted { name, is_base, line: instruction.line, place });
        Ok(())
    }

    /// Only those that are over: for the engine, the one that goes on is none yet.
    fn is_stage(&self, name: &str) -> bool {
        // An id stays what it is: no stage can be called so.
        !is_id(name) && self.stages.iter().flatten().any(|stage| stage.eq_ignore_ascii_case(name))
    }
}

/// In small letters, as the engine has it. One that it would refuse is refused here, so that it cannot be an
/// image's name at the same time.
fn stage_name(word: &str) -> Result<String, Fault> {
    let name = word.to_ascii_lowercase();
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if begins && name.chars().all(fits) { Ok(name) } else { Err(Fault::From) }
}
