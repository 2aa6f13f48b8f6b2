//! Export of a run's results as a table for other programs and for papers: a row for each agent on
//! each experiment.

use agent::evaluate::Mode;
use serde::Serialize;

use super::markdown::table_line;
use super::{comparison, frontier, popgym, suite};
use crate::error::Error;
use crate::format::fixed;
use crate::plan::Plan;
use crate::records::Record;
use crate::scores::statistics::Estimate;
use crate::scores::summary::{AgentSummary, ExperimentSummary, summarize};

/// Form of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// CSV: numbers in full, missing ones empty.
    Csv,
    /// LaTeX: a `tabular` with the rules of booktabs.
    Latex,
    /// Markdown as on GitHub.
    Markdown,
    /// Markdown: normalised scores by task, and over all tasks, for a run with several kinds of task.
    Scores,
    /// Markdown: the tables of docs/comparison.md, for a run of the suite `systems`.
    Comparison,
    /// Markdown: the tables of docs/popgym.md, for a run of the suite `popgym`.
    Popgym,
    /// Markdown: the tables of docs/frontier.md, for a run of the suite `frontier`.
    Frontier,
    /// SVG: the figure of docs/frontier.md, for a run of the suite `frontier`.
    FrontierSvg,
}

/// A row of the CSV table. Means are over seeds; intervals are the report's.
#[derive(Debug, Serialize)]
struct Row<'a> {
    experiment: &'a str,
    env: &'a str,
    agent: &'a str,
    seeds: usize,
    failed_seeds: usize,
    greedy: Option<f64>,
    greedy_low: Option<f64>,
    greedy_high: Option<f64>,
    sampled: Option<f64>,
    scrambled: Option<f64>,
    emptied: Option<f64>,
    score: Option<f64>,
    score_low: Option<f64>,
    score_high: Option<f64>,
    memory_score: Option<f64>,
    verdict: &'static str,
    remembering_seeds: usize,
    median_steps_to_solve: Option<f64>,
    trained_steps: Option<f64>,
    steps_per_s: Option<f64>,
    train_duration_s: Option<f64>,
    parameters: Option<usize>,
    memory_bytes: Option<usize>,
}

/// Returns the table of a run with these records.
///
/// # Errors
/// When a row cannot be written as CSV, or the run has no map for the frontier or no scores.
pub fn table(records: &[Record], plan: &Plan, format: Format) -> Result<String, Error> {
    let summaries = summarize(records, plan);
    match format {
        Format::Csv => csv_table(&summaries),
        Format::Latex => Ok(latex_table(&summaries)),
        Format::Markdown => Ok(markdown_table(&summaries)),
        Format::Scores => suite::markdown(records, plan),
        Format::Comparison => Ok(comparison::markdown(records, plan)),
        Format::Popgym => Ok(popgym::markdown(records, plan)),
        Format::Frontier => frontier::markdown(records, plan),
        Format::FrontierSvg => frontier::svg(records, plan),
    }
}

fn rows<'a>(summaries: &'a [ExperimentSummary<'a>]) -> impl Iterator<Item = &'a AgentSummary<'a>> {
    summaries.iter().flat_map(|summary| &summary.agents)
}

