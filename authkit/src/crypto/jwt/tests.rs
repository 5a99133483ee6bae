use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::crypto::strict::to_base64url;
use crate::testing::SeededRandom;

pub(crate) const ISS: &str = "https://id.example.com";
pub(crate) const AUD: &str = "authkit";
pub(crate) const KID: KeyId = KeyId::from_bytes([0xab; 8]);
const KID_TEXT: &str = "abababababababab";
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const ALL: [JwtAlgorithm; 3] = [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Hs256];

pub(crate) fn after(secs: u64) -> Timestamp {
    NOW + Duration::from_secs(secs)
}

pub(crate) fn before(secs: u64) -> Timestamp {
    NOW - Duration::from_secs(secs)
}

pub(crate) fn signing_key(algorithm: JwtAlgorithm, seed: u64) -> SigningKey {
    let bytes = SigningKey::generate(algorithm, &SeededRandom::new(seed)).unwrap();
    SigningKey::from_bytes(algorithm, &bytes).unwrap()
}

pub(crate) fn claims() -> AccessClaims {
    AccessClaims {
        iss: ISS.into(),
        aud: AUD.into(),
        sub: UserId::from_uuid(Uuid::from_u128(1)),
        sid: SessionId::from_uuid(Uuid::from_u128(2)),
        jti: "one".into(),
        iat: NOW,
        nbf: NOW,
        exp: after(900),
        auth_time: before(5),
        amr: vec!["pwd".into()],
        roles: vec!["user".into()],
        org: None,
        ver: 7,
        cip: None,
        ext: None,
    }
}

/// A key, its set, and tokens made by hand.
struct Bench {
    key: SigningKey,
    keys: KeySet,
    verifier: TokenVerifier,
}

impl Bench {
    fn new(algorithm: JwtAlgorithm) -> Self {
        let key = signing_key(algorithm, 1);
        let keys = KeySet::new(1, [(KID, key.verifying_key().unwrap(), None)]);
        Self { key, keys, verifier: TokenVerifier::new(ISS, AUD) }
    }

    fn verify(&self, token: &str) -> Result<Arc<AccessClaims>, TokenError> {
        self.verifier.verify(token, &self.keys, NOW)
    }

    /// Signed over exactly these texts.
    fn signed(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", to_base64url(header.as_bytes()), to_base64url(payload.as_bytes()));
        let signature = self.key.sign(input.as_bytes()).unwrap();
        format!("{input}.{}", to_base64url(&signature))
    }

    fn with_header(&self, header: &str) -> String {
        self.signed(header, &serde_json::to_string(&claims()).unwrap())
    }

    fn with_payload(&self, payload: &str) -> String {
        let alg = self.key.algorithm().name();
        self.signed(&format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{KID_TEXT}"}}"#), payload)
    }

    /// The good claims with one member set, or taken out.
    fn with_claim(&self, name: &str, value: Option<Value>) -> String {
        let mut claims = serde_json::to_value(claims()).unwrap();
        let members = claims.as_object_mut().unwrap();
        match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        };
        self.with_payload(&claims.to_string())
    }

    fn good(&self) -> String {
        claims().sign(KID, &self.key).unwrap().expose_secret().to_owned()
    }
}

#[test]
fn what_is_signed_reads_back() {
    for algorithm in ALL {
        let bench = Bench::new(algorithm);
        assert_eq!(*bench.verify(&bench.good()).unwrap(), claims());
        let full = AccessClaims {
            org: Some("acme".into()),
            cip: Some("hash".into()),
            ext: Some(json!({ "plan": ["a", { "b": 1.5 }] })),
            roles: vec![],
            ..claims()
        };
        let token = full.sign(KID, &bench.key).unwrap();
        assert_eq!(*bench.verify(token.expose_secret()).unwrap(), full);
    }
}

#[test]
fn claims_have_their_registered_form() {
    let written = serde_json::to_value(claims()).unwrap();
    let expected = json!({
        "iss": ISS, "aud": AUD, "jti": "one", "amr": ["pwd"], "roles": ["user"], "ver": 7,
        "sub": "00000000-0000-0000-0000-000000000001", "sid": "00000000-0000-0000-0000-000000000002",
        "iat": 1_800_000_000, "nbf": 1_800_000_000, "exp": 1_800_000_900, "auth_time": 1_799_999_995,
    });
    assert_eq!(written, expected);
}

#[test]
fn claims_unknown_here_are_ignored() {
    // RFC 7519 section 4; a newer node may add some during a roll-out.
    let bench = Bench::new(JwtAlgorithm::EdDsa);
    assert_eq!(*bench.verify(&bench.with_claim("new", Some(json!({ "a": 1 })))).unwrap(), claims());
}

