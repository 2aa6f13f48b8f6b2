//! Comparison of two runs: the same agents on the same experiments, and their differences with
//! intervals.

use agent::evaluate::Mode;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::format::{fixed, thousands};
use crate::scores::statistics::{Difference, Estimate};
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// Width of the widest line.
const WIDTH: u16 = 80;

/// The same agent on the same experiment in both runs.
#[derive(Debug)]
struct Pair<'a> {
    before: &'a AgentSummary<'a>,
    after: &'a AgentSummary<'a>,
}

/// Compares the agents of two runs on the experiments that both have, matched by the names of agent
/// and experiment. Notes below the table list rows that only one run has, and names with different
/// definitions.
pub fn compare(before: &[ExperimentSummary<'_>], after: &[ExperimentSummary<'_>]) -> String {
    let mut text = String::new();
    let mut notes = Vec::new();
    let pairs = pairs(before, after, &mut notes);
    if !pairs.is_empty() {
        text.push_str(&table(&pairs));
        text.push_str(
            "\ngreedy return, mean over seeds [95 % interval]; a difference whose interval has 0 may be chance\n",
        );
    }
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    text
}

fn pairs<'a>(
    before: &'a [ExperimentSummary<'a>],
    after: &'a [ExperimentSummary<'a>],
    notes: &mut Vec<String>,
) -> Vec<Pair<'a>> {
    let rows = |summaries: &'a [ExperimentSummary<'a>]| {
        summaries.iter().flat_map(|summary| &summary.agents)
    };
    let name = |row: &AgentSummary<'_>| (row.experiment.name.clone(), row.agent.name.clone());
    // All rows of an experiment have the same note.
    let mut note = |text: String| {
        if !notes.contains(&text) {
            notes.push(text);
        }
    };
    let mut pairs = Vec::new();
    for row in rows(before) {
        match rows(after).find(|other| name(other) == name(row)) {
            Some(other) => {
                if other.experiment != row.experiment {
                    note(format!(
                        "{}: another definition in the second run (budget, arguments or evaluation)",
                        row.experiment.name
                    ));
                }
                if other.agent != row.agent {
                    note(format!(
                        "{} on {}: other settings in the second run",
                        row.agent.name, row.experiment.name
                    ));
                }
                pairs.push(Pair {
                    before: row,
                    after: other,
                });
            }
            None => note(format!(
                "{} on {}: only in the first run",
                row.agent.name, row.experiment.name
            )),
        }
    }
    for row in rows(after) {
        if !rows(before).any(|other| name(other) == name(row)) {
            note(format!(
                "{} on {}: only in the second run",
                row.agent.name, row.experiment.name
            ));
        }
    }
    pairs
}

fn table(pairs: &[Pair<'_>]) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table.set_header([
        "Experiment, agent",
        "First, second",
        "Difference",
        "Solved at",
    ]);
    for pair in pairs {
        table.add_row(row(pair));
    }
    table.to_string()
}

fn row(Pair { before, after }: &Pair<'_>) -> Vec<Cell> {
    let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let greedy = |summary: &AgentSummary<'_>| {
        let judged = Estimate::from_seeds(&summary.judged(Mode::Greedy));
        judged.map_or_else(|| "failed".to_owned(), |judged| judged.to_string())
    };
    let difference = Difference::between(&after.judged(Mode::Greedy), &before.judged(Mode::Greedy));
    let difference = difference.map_or_else(
        || "–".to_owned(),
        |found| {
            let (low, high) = found.interval;
            let sign = if found.mean > 0.0 { "+" } else { "" };
            format!(
                "{sign}{} [{}, {}]",
                fixed(found.mean, 2),
                fixed(low, 2),
                fixed(high, 2)
            )
        },
    );
    let solved = |summary: &AgentSummary<'_>| {
        let steps = summary.median_steps_to_solve();
        steps.map_or_else(|| "–".to_owned(), |steps| thousands(steps.round() as u64))
    };
    vec![
        Cell::new(format!("{}\n{}", before.experiment.name, before.label())),
        number(format!("{}\n{}", greedy(before), greedy(after))),
        number(difference),
        number(format!("{}\n{}", solved(before), solved(after))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::scores::summary::summarize;

    #[test]
    fn two_runs() {
        let before = [
            fixtures::record_with_returns("tracerl", 4, 1, 0, [0.5, 0.5, 0.5, 0.0]),
            fixtures::record_with_returns("ppo", 4, 1, 0, [0.0, 0.0, 0.0, 0.0]),
        ];
        let mut longer = fixtures::record_with_returns("tracerl", 4, 1, 0, [1.0, 1.0, 1.0, 0.0]);
        longer.experiment.total_timesteps += 1;
        let after = [
            longer,
            fixtures::record_with_returns("random", 4, 1, 0, [0.0; 4]),
        ];
        let plan = fixtures::plan();
        insta::assert_snapshot!(compare(
            &summarize(&before, &plan),
            &summarize(&after, &plan)
        ));
    }

    #[test]
    fn runs_with_nothing_in_common_say_so() {
        let before = [fixtures::record("tracerl", 4, 1, 0)];
        let after = [fixtures::record("tracerl", 4, 0, 0)];
        let plan = fixtures::plan();
        let text = compare(&summarize(&before, &plan), &summarize(&after, &plan));
        assert_eq!(
            text,
            "tracerl on delay-4-hard: only in the first run\ntracerl on delay-4-easy: only in the second run\n"
        );
    }
}
