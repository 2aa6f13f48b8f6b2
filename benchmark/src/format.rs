//! Numbers as people read them.

use crate::statistics::Estimate;

/// An integer with its thousands separated: `2,560,000`.
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number rounded to so many decimals, never a negative zero.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| "0.".contains(c)) => zero.to_owned(),
        _ => text,
    }
}

/// A mean with its interval when there is one: `0.98 [0.95, 1.00]`.
pub fn estimate(estimate: &Estimate) -> String {
    match estimate.interval {
        Some((low, high)) => format!(
            "{} [{}, {}]",
            fixed(estimate.mean, 2),
            fixed(low, 2),
            fixed(high, 2)
        ),
        None => fixed(estimate.mean, 2),
    }
}

/// A count in few characters, for axes: `950`, `14k`, `2.56M`.
pub fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = fixed(scaled, 2);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        assert_eq!(
            [0, 999, 1000, 2_560_000].map(thousands),
            ["0", "999", "1,000", "2,560,000"]
        );
        assert_eq!(
            [-0.004, 0.996, -0.25].map(|x| fixed(x, 2)),
            ["0.00", "1.00", "-0.25"]
        );
        assert_eq!(
            [950.0, 14_000.0, 2_560_000.0, 0.0].map(compact),
            ["950", "14k", "2.56M", "0"]
        );
    }
}
