//! The reference notebook's table, for the terminal.

use agent::evaluate::Mode;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};

use crate::format::{estimate, fixed, thousands};
use crate::summary::{AgentSummary, ExperimentSummary, Verdict};

const HEADER: [&str; 8] = [
    "Agent",
    "Delay",
    "Mode",
    "Mean Ep Rew",
    "Std Ep Rew",
    "Duration (s)",
    "Trained steps",
    "Steps/s",
];

/// An experiment's table, with what the other evaluations say and the reasons of failures below it.
///
/// Numbers are of the greedy evaluation at the experiment's own delay; with several seeds they are means over
/// seeds, the mean return with its 95 % interval.
pub fn experiment_table(summary: &ExperimentSummary<'_>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED.with_rounded_corners());
    table.set_header(HEADER);
    for agent in &summary.agents {
        table.add_row(row(agent));
    }
    let mut text = String::new();
    if summary.title() == summary.experiment.name {
        // Delay and mode do not say which task it is.
        text = format!(
            "{} ({})\n",
            summary.experiment.name, summary.experiment.spec_id
        );
    }
    text.push_str(&table.to_string());
    for agent in &summary.agents {
        for line in remarks(agent) {
            text.push_str("\n  ");
            text.push_str(&line);
        }
    }
    text
}

fn row(summary: &AgentSummary<'_>) -> Vec<Cell> {
    let experiment = summary.experiment;
    let number = |text: Option<String>| {
        Cell::new(text.unwrap_or_else(|| "–".to_owned())).set_alignment(CellAlignment::Right)
    };
    let delay = experiment.delay_range().map(|(shortest, longest)| {
        if shortest == longest {
            thousands(longest)
        } else {
            format!("{}…{}", thousands(shortest), thousands(longest))
        }
    });
    let greedy = summary.estimate(Mode::Greedy);
    vec![
        Cell::new(summary.label()),
        number(delay),
        Cell::new(experiment.mode().unwrap_or("–")),
        number(greedy.map_or_else(
            || Some("failed".to_owned()),
            |greedy| Some(estimate(&greedy)),
        )),
        number(summary.std_return().map(|std| fixed(std, 2))),
        number(summary.train_duration_s().map(|seconds| fixed(seconds, 1))),
        number(
            summary
                .trained_steps()
                .map(|steps| thousands(steps.round() as u64)),
        ),
        number(
            summary
                .steps_per_s()
                .map(|rate| thousands(rate.round() as u64)),
        ),
    ]
}

fn remarks(summary: &AgentSummary<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if summary.verdict() == Verdict::Unexplained {
        lines.push(format!(
            "{} → {}",
            summary.label(),
            summary.verdict().name()
        ));
    }
    let others: Vec<String> = [Mode::Sampled, Mode::Scrambled, Mode::Emptied]
        .into_iter()
        .filter_map(|mode| Some(format!("{mode} {}", fixed(summary.estimate(mode)?.mean, 2))))
        .collect();
    if !others.is_empty() {
        lines.push(format!(
            "{}: {} → {}",
            summary.label(),
            others.join(", "),
            summary.verdict().name()
        ));
    }
    for (record, outcome) in &summary.finished {
        for note in &outcome.notes {
            lines.push(format!("{}, seed {}: {note}", summary.label(), record.seed));
        }
    }
    for record in &summary.failed {
        lines.push(format!(
            "{}, seed {} failed: {}",
            summary.label(),
            record.seed,
            record.failure().unwrap_or_default()
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use crate::fixtures;
    use crate::summary::summarize;

    #[test]
    fn one_seed_with_a_failure() {
        let records = [
            fixtures::record_with_returns("ppo", 4, 1, 0, [0.014, -0.02, 0.01, 0.014]),
            fixtures::record("tracerl", 4, 1, 0),
            fixtures::failed_record(
                "recurrent-ppo",
                4,
                1,
                0,
                "no server answers at http://127.0.0.1:1",
            ),
        ];
        insta::assert_snapshot!(super::experiment_table(
            &summarize(&records, &fixtures::plan())[0]
        ));
    }

    #[test]
    fn a_program_from_outside_is_marked() {
        let records = [
            fixtures::external_record("mine", 1.0, &["it asked for more than its budget"]),
            fixtures::record("tracerl", 4, 1, 0),
        ];
        insta::assert_snapshot!(super::experiment_table(
            &summarize(&records, &fixtures::plan())[0]
        ));
    }

    #[test]
    fn several_seeds_have_an_interval() {
        let records: Vec<_> = [1.0, 0.96, 0.98]
            .into_iter()
            .zip(0..)
            .map(|(mean, seed)| {
                fixtures::record_with_returns("tracerl", 4, 1, seed, [mean, mean, mean, 0.0])
            })
            .collect();
        insta::assert_snapshot!(super::experiment_table(
            &summarize(&records, &fixtures::plan())[0]
        ));
    }
}
