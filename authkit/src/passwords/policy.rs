//! What a new password must be (contract 4.2; ASVS 6.2): long enough, not too long, not common, without the
//! names that anybody would try first, and not easy to guess. No composition rule, no trimming.

use std::collections::HashSet;

use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
use zeroize::Zeroizing;

use super::common;
use crate::config::PasswordsConfig;
use crate::crypto::password::MAX_PASSWORD_BYTES;
use crate::error::{FieldCode, FieldError};

/// Longest password in code points, after NFC.
pub(crate) const MAX_LENGTH: usize = 128;
/// Longest input in bytes that is normalised at all: 128 code points of NFC that come fully decomposed
/// are far below it, and everything above it is too long in any form (R16).
const MAX_RAW_BYTES: usize = 4096;
/// Context words shorter than this are too likely to be part of something innocent.
const MIN_WORD: usize = 4;
/// The library's own name is what people try in a product that shows it (ASVS 6.1.2).
const OWN_NAME: &str = "authkit";
/// Code points that zxcvbn sees. Its time grows with the square of the length, and what is still weak
/// after 48 is a repetition; a longer password is judged by its beginning, hence never as too strong.
const ESTIMATED_LENGTH: usize = 48;
/// Ways to read symbols as letters that zxcvbn may try; it repeats its whole dictionary search for each.
const MAX_READINGS: usize = 16;

/// What belongs to the account and must not be part of its password.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context<'a> {
    /// The e-mail's local part, as given.
    pub(crate) email_local: Option<&'a str>,
    /// Further words, such as the names of the user's organisations.
    pub(crate) words: &'a [&'a str],
}

/// The form in which passwords are hashed and compared: NFC and nothing else.
///
/// What is longer than 4 KiB comes back unchanged: it is refused by [`check`] and matches no stored hash.
pub(crate) fn normalise(password: &SecretString) -> SecretString {
    let raw = password.expose_secret();
    if raw.len() > MAX_RAW_BYTES || is_nfc_quick(raw.chars()) == IsNormalized::Yes {
        return password.clone();
    }
    // NFC makes at most three times as many bytes; so no copy is left behind by growing.
    let mut out = Zeroizing::new(String::with_capacity(raw.len() * 3));
    out.extend(raw.nfc());
    SecretString::from(out.as_str())
}

/// Normalises a new password and holds it against the whole policy.
///
/// # Errors
/// Every fault at once, all at `pointer`; of a password that is too long only that, as the other checks
/// cost time. Messages never repeat the password or a context word.
pub(crate) fn check(
    config: &PasswordsConfig,
    password: &SecretString,
    context: &Context<'_>,
    pointer: &str,
) -> Result<SecretString, Vec<FieldError>> {
    let mut faults = Vec::new();
    let mut fault = |code, message: String| faults.push(FieldError::new(pointer, code, message));

    let password = normalise(password);
    let text = password.expose_secret();
    let length = if text.len() > MAX_PASSWORD_BYTES { usize::MAX } else { text.chars().count() };
    if length > MAX_LENGTH {
        let message = format!("Use at most {MAX_LENGTH} characters and {MAX_PASSWORD_BYTES} bytes.");
        fault(FieldCode::TooLong, message);
        return Err(faults);
    }

    let min = usize::try_from(config.min_length).unwrap_or(MAX_LENGTH).min(MAX_LENGTH);
    if length < min {
        fault(FieldCode::TooShort, format!("Use at least {min} characters."));
    }
    let folded = fold(text);
    if common::contains(&folded) {
        fault(FieldCode::TooCommon, "This password is on every attacker's list. Choose another.".into());
    }
    let words = words(config, context);
    if words.iter().any(|word| folded.contains(word.as_str())) {
        let message = "Do not use your e-mail name, your organisation or the product's name in it.";
        fault(FieldCode::ContainsContext, message.into());
    }
    if strength(text, &words) < config.min_strength {
        let message = "This password is easy to guess. A few unrelated words make a good one.";
        fault(FieldCode::TooWeak, message.into());
    }
    if faults.is_empty() { Ok(password) } else { Err(faults) }
}

/// The words that must not be part of the password, folded, from 4 characters up.
fn words(config: &PasswordsConfig, context: &Context<'_>) -> Vec<String> {
    [OWN_NAME, &config.product_name]
        .into_iter()
        .chain(context.email_local)
        .chain(context.words.iter().copied())
        .map(|word| fold(word.trim()).to_string())
        .filter(|word| word.chars().count() >= MIN_WORD)
        .collect()
}

/// Case folding that also holds for composed characters (Unicode 3.13, D145).
fn fold(text: &str) -> Zeroizing<String> {
    let decomposed: Zeroizing<String> = Zeroizing::new(text.nfd().collect());
    let folded = Zeroizing::new(caseless::default_case_fold_str(&decomposed));
    Zeroizing::new(folded.nfc().collect())
}

