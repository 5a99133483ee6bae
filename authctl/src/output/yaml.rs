//! YAML in block style. Texts that YAML could take for something else are quoted as in JSON, which YAML reads.

use std::fmt::Write as _;

use super::node::Node;

/// The value as a document.
pub(crate) fn emit(node: &Node) -> String {
    let mut out = String::new();
    match node {
        Node::Map(members) if !members.is_empty() => map(members, 0, &mut out),
        Node::List(items) if !items.is_empty() => list(items, 0, &mut out),
        scalar_node => {
            out.push_str(&scalar(scalar_node));
            out.push('\n');
        }
    }
    out
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', depth));
}

fn map(members: &[(String, Node)], depth: usize, out: &mut String) {
    for (index, (key, value)) in members.iter().enumerate() {
        // The first member of a map in a list stands behind the dash.
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            indent(depth, out);
        }
        out.push_str(&text(key));
        out.push(':');
        member(value, depth + 2, out);
    }
}

fn member(value: &Node, depth: usize, out: &mut String) {
    match value {
        Node::Map(members) if !members.is_empty() => {
            out.push('\n');
            map(members, depth, out);
        }
        Node::List(items) if !items.is_empty() => {
            out.push('\n');
            list(items, depth, out);
        }
        value => {
            out.push(' ');
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

fn list(items: &[Node], depth: usize, out: &mut String) {
    for item in items {
        indent(depth, out);
        out.push('-');
        match item {
            Node::Map(members) if !members.is_empty() => {
                out.push(' ');
                map(members, depth + 2, out);
            }
            item => member(item, depth + 2, out),
        }
    }
}

fn scalar(node: &Node) -> String {
    match node {
        Node::Null => "null".into(),
        Node::Bool(value) => value.to_string(),
        Node::Number(value) => value.to_string(),
        Node::Text(value) => text(value),
        Node::List(_) => "[]".into(),
        Node::Map(_) => "{}".into(),
    }
}

fn text(text: &str) -> String {
    const WORDS: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./@+".contains(&b))
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    if plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emits_block_style() {
        let node: Node = serde_json::from_str(
            r#"{"items":[{"id":"a1","roles":["ADMIN","no"],"profile":{},"at":"2026-01-01T00:00:00Z"},
                {"id":"1","roles":[],"profile":{"k":[[1,2],{"x":null}]},"at":"a: b"}],"next_cursor":null}"#,
        )
        .unwrap();
        let expected = r#"items:
  - id: a1
    roles:
      - ADMIN
      - "no"
    profile: {}
    at: "2026-01-01T00:00:00Z"
  - id: "1"
    roles: []
    profile:
      k:
        -
          - 1
          - 2
        - x: null
    at: "a: b"
next_cursor: null
"#;
        assert_eq!(emit(&node), expected);
    }

    #[test]
    fn quotes_what_could_be_something_else() {
        for text_ in ["", "1", "-", "~", "Yes", "a: b", "a #b", "- a", "\u{85}", "0x1", ".5", "a\nb"] {
            assert!(text(text_).starts_with('"'), "{text_:?}");
        }
        assert_eq!(text("a\nb\""), "\"a\\u000ab\\\"\"");
        assert_eq!(text("ada@example.com"), "ada@example.com");
    }
}
