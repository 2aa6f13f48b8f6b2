//! Suggestions for misspelt names.

/// Longest wrong name, in bytes, that is compared with the known ones. A longer one is no typing
/// error.
const MAX_LETTERS: usize = 64;

/// Returns the known name that is most similar to a wrong one, if any is similar enough. Case,
/// punctuation and the version (`-v0`) are ignored. One letter in three may be wrong, missing or
/// extra, or the wrong name may be a part of the known one.
///
/// ```
/// use env_protocol::did_you_mean;
///
/// let known = ["MemoryTask-v0", "RepeatFirst-v0"];
/// assert_eq!(did_you_mean("memorytask", known), Some("MemoryTask-v0"));
/// assert_eq!(did_you_mean("RepeatFrist-v0", known), Some("RepeatFirst-v0"));
/// assert_eq!(did_you_mean("Chess-v0", known), None);
/// ```
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > MAX_LETTERS {
        return None;
    }
    let wrong = letters(wrong);
    if wrong.is_empty() {
        return None;
    }
    let allowed = wrong.len() / 3;
    let distances = known.into_iter().map(|name| {
        let right = letters(name);
        let is_part = wrong.len() > 2 && right.windows(wrong.len()).any(|part| part == wrong);
        let part = if is_part { allowed } else { usize::MAX };
        (distance(&wrong, &right).min(part), name)
    });
    let near = distances.filter(|&(distance, _)| distance <= allowed);
    near.min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Returns the text to append to a message about a wrong name: ` (did you mean "MemoryTask-v0"?)`,
/// or nothing if no known name is similar.
pub fn hint<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match did_you_mean(wrong, known) {
        Some(meant) => format!(" (did you mean {meant:?}?)"),
        None => String::new(),
    }
}

/// The letters and digits of a name, in lower case and without its version.
fn letters(name: &str) -> Vec<char> {
    let (base, version) = name.rsplit_once("-v").unwrap_or((name, ""));
    let is_version = !version.is_empty() && version.chars().all(|c| c.is_ascii_digit());
    let name = if is_version { base } else { name };
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Number of letters to insert, remove, replace, or swap with their neighbour to turn one word into
/// the other (Damerau's distance, each place edited once).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut rows = [vec![0; other.len() + 1], (0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = rows[1][j] + usize::from(a != b);
            let mut least = replaced.min(rows[1][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[0][j - 1] + 1);
            }
            row.push(least);
        }
        let [_, last] = rows;
        rows = [last, row];
    }
    rows[1][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: [&str; 5] = [
        "MemoryTask-v0",
        "TMazePassive-v0",
        "TMazeActive-v0",
        "StatelessCartPole-v0",
        "MineSweeper-v0",
    ];

    #[test]
    fn typing_errors_and_parts_of_names_are_understood() {
        for (wrong, right) in [
            ("MemoryTask", "MemoryTask-v0"),
            ("memory-task", "MemoryTask-v0"),
            ("MemoryTask-v1", "MemoryTask-v0"),
            ("MmeoryTsak-v0", "MemoryTask-v0"),
            ("tmaze_activ", "TMazeActive-v0"),
            ("TMazePasive-v0", "TMazePassive-v0"),
            ("cartpole", "StatelessCartPole-v0"),
            ("minesweper", "MineSweeper-v0"),
        ] {
            assert_eq!(did_you_mean(wrong, SPECS), Some(right), "{wrong}");
        }
        let algorithms = ["ppo", "recurrent-ppo", "tracerl", "random"];
        for (wrong, right) in [("PPO", "ppo"), ("ppp", "ppo"), ("tracerrl", "tracerl")] {
            assert_eq!(did_you_mean(wrong, algorithms), Some(right), "{wrong}");
        }
        assert_eq!(
            did_you_mean("recurrent_ppo", algorithms),
            Some("recurrent-ppo")
        );
    }

    #[test]
    fn a_name_unlike_all_known_ones_gets_no_suggestion() {
        let long = "x".repeat(10_000_000);
        for wrong in ["", "-v0", "Breakout-v5", "€", &long, "dreamer"] {
            assert_eq!(did_you_mean(wrong, SPECS), None);
        }
    }

    #[test]
    fn a_hint_is_given_only_for_a_similar_name() {
        assert_eq!(
            hint("tmazeactive", SPECS),
            " (did you mean \"TMazeActive-v0\"?)"
        );
        assert_eq!(hint("dreamer", SPECS), "");
    }

    #[test]
    fn distances_by_hand() {
        let distance = |one: &str, other: &str| distance(&letters(one), &letters(other));
        for (one, other, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abcd", "abdc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }
}
