//! Tables for people: as wide as the terminal, 80 columns where there is none.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

use super::node::Node;
use super::{Column, Kind, View};

/// Columns of a terminal that does not say.
const WIDTH: u16 = 80;
/// Blanks around a cell.
const PADDING: u16 = 2;

/// How a table looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) width: Option<u16>,
    pub(crate) colour: bool,
}

/// One row an item.
pub(crate) fn list(view: &View, items: &[Node], look: Look) -> String {
    let width = look.width.unwrap_or(WIDTH);
    let columns = that_fit(view, items, width);
    let mut table = base(look, width);
    table.set_header(columns.iter().map(|column| head(column.title)));
    for item in items {
        table.add_row(columns.iter().map(|column| cell(column.kind, item.get(column.field), true)));
    }
    for (index, column) in columns.iter().enumerate() {
        // An identifier that is broken over lines cannot be copied.
        let widest = items.iter().filter_map(|item| item.get(column.field)).map(|n| n.flat().len()).max();
        if column.kind == Kind::Id
            && let (Some(widest), Some(column)) = (widest, table.column_mut(index))
        {
            let least = u16::try_from(widest).unwrap_or(WIDTH).saturating_add(PADDING);
            column.set_constraint(ColumnConstraint::LowerBoundary(comfy_table::Width::Fixed(least)));
        }
    }
    render(&table)
}

/// The columns of a list: all that are not wide, and of the wide ones as many as fit unbroken, the first ones first.
fn that_fit(view: &View, items: &[Node], width: u16) -> Vec<&'static Column> {
    let present = |column: &&Column| items.iter().any(|item| item.get(column.field).is_some());
    let needs = |column: &Column| {
        let cells = items.iter().map(|item| cell(column.kind, item.get(column.field), true).content());
        let widest = cells.map(|text| text.chars().count()).chain([column.title.chars().count()]).max();
        widest.unwrap_or_default().saturating_add(usize::from(PADDING))
    };
    let columns: Vec<&'static Column> = view.columns.iter().filter(present).collect();
    let narrow: usize = columns.iter().filter(|column| !column.wide).map(|column| needs(column)).sum();
    let mut room = usize::from(width).saturating_sub(narrow);
    let mut full = false;
    columns
        .into_iter()
        .filter(|column| {
            if column.wide {
                full |= needs(column) > room;
                room = room.saturating_sub(needs(column));
            }
            !column.wide || !full
        })
        .collect()
}

/// One row a field.
pub(crate) fn record(view: &View, item: &Node, extra: &[(&str, String)], look: Look) -> String {
    let mut table = base(look, look.width.unwrap_or(WIDTH));
    let known = view.columns.iter().filter(|column| item.get(column.field).is_some());
    let mut rows: Vec<(String, Cell)> = known
        .map(|column| (column.title.to_lowercase(), cell(column.kind, item.get(column.field), false)))
        .collect();
    if rows.is_empty()
        && let Node::Map(members) = item
    {
        let row =
            |(key, value): &(String, Node)| (key.replace('_', " "), cell(Kind::Text, Some(value), false));
        rows = members.iter().map(row).collect();
    }
    let more = extra.iter().map(|(name, value)| ((*name).to_owned(), Cell::new(clean(value))));
    for (name, value) in rows.into_iter().chain(more) {
        table.add_row([head(&name), value]);
    }
    render(&table)
}

/// Text that cannot move the cursor, change colours or turn the direction of reading.
pub(crate) fn clean(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

fn base(look: Look, width: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.force_no_tty();
    if look.colour {
        table.enforce_styling();
        table.style_text_only();
    }
    table
}

fn head(title: &str) -> Cell {
    Cell::new(title).add_attribute(Attribute::Bold)
}

fn render(table: &Table) -> String {
    table.lines().fold(String::new(), |mut out, line| {
        out.push_str(line.strip_prefix(' ').unwrap_or(&line).trim_end());
        out.push('\n');
        out
    })
}

fn cell(kind: Kind, node: Option<&Node>, short: bool) -> Cell {
    let flat = node.map(Node::flat).unwrap_or_default();
    let text = clean(&flat);
    match (kind, node) {
        (_, None | Some(Node::Null)) => Cell::new("-").add_attribute(Attribute::Dim),
        (Kind::Time, _) => Cell::new(moment(&text, short)),
        (Kind::Flag, _) => match text.as_str() {
            "true" => Cell::new("yes"),
            _ => Cell::new("no").add_attribute(Attribute::Dim),
        },
        (Kind::State, _) => match colour_of(&text) {
            Some(colour) => Cell::new(text).fg(colour),
            None => Cell::new(text),
        },
        _ => Cell::new(text),
    }
}

/// `2026-11-21 10:41` of an RFC 3339 time in UTC; at length with seconds and `Z`.
fn moment(text: &str, short: bool) -> String {
    let Some((day, time)) = text.split_once('T') else { return text.to_owned() };
    let clock = time.get(..if short { 5 } else { 8 }).unwrap_or(time);
    if short { format!("{day} {clock}") } else { format!("{day} {clock}Z") }
}

fn colour_of(state: &str) -> Option<Color> {
    match state {
        "active" | "ok" | "valid" | "current" | "created" | "updated" => Some(Color::Green),
        "disabled" | "warn" | "retiring" | "next" | "skipped" | "used" | "not_yet_valid" | "behind"
        | "unknown" => Some(Color::Yellow),
        "deleted" | "bad" | "gone" | "invalid" | "revoked" | "expired" | "ahead" => Some(Color::Red),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_made_harmless() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c\u{9b}d"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}d");
        assert_eq!(clean("J\u{f6}rg \u{5f20}"), "J\u{f6}rg \u{5f20}");
    }

    #[test]
    fn a_list_of_mails_fits_and_shows_more_where_there_is_room() {
        let text = |text: &str| Node::Text(text.into());
        let members = [
            ("id", text("01890a5d-ac96-774b-bcce-b302099a8057")),
            ("template", text("refresh_replayed")),
            ("state", text("waiting")),
            ("attempts", text("10")),
            ("due_at", text("2026-11-21T10:41:33Z")),
            ("last_error", text("unreachable")),
            ("user_id", text("01890a5d-ac96-774b-bcce-b302099a8057")),
            ("created_at", text("2026-11-21T10:41:33Z")),
            ("finished_at", Node::Null),
        ];
        let mail = Node::Map(members.map(|(name, node)| (name.to_owned(), node)).to_vec());
        for (width, last) in
            [(80, "TRIES"), (90, "DUE (UTC)"), (120, "LAST ERROR"), (160, "MADE (UTC)"), (200, "DONE (UTC)")]
        {
            let look = Look { width: Some(width), colour: false };
            let shown = list(&super::super::views::MAIL, std::slice::from_ref(&mail), look);
            let lines: Vec<&str> = shown.lines().collect();
            assert_eq!(lines.len(), 2, "a cell is broken at {width}:\n{shown}");
            assert!(lines[0].ends_with(last), "{width}:\n{shown}");
            assert!(lines.iter().all(|line| line.chars().count() <= usize::from(width)), "{shown}");
        }
    }

    #[test]
    fn times_are_shortened() {
        assert_eq!(moment("2026-11-21T10:41:33.123456Z", true), "2026-11-21 10:41");
        assert_eq!(moment("2026-11-21T10:41:33.123456Z", false), "2026-11-21 10:41:33Z");
    }
}
