//! What an authenticator app is given: secret, `otpauth://` address, QR code.

use std::fmt::Write as _;

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::base32;
use super::totp::Parameters;
use crate::error::{Error, Result};
use crate::ids::FactorId;
use crate::secret::{ExposeSecret as _, SecretString};

/// Width and height of a QR code at least, in pixels.
const PIXELS: u32 = 240;

/// An authenticator app to be: shown once, counts for nothing before it is confirmed.
#[derive(Debug)]
#[non_exhaustive]
pub struct TotpEnrolment {
    /// For `confirm`, where several are being set up.
    pub id: FactorId,
    /// For typing in: base32 of 160 bits.
    pub secret: SecretString,
    /// For a link on the same device. Holds the secret.
    pub otpauth_uri: SecretString,
    /// For a camera: SVG of the address. Holds the secret.
    pub qr_svg: SecretString,
}

/// The address by which apps take a secret over (the Key URI Format of Google Authenticator).
pub(crate) fn otpauth_uri(
    secret: &[u8],
    parameters: Parameters,
    issuer: &str,
    account: &str,
) -> SecretString {
    let (issuer, account) = (percent_encoded(issuer), percent_encoded(account));
    let secret = base32::encode_secret(secret);
    let Parameters { algorithm, digits, period } = parameters;
    SecretString::from(format!(
        "otpauth://totp/{issuer}:{account}?secret={}&issuer={issuer}&algorithm={}&digits={digits}&period={period}",
        secret.expose_secret(),
        algorithm.name().to_uppercase(),
    ))
}

/// An SVG element. Takes longer than a millisecond: not for asynchronous threads.
pub(crate) fn qr_svg(text: &SecretString) -> Result<SecretString> {
    let code = QrCode::with_error_correction_level(text.expose_secret().as_bytes(), EcLevel::M)
        .map_err(|error| Error::internal("an address does not fit into a QR code").with_source(error))?;
    let svg = code.render::<svg::Color<'_>>().min_dimensions(PIXELS, PIXELS).build();
    // The declaration of a document has no place inside of a page.
    let element = svg.find("<svg").and_then(|at| svg.get(at..)).unwrap_or(&svg);
    Ok(SecretString::from(element.to_owned()))
}

/// Everything but unreserved characters escaped (RFC 3986 section 2.3).
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::totp::Algorithm;
    use super::*;

    #[test]
    fn the_address_says_everything_and_is_escaped() {
        let parameters = Parameters { algorithm: Algorithm::Sha1, digits: 6, period: 30 };
        let uri = otpauth_uri(b"12345678901234567890", parameters, "My App & Co", "a+b@example.com");
        assert_eq!(
            uri.expose_secret(),
            "otpauth://totp/My%20App%20%26%20Co:a%2Bb%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=My%20App%20%26%20Co&algorithm=SHA1&digits=6&period=30"
        );
        let svg = qr_svg(&uri).unwrap();
        assert!(svg.expose_secret().starts_with("<svg ") && svg.expose_secret().ends_with("</svg>"));
        assert!(!svg.expose_secret().contains("script"));
        // The longest there can be: an e-mail of 254 characters, an issuer of 64 that are all escaped.
        let long = otpauth_uri(&[255; 20], parameters, &"\u{fc}".repeat(64), &"a".repeat(254));
        assert!(qr_svg(&long).is_ok());
    }
}
