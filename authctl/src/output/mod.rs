//! The result on stdout, in the form that was asked for.

mod csv;
mod node;
pub(crate) mod table;
pub(crate) mod views;
mod yaml;

pub(crate) use node::Node;

use crate::cli::Format;
use crate::errors::{CliError, Code, Result};
use table::Look;

/// How a column is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Never broken over lines.
    Id,
    Time,
    Flag,
    State,
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Path into the item.
    pub(crate) field: &'static str,
    pub(crate) kind: Kind,
    /// Left out of lists where it does not fit.
    pub(crate) wide: bool,
}

/// How things of one kind are shown.
#[derive(Debug)]
pub(crate) struct View {
    /// What `-o id` prints.
    pub(crate) id: &'static str,
    pub(crate) columns: &'static [Column],
    /// Columns of CSV.
    pub(crate) fields: &'static [&'static str],
}

/// A result.
#[derive(Debug)]
pub(crate) enum Document {
    List {
        items: Vec<Node>,
        next_cursor: Option<String>,
    },
    One(Node),
    /// A write. `extra` stands beside the resource: what is shown once.
    Change {
        changed: bool,
        dry_run: bool,
        resource: Node,
        extra: Vec<(&'static str, String)>,
    },
}

/// The document as text.
pub(crate) fn render(document: Document, view: &View, format: Format, look: Look) -> Result<String> {
    Ok(match format {
        Format::Table => match &document {
            Document::List { items, .. } if items.is_empty() => String::new(),
            Document::List { items, .. } => table::list(view, items, look),
            Document::One(node) => table::record(view, node, &[], look),
            Document::Change { resource, extra, .. } => table::record(view, resource, extra, look),
        },
        Format::Json => lines([json(&whole(document), true)?]),
        Format::Yaml => yaml::emit(&whole(document)),
        Format::Jsonl => match document {
            Document::List { items, .. } => {
                lines(items.iter().map(|item| json(item, false)).collect::<Result<Vec<_>>>()?)
            }
            other => lines([json(&whole(other), false)?]),
        },
        Format::Csv => match &document {
            Document::List { items, .. } => csv::emit(view.fields, items)?,
            Document::One(node) => csv::emit(view.fields, std::slice::from_ref(node))?,
            Document::Change { resource, .. } => csv::emit(view.fields, std::slice::from_ref(resource))?,
        },
        Format::Id => {
            let items = match &document {
                Document::List { items, .. } => items.as_slice(),
                Document::One(node) | Document::Change { resource: node, .. } => std::slice::from_ref(node),
            };
            lines(items.iter().filter_map(|item| item.get(view.id)).map(|id| table::clean(&id.flat())))
        }
    })
}

/// A value of ours as a [`Node`].
pub(crate) fn node<T: serde::Serialize>(value: &T) -> Result<Node> {
    Node::of(value)
        .map_err(|error| CliError::new(Code::Bug, format!("a result cannot be written: {error}")).into())
}

/// The HTTP list shape; writes as `{"changed", "resource"}`.
fn whole(document: Document) -> Node {
    match document {
        Document::List { items, next_cursor } => Node::Map(vec![
            ("items".into(), Node::List(items)),
            ("next_cursor".into(), next_cursor.map_or(Node::Null, Node::Text)),
        ]),
        Document::One(node) => node,
        Document::Change { changed, dry_run, resource, extra } => {
            let mut members = vec![("changed".into(), Node::Bool(changed)), ("resource".into(), resource)];
            members.extend(dry_run.then(|| ("dry_run".into(), Node::Bool(true))));
            members.extend(extra.into_iter().map(|(name, value)| (name.into(), Node::Text(value))));
            Node::Map(members)
        }
    }
}

fn json(node: &Node, pretty: bool) -> Result<String> {
    let text = if pretty { serde_json::to_string_pretty(node) } else { serde_json::to_string(node) };
    text.map_err(|error| CliError::new(Code::Bug, format!("a result cannot be written: {error}")).into())
}

fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().fold(String::new(), |out, line| out + &line + "\n")
}