fn csv_table(summaries: &[ExperimentSummary<'_>]) -> Result<String, Error> {
    let failed = |reason: String| Error::Encode {
        what: "a row of the table",
        reason,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for summary in rows(summaries) {
        writer
            .serialize(row(summary))
            .map_err(|error| failed(error.to_string()))?;
    }
    let bytes = { writer }.into_inner();
    let bytes = bytes.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

fn row<'a>(summary: &AgentSummary<'a>) -> Row<'a> {
    let greedy = summary.estimate(Mode::Greedy);
    let score = Estimate::from_seeds(&summary.scores(Mode::Greedy));
    let mean_in = |mode| summary.estimate(mode).map(|judged| judged.mean);
    Row {
        experiment: &summary.experiment.name,
        env: &summary.experiment.spec_id,
        agent: &summary.agent.name,
        seeds: summary.finished.len(),
        failed_seeds: summary.failed.len(),
        greedy: greedy.map(|greedy| greedy.mean),
        greedy_low: greedy.map(|greedy| greedy.interval.0),
        greedy_high: greedy.map(|greedy| greedy.interval.1),
        sampled: mean_in(Mode::Sampled),
        scrambled: mean_in(Mode::Scrambled),
        emptied: mean_in(Mode::Emptied),
        score: score.map(|score| score.mean),
        score_low: score.map(|score| score.interval.0),
        score_high: score.map(|score| score.interval.1),
        memory_score: summary.memory_score().map(|score| score.mean),
        verdict: summary.verdict().name(),
        remembering_seeds: summary.remembering_seeds(),
        median_steps_to_solve: summary.median_steps_to_solve(),
        trained_steps: summary.trained_steps(),
        steps_per_s: summary.steps_per_s(),
        train_duration_s: summary.train_duration_s(),
        parameters: summary.parameters(),
        memory_bytes: summary.memory_bytes(),
    }
}

/// Columns of the tables for people.
const HEADER: [&str; 8] = [
    "Experiment",
    "Agent",
    "Seeds",
    "Greedy",
    "95 %",
    "Scrambled",
    "Emptied",
    "Verdict",
];

fn cells(summary: &AgentSummary<'_>) -> [String; HEADER.len()] {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |x| fixed(x, 2));
    let greedy = summary.estimate(Mode::Greedy);
    let mean_in = |mode| number(summary.estimate(mode).map(|judged| judged.mean));
    let interval = greedy.map_or_else(
        || "–".to_owned(),
        |greedy| {
            let (low, high) = greedy.interval;
            format!("{} to {}", fixed(low, 2), fixed(high, 2))
        },
    );
    [
        summary.experiment.name.clone(),
        summary.label(),
        summary.finished.len().to_string(),
        number(greedy.map(|greedy| greedy.mean)),
        interval,
        mean_in(Mode::Scrambled),
        mean_in(Mode::Emptied),
        summary.verdict().name().to_owned(),
    ]
}

fn markdown_table(summaries: &[ExperimentSummary<'_>]) -> String {
    let mut text = table_line(&HEADER.map(str::to_owned));
    text.push_str("|---|---|---:|---:|---|---:|---:|---|\n");
    for summary in rows(summaries) {
        text.push_str(&table_line(
            &cells(summary).map(|cell| escape_markdown(&cell)),
        ));
    }
    text
}

/// Escapes a text so that it stays in its cell.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "\\|`*_<>[]".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(if letter.is_control() { ' ' } else { letter });
    }
    escaped
}

fn latex_table(summaries: &[ExperimentSummary<'_>]) -> String {
    let line = |cells: &[String]| format!("{} \\\\\n", cells.join(" & "));
    let mut text =
        String::from("% \\usepackage{booktabs}\n\\begin{tabular}{llrrlrrl}\n\\toprule\n");
    text.push_str(&line(&HEADER.map(escape_latex)));
    for summary in summaries {
        text.push_str("\\midrule\n");
        for agent in &summary.agents {
            text.push_str(&line(&cells(agent).map(|cell| escape_latex(&cell))));
        }
    }
    text.push_str("\\bottomrule\n\\end{tabular}\n");
    text
}

fn escape_latex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                escaped.push('\\');
                escaped.push(letter);
            }
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '–' => escaped.push_str("--"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn exported(format: Format) -> String {
        let records = [
            fixtures::record_with_returns("ppo", 4, 1, 0, [0.014, -0.02, 0.01, 0.014]),
            fixtures::record_with_returns("tracerl", 4, 1, 0, [1.0, 0.98, 1.0, 0.02]),
            fixtures::failed_record("recurrent-ppo", 4, 1, 0, "no server"),
        ];
        table(&records, &fixtures::plan(), format).unwrap()
    }

    #[test]
    fn tables() {
        insta::assert_snapshot!("csv", exported(Format::Csv));
        insta::assert_snapshot!("latex", exported(Format::Latex));
        insta::assert_snapshot!("markdown", exported(Format::Markdown));
    }

    #[test]
    fn names_stay_in_their_cells() {
        assert_eq!(escape_markdown("a|b\n_c"), "a\\|b \\_c");
        assert_eq!(
            escape_latex("50 % of a_b\\"),
            "50 \\% of a\\_b\\textbackslash{}"
        );
    }
}
