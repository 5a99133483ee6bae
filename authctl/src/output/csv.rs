//! CSV that a spreadsheet can open without running anything.

use super::node::Node;

/// A header and one row an item.
pub(crate) fn emit(fields: &[&str], items: &[Node]) -> std::io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    for item in items {
        let cells = fields.iter().map(|field| item.get(field).map(cell).unwrap_or_default());
        writer.write_record(cells)?;
    }
    let bytes = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

/// A text that a spreadsheet would take for a formula gets a quote in front (CWE-1236).
fn cell(node: &Node) -> String {
    let flat = node.flat();
    let formula =
        !matches!(node, Node::Number(_)) && flat.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if formula { format!("'{flat}") } else { flat }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_against_formulas_and_quotes() {
        let items: Vec<Node> = serde_json::from_str(
            r#"[{"name":"=HYPERLINK(\"x\")","n":-5,"roles":["a","b"]},{"name":"@SUM","n":1,"roles":[]},
                {"name":"a,\"b\"\nc","n":null}]"#,
        )
        .unwrap();
        let text = emit(&["name", "n", "roles"], &items).unwrap();
        let expected = "name,n,roles\n\"'=HYPERLINK(\"\"x\"\")\",-5,a b\n'@SUM,1,\n\"a,\"\"b\"\"\nc\",,\n";
        assert_eq!(text, expected);
    }
}
