//! From the events of the YAML parser to a tree with limits.
//!
//! An alias becomes another reference to the node of its anchor, so that a file of aliases of aliases takes no more
//! memory than its text. How deep nodes are nested is counted through aliases.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use zeroize::Zeroizing;

use super::error::{ManifestError, Position};
use super::source::Source;
use super::{Dialect, MAXIMUM_DEPTH, MAXIMUM_NODES};

/// One key or value.
pub(super) struct Node {
    pub(super) at: Position,
    /// With its handle: `!var`, `tag:yaml.org,2002:str`.
    pub(super) tag: Option<Zeroizing<String>>,
    pub(super) content: Content,
    /// Levels below it and its own, through aliases.
    height: usize,
}

/// What a node is.
pub(super) enum Content {
    Scalar {
        text: Zeroizing<String>,
        /// Without quotes, and not a block.
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// The first document of a text; `None` for a text without one.
pub(super) fn read(
    source: &mut Source,
    dialect: Dialect,
) -> Result<Option<Rc<Node>>, ManifestError> {
    // What to say if guesses do not help.
    let mut first = None;
    loop {
        let (again, error) = match Builder::new(source, dialect).run() {
            Ok(root) => return Ok(root),
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::NoTag(at)) => {
                let problem = "there can be no tag here".to_owned();
                return Err(first.unwrap_or(ManifestError::Syntax { at, problem }));
            }
            Err(Stop::Scan(error)) => (source.repair(error.marker().index())?, error),
            Err(Stop::Tag(mark)) => {
                let problem =
                    "while parsing a tag, did not find expected whitespace, or text in its escapes";
                let start = source.tag_start(mark.index());
                let again = start.map_or(Ok(false), |start| source.repair(start))?;
                (again, ScanError::new_str(mark, problem))
            }
        };
        if again {
            continue;
        }
        let marker = *error.marker();
        let problem = error.info().to_owned();
        let error = first.unwrap_or(ManifestError::Syntax { at: position(marker), problem });
        if !source.repair_before(marker.index())? {
            return Err(error);
        }
        first = Some(error);
    }
}

/// Why the events are not read on.
enum Stop {
    Refused(ManifestError),
    /// What the parser says.
    Scan(ScanError),
    /// The node that begins here has a tag that the parser misreads.
    Tag(Marker),
    /// Something was put in place of a tag that is none.
    NoTag(Position),
}

impl From<ManifestError> for Stop {
    fn from(error: ManifestError) -> Self {
        Self::Refused(error)
    }
}

/// A list or a map that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// In brackets, or inside of something in brackets.
    flow: bool,
    /// A key whose value is still to come.
    key: Option<Rc<Node>>,
}

impl Open {
    /// Nothing is in it yet.
    fn is_empty(&self) -> bool {
        match &self.node.content {
            Content::Mapping(pairs) => pairs.is_empty() && self.key.is_none(),
            Content::Sequence(items) => items.is_empty(),
            Content::Scalar { .. } => false,
        }
    }
}

struct Builder<'s> {
    source: &'s Source,
    dialect: Dialect,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    /// Where the tags of the nodes begin.
    tags: HashSet<usize>,
    nodes: usize,
    root: Option<Rc<Node>>,
}

impl<'s> Builder<'s> {
    fn new(source: &'s Source, dialect: Dialect) -> Self {
        Self {
            source,
            dialect,
            open: Vec::new(),
            anchors: HashMap::new(),
            tags: HashSet::new(),
            nodes: 0,
            root: None,
        }
    }

