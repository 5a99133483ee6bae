//! Mail.

use super::Report;
use crate::config::http_url::HttpUrl;
use crate::config::value::quoted;
use crate::config::{Config, Environment, Notice, Secrets, SmtpTls};

pub(super) fn judge(config: &Config, secrets: &Secrets, report: &mut Report) {
    let mail = &config.mail;
    if let Some(host) = &mail.smtp_host {
        host_and_tls(host, mail.smtp_tls, report);
        if mail.from.is_none() {
            report.error(
                "MAIL_FROM",
                "is missing, which SMTP_HOST needs",
                "set it to an address that may send from there",
            );
        }
    }
    if mail.smtp_port == Some(0) {
        report.error("SMTP_PORT", "is 0", "set it to a number from 1 to 65535");
    }
    match (&mail.smtp_user, &secrets.smtp_password) {
        (Some(_), None) => {
            report.error("SMTP_PASSWORD", "is missing, which SMTP_USER needs", "set it, or remove SMTP_USER");
        }
        (None, Some(_)) => report.error("SMTP_USER", "is missing, which SMTP_PASSWORD needs", "set it"),
        _ => {}
    }
    if let Some(from) = mail.from.as_deref().filter(|from| !is_sender(from)) {
        report.error(
            "MAIL_FROM",
            format!("is {}", quoted(from)),
            "set it to an address such as no-reply@example.com, or to Name <address>",
        );
    }
    for name in mail.notices_off.iter().filter(|name| Notice::from_name(name).is_none()) {
        let all: Vec<&str> = Notice::ALL.iter().map(|notice| notice.name()).collect();
        report.error("NOTICES_OFF", format!("has {}", quoted(name)), format!("use {}", all.join(", ")));
    }
}

fn host_and_tls(host: &str, tls: SmtpTls, report: &mut Report) {
    // An IPv6 address stands here without the brackets that it has in a URL.
    let in_url = if host.contains(':') { format!("http://[{host}]") } else { format!("http://{host}") };
    let url = match HttpUrl::parse(&in_url) {
        Ok(url) if url.port.is_none() && url.path.is_empty() => url,
        _ => {
            let fix = "set it to a host name in small letters or an IP address, and the port to SMTP_PORT";
            return report.error("SMTP_HOST", format!("is {}", quoted(host)), fix);
        }
    };
    if tls == SmtpTls::None && !url.is_loopback() {
        let problem =
            "is none, but SMTP_HOST is another machine: mails with live links could be read on their way";
        if report.env == Environment::Dev {
            report.warn("SMTP_TLS", problem, "set it to starttls or tls");
        } else {
            report.error("SMTP_TLS", problem, "set it to starttls or tls");
        }
    }
}

/// `address`, or `Name <address>`: one line, and an address that every server takes.
fn is_sender(text: &str) -> bool {
    let (name, address) = match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
        Some((name, address)) => (name, address),
        None => ("", text),
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let word = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let plain = |c: char| !c.is_control() && !matches!(c, '<' | '>' | '"' | '\\' | ',' | ';' | ':');
    name.chars().all(plain)
        && name.chars().count() <= 100
        && (1..=64).contains(&local.len())
        && local.bytes().all(word)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.len() <= 253
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretString;

    fn prod(change: impl FnOnce(&mut Config, &mut Secrets)) -> Vec<String> {
        let mut config = Config { env: Environment::Prod, ..Config::default() };
        config.server.public_url = "https://login.example.com".into();
        config.mail.smtp_host = Some("smtp.example.com".into());
        config.mail.from = Some("Example <no-reply@example.com>".into());
        let mut secrets = Secrets::new([SecretString::from("q3VJm8xZ0tYwK1nR5uB7cD2eF4gH6iL9oP_sT-vXyA0")])
            .with_mfa_keys([SecretString::from("Xb7rTq2LwYd0Ns5vKz8mGh1cPf4jAe6uRo9iWt3xSgM=")]);
        change(&mut config, &mut secrets);
        match config.validate(&secrets, true) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.iter().map(|error| error.setting.to_string()).collect(),
        }
    }

    #[test]
    fn clear_text_goes_to_this_machine_only() {
        for (host, fine) in [
            ("127.0.0.1", true),
            ("localhost", true),
            ("::1", true),
            ("10.0.0.1", false),
            ("a.example", false),
        ] {
            let faults = prod(|c, _| {
                c.mail.smtp_host = Some(host.into());
                c.mail.smtp_tls = SmtpTls::None;
            });
            assert_eq!(faults.is_empty(), fine, "{host}: {faults:?}");
        }
        assert_eq!(prod(|_, _| ()), Vec::<String>::new());
    }

    #[test]
    fn hosts_are_hosts() {
        for host in ["smtp.example.com:25", "http://a", "a/b", "A.example", "a b", "u@a.example", ""] {
            assert_eq!(prod(|c, _| c.mail.smtp_host = Some(host.into())), ["SMTP_HOST"], "{host}");
        }
    }

    #[test]
    fn user_and_password_belong_together_and_a_server_needs_a_sender() {
        assert_eq!(prod(|c, _| c.mail.smtp_user = Some("x".into())), ["SMTP_PASSWORD"]);
        assert_eq!(prod(|_, s| s.smtp_password = Some("x".into())), ["SMTP_USER"]);
        assert_eq!(prod(|c, _| c.mail.from = None), ["MAIL_FROM"]);
        assert_eq!(prod(|c, _| c.mail.smtp_port = Some(0)), ["SMTP_PORT"]);
        assert_eq!(
            prod(|c, _| c.mail.notices_off = vec!["password_changed".into(), "x".into()]),
            ["NOTICES_OFF"]
        );
    }

    #[test]
    fn senders_are_one_address_on_one_line() {
        for good in ["a@b", "no-reply@example.com", "Grüße <a.b+c@example.com>", "The Product <x@localhost>"]
        {
            assert!(is_sender(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nBcc: x@y",
            "A\nB <a@b>",
            "<a@b",
            "a@b>",
            "x <a@b> y",
            "a..b@c",
            ".a@b",
            "ü@b",
            "a@ü",
            "\"x\" <a@b>",
            "A, B <a@b>",
        ] {
            assert!(!is_sender(bad), "{bad:?}");
        }
    }
}
