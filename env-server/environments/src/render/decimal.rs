//! Short decimal numbers.

/// Formats a number with at most `decimals` decimals and no trailing zeros: `0.25`, `-1`.
pub fn decimal(number: f64, decimals: usize) -> String {
    let fixed = format!("{number:.decimals$}");
    let short = match fixed.contains('.') {
        true => fixed.trim_end_matches('0').trim_end_matches('.'),
        false => &fixed,
    };
    match short {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_at_the_end_are_left_out() {
        assert_eq!(decimal(-0.0001, 2), "0");
        assert_eq!(decimal(100.0, 0), "100");
        assert_eq!(decimal(0.333_333, 2), "0.33");
        assert_eq!(decimal(f64::NAN, 2), "NaN");
    }
}