    fn run(mut self) -> Result<Option<Rc<Node>>, Stop> {
        let mut parser = Parser::new_from_iter(self.source.chars().iter().copied());
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Stop::Scan)?;
            let ended = matches!(event, Event::DocumentEnd);
            self.event(event, span)?;
            // The reader that Summon uses looks at one document only.
            if ended && self.dialect == Dialect::Summon {
                break;
            }
        }
        match self.source.unclaimed(&self.tags) {
            None => Ok(self.root),
            Some(at) => Err(Stop::NoTag(at)),
        }
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let node = matches!(
            event,
            Event::Alias(..)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
        );
        if node && self.open.last().is_some_and(|open| open.is_empty() && !open.flow) {
            self.refuse_tab(span)?;
        }
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_none() => Ok(()),
            Event::DocumentStart(_) => {
                Err(ManifestError::SecondDocument { at: position(span.start) }.into())
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, tag) => {
                let text = self.source.scalar(&text, style, span);
                let content = Content::Scalar { text, plain: style == ScalarStyle::Plain };
                let node = self.node(tag.as_deref(), content, anchor, span)?;
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                let node =
                    self.node(tag.as_deref(), Content::Sequence(Vec::new()), anchor, span)?;
                self.enter(node, anchor, span)
            }
            Event::MappingStart(anchor, tag) => {
                let node = self.node(tag.as_deref(), Content::Mapping(Vec::new()), anchor, span)?;
                self.enter(node, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.close(open.node, open.anchor),
                None => Ok(()),
            },
        }
    }

    fn node(
        &mut self,
        tag: Option<&Tag>,
        content: Content,
        anchor: usize,
        span: Span,
    ) -> Result<Node, Stop> {
        let at = position(span.start);
        self.nodes += 1;
        if self.nodes > MAXIMUM_NODES {
            return Err(ManifestError::TooManyNodes { at, limit: MAXIMUM_NODES }.into());
        }
        if anchor != 0 && self.dialect == Dialect::Strict {
            return Err(ManifestError::Anchor { at }.into());
        }
        let tag = match tag {
            // `!` alone says nothing.
            Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => None,
            Some(tag) => {
                self.tags.extend(self.source.tag_start(span.start.index()));
                Some(self.source.tag(tag, span.start.index()).ok_or(Stop::Tag(span.start))?)
            }
            None => None,
        };
        Ok(Node { at, tag, content, height: 1 })
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let at = position(span.start);
        match self.anchors.get(&anchor) {
            Some(node) => {
                let node = Rc::clone(node);
                self.attach(node)
            }
            None => Err(ManifestError::RecursiveAnchor { at }.into()),
        }
    }

    fn enter(&mut self, node: Node, anchor: usize, span: Span) -> Result<(), Stop> {
        if self.open.len() >= MAXIMUM_DEPTH {
            return Err(ManifestError::TooDeep { at: node.at, limit: MAXIMUM_DEPTH }.into());
        }
        let inside = self.open.last().is_some_and(|open| open.flow);
        let flow = inside || self.source.is_bracket(span);
        self.open.push(Open { node, anchor, flow, key: None });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node)
    }

    /// The parser looks for tabs only where it knows how far a line is indented already. The first entry of a list
    /// or map says so.
    fn refuse_tab(&self, span: Span) -> Result<(), Stop> {
        if self.source.indentation(span.start.index()).contains(&'\t') {
            let problem = "tabs are not allowed as indentation".to_owned();
            return Err(ManifestError::Syntax { at: position(span.start), problem }.into());
        }
        Ok(())
    }

    fn attach(&mut self, child: Rc<Node>) -> Result<(), Stop> {
        let Some(Open { node, key, .. }) = self.open.last_mut() else {
            self.root.get_or_insert(child);
            return Ok(());
        };
        node.height = node.height.max(child.height + 1);
        if node.height > MAXIMUM_DEPTH {
            return Err(ManifestError::TooDeep { at: child.at, limit: MAXIMUM_DEPTH }.into());
        }
        match &mut node.content {
            Content::Mapping(pairs) => match key.take() {
                Some(key) => pairs.push((key, child)),
                None => *key = Some(child),
            },
            Content::Sequence(items) => items.push(child),
            Content::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn position(mark: Marker) -> Position {
    Position::new(mark.line(), mark.col() + 1)
}
