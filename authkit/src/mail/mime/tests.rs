use base64::Engine as _;

use super::*;
use crate::ids::MailId;
use crate::mail::Template;
use crate::testing::SeededRandom;
use crate::time::Timestamp;

fn mail(subject: &str, text: &str, to: &str) -> OutgoingMail {
    OutgoingMail {
        id: MailId::from_uuid(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        template: Template::Test,
        created_at: Timestamp::from_secs(1_700_000_000),
        from: "Example <no-reply@example.com>".into(),
        to: to.into(),
        subject: subject.into(),
        text: text.into(),
        html: "<p>x</p>\n".into(),
    }
}

fn shown(mail: &OutgoingMail) -> String {
    String::from_utf8(mail.to_message()).unwrap()
}

/// Headers of the whole message, unfolded.
fn headers(message: &str) -> Vec<(String, String)> {
    let head = message.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    head.split("\r\n")
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn decoded(words: &str) -> String {
    if !words.starts_with("=?") {
        return words.to_owned();
    }
    let engine = base64::engine::general_purpose::STANDARD;
    let bytes = words.split(' ').flat_map(|word| {
        let inner = word.strip_prefix("=?utf-8?b?").and_then(|w| w.strip_suffix("?=")).unwrap();
        let bytes = engine.decode(inner).unwrap();
        // Each word is whole in itself.
        assert!(std::str::from_utf8(&bytes).is_ok());
        bytes
    });
    String::from_utf8(bytes.collect()).unwrap()
}

#[test]
fn a_plain_mail_is_plain() {
    let link = "https://login.example.com/reset-password?token=akl_0123456789012345678901234567890123456789abcdefghijkl";
    let message = shown(&mail("Hello", &format!("One\n\n{link}\n"), "ada@example.com"));
    assert!(message.contains(&format!("\r\n\r\nOne\r\n\r\n{link}\r\n\r\n--=_")), "{message}");
    assert!(message.contains("Content-Transfer-Encoding: 7bit"), "{message}");
    let expected = [
        ("From", "\"Example\" <no-reply@example.com>"),
        ("To", "ada@example.com"),
        ("Subject", "Hello"),
        ("Date", "Tue, 14 Nov 2023 22:13:20 +0000"),
        ("Message-ID", "<01900000-0000-7000-8000-000000000001@example.com>"),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
    ];
    let headers = headers(&message);
    for (found, (name, value)) in headers.iter().zip(expected) {
        assert_eq!((found.0.as_str(), found.1.as_str()), (name, value));
    }
    assert_eq!(headers.len(), expected.len() + 1);
}

#[test]
fn subjects_in_any_writing_come_back_whole() {
    for subject in [
        "Grüße",
        &"ä".repeat(120),
        "日本語のとても長い題名".repeat(9).as_str(),
        "=?utf-8?q?trick?=",
        &"x".repeat(300),
    ] {
        let message = shown(&mail(subject, "t", "a@example.com"));
        let found = headers(&message).into_iter().find(|(name, _)| name == "Subject").unwrap().1;
        assert_eq!(decoded(&found), *subject);
        assert!(message.is_ascii() && message.lines().all(|line| line.len() <= 100), "{message}");
    }
}

#[test]
fn text_in_any_writing_comes_back_whole() {
    let text = format!("Grüße = {}\ntrailing \nlink https://example.com/x?token=abc\n", "ü".repeat(100));
    let message = shown(&mail("s", &text, "a@example.com"));
    assert!(message.is_ascii() && message.contains("quoted-printable"));
    let body = message.split("quoted-printable\r\n\r\n").nth(1).unwrap().split("\r\n--=_").next().unwrap();
    assert!(
        body.split("\r\n").all(|line| line.len() <= MAX_ENCODED && !line.ends_with([' ', '\t'])),
        "{body}"
    );
    let joined = body.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'=' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    assert_eq!(String::from_utf8(bytes).unwrap().replace("\r\n", "\n"), text);
}

/// Property: whatever stands in a value, the headers are the same eight, and nothing ends them early.
#[test]
fn no_value_begins_a_header() {
    let bits = [
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "\0",
        "\u{2028}",
        "\u{85}",
        "Bcc: evil@example.com",
        ": ",
        "é",
        " ",
        "\t",
        "\u{b}",
        "=?",
        "<",
        ">",
        "\"",
        ",",
    ];
    let random = SeededRandom::new(11);
    let hostile = || (0..random.below(14)).map(|_| bits[random.below(bits.len())]).collect::<String>();
    for _ in 0..3000 {
        let mut mail = mail(&hostile(), &hostile(), &format!("ada{}@example.com", hostile()));
        mail.from = format!("{} <no-reply@example.com>", hostile());
        let message = shown(&mail);
        let names: Vec<String> = headers(&message).into_iter().map(|(name, _)| name).collect();
        let expected =
            ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
        assert_eq!(names, expected, "{message}");
        assert!(!message.replace("\r\n", "").contains(['\r', '\n']), "{message:?}");
    }
}
