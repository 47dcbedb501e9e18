//! From tokens to trees, by the rules of Go's parser: what is an error there when a template is read, is one here.

mod pipeline;

use super::MOST_BYTES;
use super::error::{Fault, TemplateError};
use super::lex::{self, Kind, Token};
use super::number;
use super::tree::{Choice, Node, Trees};

/// Blocks and parentheses within one another. People need three or four.
const DEEPEST: usize = 60;

type Result<T> = std::result::Result<T, Fault>;

pub(super) fn parse(text: &str) -> std::result::Result<Trees<'_>, TemplateError> {
    if text.len() > MOST_BYTES {
        return Err(TemplateError::TooLong { limit: MOST_BYTES });
    }
    let mut parser = Parser {
        tokens: lex::tokens(text).into_iter().peekable(),
        trees: Trees::default(),
        variables: vec!["$"],
        ranges: 0,
        depth: 0,
    };
    parser.whole().map_err(|fault| fault.in_text(text))?;
    Ok(parser.trees)
}

struct Parser<'t> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token<'t>>>,
    trees: Trees<'t>,
    /// Those that may be used at this place.
    variables: Vec<&'t str>,
    /// How many `range` this place is in.
    ranges: usize,
    depth: usize,
}

/// What ends a row of nodes.
enum Stop {
    /// `end`.
    End,
    /// `else`; what comes next says whether it is an `else if`.
    Else(usize),
}

/// What one action is.
enum Action<'t> {
    Node(Node<'t>),
    Stop(Stop, usize),
}

impl<'t> Parser<'t> {
    fn whole(&mut self) -> Result<()> {
        while self.peek() != &Kind::End {
            let token = self.next();
            match token.kind {
                Kind::Text(text) => self.trees.main.push(Node::Text(text, token.at)),
                Kind::Open if self.take_word("define") => self.definition()?,
                Kind::Open => match self.action(token.at)? {
                    Action::Node(node) => self.trees.main.push(node),
                    Action::Stop(Stop::End, at) => {
                        return Err(Fault::form(at, "an `end` with nothing to end"));
                    }
                    Action::Stop(Stop::Else(_), at) => {
                        return Err(Fault::form(at, "an `else` with nothing before it"));
                    }
                },
                _ => return Err(unexpected(&token, "a template")),
            }
        }
        Ok(())
    }

