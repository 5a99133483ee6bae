//! The embedded list of common passwords (ASVS 6.2.4).
//!
//! `common-passwords.txt` holds 16,282 entries, in lower case, sorted, one a line, each of at least 8
//! characters (shorter ones fail by their length). It is the union of
//! - the list that Django 5.2 ships as `common-passwords.txt.gz` (BSD-3-Clause, Django Software Foundation),
//!   made by Royce Williams of the most frequent entries of Have I Been Pwned and published as
//!   <https://gist.github.com/roycewilliams/226886fd01572964e1431ac8afc999ce>;
//! - the password list of zxcvbn-python 4.5.0 (MIT, Daniel Wolf; Dan Wheeler and Dropbox, Inc.), made of
//!   Mark Burnett's ten million passwords, which he dedicated to the public domain.
//!
//! Entries with spaces or characters outside of ASCII were left out: they are damaged text.

use std::sync::LazyLock;

static TEXT: &str = include_str!("common-passwords.txt");

/// Borrows from the program itself: 16 bytes an entry, built at the first question.
static ENTRIES: LazyLock<Vec<&'static str>> = LazyLock::new(|| TEXT.lines().collect());

/// Whether `folded`, a password in lower case, is in the list.
pub(super) fn contains(folded: &str) -> bool {
    ENTRIES.binary_search(&folded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_big_enough_sorted_unique_and_lower_case() {
        assert_eq!(ENTRIES.len(), 16_282);
        assert!(ENTRIES.is_sorted_by(|a, b| a < b));
        assert!(ENTRIES.iter().all(|e| e.len() >= 8 && e.to_ascii_lowercase() == **e && e.trim() == *e));
    }

    #[test]
    fn finds_the_first_the_last_and_the_famous() {
        for known in
            [ENTRIES[0], ENTRIES[ENTRIES.len() - 1], "password1", "12345678", "iloveyou1", "qwertyuiop"]
        {
            assert!(contains(known), "{known}");
        }
        for unknown in ["", "password1 ", "Password1", "quiet-river-sings", "zzzzzzzzzzzzzzzzzzzzzzzz-"] {
            assert!(!contains(unknown), "{unknown}");
        }
    }
}
