//! Which known name was meant by an unknown one.

/// Edit distance in which a swap of two neighbours counts once (optimal string alignment).
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_char = None;
    for (row, a) in left.chars().enumerate() {
        let mut current = Vec::with_capacity(last.len());
        let mut cell = row + 1;
        current.push(cell);
        let mut previous_b = None;
        for (column, &b) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX - 1);
            let swap = match (previous_char, previous_b, column.checked_sub(1)) {
                (Some(pa), Some(pb), Some(index)) if pa == b && pb == a => at(&before, index) + 1,
                _ => usize::MAX,
            };
            let change = at(&last, column) + usize::from(a != b);
            cell = swap.min(change).min(at(&last, column + 1) + 1).min(cell + 1);
            current.push(cell);
            previous_b = Some(b);
        }
        before = std::mem::replace(&mut last, current);
        previous_char = Some(a);
    }
    last.last().copied().unwrap_or(0)
}

/// The known name nearest to `name`, when at most `limit` edits away.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>, limit: usize) -> Option<&'a str> {
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The setting that an environment name was probably meant to be. The environment is shared with
/// everything else, so this errs on the quiet side: short names match exactly or not at all.
pub(super) fn environment_miss<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let upper = name.replace('-', "_").to_ascii_uppercase();
    known
        .filter(|candidate| candidate.len() >= 7)
        .filter_map(|candidate| {
            let limit = if candidate.len() >= 9 { 2 } else { 1 };
            let longer = upper.strip_prefix(candidate).is_some_and(|rest| {
                (1..=3).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphabetic())
            });
            let edits = if longer { 1 } else { distance(&upper, candidate) };
            (edits <= limit).then_some((edits, candidate))
        })
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_and_swaps() {
        for (left, right, edits) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("JWT_SECRTE", "JWT_SECRET", 1),
            ("REFRESH_TOKEN_EXPIRE_DAY", "REFRESH_TOKEN_EXPIRE_DAYS", 1),
            ("JWT_ALGO", "JWT_ALG", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }

    #[test]
    fn short_and_distant_names_are_left_alone() {
        let known = || ["ENV", "JWT_ALG", "BIND_ADDR", "LOG_LEVEL"].into_iter();
        for name in ["PATH", "ENVS", "EVN", "TERM", "JWT_ALIAS", "RUST_LOG", "LOG_LEVEL_FILTER"] {
            assert_eq!(environment_miss(name, known()), None, "{name}");
        }
        for (name, meant) in
            [("BIND_ADDRESS", "BIND_ADDR"), ("jwt_alg", "JWT_ALG"), ("LOG_LEVLE", "LOG_LEVEL")]
        {
            assert_eq!(environment_miss(name, known()), Some(meant), "{name}");
        }
    }
}