#[test]
fn s_47_s_49_headers() {
    let bench = Bench::new(JwtAlgorithm::EdDsa);
    let header = |text: &str| text.replace('\'', "\"").replace("KID", KID_TEXT);
    let good = [
        "{'alg':'EdDSA','typ':'at+jwt','kid':'KID'}",
        "{'kid':'KID','typ':'AT+JWT','alg':'EdDSA'}",
        " { 'kid' : 'KID', 'typ' : 'Application/at+JWT', 'alg' : 'EdDSA' } ",
        r"{'kid':'KID','t\u0079p':'at+jwt','alg':'EdDSA'}",
    ];
    for text in good {
        assert!(bench.verify(&bench.with_header(&header(text))).is_ok(), "{text}");
    }
    let bad = [
        ("{'alg':'none','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'None','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'nOnE','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'eddsa','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'Ed25519','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'RS256','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'HS256','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'alg':'ES256','typ':'at+jwt','kid':'KID'}", TokenError::Algorithm),
        ("{'typ':'at+jwt','kid':'KID'}", TokenError::Header),
        ("{'alg':null,'typ':'at+jwt','kid':'KID'}", TokenError::Header),
        ("{'alg':['EdDSA'],'typ':'at+jwt','kid':'KID'}", TokenError::Header),
        ("{'alg':'EdDSA','kid':'KID'}", TokenError::Type),
        ("{'alg':'EdDSA','typ':null,'kid':'KID'}", TokenError::Type),
        ("{'alg':'EdDSA','typ':'JWT','kid':'KID'}", TokenError::Type),
        ("{'alg':'EdDSA','typ':'at+jwt ','kid':'KID'}", TokenError::Type),
        ("{'alg':'EdDSA','typ':'text/at+jwt','kid':'KID'}", TokenError::Type),
        ("{'alg':'EdDSA','typ':1,'kid':'KID'}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt'}", TokenError::KeyIdMissing),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':null}", TokenError::KeyIdMissing),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':7}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':''}", TokenError::KeyIdMalformed),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'ABABABABABABABAB'}", TokenError::KeyIdMalformed),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'../../dev/null'}", TokenError::KeyIdMalformed),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'x\\u0027 OR 1=1--'}", TokenError::KeyIdMalformed),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'abababababababac'}", TokenError::UnknownKey),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','crit':['exp']}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','b64':true}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','jwk':{}}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','jku':'https://evil.example'}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','x5u':'https://evil.example'}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','x5c':[]}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','cty':'JWT'}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','zip':'DEF'}", TokenError::Header),
        ("{'alg':'EdDSA','alg':'EdDSA','typ':'at+jwt','kid':'KID'}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','kid':'KID'}", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID','\\u0061lg':'none'}", TokenError::Header),
        ("['EdDSA','KID','at+jwt']", TokenError::Header),
        ("'EdDSA'", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID'", TokenError::Header),
        ("{'alg':'EdDSA','typ':'at+jwt','kid':'KID'}}", TokenError::Header),
        ("", TokenError::Header),
    ];
    for (text, expected) in bad {
        assert_eq!(bench.verify(&bench.with_header(&header(text))), Err(expected), "{text}");
    }
    let long = format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, "k".repeat(1 << 20));
    assert_eq!(bench.verify(&bench.with_header(&long)), Err(TokenError::TooLong));
}

#[test]
fn s_47_no_signature_is_no_token() {
    let bench = Bench::new(JwtAlgorithm::EdDsa);
    let good = bench.good();
    let (input, _) = good.rsplit_once('.').unwrap();
    assert_eq!(bench.verify(&format!("{input}.")), Err(TokenError::Signature));
    assert_eq!(bench.verify(input), Err(TokenError::Malformed));
}

