//! What a template is when it has been read.

use std::collections::BTreeMap;

use super::functions::Function;
use super::number::Number;

/// The template itself, and those that it defines.
#[derive(Debug, Default)]
pub(super) struct Trees<'t> {
    pub(super) main: Vec<Node<'t>>,
    /// Names may be any bytes, as in Go.
    pub(super) defined: BTreeMap<Vec<u8>, Vec<Node<'t>>>,
}

#[derive(Debug)]
pub(super) enum Node<'t> {
    Text(&'t str, usize),
    Action(Pipeline<'t>),
    If(Choice<'t>),
    With(Choice<'t>),
    Range { over: Pipeline<'t>, body: Vec<Node<'t>>, otherwise: Vec<Node<'t>> },
    Call { at: usize, name: Vec<u8>, argument: Option<Pipeline<'t>> },
    Break,
    Continue,
}

/// `if … else if … else`, or the same with `with`.
#[derive(Debug)]
pub(super) struct Choice<'t> {
    pub(super) branches: Vec<(Pipeline<'t>, Vec<Node<'t>>)>,
    pub(super) otherwise: Vec<Node<'t>>,
}

/// Commands of which each gets the value of the one before, and the variables that get the last one's.
#[derive(Debug)]
pub(super) struct Pipeline<'t> {
    pub(super) at: usize,
    /// With their dollar signs.
    pub(super) variables: Vec<&'t str>,
    /// `=` and not `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command<'t>>,
}

/// An operand, and its arguments if it is a function.
#[derive(Debug)]
pub(super) struct Command<'t> {
    pub(super) first: Operand<'t>,
    pub(super) arguments: Vec<Operand<'t>>,
}

/// A term, and the fields that are taken from it.
#[derive(Debug)]
pub(super) struct Operand<'t> {
    pub(super) at: usize,
    pub(super) term: Term<'t>,
    pub(super) fields: Vec<&'t str>,
}

#[derive(Debug)]
pub(super) enum Term<'t> {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Vec<u8>),
    Variable(&'t str),
    Function(Function),
    Pipeline(Box<Pipeline<'t>>),
}
