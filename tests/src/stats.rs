//! Statistics of samples: percentiles, and how well one number tells two samples apart.

/// The area under the ROC curve: the chance that a value of `b` is greater than one of `a`, ties counting half.
/// 0.5 means that nobody can tell them apart, 0 and 1 that anybody can.
pub fn auc(a: &[f64], b: &[f64]) -> f64 {
    assert!(!a.is_empty() && !b.is_empty(), "two samples");
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|v| (*v, false)).chain(b.iter().map(|v| (*v, true))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    // The Mann-Whitney statistic by ranks; equal values share the mean of their ranks.
    let mut ranks = 0.0;
    let mut start = 0;
    while start < all.len() {
        let mut end = start + 1;
        while end < all.len() && all[end].0 <= all[start].0 {
            end += 1;
        }
        let mean = float(start + 1 + end) / 2.0;
        ranks += mean * float(all[start..end].iter().filter(|(_, of_b)| *of_b).count());
        start = end;
    }
    let (n, m) = (float(a.len()), float(b.len()));
    (ranks - m * (m + 1.0) / 2.0) / (n * m)
}

/// The nearest-rank percentile, `p` in 0 to 100.
pub fn percentile(sample: &[f64], p: f64) -> f64 {
    assert!(!sample.is_empty(), "a sample");
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within the sample")]
    let rank = (p / 100.0 * float(sorted.len())).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The median by nearest rank.
pub fn median(sample: &[f64]) -> f64 {
    percentile(sample, 50.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples are far below 2^52")]
fn float(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_area_tells_separate_equal_and_mixed_samples() {
        assert!(near(auc(&[1.0, 2.0], &[3.0, 4.0]), 1.0));
        assert!(near(auc(&[3.0, 4.0], &[1.0, 2.0]), 0.0));
        assert!(near(auc(&[1.0, 2.0, 2.0], &[2.0, 1.0, 2.0]), 0.5));
        // By hand: of 6 pairs (a, b), 4 have b greater and 1 is a tie.
        assert!(near(auc(&[1.0, 3.0], &[2.0, 3.0, 4.0]), 4.5 / 6.0));
    }

    #[test]
    fn percentiles_are_members_of_the_sample() {
        let sample: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!(near(percentile(&sample, 50.0), 50.0));
        assert!(near(percentile(&sample, 99.0), 99.0));
        assert!(near(percentile(&sample, 100.0), 100.0));
        assert!(near(percentile(&sample, 0.0), 1.0));
        assert!(near(median(&[7.0]), 7.0));
    }
}
