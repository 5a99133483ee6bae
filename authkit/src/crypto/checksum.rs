//! The checksum at the end of opaque tokens. It finds typos and lets scanners recognise a leaked token; it protects
//! nothing.

use super::strict::to_base64url;

/// Characters of a checksum.
pub(crate) const CHECKSUM_LEN: usize = 6;

/// 6 characters of base64url: the CRC-32 of `text`.
pub(crate) fn checksum(text: &str) -> String {
    to_base64url(&crc32(text.as_bytes()).to_be_bytes())
}

/// CRC-32 as in zlib and PNG (ISO 3309), bit by bit: the text is short.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 * (sum & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_agrees_with_iso_3309() {
        // The check value that every list of CRCs gives for CRC-32.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        assert_eq!(checksum("").len(), CHECKSUM_LEN);
    }
}
