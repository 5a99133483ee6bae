use serde_json::json;

use super::*;
use crate::testing::SeededRandom;

const BASE: &str = "https://login.example.com";

fn texts(own: Vec<(Template, &str, MailText)>) -> Result<Texts> {
    let own = own.into_iter().map(|(template, language, text)| (template, language.to_owned(), text));
    Texts::new("Example", BASE, own.collect())
}

fn payload(locale: &str, vars: Value) -> Payload {
    let Value::Object(vars) = vars else { panic!("no object") };
    Payload { to: "ada@example.com".into(), locale: locale.into(), token: Some("akl_S3cret-_".into()), vars }
}

#[test]
fn every_kind_has_english_words_and_its_link_alone_on_a_line() {
    let texts = texts(Vec::new()).unwrap();
    for template in Template::ALL {
        let mail = texts.preview(*template, "").unwrap();
        let all = format!("{}{}{}", mail.subject, mail.text, mail.html);
        assert!(!all.contains("{{") && !all.contains("}}"), "{template:?}: {all}");
        assert!(all.is_ascii() && mail.subject.contains("Example") && mail.text.ends_with(".\n"), "{all}");
        assert!(!mail.text.contains("\n\n\n") && !mail.text.contains("Ada"), "{}", mail.text);
        if let Some(path) = template.link_path() {
            let link = format!("{BASE}/{path}?token=EXAMPLE");
            assert_eq!(mail.text.lines().filter(|line| *line == link).count(), 1, "{}", mail.text);
            assert!(mail.html.contains(&format!("<a href=\"{link}\">{link}</a>")), "{}", mail.html);
        } else {
            assert!(!all.contains("token="), "{all}");
        }
    }
    let locked = texts.preview(Template::AccountLocked, "").unwrap();
    assert!(locked.text.contains("Time: 2026-01-31 09:05 UTC\nAddress: 192.0.2.1\n"), "{}", locked.text);
}

#[test]
fn what_depends_on_a_fact_is_left_out_without_it() {
    let texts = texts(Vec::new()).unwrap();
    let bare = texts.render(Template::ResetPassword, &payload("", json!({}))).unwrap();
    assert!(!bare.text.contains("code") && !bare.text.contains("minutes"), "{}", bare.text);
    assert!(!bare.html.contains("code") && !bare.html.contains("<p></p>"), "{}", bare.html);
    let full = texts.render(Template::ResetPassword, &payload("", json!({"code": "123 456", "minutes": 30})));
    let full = full.unwrap();
    assert!(full.text.contains("\n123 456\n") && full.text.contains("for 30 minutes"), "{}", full.text);
    assert!(full.html.contains("\">123 456</strong>"), "{}", full.html);
    assert!(full.text.contains("\nhttps://login.example.com/reset-password?token=akl_S3cret-_\n"));
}

#[test]
fn languages_fall_back_from_region_to_language_to_english() {
    let own = |text: &str| MailText::new(text, text);
    let texts = texts(vec![
        (Template::Test, "de", own("deutsch")),
        (Template::Test, "de-AT", own("österreichisch")),
        (Template::Unlock, "en", own("overridden {{link}}")),
    ])
    .unwrap();
    let subject = |locale: &str| texts.render(Template::Test, &payload(locale, json!({}))).unwrap().subject;
    assert_eq!(subject("de"), "deutsch");
    assert_eq!(subject("DE_at"), "österreichisch");
    assert_eq!(subject("de-CH"), "deutsch");
    for english in ["", "fr", "d", "../../de", "de\r\nBcc: x@example.com", "-", &"de".repeat(40)] {
        assert_eq!(subject(english), "A test of Example", "{english:?}");
    }
    let unlock = texts.render(Template::Unlock, &payload("", json!({}))).unwrap();
    assert!(unlock.subject.starts_with("overridden https://login.example.com/unlock?token="));
}

#[test]
fn words_that_cannot_work_are_refused_when_the_kit_is_built() {
    for bad in [
        "{{link",
        "{{}}",
        "{{li nk}}",
        "{{#link}}",
        "{{/link}}",
        "{{#link}}{{/code}}",
        "{{link}}{{password}}",
        "{{#password}}x{{/password}}",
        "{{#link}}{{secret}}{{/link}}",
        "{{LINK}}",
    ] {
        let error = texts(vec![(Template::ResetPassword, "en", MailText::new("s", bad))]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config, "{bad}");
        assert!(error.to_string().contains("reset_password"), "{error}");
    }
    assert!(texts(vec![(Template::Test, "english!", MailText::new("s", "t"))]).is_err());
    // A fact of another kind of mail.
    assert!(texts(vec![(Template::Test, "en", MailText::new("s", "{{link}}"))]).is_err());
}

/// A text made of what breaks out: line ends, markup, quotes, marks of templates, marks of direction.
fn hostile(random: &SeededRandom) -> String {
    let bits = [
        "\r\n",
        "\n",
        "\r",
        "\0",
        "<script>",
        "\">",
        "'",
        "&",
        "{{link}}",
        "{{#code}}",
        "}}",
        "\u{2028}",
        "\u{85}",
        "\u{202e}",
        "\u{feff}",
        "Bcc: x@example.com",
        "=?utf-8?b?QQ==?=",
        "https://evil.example/",
        "é",
        "\t",
        "--=_",
    ];
    (0..random.below(12)).map(|_| bits[random.below(bits.len())]).collect()
}

#[test]
fn no_fact_breaks_out_of_its_part() {
    let random = SeededRandom::new(7);
    let own = MailText::new("{{name}} {{role}}", "{{name}}\n\n{{link}}\n")
        .with_html("<p title=\"{{name}}\">{{role}}</p>");
    let texts = texts(vec![(Template::Invitation, "en", own)]).unwrap();
    for _ in 0..3000 {
        let facts =
            json!({ "name": hostile(&random), "role": hostile(&random), "link": "https://evil.example/" });
        let mail = texts.render(Template::Invitation, &payload("", facts)).unwrap();
        assert!(!mail.subject.chars().any(char::is_control), "{:?}", mail.subject);
        // Two paragraphs, or the link alone where the name was nothing: no line of a fact's own.
        assert!(mail.text.lines().count() <= 3, "{:?}", mail.text);
        let last = mail.text.lines().last().unwrap();
        assert_eq!(last, "https://login.example.com/accept-invitation?token=akl_S3cret-_");
        let inner = mail.html.strip_prefix("<p title=\"").and_then(|rest| rest.strip_suffix("</p>")).unwrap();
        assert_eq!(inner.matches(['<', '"', '\n', '\r']).count(), 1, "{inner:?}");
        assert!(mail.html.is_ascii());
    }
}

#[test]
fn facts_have_a_length() {
    let texts = texts(vec![(Template::Test, "en", MailText::new("{{name}}", "{{name}}"))]).unwrap();
    let mail = texts.render(Template::Test, &payload("", json!({ "name": "x".repeat(10_000) }))).unwrap();
    assert_eq!(mail.subject.len(), MAX_FACT);
}
