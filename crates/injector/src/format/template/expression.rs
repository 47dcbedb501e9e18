//! What pipelines, commands and operands come to.

use super::Secret;
use super::error::Fault;
use super::eval::{Result, Run};
use super::number::Number;
use super::tree::{Command, Operand, Pipeline, Term};
use super::value::{Text, Value};

impl<'e> Run<'e> {
    pub(super) fn pipeline(
        &mut self,
        dot: &Value<'e>,
        pipeline: &'e Pipeline<'e>,
    ) -> Result<Value<'e>> {
        let mut value = None;
        for command in &pipeline.commands {
            self.step(command.first.at)?;
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nothing);
        for name in &pipeline.variables {
            if pipeline.assigns {
                self.assign(name, value.clone(), pipeline.at)?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        dot: &Value<'e>,
        command: &'e Command<'e>,
        last: Option<Value<'e>>,
    ) -> Result<Value<'e>> {
        let first = &command.first;
        if let Term::Function(function) = first.term
            && first.fields.is_empty()
        {
            return self.call(dot, function, first.at, &command.arguments, last);
        }
        let arguments = !command.arguments.is_empty() || last.is_some();
        if first.fields.is_empty() {
            if arguments {
                return Err(Fault::run(first.at, "only a function can have arguments"));
            }
            if matches!(first.term, Term::Nil) {
                return Err(Fault::run(first.at, "nil alone is no value"));
            }
        }
        let receiver = self.term(dot, first)?;
        self.fields(receiver, first, arguments)
    }

    /// An operand as an argument.
    pub(super) fn operand(
        &mut self,
        dot: &Value<'e>,
        operand: &'e Operand<'e>,
    ) -> Result<Value<'e>> {
        self.step(operand.at)?;
        let receiver = self.term(dot, operand)?;
        self.fields(receiver, operand, false)
    }

    fn term(&mut self, dot: &Value<'e>, operand: &'e Operand<'e>) -> Result<Value<'e>> {
        Ok(match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil => Value::Nothing,
            Term::Bool(value) => Value::Bool(*value),
            Term::Number(Number::Int(number)) => Value::Int(*number),
            Term::Number(Number::Float(number)) => Value::Float(*number),
            Term::Text(text) => Value::Text(Text::Borrowed(text)),
            Term::Variable(name) => self.variable(name, operand.at)?,
            Term::Function(function) => self.call(dot, *function, operand.at, &[], None)?,
            Term::Pipeline(pipeline) => {
                self.deeper(operand.at, |run| run.pipeline(dot, pipeline))?
            }
        })
    }

    /// The fields behind a term, one of the other.
    fn fields(
        &self,
        mut value: Value<'e>,
        operand: &'e Operand<'e>,
        arguments: bool,
    ) -> Result<Value<'e>> {
        let last = operand.fields.len().saturating_sub(1);
        for (index, name) in operand.fields.iter().enumerate() {
            value = self.field(&value, name, operand.at, arguments && index == last)?;
        }
        Ok(value)
    }

    fn field(
        &self,
        value: &Value<'e>,
        name: &str,
        at: usize,
        arguments: bool,
    ) -> Result<Value<'e>> {
        let shown = || name.chars().take(80).collect::<String>();
        let found = match (value, name) {
            (Value::Nothing, _) => return Ok(Value::Nothing),
            (Value::Data, "SecretsArray") => Value::List(self.secrets),
            (Value::Data, "SecretsMap") => Value::Map,
            (Value::Secret(secret), "Alias") => text(secret.alias.as_bytes()),
            (Value::Secret(secret), "Value") => text(secret.value),
            (Value::Map, alias) => {
                self.secret(alias.as_bytes()).map_or(Value::Nothing, Value::Secret)
            }
            (other, _) => {
                let reason = format!("{} has no field {:?}", other.kind(), shown());
                return Err(Fault::run(at, reason));
            }
        };
        if arguments {
            return Err(Fault::run(at, format!("the field {:?} takes no arguments", shown())));
        }
        Ok(found)
    }

    pub(super) fn secret(&self, alias: &[u8]) -> Option<Secret<'e>> {
        let found = self.secrets.binary_search_by(|secret| secret.alias.as_bytes().cmp(alias));
        found.ok().and_then(|index| self.secrets.get(index)).copied()
    }

    fn variable(&self, name: &str, at: usize) -> Result<Value<'e>> {
        let own = self.variables.get(self.frame..).unwrap_or_default();
        let found = own.iter().rev().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| undefined(name, at))
    }

    pub(super) fn assign(&mut self, name: &str, value: Value<'e>, at: usize) -> Result<()> {
        let own = self.variables.get_mut(self.frame..).unwrap_or_default();
        let found = own.iter_mut().rev().find(|(other, _)| *other == name);
        found.map(|(_, old)| *old = value).ok_or_else(|| undefined(name, at))
    }
}

fn undefined(name: &str, at: usize) -> Fault {
    let name: String = name.chars().take(80).collect();
    Fault::run(at, format!("the variable {name:?} has no value here"))
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::Text(Text::Borrowed(bytes))
}