#[test]
fn s_48_a_public_key_is_no_hmac_secret() {
    for algorithm in [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256] {
        let bench = Bench::new(algorithm);
        let raw = bench.key.public_bytes().unwrap();
        // SubjectPublicKeyInfo: RFC 8410 section 4, RFC 5480 section 2.
        let prefix: &[u8] = match algorithm {
            JwtAlgorithm::EdDsa => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00",
            _ => {
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
            }
        };
        let der = [prefix, &raw].concat();
        let lines: Vec<String> = STANDARD
            .encode(&der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8(line.to_vec()).unwrap())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let text = to_base64url(&raw);
        let jwk = bench.key.public_jwk(KID).unwrap().to_string();
        let secrets: [&[u8]; 6] =
            [&raw, &der, pem.as_bytes(), pem.trim_end().as_bytes(), text.as_bytes(), jwk.as_bytes()];
        for secret in secrets {
            let forger = SigningKey::from_bytes(JwtAlgorithm::Hs256, secret).unwrap();
            let token = claims().sign(KID, &forger).unwrap();
            assert_eq!(bench.verify(token.expose_secret()), Err(TokenError::Algorithm));
            // The same signature under the right name of the algorithm.
            let header = format!(r#"{{"alg":"{}","typ":"at+jwt","kid":"{KID_TEXT}"}}"#, algorithm.name());
            let renamed = Bench { key: forger, ..Bench::new(algorithm) }.with_header(&header);
            assert_eq!(bench.verify(&renamed), Err(TokenError::Signature));
        }
        // Between the two asymmetric ones as well.
        let other = ALL.into_iter().find(|other| *other != algorithm).unwrap();
        let token = claims().sign(KID, &signing_key(other, 1)).unwrap();
        assert_eq!(bench.verify(token.expose_secret()), Err(TokenError::Algorithm));
    }
}

#[test]
fn s_50_claims() {
    let bench = Bench::new(JwtAlgorithm::Hs256);
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "auth_time", "amr", "roles", "ver"] {
        assert_eq!(bench.verify(&bench.with_claim(name, None)), Err(TokenError::Claims), "no {name}");
        let null = bench.with_claim(name, Some(Value::Null));
        assert_eq!(bench.verify(&null), Err(TokenError::Claims), "{name}: null");
    }
    let bad = [
        ("iss", json!("https://id.example.com/"), TokenError::Issuer),
        ("iss", json!("HTTPS://id.example.com"), TokenError::Issuer),
        ("iss", json!(""), TokenError::Issuer),
        ("aud", json!("authkit2"), TokenError::Audience),
        ("aud", json!("Authkit"), TokenError::Audience),
        ("aud", json!(["authkit"]), TokenError::Claims),
        ("aud", json!([]), TokenError::Claims),
        ("sub", json!(""), TokenError::Claims),
        ("sub", json!("00000000000000000000000000000001"), TokenError::Claims),
        ("sub", json!(1), TokenError::Claims),
        ("sid", json!("x"), TokenError::Claims),
        ("jti", json!(""), TokenError::Claims),
        ("jti", json!(1), TokenError::Claims),
        ("exp", json!("1800000900"), TokenError::Claims),
        ("exp", json!(1_800_000_900.5), TokenError::Claims),
        ("exp", json!(1e300), TokenError::Claims),
        ("exp", json!(u64::MAX), TokenError::Claims),
        ("roles", json!("user"), TokenError::Claims),
        ("ver", json!("7"), TokenError::Claims),
    ];
    for (name, value, expected) in bad {
        assert_eq!(
            bench.verify(&bench.with_claim(name, Some(value.clone()))),
            Err(expected),
            "{name} {value}"
        );
    }
}

