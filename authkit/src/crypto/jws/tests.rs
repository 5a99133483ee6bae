use super::*;
use crate::crypto::strict::from_base64url;
use crate::error::ErrorKind;
use crate::testing::SeededRandom;

const ALL: [JwtAlgorithm; 3] = [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256, JwtAlgorithm::Hs256];
const KID: KeyId = KeyId::from_bytes([0xab; 8]);

// The example claims of RFC 7515 appendix A.
const CLAIMS: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn b64(text: &str) -> Vec<u8> {
    from_base64url(text).unwrap()
}

fn generated(algorithm: JwtAlgorithm, seed: u64) -> SigningKey {
    let bytes = SigningKey::generate(algorithm, &SeededRandom::new(seed)).unwrap();
    SigningKey::from_bytes(algorithm, &bytes).unwrap()
}

#[test]
fn hs256_agrees_with_rfc_7515_a_1() {
    let secret =
        b64("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let key = SigningKey::from_bytes(JwtAlgorithm::Hs256, &secret).unwrap();
    let input = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}");
    let expected = b64("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(key.sign(input.as_bytes()).unwrap(), expected);
    assert!(key.verifying_key().unwrap().verify(input.as_bytes(), &expected));
}

#[test]
fn hs256_agrees_with_rfc_7520_4_4() {
    let secret = b64("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg");
    let key = SigningKey::from_bytes(JwtAlgorithm::Hs256, &secret).unwrap();
    let payload = "It\u{2019}s a dangerous business, Frodo, going out your door. You step onto the road, \
                   and if you don't keep your feet, there\u{2019}s no knowing where you might be swept off to.";
    let header = r#"{"alg":"HS256","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037"}"#;
    let input = format!("{}.{}", to_base64url(header.as_bytes()), to_base64url(payload.as_bytes()));
    let signature = key.sign(input.as_bytes()).unwrap();
    assert_eq!(to_base64url(&signature), "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0");
}

#[test]
fn es256_agrees_with_rfc_7515_a_3() {
    let (x, y) =
        ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let point = [vec![4], b64(x), b64(y)].concat();
    let key = VerifyingKey::from_public_bytes(JwtAlgorithm::Es256, &point).unwrap();
    let input = format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}");
    let signature =
        b64("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    assert!(key.verify(input.as_bytes(), &signature));
    assert!(!key.verify(format!("{input}x").as_bytes(), &signature));
    let jwk = key.public_jwk(KID).unwrap();
    assert_eq!((jwk["x"].as_str(), jwk["y"].as_str()), (Some(x), Some(y)));
}

#[test]
fn eddsa_agrees_with_rfc_8037_a() {
    let seed = b64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
    let key = SigningKey::from_bytes(JwtAlgorithm::EdDsa, &seed).unwrap();
    let input = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = key.sign(input).unwrap();
    assert_eq!(
        to_base64url(&signature),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
    let jwk = key.public_jwk(KID).unwrap();
    assert_eq!(jwk["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    // A.3: the thumbprint (RFC 7638) over the required members, in order.
    let members = format!(r#"{{"crv":{},"kty":{},"x":{}}}"#, jwk["crv"], jwk["kty"], jwk["x"]);
    let thumbprint = ring::digest::digest(&ring::digest::SHA256, members.as_bytes());
    assert_eq!(to_base64url(thumbprint.as_ref()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn jwks_have_exactly_the_members_of_their_type() {
    let expected =
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "abababababababab" });
    let mut jwk = generated(JwtAlgorithm::EdDsa, 1).public_jwk(KID).unwrap();
    let x = jwk.as_object_mut().unwrap().remove("x").unwrap();
    assert_eq!((b64(x.as_str().unwrap()).len(), jwk), (32, expected));

    let expected =
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "abababababababab" });
    let mut jwk = generated(JwtAlgorithm::Es256, 1).public_jwk(KID).unwrap();
    for coordinate in ["x", "y"] {
        let value = jwk.as_object_mut().unwrap().remove(coordinate).unwrap();
        assert_eq!(b64(value.as_str().unwrap()).len(), 32);
    }
    assert_eq!(jwk, expected);

    assert_eq!(generated(JwtAlgorithm::Hs256, 1).public_jwk(KID), None);
    assert_eq!(generated(JwtAlgorithm::Hs256, 1).public_bytes(), None);
}

#[test]
fn signatures_verify_with_their_own_key_only() {
    for algorithm in ALL {
        let (key, other) = (generated(algorithm, 1), generated(algorithm, 2));
        let signature = key.sign(b"a.b").unwrap();
        let verifying = key.verifying_key().unwrap();
        assert!(verifying.verify(b"a.b", &signature), "{verifying:?}");
        assert!(!verifying.verify(b"a.c", &signature));
        assert!(!verifying.verify(b"a.b", &[]));
        assert!(!verifying.verify(b"a.b", &signature[1..]));
        assert!(!other.verifying_key().unwrap().verify(b"a.b", &signature));
        for place in 0..signature.len() {
            let mut edited = signature.clone();
            edited[place] ^= 1;
            assert!(!verifying.verify(b"a.b", &edited), "{verifying:?}, byte {place}");
        }
    }
}

#[test]
fn signatures_verify_elsewhere() {
    use ring::signature::VerificationAlgorithm;
    let cases: [(JwtAlgorithm, &'static dyn VerificationAlgorithm); 2] =
        [(JwtAlgorithm::EdDsa, &ED25519), (JwtAlgorithm::Es256, &ECDSA_P256_SHA256_FIXED)];
    for (algorithm, ring) in cases {
        let key = generated(algorithm, 3);
        let token = encode(KID, "at+jwt", b"{}", &key).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(ring, key.public_bytes().unwrap());
        public.verify(input.as_bytes(), &b64(signature)).unwrap();
        assert_eq!(b64(signature).len(), 64);
    }
}

#[test]
fn encodes_header_and_payload_as_given() {
    let token = encode(KID, "at+jwt", b"{\"a\":1}", &generated(JwtAlgorithm::Hs256, 1)).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(b64(parts[0]), br#"{"alg":"HS256","typ":"at+jwt","kid":"abababababababab"}"#);
    assert_eq!(b64(parts[1]), b"{\"a\":1}");
    assert_eq!(parts.len(), 3);
}

#[test]
fn refuses_bytes_that_are_no_key() {
    for algorithm in [JwtAlgorithm::EdDsa, JwtAlgorithm::Es256] {
        for length in [0, 31, 33, 64, 138] {
            let error = SigningKey::from_bytes(algorithm, &vec![7; length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
        }
    }
    assert!(VerifyingKey::from_public_bytes(JwtAlgorithm::EdDsa, &[4; 33]).is_err());
    assert!(VerifyingKey::from_public_bytes(JwtAlgorithm::Es256, &[2; 65]).is_err());
    assert!(VerifyingKey::from_public_bytes(JwtAlgorithm::Es256, &[4; 64]).is_err());
    assert!(VerifyingKey::from_public_bytes(JwtAlgorithm::Hs256, &[4; 32]).is_err());
}

#[test]
fn s_58_short_hmac_secrets_are_refused() {
    let error = SigningKey::from_bytes(JwtAlgorithm::Hs256, &[b'k'; 31]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!error.to_string().contains("kkk"));
    assert!(SigningKey::from_bytes(JwtAlgorithm::Hs256, &[b'k'; 32]).is_ok());
}

#[test]
fn debug_names_the_algorithm_and_nothing_else() {
    for (algorithm, name) in ALL.into_iter().zip(["EdDSA", "ES256", "HS256"]) {
        let key = generated(algorithm, 1);
        assert_eq!(format!("{key:?}"), format!("SigningKey({name})"));
        assert_eq!(format!("{:?}", key.verifying_key().unwrap()), format!("VerifyingKey({name})"));
    }
}

#[test]
fn ed25519_keys_come_from_the_given_randomness() {
    let one = SigningKey::generate(JwtAlgorithm::EdDsa, &SeededRandom::new(9)).unwrap();
    let two = SigningKey::generate(JwtAlgorithm::EdDsa, &SeededRandom::new(9)).unwrap();
    assert_eq!(one, two);
    assert_eq!(*one, SeededRandom::new(9).bytes(32));
}
