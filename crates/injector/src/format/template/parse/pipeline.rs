//! What stands between the braces: pipelines, commands, operands.

use super::super::error::Fault;
use super::super::functions::Function;
use super::super::lex::{Kind, Token};
use super::super::number;
use super::super::tree::{Command, Operand, Pipeline, Term};
use super::{Parser, Result, unexpected};

impl<'t> Parser<'t> {
    /// Declarations, then commands, then `end`, which is taken too.
    pub(super) fn pipeline(&mut self, what: &str, end: &Kind<'_>) -> Result<Pipeline<'t>> {
        let mut pipeline =
            Pipeline { at: self.at(), variables: Vec::new(), assigns: false, commands: Vec::new() };
        let first = self.declarations(&mut pipeline, what)?;
        if let Some(operand) = first {
            let command = self.command(operand)?;
            pipeline.commands.push(command);
        }
        while !self.take(end) {
            let at = self.at();
            let Some(operand) = self.operand()? else {
                let token = self.next();
                return Err(unexpected(&token, what));
            };
            let constant = matches!(
                operand.term,
                Term::Dot | Term::Nil | Term::Bool(_) | Term::Number(_) | Term::Text(_)
            );
            if !pipeline.commands.is_empty() && constant && operand.fields.is_empty() {
                return Err(Fault::form(at, "only a function can take a value from a pipeline"));
            }
            let command = self.command(operand)?;
            pipeline.commands.push(command);
        }
        if pipeline.commands.is_empty() {
            return Err(Fault::form(pipeline.at, format!("there is no value in {what}")));
        }
        Ok(pipeline)
    }

    /// `$x :=`, `$x =`, and within `range` also `$k, $v :=`. A variable that turns out to be an operand is handed
    /// back.
    fn declarations(
        &mut self,
        pipeline: &mut Pipeline<'t>,
        what: &str,
    ) -> Result<Option<Operand<'t>>> {
        while let Kind::Variable(name) = *self.peek() {
            let token = self.next();
            match self.peek() {
                kind @ (Kind::Assign | Kind::Declare) => {
                    pipeline.assigns = kind == &Kind::Assign;
                    self.next();
                    self.declare(pipeline, name);
                    return Ok(None);
                }
                Kind::Other(',') => {
                    let at = self.next().at;
                    self.declare(pipeline, name);
                    if what != "range" || pipeline.variables.len() > 1 {
                        return Err(Fault::form(at, format!("too many variables in {what}")));
                    }
                    if !matches!(self.peek(), Kind::Variable(_)) {
                        return Err(Fault::form(at, "a variable has to follow the comma"));
                    }
                }
                _ => {
                    let term = self.variable(name, token.at)?;
                    return self.with_fields(term, token.at).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn declare(&mut self, pipeline: &mut Pipeline<'t>, name: &'t str) {
        pipeline.variables.push(name);
        self.variables.push(name);
    }

    /// The arguments of a command, and the `|` behind it.
    fn command(&mut self, first: Operand<'t>) -> Result<Command<'t>> {
        let mut command = Command { first, arguments: Vec::new() };
        loop {
            match self.peek() {
                Kind::Close | Kind::RightParen => return Ok(command),
                Kind::Pipe => {
                    self.next();
                    return Ok(command);
                }
                _ => {}
            }
            let space = self.tokens.peek().is_some_and(|token| token.space);
            let operand = if space { self.operand()? } else { None };
            let Some(operand) = operand else {
                let token = self.next();
                return Err(unexpected(&token, "an operand"));
            };
            command.arguments.push(operand);
        }
    }

    fn operand(&mut self) -> Result<Option<Operand<'t>>> {
        let at = self.at();
        let wrong = |reason| Fault::form(at, reason);
        let term = match *self.peek() {
            Kind::Dot => Term::Dot,
            Kind::Field(name) => {
                self.next();
                return self.with_more_fields(Term::Dot, at, vec![name]).map(Some);
            }
            Kind::Variable(name) => self.variable(name, at)?,
            Kind::Number(text) => Term::Number(number::number(text).map_err(wrong)?),
            Kind::Character(text) => {
                Term::Number(number::Number::Int(number::character(text).map_err(wrong)?))
            }
            Kind::Quoted(text) | Kind::Raw(text) => Term::Text(number::text(text).map_err(wrong)?),
            Kind::LeftParen => {
                self.next();
                let inner =
                    self.deeper(|parser| parser.pipeline("parentheses", &Kind::RightParen))?;
                return self.with_fields(Term::Pipeline(Box::new(inner)), at).map(Some);
            }
            Kind::Word("true") => Term::Bool(true),
            Kind::Word("false") => Term::Bool(false),
            Kind::Word("nil") => Term::Nil,
            Kind::Word(word) if is_keyword(word) => return Ok(None),
            Kind::Word(word) => match Function::by_name(word) {
                Some(function) => Term::Function(function),
                None => {
                    let word: String = word.chars().take(40).collect();
                    return Err(wrong(format!("there is no function {word:?}")));
                }
            },
            _ => return Ok(None),
        };
        self.next();
        self.with_fields(term, at).map(Some)
    }

    fn variable(&mut self, name: &'t str, at: usize) -> Result<Term<'t>> {
        if self.variables.contains(&name) {
            return Ok(Term::Variable(name));
        }
        let name: String = name.chars().take(40).collect();
        Err(Fault::form(at, format!("there is no variable {name:?}")))
    }

    fn with_fields(&mut self, term: Term<'t>, at: usize) -> Result<Operand<'t>> {
        let constant =
            matches!(term, Term::Dot | Term::Nil | Term::Bool(_) | Term::Number(_) | Term::Text(_));
        let follows = |token: &Token<'_>| !token.space && matches!(token.kind, Kind::Field(_));
        if constant && let Some(field) = self.tokens.next_if(follows) {
            return Err(unexpected(&field, "a value that has no fields"));
        }
        self.with_more_fields(term, at, Vec::new())
    }

    /// Fields that stand at the term with no space between.
    fn with_more_fields(
        &mut self,
        term: Term<'t>,
        at: usize,
        mut fields: Vec<&'t str>,
    ) -> Result<Operand<'t>> {
        while let Some(Token { kind: Kind::Field(name), space: false, .. }) = self.tokens.peek() {
            fields.push(name);
            self.next();
        }
        Ok(Operand { at, term, fields })
    }
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "block"
            | "break"
            | "continue"
            | "define"
            | "else"
            | "end"
            | "if"
            | "range"
            | "template"
            | "with"
    )
}