#[test]
fn ambiguous_claims_are_refused() {
    let bench = Bench::new(JwtAlgorithm::Hs256);
    let good = serde_json::to_string(&claims()).unwrap();
    assert!(bench.verify(&bench.with_payload(&good)).is_ok());
    let inner = good.strip_prefix('{').unwrap();
    for bad in [
        format!(r#"{{"exp":9999999999,{inner}"#),
        format!(r#"{{"\u0065xp":9999999999,{inner}"#),
        format!(r#"{{"x":1,"x":1,{inner}"#),
        format!(r#"{{"ext":{{"a":1,"a":2}},{inner}"#),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good}\0"),
        String::new(),
        "null".into(),
    ] {
        assert_eq!(bench.verify(&bench.with_payload(&bad)), Err(TokenError::Claims), "{bad}");
    }
}

#[test]
fn s_52_times() {
    let bench = Bench::new(JwtAlgorithm::Hs256);
    let at = |now| bench.verifier.verify(&bench.good(), &bench.keys, now).map(|_| ());
    let micro = Duration::from_micros(1);
    assert_eq!(at(after(900) - micro), Ok(()));
    assert_eq!(at(after(900)), Err(TokenError::Expired), "dead at the exact instant");
    assert_eq!(at(after(901)), Err(TokenError::Expired));
    for name in ["iat", "nbf"] {
        let ahead = |secs: i64| bench.with_claim(name, Some(json!(1_800_000_000 + secs)));
        assert!(bench.verify(&ahead(30)).is_ok(), "{name}");
        assert_eq!(bench.verify(&ahead(31)), Err(TokenError::NotYetValid), "{name}");
        let never = bench.with_claim(name, Some(json!(i64::MAX)));
        assert_eq!(bench.verify(&never), Err(TokenError::NotYetValid), "{name}");
    }
    for exp in [i64::MIN, -1, 0, 1_800_000_000] {
        assert_eq!(bench.verify(&bench.with_claim("exp", Some(json!(exp)))), Err(TokenError::Expired));
    }
    assert!(bench.verify(&bench.with_claim("exp", Some(json!(1_800_000_001)))).is_ok());
    assert!(at(before(30)).is_ok());
    assert_eq!(at(before(30) - micro), Err(TokenError::NotYetValid));
}

#[test]
fn s_56_keys_come_and_go() {
    let (old, new) = (signing_key(JwtAlgorithm::EdDsa, 1), signing_key(JwtAlgorithm::Es256, 2));
    let new_kid = KeyId::from_bytes([1; 8]);
    let gone_at = after(10);
    let keys = KeySet::new(
        2,
        [(KID, old.verifying_key().unwrap(), Some(gone_at)), (new_kid, new.verifying_key().unwrap(), None)],
    );
    let verifier = TokenVerifier::new(ISS, AUD);
    let verify = |kid, key: &SigningKey, now| {
        let token = claims().sign(kid, key).unwrap();
        verifier.verify_with_key(token.expose_secret(), &keys, now).map(|(kid, _)| kid)
    };
    assert_eq!(verify(KID, &old, NOW), Ok(KID));
    assert_eq!(verify(KID, &old, gone_at - Duration::from_micros(1)), Ok(KID));
    assert_eq!(verify(KID, &old, gone_at), Err(TokenError::KeyGone));
    assert_eq!(verify(new_kid, &new, gone_at), Ok(new_kid));
    assert_eq!(verify(KeyId::from_bytes([2; 8]), &new, NOW), Err(TokenError::UnknownKey));
    assert_eq!(verify(new_kid, &signing_key(JwtAlgorithm::Es256, 3), NOW), Err(TokenError::Signature));
    assert_eq!(keys.generation(), 2);
}

#[test]
fn the_form_is_exact() {
    let bench = Bench::new(JwtAlgorithm::EdDsa);
    let good = bench.good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let padded = |text: &str| URL_SAFE.encode(from_base64url(text).unwrap());
    // 64 bytes leave four bits of the last character unused.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(signature.chars().last().unwrap()).unwrap();
    let respelled = format!("{}{}", &signature[..signature.len() - 1], &alphabet[last + 1..last + 2]);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}.{payload}.{}", padded(signature)),
        format!("{header}.{payload}.{respelled}"),
        format!("{header}.{payload}..{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        good.replace('.', ". "),
        good.replacen('.', "\u{ff0e}", 1),
    ] {
        let error = bench.verify(&bad).unwrap_err();
        assert!(matches!(error, TokenError::Malformed | TokenError::Header), "{bad:?}: {error:?}");
    }
    assert_eq!(bench.verify(&format!("{good}{}", "A".repeat(MAX_TOKEN_LEN))), Err(TokenError::TooLong));
    assert_eq!(bench.verify(&"A".repeat(MAX_TOKEN_LEN)), Err(TokenError::Malformed));
}

#[test]
fn every_edited_character_is_refused() {
    let bench = Bench::new(JwtAlgorithm::EdDsa);
    let good = bench.good();
    for place in 0..good.len() {
        let mut edited = good.clone().into_bytes();
        edited[place] = if edited[place] == b'A' { b'B' } else { b'A' };
        assert!(bench.verify(str::from_utf8(&edited).unwrap()).is_err(), "character {place}");
        assert!(bench.verify(&good[..place]).is_err(), "cut at {place}");
    }
}

#[test]
fn noise_never_panics_and_never_verifies() {
    let bench = Bench::new(JwtAlgorithm::Hs256);
    let random = SeededRandom::new(5);
    let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{KID_TEXT}"}}"#);
    let good = bench.good();
    for _ in 0..2000 {
        let noise = random.bytes(random.below(300));
        let text = String::from_utf8_lossy(&noise).into_owned();
        assert!(bench.verify(&text).is_err());
        assert!(bench.verify(&format!("{}.{}.{}", to_base64url(&noise), text, text)).is_err());
        // Signed noise: past the signature, into the reader of claims.
        assert_eq!(bench.verify(&bench.signed(&header, &text)), Err(TokenError::Claims));
        let mut edited = good.clone().into_bytes();
        let place = random.below(edited.len());
        edited[place] ^= 1 << random.below(7);
        assert!(bench.verify(str::from_utf8(&edited).unwrap()).is_err());
    }
}

#[test]
fn a_token_too_long_for_us_is_not_issued() {
    let key = signing_key(JwtAlgorithm::Hs256, 1);
    let big = AccessClaims { ext: Some(json!({ "a": "x".repeat(MAX_TOKEN_LEN) })), ..claims() };
    assert_eq!(big.sign(KID, &key).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn clients_learn_nothing_of_the_reason() {
    let error = Error::from(TokenError::KeyGone);
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Unauthenticated, "token_key_gone"));
    assert_eq!(error.public_message(), Error::from(TokenError::Expired).public_message());
    assert!(!error.public_message().contains("key"));
}
