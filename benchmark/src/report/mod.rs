//! The report: records in, one self-contained page of HTML out. Nothing is read or written here.

mod bsuite_scores;
pub mod compare;
pub mod export;
pub mod json;
mod learning_curves;
mod remembered_or_lucky;
mod retention;
mod success_by_delay;
mod suite;
mod svg;
pub mod table;

use std::collections::BTreeSet;

use agent::evaluate::Mode;
use env_protocol::SOLVED_SCORE;
use minijinja::Environment;
use serde::Serialize;

use crate::error::Error;
use crate::format::{compact, estimate, fixed, seconds, thousands};
use crate::records::Record;
use crate::records::directory::{Command, RunConfig};
use crate::scores::reference::needs_memory;
use crate::scores::statistics::Estimate;
use crate::scores::summary::{AgentSummary, ExperimentSummary, solved_at, summarize};
use crate::scores::verdict::{LOST_SCORE, Verdict};

/// How many colours the page's style defines for agents.
const COLOURS: usize = 8;

/// Renders the page.
///
/// # Errors
/// When the template fails or the configuration cannot be written as TOML.
pub fn render(records: &[Record], config: &RunConfig) -> Result<String, Error> {
    let summaries = summarize(records, &config.plan);
    let page = Page::new(records, &summaries, config)?;
    let mut environment = Environment::new();
    environment.add_template("report.html", include_str!("report.html"))?;
    environment.add_template("suite.html", include_str!("suite.html"))?;
    Ok(environment
        .get_template("report.html")?
        .render(minijinja::value::Serde(page))?)
}

/// Which colour an agent has, the same in every figure.
struct Colours {
    names: Vec<String>,
    classes: Vec<String>,
}

