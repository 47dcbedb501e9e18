//! Fills a template in.

use sealock_core::SecretBytes;

use super::error::{Fault, TemplateError};
use super::print::{self, Place};
use super::tree::{Choice, Node, Pipeline, Trees};
use super::value::{Text, Value};
use super::{Dialect, Limits, Secret};
use crate::buffer::Buffer;

pub(super) type Result<T> = std::result::Result<T, Fault>;

pub(super) fn run(
    text: &str,
    trees: &Trees<'_>,
    secrets: &[Secret<'_>],
    dialect: Dialect,
    limits: Limits,
) -> std::result::Result<SecretBytes, TemplateError> {
    let room = text.len() + secrets.iter().map(|secret| secret.value.len()).sum::<usize>();
    let mut run = Run {
        trees,
        secrets,
        dialect,
        limits,
        out: Buffer::with_capacity(room.min(limits.output)),
        variables: vec![("$", Value::Data)],
        frame: 0,
        steps: 0,
        work: 0,
        depth: 0,
    };
    run.nodes(&Value::Data, &trees.main).map_err(|fault| fault.in_text(text))?;
    Ok(run.out.into_secret())
}

/// One execution.
pub(super) struct Run<'e> {
    trees: &'e Trees<'e>,
    /// In the order of their aliases.
    pub(super) secrets: &'e [Secret<'e>],
    pub(super) dialect: Dialect,
    pub(super) limits: Limits,
    out: Buffer,
    pub(super) variables: Vec<(&'e str, Value<'e>)>,
    /// The first variable of this template; those before it are another's.
    pub(super) frame: usize,
    steps: usize,
    work: usize,
    depth: usize,
}

