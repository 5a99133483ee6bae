//! Words for mails: small templates with strict escaping for each part.
//!
//! `{{name}}` is a fact, `{{#name}}…{{/name}}` stands only where there is one. Nothing else has a meaning, so that a
//! template can do nothing but say things. A fact is made one line everywhere, and escaped in HTML.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::english;
use super::mime::one_line;
use super::outbox::Payload;
use super::template::Template;
use crate::error::{Error, Result};

/// The language that is there for every kind.
const ENGLISH: &str = "en";
/// Characters of a fact at the most: names and the like, not essays.
const MAX_FACT: usize = 500;
/// Facts that every mail has.
const ALWAYS: [&str; 2] = ["product", "public_url"];

/// The words of a mail in one language. `{{name}}` stands for a fact, `{{#name}}…{{/name}}` is left out where there is
/// none; [`Template::facts`] lists them.
///
/// # Security
/// Facts are escaped, what you write is not: an HTML part is sent as it stands. A `name` or `role` may have been chosen
/// by somebody who signed up with another person's address: say as little of it as you can.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailText {
    /// One line.
    pub subject: String,
    /// The plain part. `{{link}}` should stand on a line of its own.
    pub text: String,
    /// The HTML part; `None` makes one from the plain part.
    pub html: Option<String>,
}

impl MailText {
    /// Words with an HTML part made from the plain one: paragraphs, and the link as a link.
    pub fn new(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { subject: subject.into(), text: text.into(), html: None }
    }

    /// With an HTML part of its own.
    #[must_use]
    pub fn with_html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }
}

impl Template {
    /// The facts that its words may use, beside `product` and `public_url`.
    pub const fn facts(self) -> &'static [&'static str] {
        match self {
            Self::VerifyEmail | Self::ResetPassword | Self::ConfirmEmail | Self::Unlock => {
                &["link", "code", "minutes", "hours", "name", "code_minutes"]
            }
            Self::Invitation => &["link", "days", "name", "role", "organisation"],
            Self::UndoEmail => &["link", "days", "name", "at", "ip"],
            Self::SignUpKnown | Self::Test => &["name", "at"],
            Self::AddressProved
            | Self::PasswordChanged
            | Self::EmailChanged
            | Self::FactorAdded
            | Self::FactorRemoved
            | Self::BackupCodesLow
            | Self::NewDevice
            | Self::AccountLocked
            | Self::ApiKeyCreated
            | Self::RefreshReplayed => &["name", "at", "ip"],
        }
    }
}

/// The three parts of a mail, filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenderedMail {
    /// One line.
    pub subject: String,
    /// The plain part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// All templates of a kit.
pub(crate) struct Texts {
    product: String,
    public_url: String,
    all: HashMap<(Template, String), Compiled>,
}

struct Compiled {
    subject: Vec<Piece>,
    text: Vec<Piece>,
    html: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Words(String),
    Fact(String),
    Only(String, Vec<Piece>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Subject,
    Text,
    Html,
}

impl Texts {
    /// English, and what the host adds or replaces.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] for words that use an unknown fact or do not close what they open.
    pub(crate) fn new(
        product: &str,
        public_url: &str,
        own: Vec<(Template, String, MailText)>,
    ) -> Result<Self> {
        let mut all = HashMap::new();
        for template in Template::ALL {
            let (subject, text) = english::words(*template);
            let text = MailText::new(subject, text);
            all.insert((*template, ENGLISH.to_owned()), compile(*template, &text)?);
        }
        for (template, language, text) in own {
            let language = canonical(&language).ok_or_else(|| {
                Error::config("the language of a mail template is not one such as de or de-AT")
            })?;
            all.insert((template, language), compile(template, &text)?);
        }
        Ok(Self { product: product.to_owned(), public_url: public_url.to_owned(), all })
    }

