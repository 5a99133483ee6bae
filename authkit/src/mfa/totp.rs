//! Time-based codes (RFC 6238) on HOTP (RFC 4226).

use ring::hmac;

use crate::crypto::mac::constant_time_eq;
use crate::secret::{ExposeSecret as _, SecretString};
use crate::time::Timestamp;

/// Steps before and after the present one whose codes are taken: clocks of phones differ (RFC 6238 section 5.2).
const DRIFT: i64 = 1;
/// Bytes of a typed code that are looked at.
const MAX_TYPED: usize = 128;

/// The hash under a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha512].into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn ring(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// How an authenticator makes its codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) algorithm: Algorithm,
    /// 6 to 8.
    pub(crate) digits: u32,
    /// Seconds, at least one.
    pub(crate) period: i64,
}

impl Parameters {
    /// The step at a time.
    pub(crate) fn step(self, at: Timestamp) -> i64 {
        at.as_micros().div_euclid(1_000_000).div_euclid(self.period.max(1))
    }

    /// The code of a step (RFC 4226 section 5.3).
    pub(crate) fn code(self, secret: &[u8], step: i64) -> String {
        let key = hmac::Key::new(self.algorithm.ring(), secret);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or_default() & 0x0f);
        let word = tag.get(offset..).and_then(<[u8]>::first_chunk::<4>).copied().unwrap_or_default();
        let number = u32::from_be_bytes(word) & 0x7fff_ffff;
        let digits = self.digits.clamp(1, 9);
        format!("{:0width$}", number % 10_u32.pow(digits), width = digits as usize)
    }

    /// The latest step near `at` whose code this is. In a time that does not depend on the code.
    pub(crate) fn matching_step(self, secret: &[u8], code: &str, at: Timestamp) -> Option<i64> {
        let now = self.step(at);
        let mut found = None;
        for step in now - DRIFT..=now + DRIFT {
            if constant_time_eq(self.code(secret, step).as_bytes(), code.as_bytes()) {
                // The latest: were two of them alike, the code would else be taken once for each.
                found = Some(step);
            }
        }
        found
    }
}

/// What somebody typed, in its one spelling.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed<'a> {
    /// Digits of an authenticator app.
    Digits(&'a str),
    /// A backup code, without hyphens, in capitals.
    Backup(&'a str),
}

/// Drops what people put between the groups of a code and writes it in capitals. `None` for what is no code of any
/// kind, with nothing costly done (R16).
pub(crate) fn canonical(typed: &SecretString) -> Option<SecretString> {
    let typed = typed.expose_secret();
    if typed.len() > MAX_TYPED {
        return None;
    }
    let kept = typed.chars().filter(|c| !c.is_whitespace() && !is_hyphen(*c)).map(|c| c.to_ascii_uppercase());
    let text: SecretString = kept.collect::<String>().into();
    read(text.expose_secret()).is_some().then_some(text)
}

/// Tells a canonical code's kind.
pub(crate) fn read(canonical: &str) -> Option<Typed<'_>> {
    if (6..=8).contains(&canonical.len()) && canonical.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Typed::Digits(canonical));
    }
    super::backup::is_code(canonical).then_some(Typed::Backup(canonical))
}

/// Hyphens, dashes and the minus sign: phones replace one by another.
const fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: [(i64, &str, &str, &str); 6] = [
        (59, "94287082", "46119246", "90693936"),
        (1_111_111_109, "07081804", "68084774", "25091201"),
        (1_111_111_111, "14050471", "67062674", "99943326"),
        (1_234_567_890, "89005924", "91819424", "93441116"),
        (2_000_000_000, "69279037", "90698825", "38618901"),
        (20_000_000_000, "65353130", "77737706", "47863826"),
    ];

    fn parameters(algorithm: Algorithm, digits: u32) -> Parameters {
        Parameters { algorithm, digits, period: 30 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn codes_agree_with_rfc_6238_appendix_b() {
        let seed = |length: usize| b"1234567890".iter().copied().cycle().take(length).collect::<Vec<u8>>();
        for (seconds, sha1, sha256, sha512) in RFC {
            for (algorithm, length, expected) in [
                (Algorithm::Sha1, 20, sha1),
                (Algorithm::Sha256, 32, sha256),
                (Algorithm::Sha512, 64, sha512),
            ] {
                let eight = parameters(algorithm, 8);
                assert_eq!(eight.code(&seed(length), eight.step(at(seconds))), expected);
                let six = parameters(algorithm, 6);
                assert_eq!(six.code(&seed(length), six.step(at(seconds))), expected[2..]);
            }
        }
    }

    #[test]
    fn codes_agree_with_rfc_4226_appendix_d() {
        let expected = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (step, code) in (0..).zip(expected) {
            assert_eq!(parameters(Algorithm::Sha1, 6).code(b"12345678901234567890", step), code);
        }
    }

    #[test]
    fn s_108_one_step_of_drift_either_way() {
        let (six, secret) = (parameters(Algorithm::Sha1, 6), b"12345678901234567890");
        let now = at(1_800_000_000);
        for (offset, taken) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let step = six.step(now) + offset;
            let found = six.matching_step(secret, &six.code(secret, step), now);
            assert_eq!(found, taken.then_some(step), "{offset}");
        }
        // At the very edges of a step.
        let last = Timestamp::from_micros(1_800_000_030 * 1_000_000 - 1);
        assert_eq!(six.step(now), six.step(last));
        assert_eq!(six.step(now) + 1, six.step(at(1_800_000_030)));
        assert_eq!(six.matching_step(secret, "", now), None);
    }

    #[test]
    fn a_code_has_one_spelling() {
        let of =
            |text: &str| canonical(&SecretString::from(text)).map(|text| text.expose_secret().to_owned());
        for same in ["012345", " 012 345\n", "012-345", "0 1 2 3 4 5", "012\u{2011}345", "012\u{a0}345"] {
            assert_eq!(of(same).as_deref(), Some("012345"), "{same}");
        }
        let code = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX";
        for same in [
            code,
            &code.to_lowercase(),
            &code.replace('-', ""),
            &code.replace('-', " "),
            &code.replace('-', "\u{2013}"),
        ] {
            assert_eq!(of(same).as_deref(), Some("ABCDEFGHIJKLMNOPQRSTUVWX"), "{same}");
        }
        for bad in [
            "",
            "01234",
            "012345678",
            "01234a",
            "+12345",
            "\u{661}\u{662}\u{663}456",
            "ABCD-EFGH",
            &"1".repeat(200),
            "ABCD-EFGH-IJKL-MNOP-QRST-UVW1",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