/// What comes after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'e> Run<'e> {
    /// Counts something that takes time.
    pub(super) fn step(&mut self, at: usize) -> Result<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Fault::limit(at, format!("{} steps", self.limits.steps)));
        }
        Ok(())
    }

    /// Counts bytes that a function goes through or makes.
    pub(super) fn charge(&mut self, bytes: usize, at: usize) -> Result<()> {
        self.work = self.work.saturating_add(bytes);
        if self.work > self.limits.work {
            return Err(Fault::limit(at, format!("{} bytes to go through", self.limits.work)));
        }
        Ok(())
    }

    /// A text that a function has made.
    pub(super) fn made(&mut self, text: Buffer, at: usize) -> Result<Value<'e>> {
        self.charge(text.len(), at)?;
        if text.len() > self.limits.output {
            return Err(self.too_long(at));
        }
        Ok(Value::Text(Text::Made(text.into_secret().into())))
    }

    pub(super) fn too_long(&self, at: usize) -> Fault {
        Fault::limit(at, format!("{} bytes of output", self.limits.output))
    }

    pub(super) fn deeper<T>(
        &mut self,
        at: usize,
        inner: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if self.depth == self.limits.depth {
            let limit = format!("{} templates and blocks within one another", self.limits.depth);
            return Err(Fault::limit(at, limit));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn nodes(&mut self, dot: &Value<'e>, nodes: &'e [Node<'e>]) -> Result<Flow> {
        for node in nodes {
            match self.node(dot, node)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value<'e>, node: &'e Node<'e>) -> Result<Flow> {
        match node {
            Node::Text(text, at) => {
                self.step(*at)?;
                self.write(text.as_bytes(), *at)?;
            }
            Node::Action(pipeline) => {
                let value = self.pipeline(dot, pipeline)?;
                if pipeline.variables.is_empty() {
                    self.write_value(&value, pipeline.at)?;
                }
            }
            Node::If(choice) => return self.choice(dot, choice, false),
            Node::With(choice) => return self.choice(dot, choice, true),
            Node::Range { over, body, otherwise } => {
                let mark = self.variables.len();
                let flow = self.range(dot, over, body, otherwise);
                self.variables.truncate(mark);
                return flow;
            }
            Node::Call { at, name, argument } => {
                self.call_template(dot, *at, name, argument.as_ref())?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, bytes: &[u8], at: usize) -> Result<()> {
        if self.out.len().saturating_add(bytes.len()) > self.limits.output {
            return Err(self.too_long(at));
        }
        self.out.extend(bytes);
        Ok(())
    }

    fn write_value(&mut self, value: &Value<'e>, at: usize) -> Result<()> {
        if let Value::Text(text) = value {
            return self.write(text.bytes(), at);
        }
        let mut shown = Buffer::default();
        print::value(value, Place::Action, self.dialect, &mut shown)
            .map_err(|reason| Fault::run(at, reason))?;
        self.write(shown.as_slice(), at)
    }

    fn choice(&mut self, dot: &Value<'e>, choice: &'e Choice<'e>, with: bool) -> Result<Flow> {
        let mark = self.variables.len();
        let mut flow = None;
        for (condition, nodes) in &choice.branches {
            let value = self.pipeline(dot, condition)?;
            if value.is_true(self.secrets.len()) {
                let inner = if with { &value } else { dot };
                flow = Some(self.deeper(condition.at, |run| run.nodes(inner, nodes))?);
                break;
            }
        }
        let flow = match flow {
            Some(flow) => flow,
            None => self.deeper(0, |run| run.nodes(dot, &choice.otherwise))?,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(
        &mut self,
        dot: &Value<'e>,
        over: &'e Pipeline<'e>,
        body: &'e [Node<'e>],
        otherwise: &'e [Node<'e>],
    ) -> Result<Flow> {
        let value = self.pipeline(dot, over)?;
        let count = match &value {
            Value::Nothing => 0,
            Value::List(list) => list.len(),
            Value::Map => self.secrets.len(),
            Value::Int(_) | Value::Byte(_) if over.variables.len() > 1 => {
                return Err(Fault::run(over.at, "a number gives one variable, not two"));
            }
            Value::Int(number) => usize::try_from(*number).unwrap_or(0),
            Value::Byte(number) => usize::from(*number),
            other => {
                return Err(Fault::run(over.at, format!("range cannot go over {}", other.kind())));
            }
        };
        if count == 0 {
            return self.deeper(over.at, |run| run.nodes(dot, otherwise));
        }
        for index in 0..count {
            self.step(over.at)?;
            let (key, element) = self.element(&value, index);
            let mark = self.variables.len();
            self.set_range_variables(over, key, &element)?;
            let flow = self.deeper(over.at, |run| run.nodes(&element, body))?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    /// The key and the element at a place of what is gone over.
    fn element(&self, value: &Value<'e>, index: usize) -> (Value<'e>, Value<'e>) {
        let number = i64::try_from(index).unwrap_or(i64::MAX);
        let secret = |list: &'e [Secret<'e>]| {
            list.get(index).map_or(Value::NoSecret, |secret| Value::Secret(*secret))
        };
        match value {
            Value::List(list) => (Value::Int(number), secret(list)),
            Value::Map => {
                let alias = self.secrets.get(index).map_or("", |secret| secret.alias);
                (Value::Text(Text::Borrowed(alias.as_bytes())), secret(self.secrets))
            }
            Value::Byte(_) => (Value::Nothing, Value::Byte(u8::try_from(index).unwrap_or(0))),
            _ => (Value::Nothing, Value::Int(number)),
        }
    }

    /// With two variables the first is the key; with one it is the element.
    fn set_range_variables(
        &mut self,
        over: &'e Pipeline<'e>,
        key: Value<'e>,
        element: &Value<'e>,
    ) -> Result<()> {
        let values = match over.variables.as_slice() {
            [] => return Ok(()),
            [one] => vec![(*one, element.clone())],
            [first, second, ..] => vec![(*first, key), (*second, element.clone())],
        };
        if over.assigns {
            for (name, value) in values {
                self.assign(name, value, over.at)?;
            }
        } else {
            self.variables.extend(values);
        }
        Ok(())
    }

    fn call_template(
        &mut self,
        dot: &Value<'e>,
        at: usize,
        name: &'e [u8],
        argument: Option<&'e Pipeline<'e>>,
    ) -> Result<()> {
        self.step(at)?;
        let Some(nodes) = self.trees.defined.get(name) else {
            let name = String::from_utf8_lossy(name).chars().take(80).collect::<String>();
            return Err(Fault::run(at, format!("there is no template {name:?}")));
        };
        let dot = match argument {
            Some(pipeline) => self.pipeline(dot, pipeline)?,
            None => Value::Nothing,
        };
        // A template sees no variables of who calls it.
        let (frame, mark) = (self.frame, self.variables.len());
        self.frame = mark;
        self.variables.push(("$", dot.clone()));
        self.deeper(at, |run| run.nodes(&dot, nodes))?;
        self.variables.truncate(mark);
        self.frame = frame;
        Ok(())
    }
}