impl Colours {
    fn new(summaries: &[ExperimentSummary<'_>]) -> Self {
        let mut names: Vec<String> = Vec::new();
        for agent in summaries.iter().flat_map(|summary| &summary.agents) {
            if !names.contains(&agent.agent.name) {
                names.push(agent.agent.name.clone());
            }
        }
        let classes = (0..names.len().max(1))
            .map(|index| format!("c{}", index % COLOURS))
            .collect();
        Self { names, classes }
    }

    fn class(&self, name: &str) -> &str {
        let index = self
            .names
            .iter()
            .position(|known| known == name)
            .unwrap_or(0);
        &self.classes[index]
    }
}

/// Everything the template shows.
#[derive(Serialize)]
struct Page {
    name: String,
    /// When the first command was given.
    started_at: String,
    /// What was run under the run's name, in order.
    commands: Vec<Command>,
    /// Whether rows are there that none of these commands made.
    has_other_rows: bool,
    /// Most and least seeds of a row.
    seeds: usize,
    fewest_seeds: usize,
    /// Seeds of the last command.
    planned_seeds: u64,
    commit: String,
    /// Commits that rows were made with; more than one is worth a warning.
    row_commits: Vec<String>,
    config_toml: String,
    /// Share of the way to the best known, in per cent: from which on a task is solved or remembered, and up to which what
    /// was known counts as lost.
    solved_share: String,
    lost_share: String,
    legend: Vec<LegendEntry>,
    experiments: Vec<Heading>,
    rows: Vec<GridRow>,
    /// Many kinds of task, instead of the experiments at a glance.
    suite: Option<suite::Suite>,
    bsuite: Vec<bsuite_scores::SweepScores>,
    table: Vec<TableRow>,
    learning_curves: Vec<Figure>,
    remembered_or_lucky: Vec<Figure>,
    success_by_delay: Vec<Figure>,
    retention: Vec<Figure>,
    failures: Vec<Remark>,
    notes: Vec<Remark>,
    jobs: Vec<JobRow>,
}

#[derive(Serialize)]
struct LegendEntry {
    name: String,
    class: String,
}

#[derive(Serialize)]
struct Heading {
    title: String,
    budget: String,
}

/// One agent's line at a glance.
#[derive(Serialize)]
struct GridRow {
    name: String,
    class: String,
    badge: Option<&'static str>,
    /// In how many experiments it remembers, and only uses its memory, of how many that ask for one and that it has rows
    /// in.
    remembers: usize,
    uses: usize,
    of: usize,
    /// In how many nobody could look into its memory.
    untested: usize,
    /// How many have nothing to remember.
    others: usize,
    cells: Vec<Option<GridCell>>,
}

#[derive(Serialize)]
struct GridCell {
    verdict: &'static str,
    class: &'static str,
    greedy: String,
    detail: String,
}

/// One agent on one experiment, over seeds.
#[derive(Serialize)]
struct TableRow {
    experiment: String,
    /// The first agent of an experiment: a rule is drawn above.
    first: bool,
    agent: String,
    badge: Option<&'static str>,
    class: String,
    seeds: usize,
    returns: Vec<ReturnCell>,
    /// Greedy less emptied.
    gap: ReturnCell,
    memory_score: ReturnCell,
    interquartile_mean: String,
    std_return: String,
    remembering: String,
    steps_to_solve: String,
    trained_steps: String,
    steps_per_s: String,
    duration_s: String,
    parameters: String,
}

/// A mean over seeds, its interval below it.
#[derive(Serialize)]
struct ReturnCell {
    mean: String,
    interval: Option<String>,
}

#[derive(Serialize)]
struct Figure {
    title: String,
    caption: String,
    svg: String,
}

/// What is to be said of one row.
#[derive(Serialize)]
struct Remark {
    agent: String,
    experiment: String,
    seed: u64,
    text: String,
}

/// One row of the records.
#[derive(Serialize)]
struct JobRow {
    agent: String,
    experiment: String,
    seed: u64,
    returns: Vec<String>,
    solved_at: String,
    duration_s: String,
    hyperparameters: String,
    hash: String,
    finished_at: String,
}

impl Page {
    fn new(
        records: &[Record],
        summaries: &[ExperimentSummary<'_>],
        config: &RunConfig,
    ) -> Result<Self, Error> {
        let colours = Colours::new(summaries);
        let row_commits: BTreeSet<&str> = records
            .iter()
            .map(|record| record.commit.as_str())
            .collect();
        let entry = |name: &String| LegendEntry {
            name: name.clone(),
            class: colours.class(name).to_owned(),
        };
        let figure = |summary: &ExperimentSummary<'_>, svg| Figure {
            title: summary.title(),
            caption: String::new(),
            svg,
        };
        let figures = |draw: &dyn Fn(&ExperimentSummary<'_>) -> Option<String>| -> Vec<Figure> {
            summaries
                .iter()
                .filter_map(|summary| draw(summary).map(|svg| figure(summary, svg)))
                .collect()
        };
        let by_delay = |summary: &ExperimentSummary<'_>| {
            let svg = success_by_delay::panel(summary, &colours)?;
            Some(Figure {
                caption: success_by_delay::caption(summary),
                ..figure(summary, svg)
            })
        };
        let agents = summaries.iter().flat_map(|summary| &summary.agents);
        let seeds = agents.map(|agent| agent.finished.len() + agent.failed.len());
        let commands = config.run.commands();
        Ok(Self {
            name: config.run.name.clone(),
            started_at: commands[0].started_at.clone(),
            has_other_rows: commands.len() == 1 && has_rows_of_others(records, config),
            commands,
            seeds: seeds.clone().max().unwrap_or(config.run.seeds as usize),
            fewest_seeds: seeds.min().unwrap_or(config.run.seeds as usize),
            planned_seeds: config.run.seeds,
            commit: config.run.commit.clone(),
            row_commits: row_commits.into_iter().map(str::to_owned).collect(),
            config_toml: config.to_toml()?,
            solved_share: fixed(100.0 * SOLVED_SCORE, 0),
            lost_share: fixed(100.0 * LOST_SCORE, 0),
            legend: colours.names.iter().map(entry).collect(),
            experiments: summaries.iter().map(heading).collect(),
            rows: colours
                .names
                .iter()
                .map(|name| grid_row(name, summaries, &colours))
                .collect(),
            suite: suite::section(summaries, &colours),
            bsuite: bsuite_scores::section(summaries, &colours),
            table: summaries
                .iter()
                .flat_map(|summary| table_rows(summary, &colours))
                .collect(),
            learning_curves: figures(&|summary| Some(learning_curves::panel(summary, &colours))),
            remembered_or_lucky: figures(&remembered_or_lucky::panel),
            success_by_delay: summaries.iter().filter_map(by_delay).collect(),
            retention: summaries.iter().flat_map(retention_figures).collect(),
            failures: summaries.iter().flat_map(failures).collect(),
            notes: summaries.iter().flat_map(notes).collect(),
            jobs: summaries.iter().flat_map(job_rows).collect(),
        })
    }
}

