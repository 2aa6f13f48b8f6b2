//! Returns that a sequence model was asked for beside those that it earned, for `agent evaluate --target-return`.

use std::borrow::Cow;

use agent::evaluate::Evaluation;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::row::Row;
use super::thousands;

/// The return that was earned by an agent that was asked for another.
#[derive(Debug, Serialize)]
pub struct Answer {
    target_return: f32,
    mode: &'static str,
    mean_return: f64,
    standard_error: f64,
    episodes: usize,
}

/// The outcome for a program.
#[derive(Serialize)]
pub struct Asked<'a> {
    #[serde(flatten)]
    pub row: Row,
    pub answers: Vec<Answer>,
    pub checkpoint: Cow<'a, str>,
}

/// Pairs returns with their evaluations, as many for each.
pub fn answers(targets: &[f32], evaluations: &[Evaluation]) -> Vec<Answer> {
    let of_each = evaluations.len() / targets.len();
    let parts = targets.iter().zip(evaluations.chunks_exact(of_each));
    let answers = parts.flat_map(|(&target_return, part)| {
        part.iter().map(move |evaluation| Answer {
            target_return,
            mode: evaluation.mode.name(),
            mean_return: evaluation.mean_return,
            standard_error: evaluation.standard_error(),
            episodes: evaluation.returns.len(),
        })
    });
    answers.collect()
}

/// Columns of a figure.
const COLUMNS: usize = 41;

/// Draws the returns that were asked for (○) and those that were earned (●; ◉ where they meet) on one axis.
pub fn figure(answers: &[Answer]) -> String {
    let both = |answer: &Answer| [f64::from(answer.target_return), answer.mean_return];
    let numbers = || answers.iter().flat_map(both);
    let low = numbers().fold(f64::INFINITY, f64::min);
    let high = numbers().fold(f64::NEG_INFINITY, f64::max);
    let width = if high > low { high - low } else { 1.0 };
    let column = |number: f64| ((number - low) / width * (COLUMNS - 1) as f64).round() as usize;
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_header(["Mode", "Asked", "Earned", &format!("{low:.2} to {high:.2}")]);
    for answer in answers {
        let mut marks = ['·'; COLUMNS];
        let [asked, earned] = both(answer).map(column);
        marks[asked] = '○';
        marks[earned] = if asked == earned { '◉' } else { '●' };
        table.add_row([
            answer.mode.to_owned(),
            format!("{:.2}", answer.target_return),
            format!("{:.3}", answer.mean_return),
            marks.iter().collect(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let episodes = answers.first().map_or(0, |answer| answer.episodes);
    format!(
        "{table}\n○ asked for, ● earned: the mean over {} episodes.",
        thousands(episodes as u64)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_what_was_earned_of_what_was_asked_for() {
        let answer = |target_return, mean_return| Answer {
            target_return,
            mode: "greedy",
            mean_return,
            standard_error: 0.0,
            episodes: 1_000,
        };
        let figure = figure(&[answer(-1.0, -1.0), answer(0.0, 1.0)]);
        let marks = |row: usize| -> Vec<usize> {
            let line = figure.lines().nth(row).unwrap();
            let marks: Vec<char> = line.chars().filter(|mark| "·○●◉".contains(*mark)).collect();
            assert_eq!(marks.len(), COLUMNS, "{line}");
            (0..COLUMNS).filter(|&at| marks[at] != '·').collect()
        };
        assert_eq!(marks(3), [0]);
        assert_eq!(marks(4), [COLUMNS / 2, COLUMNS - 1]);
        assert!(figure.ends_with("over 1,000 episodes."), "{figure}");
    }
}
