//! Which e-mails failed from a network: just enough to tell that they are many, too little to tell which.
//!
//! A tag is 20 bits of a keyed hash of network and e-mail. A million other e-mails have the same one, and no
//! password goes into it, so that whoever holds the store and even the key can confirm no password and no e-mail
//! by it. At most as many are kept as lead to a lock.

use std::fmt::Write as _;

/// Bits of a tag.
const BITS: u32 = 20;

/// Tags and when each was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tags(Vec<(u32, i64)>);

impl Tags {
    /// Cuts a keyed hash to a tag.
    pub(crate) fn tag(hash: &[u8; 32]) -> u32 {
        let [a, b, c, d, ..] = *hash;
        u32::from_be_bytes([a, b, c, d]) >> (32 - BITS)
    }

    /// Reads what [`Self::to_text`] wrote; what is no tag is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let tag = |item: &str| {
            let (tag, at) = item.split_once(':')?;
            Some((u32::from_str_radix(tag, 16).ok()?, at.parse().ok()?))
        };
        Self(text.split(',').filter_map(tag).collect())
    }

    pub(crate) fn to_text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (tag, at)| {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing into a String cannot fail.
            let _ = write!(text, "{comma}{tag:05x}:{at}");
            text
        })
    }

    /// Notes that `tag` was seen at `now`, and drops what was seen before `oldest`.
    pub(super) fn note(&mut self, tag: u32, now: i64, oldest: i64, most: i64) {
        self.0.retain(|(known, at)| *known != tag && *at > oldest);
        self.0.push((tag, now));
        let excess = self.0.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        self.0.drain(..excess);
    }

    pub(super) fn count(&self) -> i64 {
        i64::try_from(self.0.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn oldest(&self) -> Option<i64> {
        self.0.iter().map(|(_, at)| *at).min()
    }

    pub(super) fn shift(&mut self, by: i64) {
        for (_, at) in &mut self.0 {
            *at = at.saturating_add(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_twenty_bits() {
        assert_eq!(Tags::tag(&[0xff; 32]), 0xf_ffff);
        assert_eq!(Tags::tag(&[0; 32]), 0);
    }

    #[test]
    fn equal_ones_count_once_and_old_ones_go() {
        let mut tags = Tags::default();
        for (tag, at) in [(1, 10), (2, 11), (1, 12)] {
            tags.note(tag, at, 0, 100);
        }
        assert_eq!((tags.count(), tags.oldest()), (2, Some(11)));
        tags.note(3, 20, 11, 100);
        assert_eq!(tags.count(), 2, "the one of 11 is over, the one of 12 is not");
        tags.note(4, 21, 11, 2);
        assert_eq!(tags.count(), 2, "never more than lead to a lock");
        assert_eq!(Tags::parse(&tags.to_text()), tags);
    }

    #[test]
    fn nothing_reads_as_nothing() {
        assert_eq!(Tags::parse(""), Tags::default());
        assert_eq!(Tags::default().to_text(), "");
        assert_eq!(Tags::parse("zz,1,:,00001:5"), Tags(vec![(1, 5)]));
    }
}
