//! YAML as a tree with limits: texts, lists and maps, and nothing that makes one thing out of another.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{MAXIMUM_BYTES, MAXIMUM_DEPTH, MAXIMUM_NODES, SdfError, shown};

/// A value, and in which line it begins.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    /// Nothing, as after `forward:`.
    Nothing,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

enum Open {
    List(usize, Vec<Node>),
    Map { line: usize, entries: Vec<(String, Node)>, seen: HashSet<String>, key: Option<String> },
}

/// The one document of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Node, SdfError> {
    if bytes.len() > MAXIMUM_BYTES {
        return Err(SdfError::Long);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| SdfError::Text)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut tree = Tree { open: Vec::new(), root: None, nodes: 0, documents: 0 };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| SdfError::Syntax {
            line: error.marker().line(),
            problem: shown(error.info()),
        })?;
        tree.event(event, span.start.line())?;
    }
    tree.root.ok_or(SdfError::Empty)
}

struct Tree {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Tree {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), SdfError> {
        let refused = |what| Err(SdfError::Refused { line, what });
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 { refused("a second document") } else { Ok(()) }
            }
            Event::Alias(_) => refused("an alias"),
            Event::Scalar(_, _, anchor, ref tag) if anchor != 0 || tag.is_some() => {
                refused("an anchor or a tag")
            }
            Event::Scalar(text, style, ..) => {
                let is_nothing =
                    style == ScalarStyle::Plain && ["", "~", "null"].contains(&text.trim_end());
                let content = match is_nothing {
                    true => Content::Nothing,
                    false => Content::Text(text.into_owned()),
                };
                self.attach(Node { line, content })
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                refused("an anchor or a tag")
            }
            Event::SequenceStart(..) => self.enter(line, Open::List(line, Vec::new())),
            Event::MappingStart(..) => {
                let (entries, seen) = (Vec::new(), HashSet::new());
                self.enter(line, Open::Map { line, entries, seen, key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(line, items)) => {
                    self.attach(Node { line, content: Content::List(items) })
                }
                Some(Open::Map { line, entries, .. }) => {
                    self.attach(Node { line, content: Content::Map(entries) })
                }
                None => Ok(()),
            },
        }
    }

    fn enter(&mut self, line: usize, open: Open) -> Result<(), SdfError> {
        if self.open.len() >= MAXIMUM_DEPTH {
            return Err(SdfError::Refused { line, what: "so much in each other" });
        }
        self.open.push(open);
        Ok(())
    }

    fn attach(&mut self, node: Node) -> Result<(), SdfError> {
        self.nodes += 1;
        if self.nodes > MAXIMUM_NODES {
            return Err(SdfError::Refused { line: node.line, what: "so many keys and values" });
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let Content::Text(text) = node.content else {
                        let what = "a key that is no text";
                        return Err(SdfError::Refused { line: node.line, what });
                    };
                    if !seen.insert(text.clone()) {
                        return Err(SdfError::Twice { line: node.line, key: shown(&text) });
                    }
                    *key = Some(text);
                }
            },
        }
        Ok(())
    }
}
