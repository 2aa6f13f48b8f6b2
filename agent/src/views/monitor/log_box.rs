//! The grouped box of a record, in the style of Stable-Baselines3's human-readable log.

use std::fmt::Write as _;

use super::{LogEntry, LogRecord, LogValue};

/// Significant digits of a measured value.
const DIGITS: usize = 3;

/// Draws a record as a box of two columns, each as wide as its widest text. A section without
/// values is left out; a record without values is an empty string.
///
/// ```text
/// ------------------------------
/// | rollout/            |      |
/// |    ep_rew_mean      | 0.93 |
/// ------------------------------
/// ```
#[must_use]
pub fn log_box(record: &LogRecord) -> String {
    let rows = rows(record);
    let width = |column: fn(&(String, String)) -> &String| {
        rows.iter().map(|row| column(row).chars().count()).max()
    };
    let (Some(left), Some(right)) = (width(|row| &row.0), width(|row| &row.1)) else {
        return String::new();
    };

    // Four bars and blanks frame the columns: "| " + left + " | " + right + " |".
    let rule = "-".repeat(left + right + 7);
    let mut text = format!("{rule}\n");
    for (name, value) in &rows {
        writeln!(text, "| {name:<left$} | {value:<right$} |").expect("a String takes all writes");
    }
    text.push_str(&rule);
    text
}

/// The texts of both columns: a section's name alone, then its values.
fn rows(record: &LogRecord) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for section in record.sections() {
        let values: Vec<_> = section.entries().map(|entry| row(&entry)).collect();
        if !values.is_empty() {
            rows.push((format!("{}/", section.name()), String::new()));
            rows.extend(values);
        }
    }
    rows
}

fn row(entry: &LogEntry) -> (String, String) {
    let value = match entry.value {
        LogValue::Count(count) => count.to_string(),
        LogValue::Real(real) => general(real, DIGITS),
    };
    (format!("   {}", entry.key), value)
}

/// `value` to `digits` significant digits without trailing zeros, in scientific notation where
/// the exponent is below −4 or not below `digits`: what C's `%g` prints.
fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    // Rounding may carry into the next power of ten, so the exponent is read after rounding.
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').expect("`{:e}` prints an e");
    let exponent: i32 = exponent.parse().expect("`{:e}` prints a whole exponent");
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!(
            "{}e{sign}{:02}",
            trim_zeros(mantissa),
            exponent.unsigned_abs()
        );
    }
    let decimals = (digits as i32 - 1 - exponent) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// Drops zeros at the end of a fraction, and the point with them.
fn trim_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::views::monitor::Progress;

    #[test]
    fn numbers_are_those_of_percent_g() {
        // Right: what `printf "%.3g"` prints.
        let expected = [
            (0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (0.93, "0.93"),
            (0.012_345, "0.0123"),
            (0.000_123_456, "0.000123"),
            (0.000_012_345_6, "1.23e-05"),
            (22.125, "22.1"),
            (123.0, "123"),
            (999.4, "999"),
            (999.6, "1e+03"),
            (1_234.5, "1.23e+03"),
            (-0.001_234, "-0.00123"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, text) in expected {
            assert_eq!(general(value, 3), text, "{value}");
        }
    }

    #[test]
    fn box_of_a_whole_update() {
        let progress = Progress {
            total_timesteps: 56_000,
            timesteps: 14_336,
            episodes: 896,
            updates: 14,
            elapsed: Duration::from_millis(2_250),
            steps_per_s: 6_371.6,
            return_mean: Some(0.5),
            return_std: Some(0.866_025),
            length_mean: Some(16.0),
        };
        let mut record = progress.to_record();
        record
            .section("rollout")
            .put("policy_entropy", 0.412)
            .put("advantage_mean", -1.2e-8);
        record
            .section("train")
            .put("loss", 0.031_4)
            .put("explained_variance", f64::NAN);
        record.section("rnd_net_dist");
        record.section("memory").put("usefulness_loss", 0.25);

        insta::assert_snapshot!(log_box(&record), @r"
        ------------------------------------
        | rollout/              |          |
        |    ep_len_mean        | 16       |
        |    ep_rew_mean        | 0.5      |
        |    ep_rew_std         | 0.866    |
        |    policy_entropy     | 0.412    |
        |    advantage_mean     | -1.2e-08 |
        | time/                 |          |
        |    episodes           | 896      |
        |    fps                | 6372     |
        |    time_elapsed       | 2.25     |
        |    total_timesteps    | 14336    |
        | train/                |          |
        |    n_updates          | 14       |
        |    progress           | 0.256    |
        |    loss               | 0.0314   |
        |    explained_variance | nan      |
        | memory/               |          |
        |    usefulness_loss    | 0.25     |
        ------------------------------------
        ");
    }

    #[test]
    fn columns_adapt_to_their_texts() {
        let mut record = LogRecord::default();
        record.section("a").put("b", 1_u64);
        insta::assert_snapshot!(log_box(&record), @r"
        ------------
        | a/   |   |
        |    b | 1 |
        ------------
        ");
    }

    #[test]
    fn nothing_measured_is_no_box() {
        let mut record = LogRecord::default();
        record.section("memory");
        assert_eq!(log_box(&record), "");
    }
}
