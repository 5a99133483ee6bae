//! The one table, as Markdown that is also readable as it stands.

use std::collections::BTreeMap;

/// What a row is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// The ratio must be at least this.
    Ratio(f64),
    /// The figure must be below this, in the row's unit.
    Below(f64),
    /// The 99th percentile must be below this, in milliseconds.
    P99(f64),
}

/// One line of the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) operation: String,
    pub(crate) connections: Option<usize>,
    pub(crate) engine: &'static str,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    /// The ceiling: figure and what it is.
    pub(crate) ceiling: Option<(f64, &'static str)>,
    pub(crate) ratio: Option<f64>,
    /// The lowest and the highest ratio of a single round.
    pub(crate) spread: Option<(f64, f64)>,
    pub(crate) bounds: Vec<Bound>,
    /// Answers that were no success.
    pub(crate) errors: BTreeMap<u16, u64>,
}

const HEAD: [&str; 12] = [
    "operation",
    "conns",
    "engine",
    "figure",
    "p50 ms",
    "p99 ms",
    "ceiling beside it",
    "ratio",
    "rounds",
    "target",
    "met",
    "not 2xx",
];

impl Bound {
    fn met(self, row: &Row) -> bool {
        match self {
            Self::Ratio(least) => row.ratio.is_some_and(|ratio| ratio >= least),
            Self::Below(most) => row.figure < most,
            Self::P99(most) => row.p99.is_some_and(|p99| p99 < most),
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::Ratio(least) => format!("≥ {least:.2}"),
            Self::Below(most) => format!("< {} {unit}", number(most)),
            Self::P99(most) => format!("p99 < {} ms", number(most)),
        }
    }
}

impl Row {
    fn cells(&self) -> [String; 12] {
        let optional = |value: Option<String>| value.unwrap_or_else(|| "—".into());
        let targets: Vec<_> = self.bounds.iter().map(|bound| bound.text(self.unit)).collect();
        let errors: Vec<_> = self.errors.iter().map(|(status, n)| format!("{n}×{status}")).collect();
        [
            self.operation.clone(),
            optional(self.connections.map(|n| n.to_string())),
            self.engine.into(),
            format!("{} {}", number(self.figure), self.unit),
            optional(self.p50.map(|v| format!("{v:.2}"))),
            optional(self.p99.map(|v| format!("{v:.2}"))),
            optional(self.ceiling.map(|(value, name)| format!("{} {} {name}", number(value), self.unit))),
            optional(self.ratio.map(|v| format!("{v:.2}"))),
            optional(self.spread.map(|(low, high)| format!("{low:.2}–{high:.2}"))),
            if targets.is_empty() { "—".into() } else { targets.join(", ") },
            match (self.bounds.is_empty(), self.met()) {
                (true, _) => "—".into(),
                (false, true) => "yes".into(),
                (false, false) => "NO".into(),
            },
            if errors.is_empty() { "0".into() } else { errors.join(" ") },
        ]
    }

    /// Whether it keeps all its bounds.
    pub(crate) fn met(&self) -> bool {
        self.bounds.iter().all(|bound| bound.met(self))
    }
}

/// Adds a row and shows it at once: a run takes minutes, and may break off.
pub(crate) fn push(rows: &mut Vec<Row>, row: Row) {
    let cells = row.cells();
    super::progress(&format!("    {}", cells.join(" | ")));
    rows.push(row);
}

/// The table of all rows.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut lines: Vec<[String; 12]> = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|i| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0))
        .collect();
    let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join(" | ");
    let mut text = String::new();
    for (n, line) in lines.iter().enumerate() {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        text.extend(["| ", &cells.join(" | "), " |\n"]);
        if n == 0 {
            text.extend(["| ", &rule, " |\n"]);
        }
    }
    text
}

/// Three digits that matter, thousands apart.
fn number(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_met_only_when_every_bound_is() {
        let mut row = Row {
            figure: 1234.0,
            p99: Some(9.0),
            ratio: Some(0.8),
            bounds: vec![Bound::Ratio(0.8), Bound::P99(10.0), Bound::Below(1235.0)],
            ..Row::default()
        };
        assert!(row.met());
        row.ratio = Some(0.79);
        assert!(!row.met());
        row.ratio = None;
        assert!(!row.met());
        (row.ratio, row.p99) = (Some(1.0), Some(10.0));
        assert!(!row.met());
        (row.p99, row.figure) = (Some(1.0), 1235.0);
        assert!(!row.met());
    }

    #[test]
    fn the_table_is_rectangular_and_says_what_was_missed() {
        let row = Row {
            operation: "me".into(),
            ratio: Some(0.5),
            bounds: vec![Bound::Ratio(0.8)],
            ..Row::default()
        };
        let text = table(&[row]);
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!((widths.len(), widths[0], widths[1]), (3, widths[1], widths[2]));
        assert!(text.contains("NO") && text.contains("≥ 0.80"));
        assert_eq!((number(1_234_567.4), number(99.94)), ("1,234,567".into(), "99.9".into()));
    }
}
