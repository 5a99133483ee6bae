//! Readers of single values. Each says what is wrong as the end of a sentence about the setting.

use std::time::Duration;

/// The longest period of a limit.
const MAX_PERIOD: Duration = Duration::from_hours(31 * 24);
/// Seconds of the units in which periods are written, the largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The value in quotes and cut, for messages about settings that are no secrets.
pub(super) fn quoted(text: &str) -> String {
    const MAX: usize = 40;
    let cut: String = text.chars().take(MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{}{dots}\"", cut.escape_debug())
}

/// A whole number in plain digits.
pub(super) fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("is {}, which is no whole number", quoted(text)));
    }
    let number = text.parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("is {}, which is too large", quoted(text)))
}

/// A whole number and its unit: `s`, `m`, `h` or `d`; more than nothing and at most 31 days.
pub(super) fn period(text: &str) -> Result<Duration, String> {
    let unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)));
    let (count, seconds) =
        unit.ok_or_else(|| format!("has the period {}, which does not end in s, m, h or d", quoted(text)))?;
    let span = Duration::from_secs(whole::<u64>(count)?.saturating_mul(*seconds));
    if span.is_zero() || span > MAX_PERIOD {
        return Err(format!("has the period {}: 1s to 31d are possible", quoted(text)));
    }
    Ok(span)
}

/// A period as [`period`] reads it, in the largest unit that is exact.
pub(super) fn shown_period(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = UNITS.iter().find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    choice(text, &[("true", true), ("false", false)])
}

/// One of the names, in capital or small letters.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| format!("is {}", quoted(text)))
}

/// Items between commas, white space around them dropped; an empty text is an empty list. The message
/// never repeats the text, which may be a list of keys.
pub(super) fn list(text: &str) -> Result<Vec<String>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
    if items.iter().any(String::is_empty) {
        return Err("has an empty item between its commas".into());
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_plain_digits() {
        assert_eq!(whole::<u32>("15"), Ok(15));
        assert_eq!(whole::<u8>("0"), Ok(0));
        for text in ["", "-1", "+1", "1.5", "1_000", " 1", "0x10", "15m", "99999999999999999999"] {
            assert!(whole::<u64>(text).is_err(), "{text}");
        }
        assert!(whole::<u8>("256").is_err_and(|why| why.contains("too large")));
    }

    #[test]
    fn lists_and_switches() {
        assert_eq!(list(" a , b "), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(list(""), Ok(Vec::new()));
        assert!(list("a,,b").is_err() && list("a,").is_err());
        assert_eq!((switch("true"), switch("FALSE")), (Ok(true), Ok(false)));
        assert!(switch("1").is_err() && switch("yes").is_err());
    }

    #[test]
    fn quoting_cuts_and_escapes() {
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
        assert_eq!(quoted(&"x".repeat(99)).chars().count(), 43);
    }
}