/// zxcvbn's score of the beginning of `text`, 0 to 4. Bounded in time for every input (the worst found takes
/// 4 ms unoptimised), so it needs no thread of its own.
fn strength(text: &str, words: &[String]) -> u8 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    zxcvbn::zxcvbn(&estimated(text), &words).score().into()
}

/// What zxcvbn sees of `text`.
fn estimated(text: &str) -> Zeroizing<String> {
    let mut seen: Zeroizing<String> = Zeroizing::new(text.chars().take(ESTIMATED_LENGTH).collect());
    if readings(&seen) > MAX_READINGS {
        let plain = seen.chars().map(|c| if LOOK_ALIKES.contains(c) { '^' } else { c }).collect();
        seen = Zeroizing::new(plain);
    }
    seen
}

/// What zxcvbn also reads as letters: a password with so many different ones of them that all readings would
/// take half a second has them replaced by one that is no letter. Digits alone stay below the bound.
const LOOK_ALIKES: &str = "@({[<!|$+%";

/// At least how many ways there are for zxcvbn to read the symbols of `text` as letters.
fn readings(text: &str) -> usize {
    const LETTERS: [&str; 12] = ["4@", "8", "({[<", "3", "69", "1!|", "1|7", "0", "$5", "+7", "%", "2"];
    let present: HashSet<char> = text.chars().collect();
    let choices = LETTERS.iter().map(|all| all.chars().filter(|c| present.contains(c)).count().max(1));
    // A symbol that stands for two letters counts once more for each way to give one of them up.
    let shared = ['1', '|', '7'].iter().filter(|c| present.contains(c)).map(|_| 2);
    choices.chain(shared).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: &str = "/new_password";

    fn codes_with(config: &PasswordsConfig, password: &str, context: &Context<'_>) -> Vec<FieldCode> {
        match check(config, &SecretString::from(password), context, POINTER) {
            Ok(_) => Vec::new(),
            Err(faults) => {
                assert!(faults.iter().all(|fault| fault.pointer == POINTER));
                faults.into_iter().map(|fault| fault.code).collect()
            }
        }
    }

    fn codes(password: &str) -> Vec<FieldCode> {
        codes_with(&PasswordsConfig::default(), password, &Context::default())
    }

    /// `length` characters that nobody guesses.
    fn random(length: usize) -> String {
        let mut state = 7_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + u8::try_from((state >> 16) % 26).unwrap())
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn good_passwords_of_all_sorts_pass() {
        let good = [
            "the quiet river sings",
            "qmxvtrwhpzkd",
            "неубиваемый пингвин",
            "パスワードは秘密です",
            "    spaces     around",
        ];
        for password in good {
            assert_eq!(codes(password), [], "{password}");
        }
    }

    #[test]
    fn lengths_are_code_points_with_exact_edges() {
        assert_eq!(codes("q7#Vz!x"), [FieldCode::TooShort]);
        for length in [8, 64, 127, 128] {
            assert_eq!(codes(&random(length)), [], "{length}");
        }
        assert_eq!(codes(&random(129)), [FieldCode::TooLong]);
        // 128 code points of 4 bytes are 512 bytes, which is the other edge.
        let widest: String =
            random(128).chars().map(|c| char::from_u32(0x2_0000 + u32::from(c)).unwrap()).collect();
        assert_eq!(widest.len(), MAX_PASSWORD_BYTES);
        assert_eq!(codes(&widest), []);
        let config = PasswordsConfig { min_length: 15, ..PasswordsConfig::default() };
        assert_eq!(codes_with(&config, &random(14), &Context::default()), [FieldCode::TooShort]);
        assert_eq!(codes_with(&config, &random(15), &Context::default()), []);
    }

    #[test]
    fn lengths_count_after_nfc() {
        // 128 Hangul syllables: 384 bytes composed, 1152 and more code points than allowed decomposed.
        let composed: String =
            random(128).chars().map(|c| char::from_u32(0xAC01 + u32::from(c) * 29).unwrap()).collect();
        let decomposed: String = composed.nfd().collect();
        assert!(decomposed.len() > MAX_PASSWORD_BYTES);
        let accepted =
            check(&PasswordsConfig::default(), &SecretString::from(decomposed), &Context::default(), POINTER);
        assert_eq!(accepted.unwrap().expose_secret(), composed);
        // Seven characters written as fourteen code points stay seven.
        let short: String = "äëïöüñç".nfd().collect();
        assert!(codes(&short).contains(&FieldCode::TooShort));
    }

    #[test]
    fn normalisation_is_nfc_and_nothing_else() {
        let same = |text: &str| normalise(&SecretString::from(text)).expose_secret().to_owned();
        assert_eq!(same("a\u{308}\u{fb01}\u{ff21} \t A "), "ä\u{fb01}\u{ff21} \t A ");
        assert_eq!(same("  Untouched  "), "  Untouched  ");
        assert_eq!(same(""), "");
        let huge = "a\u{308}".repeat(1 << 18);
        assert_eq!(same(&huge), huge, "work was spent on what is refused anyway");
        assert_eq!(codes(&huge), [FieldCode::TooLong]);
    }

    #[test]
    fn common_passwords_are_refused_in_any_case() {
        for password in ["password1", "PassWord1", "QWERTYUIOP", "12345678"] {
            assert!(codes(password).contains(&FieldCode::TooCommon), "{password}");
        }
        let config = PasswordsConfig { min_strength: 0, ..PasswordsConfig::default() };
        assert_eq!(codes_with(&config, "trustno1234", &Context::default()), []);
        assert_eq!(codes_with(&config, "Password1", &Context::default()), [FieldCode::TooCommon]);
    }

    #[test]
    fn context_words_are_refused_from_four_characters_up() {
        let config = PasswordsConfig { product_name: "Tidewater".into(), ..PasswordsConfig::default() };
        let words = ["Märzenbräu GmbH", "Ltd"];
        let context = Context { email_local: Some("Dora.Kim"), words: &words };
        let refused = |text: &str| codes_with(&config, text, &context).contains(&FieldCode::ContainsContext);
        for (around, word) in [
            ("7vx%q-", "dora.kim"),
            ("7vx%q-", "TIDEWATER"),
            ("7vx%q-", "AuthKit"),
            ("7vx%q-", "MÄRZENBRÄU GMBH"),
            ("7vx%q-", "ma\u{308}rzenbra\u{308}u gmbh"),
        ] {
            assert!(refused(&format!("{around}{word}{around}")), "{word}");
        }
        for fine in ["7vx%q-ltd-qx7wz", "7vx%q-dora-qx7wz", "7vx%q-märzen-bräu"] {
            assert!(!refused(fine), "{fine}");
        }
        let short = Context { email_local: Some("kim"), words: &["", "   ", " abc "] };
        assert_eq!(codes_with(&config, "7vx%q-kim-abc-qx7wz", &short), []);
    }

    #[test]
    fn what_is_easy_to_guess_is_refused_at_the_configured_score() {
        let mut config = PasswordsConfig::default();
        for password in ["aaaaaaaaaaaa", "abcdefghijkl", "p@ssw0rd!!", "19840312"] {
            assert!(codes(password).contains(&FieldCode::TooWeak), "{password}");
        }
        assert!(codes(&"password".repeat(16)).contains(&FieldCode::TooWeak));
        config.min_strength = 4;
        assert_eq!(codes_with(&config, "zebra tango", &Context::default()), [FieldCode::TooWeak]);
        config.min_strength = 0;
        assert_eq!(codes_with(&config, "aaaaaaaaaaaa", &Context::default()), []);
    }

    #[test]
    fn all_faults_come_at_once_and_repeat_nothing() {
        let context = Context { email_local: Some("hunter"), words: &[] };
        let faults = check(&PasswordsConfig::default(), &SecretString::from("Hunter2"), &context, POINTER)
            .unwrap_err();
        let found: Vec<_> = faults.iter().map(|fault| fault.code).collect();
        assert_eq!(found, [FieldCode::TooShort, FieldCode::ContainsContext, FieldCode::TooWeak]);
        assert!(faults.iter().all(|fault| !fault.message.to_lowercase().contains("hunter")));
        let both = codes_with(&PasswordsConfig::default(), "qwertyuiop", &Context::default());
        assert_eq!(both, [FieldCode::TooCommon, FieldCode::TooWeak]);
        assert_eq!(codes(""), [FieldCode::TooShort, FieldCode::TooWeak]);
    }

    #[test]
    fn the_estimate_is_bounded_whatever_the_symbols() {
        // Unbounded, this one keeps zxcvbn busy for the better part of a second.
        let bomb = "4@8({[<369&#!1/|0$5+7%2x".repeat(5);
        assert!(readings(&bomb) > 500);
        let seen = estimated(&bomb);
        assert!(readings(&seen) <= MAX_READINGS && seen.chars().count() == ESTIMATED_LENGTH, "{}", *seen);
        assert_eq!(*estimated("p@$$w0rd{1}"), "p@$$w0rd{1}");
        assert!(readings("p@ssw0rd!") <= MAX_READINGS && readings("0123456789") <= MAX_READINGS);
        assert_eq!(readings("only letters"), 1);
        // Symbols that are few are still read as letters.
        assert!(strength("p@$$w0rd", &[]) < 2);
    }

    #[test]
    fn no_text_makes_the_check_fail() {
        let mut state = 1_u32;
        for _ in 0..400 {
            let text: String = (0..24)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    char::from_u32((state >> 11) % [128, 0x250, 0x1_1000, 0x11_0000][state as usize >> 30])
                        .unwrap_or('\u{fffd}')
                })
                .collect();
            let _ = codes(&text);
        }
    }
}
