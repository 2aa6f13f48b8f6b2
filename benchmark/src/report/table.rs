//! The reference notebook's table, for the terminal: at most 80 columns wide.

use agent::evaluate::Mode;
use agent::text::wrapped;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::format::{fixed, seconds, thousands};
use crate::scores::reference::{Reference, needs_memory};
use crate::scores::summary::{AgentSummary, ExperimentSummary};

/// Width of the widest line.
const WIDTH: u16 = 80;

const HEADER: [&str; 5] = [
    "Agent",
    "Mean Ep Rew",
    "Trained\nsteps",
    "Steps/s",
    "Duration\n(s)",
];

/// Returns an experiment's table, with verdicts, further evaluations, notes and reasons of failures
/// below it.
///
/// Numbers come from the greedy evaluation at the experiment's own delay. The mean return has a 95
/// % interval: over seeds if there are several, over episodes if there is one.
pub fn experiment_table(summary: &ExperimentSummary<'_>) -> String {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    table.set_header(HEADER);
    for agent in &summary.agents {
        table.add_row(row(agent));
    }
    let mut text = title(summary);
    text.push('\n');
    text.push_str(&table.to_string());
    let remarks = summary.agents.iter().flat_map(remarks);
    for line in remarks.chain(no_speed(summary)) {
        text.push_str("\n  ");
        text.push_str(&wrapped(&line, usize::from(WIDTH) - 2, "    "));
    }
    text
}

/// Returns the experiment's heading, with the scale of its returns.
fn title(summary: &ExperimentSummary<'_>) -> String {
    let experiment = summary.experiment;
    let what = format!("{} ({})", summary.title(), experiment.spec_id);
    let scale = Reference::from_experiment(experiment).map_or(String::new(), |known| {
        let memoryless = match known.memoryless {
            _ if !needs_memory(experiment) => "nothing to remember".to_owned(),
            Some(earned) => format!("memoryless {}", fixed(earned, 2)),
            None => "memoryless unknown".to_owned(),
        };
        format!(
            ": random {}, {memoryless}, best {}",
            fixed(known.random, 2),
            fixed(known.best, 2)
        )
    });
    wrapped(&format!("{what}{scale}"), usize::from(WIDTH), "  ")
}

fn row(summary: &AgentSummary<'_>) -> Vec<Cell> {
    let number = |text: Option<String>| {
        Cell::new(text.unwrap_or_else(|| "–".to_owned())).set_alignment(CellAlignment::Right)
    };
    let greedy = summary.estimate(Mode::Greedy);
    vec![
        Cell::new(summary.label()),
        number(greedy.map_or_else(
            || Some(summary.verdict().name().to_owned()),
            |greedy| Some(greedy.to_string()),
        )),
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
        number(summary.train_duration_s().map(seconds)),
    ]
}

/// Explains why an agent has no speed, if one has none.
fn no_speed(summary: &ExperimentSummary<'_>) -> Option<String> {
    let is_short =
        |agent: &AgentSummary<'_>| !agent.finished.is_empty() && agent.steps_per_s().is_none();
    let is_any = summary.agents.iter().any(is_short);
    is_any.then(|| "Steps/s –: training took less than a second, too short to tell".to_owned())
}

fn remarks(summary: &AgentSummary<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if !summary.finished.is_empty() {
        let others: Vec<String> = [Mode::Sampled, Mode::Scrambled, Mode::Emptied]
            .into_iter()
            .filter_map(|mode| Some(format!("{mode} {}", fixed(summary.estimate(mode)?.mean, 2))))
            .collect();
        let others = match others.is_empty() {
            true => String::new(),
            false => format!(" ({})", others.join(", ")),
        };
        let verdict = summary.verdict().name();
        lines.push(format!("{}: {verdict}{others}", summary.label()));
    }
    for (record, outcome) in &summary.finished {
        for note in &outcome.notes {
            lines.push(format!("{}, seed {}: {note}", summary.label(), record.seed));
        }
    }
    if let Some(reason) = summary.not_applicable {
        lines.push(format!("{}: not applicable: {reason}", summary.label()));
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
    use crate::scores::summary::summarize;

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
    fn an_external_program_is_marked() {
        let records = [
            fixtures::external_record("mine", 1.0, &["it asked for more than its budget"]),
            fixtures::record("tracerl", 4, 1, 0),
        ];
        insta::assert_snapshot!(super::experiment_table(
            &summarize(&records, &fixtures::plan())[0]
        ));
    }

    #[test]
    fn nothing_is_wider_than_80_columns() {
        let mut records: Vec<_> = [-0.98, -0.96, -0.97]
            .into_iter()
            .zip(0..)
            .map(|(mean, seed)| {
                let name = "a-name-that-goes-on-and-on-for-longer-than-anybody-would-like";
                fixtures::record_with_returns(name, 4, 1, seed, [mean, mean, mean, 0.0])
            })
            .collect();
        records.push(fixtures::external_record(
            "mine",
            1.0,
            &["a note ".repeat(30).trim()],
        ));
        let reason = "no server answers ".repeat(20);
        records.push(fixtures::failed_record(
            "recurrent-ppo",
            4,
            1,
            0,
            reason.trim(),
        ));
        for record in &mut records {
            if let crate::records::RowResult::Finished(outcome) = &mut record.result {
                (outcome.trained_steps, outcome.steps_per_s) = (2_560_000, 1_799_726.0);
                outcome.train_duration_s = 12_345.6;
            }
        }
        let text = super::experiment_table(&summarize(&records, &fixtures::plan())[0]);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
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
