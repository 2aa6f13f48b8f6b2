//! Numbers in a form for people.

/// Writes an integer with thousands separators: `2,560,000`.
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

/// Rounds a number to `decimals` decimals; never writes a negative zero.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| "0.".contains(c)) => zero.to_owned(),
        _ => text,
    }
}

/// Writes a duration in seconds: `12.3`, or `<1` below one second.
pub fn seconds(seconds: f64) -> String {
    match seconds < SHORTEST_TIMED {
        true => "<1".to_owned(),
        false => fixed(seconds, 1),
    }
}

/// Shortest training, in seconds, whose speed is given: a shorter one is mostly start-up.
pub const SHORTEST_TIMED: f64 = 1.0;

/// Returns the steps per second of a training that took long enough to measure them.
pub fn speed(steps_per_s: f64, train_duration_s: f64) -> Option<f64> {
    (train_duration_s >= SHORTEST_TIMED).then_some(steps_per_s)
}

/// Writes a count in few characters, for axes: `950`, `14k`, `2.56M`.
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

    #[test]
    fn training_shorter_than_a_second_has_no_speed() {
        assert_eq!(
            [0.085, 0.999, 1.0, 12.34].map(seconds),
            ["<1", "<1", "1.0", "12.3"]
        );
        assert_eq!(speed(1_799_726.0, 0.05), None);
        assert_eq!(speed(94_000.0, 1.0), Some(94_000.0));
    }
}
