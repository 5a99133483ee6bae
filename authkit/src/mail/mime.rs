//! The form of a message on the wire (RFC 5322, RFC 2045 to 2047): two parts, each a plain text and an HTML one.
//!
//! Nothing that comes from outside can begin a new header line: every value is made one line first.

use std::fmt::Write as _;

use super::mailer::OutgoingMail;

/// Longest line that every server takes (RFC 5322 section 2.1.1), without its CRLF.
const MAX_LINE: usize = 998;
/// Longest encoded line (RFC 2045 section 6.7).
const MAX_ENCODED: usize = 76;
/// Bytes of UTF-8 in one encoded word: 45 become 60 characters of base64, which with `=?utf-8?b?…?=` are 72.
const WORD_BYTES: usize = 45;

/// The address in `Name <address>`, or the text itself.
pub(crate) fn bare_address(text: &str) -> &str {
    text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text).trim()
}

pub(super) fn message(mail: &OutgoingMail) -> Vec<u8> {
    let boundary = format!("=_{}", mail.id.as_uuid().simple());
    let mut out = String::with_capacity(mail.text.len() + mail.html.len() + 1024);
    let mut header = |name: &str, value: &str| {
        let _ = write!(out, "{name}: {value}\r\n");
    };
    header("From", &mailbox(&mail.from));
    header("To", &one_line(&mail.to));
    header("Subject", &encoded_words(&one_line(&mail.subject)));
    header("Date", &date(mail.created_at));
    header("Message-ID", &one_line(&mail.message_id()));
    // No out-of-office answers, no loops (RFC 3834 section 5).
    header("Auto-Submitted", "auto-generated");
    header("MIME-Version", "1.0");
    header("Content-Type", &format!("multipart/alternative; boundary=\"{boundary}\""));
    for (kind, text) in [("plain", &mail.text), ("html", &mail.html)] {
        let (encoding, body) = body(text);
        let _ = write!(
            out,
            "\r\n--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n{body}"
        );
    }
    let _ = write!(out, "\r\n--{boundary}--\r\n");
    out.into_bytes()
}

/// Without control characters, line separators and marks that turn the direction of text: one line, and it reads as
/// it is.
pub(crate) fn one_line(text: &str) -> String {
    let space = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let text: String = text.chars().map(|c| if space(c) { ' ' } else { c }).filter(|c| !hidden(*c)).collect();
    text.trim().to_owned()
}

fn mailbox(text: &str) -> String {
    let text = one_line(text);
    let address = bare_address(&text);
    let name =
        text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')).map_or("", |(name, _)| name.trim());
    let name = name.trim_matches('"');
    if name.is_empty() {
        address.to_owned()
    } else if name.is_ascii() {
        let quoted: String = name.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        format!("\"{quoted}\" <{address}>")
    } else {
        format!("{} <{address}>", encoded_words(name))
    }
}

/// A header's text: as it is when plain ASCII and short, else encoded words (RFC 2047), folded.
fn encoded_words(text: &str) -> String {
    // What looks like an encoded word must not be taken for one.
    if text.is_ascii() && text.len() <= MAX_ENCODED && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        let full = words.last().is_some_and(|word| word.len() + c.len_utf8() > WORD_BYTES);
        if full {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?b?{}?=", base64(word.as_bytes()))).collect();
    words.join("\r\n ")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// `Sat, 21 Nov 2026 09:05:00 +0000` (RFC 5322 section 3.3).
fn date(at: crate::time::Timestamp) -> String {
    use time::format_description::well_known::Rfc2822;
    let moment =
        time::OffsetDateTime::from_unix_timestamp(at.as_secs()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc2822).unwrap_or_default()
}

/// Plain where every server takes it as it is, so that a link stays whole and can be read; else quoted-printable.
fn body(text: &str) -> (&'static str, String) {
    let lines = || text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let plain = lines().all(|line| {
        line.len() <= MAX_LINE && line.bytes().all(|b| b == b'\t' || b == b' ' || b.is_ascii_graphic())
    });
    if plain {
        return ("7bit", lines().collect::<Vec<_>>().join("\r\n"));
    }
    ("quoted-printable", lines().map(quoted_printable).collect::<Vec<_>>().join("\r\n"))
}

/// One line (RFC 2045 section 6.7), with soft breaks.
fn quoted_printable(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let mut width = 0;
    let mut bytes = line.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let at_end = bytes.peek().is_none();
        let plain = (byte.is_ascii_graphic() && byte != b'=') || (matches!(byte, b' ' | b'\t') && !at_end);
        let size = if plain { 1 } else { 3 };
        if width + size >= MAX_ENCODED {
            out.push_str("=\r\n");
            width = 0;
        }
        width += size;
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "={byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