    /// The mail's parts in the language that is nearest to the wanted one.
    pub(super) fn render(&self, template: Template, payload: &Payload) -> Result<RenderedMail> {
        let mut facts = payload.vars.clone();
        if let Some(path) = template.link_path() {
            let token = payload.token.as_deref().unwrap_or_default();
            let link = format!("{}/{path}?token={token}", self.public_url);
            facts.insert("link".to_owned(), Value::String(link));
        }
        facts.insert("product".to_owned(), Value::String(self.product.clone()));
        facts.insert("public_url".to_owned(), Value::String(self.public_url.clone()));
        let compiled = self.find(template, &payload.locale)?;
        Ok(RenderedMail {
            subject: one_line(&filled(&compiled.subject, &facts, Part::Subject)),
            text: without_gaps(&filled(&compiled.text, &facts, Part::Text)),
            html: filled(&compiled.html, &facts, Part::Html),
        })
    }

    /// A mail of that kind with invented facts, to look at.
    pub(crate) fn preview(&self, template: Template, language: &str) -> Result<RenderedMail> {
        let mut vars = Map::new();
        for fact in template.facts() {
            let value = match *fact {
                "code" => "12345678",
                "minutes" | "code_minutes" => "30",
                "hours" => "24",
                "days" => "7",
                "name" => "Ada",
                "role" => "REVIEWER",
                "organisation" => "Example",
                "at" => "2026-01-31 09:05 UTC",
                "ip" => "192.0.2.1",
                _ => continue,
            };
            vars.insert((*fact).to_owned(), Value::from(value));
        }
        let payload = Payload {
            to: String::new(),
            locale: language.to_owned(),
            token: Some("EXAMPLE".to_owned()),
            vars,
        };
        self.render(template, &payload)
    }

    fn find(&self, template: Template, locale: &str) -> Result<&Compiled> {
        let wanted = canonical(locale);
        let language = wanted.as_deref().and_then(|tag| tag.split('-').next()).map(str::to_owned);
        [wanted, language, Some(ENGLISH.to_owned())]
            .into_iter()
            .flatten()
            .find_map(|language| self.all.get(&(template, language)))
            .ok_or_else(|| Error::internal("a mail has no English words"))
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Texts({})", self.all.len())
    }
}

/// A language tag in small letters with hyphens (RFC 5646 section 2.1); `None` when it is none.
fn canonical(tag: &str) -> Option<String> {
    let tag = tag.trim().to_ascii_lowercase().replace('_', "-");
    let sound = (2..=35).contains(&tag.len())
        && tag
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    sound.then_some(tag)
}

fn compile(template: Template, text: &MailText) -> Result<Compiled> {
    let html = text.html.clone().unwrap_or_else(|| html_of(&text.text));
    let parse = |source: &str| {
        let pieces = pieces(source)
            .map_err(|why| Error::config(format!("the mail template {} {why}", template.name())))?;
        match unknown(&pieces, template) {
            Some(name) => Err(Error::config(format!(
                "the mail template {} uses {{{{{name}}}}}, which is none of its facts: {}",
                template.name(),
                template.facts().join(", ")
            ))),
            None => Ok(pieces),
        }
    };
    Ok(Compiled { subject: parse(&text.subject)?, text: parse(&text.text)?, html: parse(&html)? })
}

fn unknown(pieces: &[Piece], template: Template) -> Option<String> {
    let known = |name: &str| ALWAYS.contains(&name) || template.facts().contains(&name);
    pieces.iter().find_map(|piece| match piece {
        Piece::Words(_) => None,
        Piece::Fact(name) => (!known(name)).then(|| name.clone()),
        Piece::Only(name, inner) => {
            if known(name) {
                unknown(inner, template)
            } else {
                Some(name.clone())
            }
        }
    })
}

fn pieces(source: &str) -> std::result::Result<Vec<Piece>, String> {
    // Parts that are open: their name, and the pieces before them.
    let mut open: Vec<(String, Vec<Piece>)> = Vec::new();
    let mut out = Vec::new();
    let mut rest = source;
    while let Some((words, tail)) = rest.split_once("{{") {
        if !words.is_empty() {
            out.push(Piece::Words(words.to_owned()));
        }
        let (tag, after) = tail.split_once("}}").ok_or("has a {{ without its }}")?;
        let name = tag.trim_start_matches(['#', '/']);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(format!("has a fact of no good name: {:?}", one_line(tag)));
        }
        if tag.starts_with('#') {
            open.push((name.to_owned(), std::mem::take(&mut out)));
        } else if tag.starts_with('/') {
            let (opened, before) = open.pop().ok_or_else(|| format!("closes {name}, which is not open"))?;
            if opened != name {
                return Err(format!("closes {name} where {opened} is open"));
            }
            let inner = std::mem::replace(&mut out, before);
            out.push(Piece::Only(opened, inner));
        } else {
            out.push(Piece::Fact(name.to_owned()));
        }
        rest = after;
    }
    if let Some((name, _)) = open.pop() {
        return Err(format!("does not close {name}"));
    }
    if !rest.is_empty() {
        out.push(Piece::Words(rest.to_owned()));
    }
    Ok(out)
}