    fn peek(&mut self) -> &Kind<'t> {
        self.tokens.peek().map_or(&Kind::End, |token| &token.kind)
    }

    fn next(&mut self) -> Token<'t> {
        // The last token is never taken: whoever meets it stops.
        self.tokens.next().unwrap_or(Token { kind: Kind::End, at: usize::MAX, space: false })
    }

    fn at(&mut self) -> usize {
        self.tokens.peek().map_or(usize::MAX, |token| token.at)
    }

    fn take(&mut self, kind: &Kind<'_>) -> bool {
        self.tokens.next_if(|token| &token.kind == kind).is_some()
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.take(&Kind::Word(word))
    }

    fn expect_close(&mut self, what: &str) -> Result<()> {
        let token = self.next();
        if token.kind == Kind::Close { Ok(()) } else { Err(unexpected(&token, what)) }
    }

    /// One level deeper, while `inner` runs.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            let at = self.at();
            return Err(Fault::limit(at, format!("{DEEPEST} blocks within one another")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// A template of its own: no variables from outside, and no loop to break out of.
    fn apart(&mut self, name: Vec<u8>, what: &str) -> Result<()> {
        let variables = std::mem::replace(&mut self.variables, vec!["$"]);
        let ranges = std::mem::take(&mut self.ranges);
        let body = self.deeper(Self::nodes);
        self.variables = variables;
        self.ranges = ranges;
        let (nodes, stop, at) = body?;
        if let Stop::Else(_) = stop {
            return Err(Fault::form(at, format!("an `else` in {what}")));
        }
        // An empty one can be given a content later, and does not take one away.
        let old = self.trees.defined.get(&name);
        if old.is_none_or(|old| is_empty(old)) {
            self.trees.defined.insert(name, nodes);
        } else if !is_empty(&nodes) {
            return Err(Fault::form(at, "a template is defined twice"));
        }
        Ok(())
    }

    fn definition(&mut self) -> Result<()> {
        let name = self.name("a definition")?;
        self.expect_close("a definition")?;
        self.apart(name, "a definition")
    }

    fn name(&mut self, what: &str) -> Result<Vec<u8>> {
        let token = self.next();
        match token.kind {
            Kind::Quoted(text) | Kind::Raw(text) => {
                number::text(text).map_err(|reason| Fault::form(token.at, reason))
            }
            _ => Err(unexpected(&token, what)),
        }
    }

    /// Up to an `end` or `else`, and the place of that.
    fn nodes(&mut self) -> Result<(Vec<Node<'t>>, Stop, usize)> {
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Text(text) => nodes.push(Node::Text(text, token.at)),
                Kind::Open => match self.action(token.at)? {
                    Action::Node(node) => nodes.push(node),
                    Action::Stop(stop, at) => return Ok((nodes, stop, at)),
                },
                _ => return Err(unexpected(&token, "a block that has no `end`")),
            }
        }
    }

    /// Behind a `{{`.
    fn action(&mut self, at: usize) -> Result<Action<'t>> {
        let node = match *self.peek() {
            Kind::Word(word) => match word {
                "if" | "with" => self.keyword(|parser| parser.choice(word)),
                "range" => self.keyword(Self::range),
                "template" => self.keyword(|parser| parser.call(at)),
                "block" => self.keyword(|parser| parser.block(at)),
                "break" | "continue" => self.keyword(|parser| parser.jump(word, at)),
                "end" => {
                    self.next();
                    self.expect_close("`end`")?;
                    return Ok(Action::Stop(Stop::End, at));
                }
                "else" => {
                    self.next();
                    let follows = self.at();
                    // `else if` and `else with` go on in the same action.
                    if !matches!(self.peek(), Kind::Word("if" | "with")) {
                        self.expect_close("`else`")?;
                    }
                    return Ok(Action::Stop(Stop::Else(follows), at));
                }
                _ => self.pipeline("an action", &Kind::Close).map(Node::Action),
            },
            _ => self.pipeline("an action", &Kind::Close).map(Node::Action),
        };
        node.map(Action::Node)
    }

    fn keyword(&mut self, rest: impl FnOnce(&mut Self) -> Result<Node<'t>>) -> Result<Node<'t>> {
        self.next();
        self.deeper(rest)
    }

    fn jump(&mut self, word: &str, at: usize) -> Result<Node<'t>> {
        self.expect_close(word)?;
        if self.ranges == 0 {
            return Err(Fault::form(at, format!("a `{word}` outside of `range`")));
        }
        Ok(if word == "break" { Node::Break } else { Node::Continue })
    }

    /// `if` or `with`. An `else if` is the same as an `if` in the `else`, with one `end` for both.
    fn choice(&mut self, word: &'t str) -> Result<Node<'t>> {
        let variables = self.variables.len();
        let mut choice = Choice { branches: Vec::new(), otherwise: Vec::new() };
        loop {
            let condition = self.pipeline(word, &Kind::Close)?;
            let (nodes, stop, _) = self.nodes()?;
            choice.branches.push((condition, nodes));
            match stop {
                Stop::End => break,
                Stop::Else(_) if self.take_word(word) => {}
                Stop::Else(at) => {
                    choice.otherwise = self.otherwise(at)?;
                    break;
                }
            }
        }
        self.variables.truncate(variables);
        Ok(if word == "if" { Node::If(choice) } else { Node::With(choice) })
    }

    /// What comes after an `else`.
    fn otherwise(&mut self, at: usize) -> Result<Vec<Node<'t>>> {
        if let Kind::Word(word) = *self.peek() {
            return Err(Fault::form(
                at,
                format!("an `else {word}` that does not go with the block"),
            ));
        }
        match self.nodes()? {
            (nodes, Stop::End, _) => Ok(nodes),
            (_, Stop::Else(_), at) => Err(Fault::form(at, "a second `else`")),
        }
    }

    fn range(&mut self) -> Result<Node<'t>> {
        let variables = self.variables.len();
        let over = self.pipeline("range", &Kind::Close)?;
        self.ranges += 1;
        let (body, stop, _) = self.nodes()?;
        self.ranges -= 1;
        let otherwise = match stop {
            Stop::End => Vec::new(),
            Stop::Else(at) => self.otherwise(at)?,
        };
        self.variables.truncate(variables);
        Ok(Node::Range { over, body, otherwise })
    }

    fn call(&mut self, at: usize) -> Result<Node<'t>> {
        let name = self.name("`template`")?;
        let argument = if self.take(&Kind::Close) {
            None
        } else {
            Some(self.pipeline("`template`", &Kind::Close)?)
        };
        Ok(Node::Call { at, name, argument })
    }

    fn block(&mut self, at: usize) -> Result<Node<'t>> {
        let name = self.name("`block`")?;
        let argument = self.pipeline("`block`", &Kind::Close)?;
        self.apart(name.clone(), "a block")?;
        Ok(Node::Call { at, name, argument: Some(argument) })
    }
}

/// Nothing but space: what does not count as a definition.
fn is_empty(nodes: &[Node<'_>]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text, _) if text.trim().is_empty()))
}

fn unexpected(token: &Token<'_>, what: &str) -> Fault {
    match &token.kind {
        Kind::Wrong(reason) => Fault::form(token.at, reason.clone()),
        kind => Fault::form(token.at, format!("{} cannot stand in {what}", kind.shown())),
    }
}