/// Whether rows are there that are not of the run's plan: of commands that an earlier version did not write down.
fn has_rows_of_others(records: &[Record], config: &RunConfig) -> bool {
    let is_planned = |record: &Record| {
        config.plan.experiments.contains(&record.experiment)
            && config.plan.agents.contains(&record.agent)
            && record.seed < config.run.seeds
    };
    !records.iter().all(is_planned)
}

fn heading(summary: &ExperimentSummary<'_>) -> Heading {
    Heading {
        title: summary.title(),
        budget: compact(summary.experiment.total_timesteps as f64),
    }
}

fn grid_row(name: &str, summaries: &[ExperimentSummary<'_>], colours: &Colours) -> GridRow {
    let find = |summary| find_agent(summary, name);
    let rows: Vec<&AgentSummary<'_>> = summaries.iter().filter_map(find).collect();
    let count = |verdict: Verdict| rows.iter().filter(|row| row.verdict() == verdict).count();
    let of = rows
        .iter()
        .filter(|row| needs_memory(row.experiment))
        .count();
    GridRow {
        name: name.to_owned(),
        class: colours.class(name).to_owned(),
        badge: rows.iter().find_map(|row| badge(row)),
        remembers: count(Verdict::Remembers),
        uses: count(Verdict::UsesMemory),
        untested: count(Verdict::Untested),
        of,
        others: rows.len() - of,
        cells: summaries
            .iter()
            .map(|summary| find(summary).map(grid_cell))
            .collect(),
    }
}

/// The agent of that name in an experiment.
fn find_agent<'a, 'b>(
    summary: &'b ExperimentSummary<'a>,
    name: &str,
) -> Option<&'b AgentSummary<'a>> {
    summary.agents.iter().find(|agent| agent.agent.name == name)
}

/// What an agent is marked as.
fn badge(summary: &AgentSummary<'_>) -> Option<&'static str> {
    match (&summary.agent.external, summary.agent.tuned) {
        (Some(_), _) => Some("external"),
        (None, true) => Some("tuned"),
        (None, false) => None,
    }
}

fn grid_cell(summary: &AgentSummary<'_>) -> GridCell {
    let verdict = summary.verdict();
    let value = |mode, format: fn(&Estimate) -> String| {
        summary
            .estimate(mode)
            .map_or_else(|| "–".to_owned(), |judged| format(&judged))
    };
    let class = match verdict {
        Verdict::Remembers => "good",
        Verdict::ActionTrail => "trick",
        Verdict::UsesMemory | Verdict::Untested => "uses",
        Verdict::AsGoodAsWithoutMemory
        | Verdict::NoBetterThanRandom
        | Verdict::WorseThanRandom
        | Verdict::NothingToRemember => "chance",
        Verdict::Failed => "failed",
    };
    GridCell {
        verdict: verdict.name(),
        class,
        greedy: value(Mode::Greedy, |judged| fixed(judged.mean, 2)),
        detail: Mode::ALL
            .map(|mode| format!("{mode} {}", value(mode, estimate)))
            .join(", "),
    }
}

fn table_rows(summary: &ExperimentSummary<'_>, colours: &Colours) -> Vec<TableRow> {
    let row = |(index, agent): (usize, &AgentSummary<'_>)| TableRow {
        experiment: summary.title(),
        first: index == 0,
        agent: agent.agent.name.clone(),
        badge: badge(agent),
        class: colours.class(&agent.agent.name).to_owned(),
        seeds: agent.finished.len(),
        returns: Mode::ALL
            .map(|mode| return_cell(agent.estimate(mode)))
            .into(),
        gap: return_cell(agent.gap()),
        memory_score: return_cell(agent.memory_score()),
        interquartile_mean: or_dash(agent.estimate(Mode::Greedy), |e| {
            fixed(e.interquartile_mean, 2)
        }),
        std_return: or_dash(agent.std_return(), |std| fixed(std, 2)),
        remembering: or_dash(
            agent.gap().filter(|_| needs_memory(agent.experiment)),
            |_| format!("{} of {}", agent.remembering_seeds(), agent.finished.len()),
        ),
        steps_to_solve: or_dash(agent.median_steps_to_solve(), |steps| {
            thousands(steps.round() as u64)
        }),
        trained_steps: or_dash(agent.trained_steps(), |steps| {
            thousands(steps.round() as u64)
        }),
        steps_per_s: or_dash(agent.steps_per_s(), |rate| thousands(rate.round() as u64)),
        duration_s: or_dash(agent.train_duration_s(), seconds),
        parameters: or_dash(agent.parameters(), |count| thousands(count as u64)),
    };
    summary.agents.iter().enumerate().map(row).collect()
}

fn return_cell(judged: Option<Estimate>) -> ReturnCell {
    let interval = judged.map(|judged| judged.interval);
    ReturnCell {
        mean: or_dash(judged, |judged| fixed(judged.mean, 2)),
        interval: interval.map(|(low, high)| format!("{} to {}", fixed(low, 2), fixed(high, 2))),
    }
}

/// One heat map an agent: the first seed that has one.
fn retention_figures(summary: &ExperimentSummary<'_>) -> Vec<Figure> {
    let figure = |agent: &AgentSummary<'_>| {
        let (record, view) = agent
            .finished
            .iter()
            .find_map(|(record, outcome)| Some((record, outcome.memory_view.as_ref()?)))?;
        Some(Figure {
            title: format!(
                "{}, {}, seed {}",
                agent.agent.name,
                summary.title(),
                record.seed
            ),
            caption: retention::caption(view).unwrap_or_default(),
            svg: retention::figure(view),
        })
    };
    summary.agents.iter().filter_map(figure).collect()
}

fn failures(summary: &ExperimentSummary<'_>) -> Vec<Remark> {
    let failed = summary.agents.iter().flat_map(|agent| &agent.failed);
    failed
        .map(|record| remark(summary, record, record.failure().unwrap_or_default()))
        .collect()
}

fn notes(summary: &ExperimentSummary<'_>) -> Vec<Remark> {
    let finished = summary.agents.iter().flat_map(|agent| &agent.finished);
    finished
        .flat_map(|(record, outcome)| {
            let notes = outcome.notes.iter();
            notes.map(|note| remark(summary, record, note))
        })
        .collect()
}

fn remark(summary: &ExperimentSummary<'_>, record: &Record, text: &str) -> Remark {
    Remark {
        agent: record.agent.name.clone(),
        experiment: summary.title(),
        seed: record.seed,
        text: text.to_owned(),
    }
}

fn job_rows(summary: &ExperimentSummary<'_>) -> Vec<JobRow> {
    let delay = summary.experiment.delay();
    let rows = summary.agents.iter().flat_map(|agent| &agent.finished);
    rows.map(|(record, outcome)| JobRow {
        agent: record.agent.name.clone(),
        experiment: summary.title(),
        seed: record.seed,
        returns: Mode::ALL
            .map(|mode| {
                or_dash(outcome.evaluation(delay, mode), |judged| {
                    fixed(judged.mean_return, 3)
                })
            })
            .to_vec(),
        solved_at: or_dash(solved_at(record), thousands),
        duration_s: seconds(outcome.train_duration_s),
        hyperparameters: outcome
            .hyperparameters
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect::<Vec<_>>()
            .join(", "),
        hash: record.configuration_hash.clone(),
        finished_at: record.finished_at.clone(),
    })
    .collect()
}

fn or_dash<T>(value: Option<T>, format: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), format)
}