fn fact(facts: &Map<String, Value>, name: &str) -> String {
    let text = match facts.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    // A link is never cut: it would open nothing.
    if name == "link" { one_line(&text) } else { one_line(&text).chars().take(MAX_FACT).collect() }
}

fn filled(pieces: &[Piece], facts: &Map<String, Value>, part: Part) -> String {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Words(words) => out.push_str(words),
            Piece::Fact(name) if part == Part::Html => out.push_str(&escaped(&fact(facts, name))),
            Piece::Fact(name) => out.push_str(&fact(facts, name)),
            Piece::Only(name, inner) => {
                if !fact(facts, name).is_empty() {
                    out.push_str(&filled(inner, facts, part));
                }
            }
        }
    }
    out
}

/// Paragraphs that were left out leave no gap.
fn without_gaps(text: &str) -> String {
    let paragraphs: Vec<&str> =
        text.split("\n\n").map(|p| p.trim_matches('\n')).filter(|p| !p.is_empty()).collect();
    paragraphs.join("\n\n") + "\n"
}

/// For text and for attributes in quotes. All that is not ASCII becomes a reference: the part stays plain.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_ascii() => out.push(c),
            c => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

/// Paragraphs, the link as a link, the code large. Parts that depend on a fact stay so.
fn html_of(text: &str) -> String {
    const PAGE: &str =
        "<!doctype html>\n<html><body style=\"font-family:sans-serif;line-height:1.5;max-width:36em\">\n";
    let mut out = String::from(PAGE);
    for paragraph in text.split("\n\n").map(str::trim).filter(|p| !p.is_empty()) {
        let (before, inner, after) = conditions(paragraph);
        let body = match inner {
            "{{link}}" => "<a href=\"{{link}}\">{{link}}</a>".to_owned(),
            "{{code}}" => "<strong style=\"font-size:1.5em\">{{code}}</strong>".to_owned(),
            words => escaped(words).replace('\n', "<br>\n"),
        };
        for part in [before, "<p>", &body, "</p>\n", after] {
            out.push_str(part);
        }
    }
    out.push_str("</body></html>\n");
    out
}

/// `{{#x}}` and `{{/x}}` around a whole paragraph go around its HTML.
fn conditions(paragraph: &str) -> (&str, &str, &str) {
    if let Some(start) = paragraph.strip_prefix("{{#").and_then(|rest| rest.find("}}")).map(|at| at + 5)
        && let (before, rest) = paragraph.split_at(start)
        && let Some(end) = rest.rfind("{{/")
        && rest.ends_with("}}")
        && rest.get(end + 3..rest.len() - 2) == before.get(3..before.len() - 2)
    {
        let (inner, after) = rest.split_at(end);
        return (before, inner.trim(), after);
    }
    ("", paragraph, "")
}

#[cfg(test)]
mod tests;