/// `1 seed` or `3 seeds`, for tooltips.
fn seed_list(count: usize) -> String {
    if count == 1 {
        "1 seed".to_owned()
    } else {
        format!("mean of {count} seeds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::records::RowResult;

    fn records() -> Vec<Record> {
        let mut remembering = fixtures::record("tracerl", 4, 1, 0);
        if let RowResult::Finished(outcome) = &mut remembering.result {
            outcome.memory_view = Some(fixtures::memory_view(4));
        }
        vec![
            fixtures::record_with_returns("ppo", 4, 1, 0, [0.014, -0.02, 0.01, 0.014]),
            remembering,
            fixtures::record("tracerl", 4, 1, 1),
            fixtures::failed_record(
                "recurrent-ppo",
                4,
                1,
                0,
                "no server answers at <http://127.0.0.1:1>",
            ),
            fixtures::record_with_returns("ppo", 4, 0, 0, [1.0, 0.9, -0.02, 0.01]),
            fixtures::external_record("mine", 1.0, &["it asked for more than its budget"]),
        ]
    }

    /// The page's text: style, tags and drawings removed, a line a non-empty piece.
    fn text_of(html: &str) -> String {
        let mut text = String::new();
        let body = html.split("</style>").nth(1).unwrap_or(html);
        for piece in body.split('<').skip(1) {
            let (tag, words) = piece.split_once('>').unwrap_or((piece, ""));
            let drawn = [
                "svg", "rect", "line", "polyline", "circle", "path", "text", "title", "/t",
            ]
            .iter()
            .any(|name| tag.starts_with(name));
            if !drawn || tag.starts_with("/tr") || tag.starts_with("/td") || tag.starts_with("/th")
            {
                let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
                if !words.is_empty() {
                    text.push_str(&words);
                    text.push('\n');
                }
            }
        }
        text
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(text_of(&render(&records(), &fixtures::config()).unwrap()));
    }

    /// Two agents, three seeds, tasks of four kinds, one of which has no scale and one no row of every agent.
    fn suite_records() -> Vec<Record> {
        let easy = |name| ("level", serde_json::Value::from(name));
        let mut records = Vec::new();
        for seed in 0..3 {
            let wobble = seed as f64 / 10.0;
            for (agent, skill) in [("ppo", 0.0), ("tracerl", 1.0)] {
                let returns = |random: f64, best: f64| {
                    [
                        random + (best - random) * (skill - wobble).max(0.0),
                        0.0,
                        random,
                    ]
                };
                let mut row = |task, kwargs: &[_], returns| {
                    records.push(fixtures::record_on(task, kwargs, agent, seed, returns));
                };
                row(
                    ("first", "RepeatFirst-v0"),
                    &[easy("easy")],
                    returns(-0.5, 1.0),
                );
                row(
                    ("mines", "MineSweeper-v0"),
                    &[easy("easy")],
                    returns(-0.2, 1.0),
                );
                row(("chain", "BsuiteDiscountingChain-v0"), &[], [1.0, 1.0, 1.0]);
            }
            let mut sweep = fixtures::record_on(
                ("len", "BsuiteMemoryLen-v0"),
                &[("memory_length", 10.into())],
                "tracerl",
                seed,
                [1.0, 1.0, 0.0],
            );
            sweep.experiment.early_stop = false;
            if let RowResult::Finished(outcome) = &mut sweep.result {
                outcome.training = Some(crate::run::contender::TrainingTally {
                    episodes: 100,
                    return_sum: 80.0,
                });
            }
            records.push(sweep);
        }
        records
    }

    #[test]
    fn text_of_a_suite() {
        let html = render(&suite_records(), &fixtures::config()).unwrap();
        insta::assert_snapshot!(text_of(&html));
    }

    #[test]
    fn the_page_needs_nothing_from_outside() {
        for records in [records(), suite_records()] {
            nothing_from_outside(&render(&records, &fixtures::config()).unwrap());
        }
        let html = render(&records(), &fixtures::config()).unwrap();
        assert!(html.contains("&lt;http:"), "a failure's reason is escaped");
    }

    fn nothing_from_outside(html: &str) {
        for reference in ["<link", "<script", "<img", "@import", "url(", "src="] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert!(!html.contains("NaN"), "every position is a number");
    }

    #[test]
    fn every_command_under_one_name_is_on_the_page() {
        let mut config = fixtures::config();
        let page = |config: &RunConfig| text_of(&render(&records(), config).unwrap());
        assert!(page(&config).contains("The command that made this page"));
        let first = Command {
            command: "benchmark --quick --name example".into(),
            commit: "f".repeat(40),
            started_at: "2026-01-01T00:00:00Z".into(),
        };
        config.run.earlier = vec![first];
        let page = page(&config);
        assert!(page.contains("started 2026-01-01T00:00:00Z"), "{page}");
        let (first, second) = page
            .split_once("The commands that made this page, in their order")
            .and_then(|(_, after)| after.split_once("benchmark --quick --name example"))
            .expect("both commands");
        assert!(first.contains(&"f".repeat(40)));
        assert!(second.contains("--seeds 2 --name example"));
    }

    #[test]
    fn rows_of_commands_that_were_not_written_down_are_told() {
        let config = fixtures::config();
        let told = "made by earlier commands under the same name";
        let page = |records: &[Record]| render(records, &config).unwrap();
        assert!(!page(&[fixtures::record("ppo", 4, 1, 0)]).contains(told));
        assert!(page(&[fixtures::record("ppo", 16, 1, 0)]).contains(told));
    }

    /// With three agents and intervals the table of aggregates is wider than half a page.
    #[test]
    fn tables_scroll_where_they_do_not_fit() {
        let html = render(&suite_records(), &fixtures::config()).unwrap();
        let mut rest = html.as_str();
        while let Some((before, after)) = rest.split_once("<table") {
            let container = before.rfind("<div class=\"scroll\">");
            let closed = before.rfind("</div>");
            assert!(container > closed, "{}", &after[..200]);
            rest = after;
        }
    }

    #[test]
    fn why_slots_that_were_never_full_do_not_stretch_is_on_the_page() {
        let mut record = fixtures::record("tracerl", 4, 1, 0);
        let caption = |record: &Record| {
            let records = [record.clone()];
            success_by_delay::caption(&summarize(&records, &fixtures::plan())[0])
        };
        assert_eq!(caption(&record), "");
        if let RowResult::Finished(outcome) = &mut record.result {
            outcome
                .hyperparameters
                .insert("max_entries".into(), 16.into());
        }
        // Judged at delay 64.
        assert!(
            caption(&record)
                .starts_with("tracerl has 16 slots, and at delay 4 an episode never filled")
        );
        record.experiment.kwargs.insert("delay".into(), 32.into());
        assert_eq!(caption(&record), "", "it had to choose");
    }

    #[test]
    fn a_run_without_rows_has_a_page() {
        assert!(
            render(&[], &fixtures::config())
                .unwrap()
                .contains("No row has finished yet")
        );
    }
}
