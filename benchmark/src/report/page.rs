//! The page's content in the form of the template, section by section.

use std::collections::BTreeSet;

use env_protocol::SOLVED_SCORE;
use serde::Serialize;

use super::parts::{Colours, Figure};
use super::{
    bsuite_scores, frontier, grid, jobs, learning_curves, popgym, remarks, remembered_or_lucky,
    results, retention, success_by_delay, suite,
};
use crate::error::Error;
use crate::format::{compact, fixed};
use crate::records::Record;
use crate::records::config::{Command, RunConfig};
use crate::scores::summary::ExperimentSummary;
use crate::scores::verdict::LOST_SCORE;

/// The data for the template.
#[derive(Serialize)]
pub struct Page {
    name: String,
    /// The part of the plan's jobs that the run has.
    shard: Option<String>,
    /// Time of the first command.
    started_at: String,
    /// All commands of the run, in order.
    commands: Vec<Command>,
    /// Whether some rows come from commands that are not recorded.
    has_other_rows: bool,
    /// Most and fewest seeds of a row.
    seeds: usize,
    fewest_seeds: usize,
    /// Number of seeds of the last command.
    planned_seeds: u64,
    commit: String,
    /// Commits of the rows; the page warns if there are several.
    row_commits: Vec<String>,
    /// Classes of the processors that computed the rows.
    row_cpus: Vec<String>,
    config_toml: String,
    /// Memory scores in per cent: from the first on, a task is solved or remembered; up to the
    /// second, knowledge counts as lost.
    solved_share: String,
    lost_share: String,
    legend: Vec<LegendEntry>,
    experiments: Vec<Heading>,
    rows: Vec<grid::GridRow>,
    /// Section for several kinds of task; replaces the experiments at a glance.
    suite: Option<suite::Suite>,
    bsuite: Vec<bsuite_scores::SweepScores>,
    popgym: Option<popgym::Popgym>,
    frontier: Option<frontier::Section>,
    table: Vec<results::TableRow>,
    learning_curves: Vec<Figure>,
    remembered_or_lucky: Vec<Figure>,
    success_by_delay: Vec<Figure>,
    retention: Vec<Figure>,
    failures: Vec<remarks::Remark>,
    notes: Vec<remarks::Remark>,
    jobs: Vec<jobs::JobRow>,
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

impl Page {
    pub fn new(
        records: &[Record],
        summaries: &[ExperimentSummary<'_>],
        config: &RunConfig,
    ) -> Result<Self, Error> {
        let colours = Colours::new(summaries);
        let row_commits = records.iter().map(|record| record.commit.as_str());
        let row_cpus = records
            .iter()
            .filter_map(|record| record.outcome()?.cpu.as_deref());
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
            shard: config.run.shard.map(|shard| shard.to_string()),
            started_at: commands[0].started_at.clone(),
            has_other_rows: commands.len() == 1 && has_rows_of_others(records, config),
            commands,
            seeds: seeds.clone().max().unwrap_or(config.run.seeds as usize),
            fewest_seeds: seeds.min().unwrap_or(config.run.seeds as usize),
            planned_seeds: config.run.seeds,
            commit: config.run.commit.clone(),
            row_commits: distinct(row_commits),
            row_cpus: distinct(row_cpus),
            config_toml: config.to_toml()?,
            solved_share: fixed(100.0 * SOLVED_SCORE, 0),
            lost_share: fixed(100.0 * LOST_SCORE, 0),
            legend: colours.names.iter().map(entry).collect(),
            experiments: summaries.iter().map(heading).collect(),
            rows: colours
                .names
                .iter()
                .map(|name| grid::grid_row(name, summaries, &colours))
                .collect(),
            suite: suite::section(summaries, &colours),
            bsuite: bsuite_scores::section(summaries, &colours),
            popgym: popgym::section(summaries, &colours),
            frontier: frontier::section(summaries, &colours),
            table: summaries
                .iter()
                .flat_map(|summary| results::table_rows(summary, &colours))
                .collect(),
            learning_curves: figures(&|summary| Some(learning_curves::panel(summary, &colours))),
            remembered_or_lucky: figures(&remembered_or_lucky::panel),
            success_by_delay: summaries.iter().filter_map(by_delay).collect(),
            retention: summaries.iter().flat_map(retention::figures).collect(),
            failures: summaries.iter().flat_map(remarks::failures).collect(),
            notes: summaries.iter().flat_map(remarks::notes).collect(),
            jobs: summaries.iter().flat_map(jobs::job_rows).collect(),
        })
    }
}

/// Returns whether some rows are not part of the run's plan: they come from commands that an
/// earlier version did not record.
/// Returns each text once, in order.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let texts: BTreeSet<&str> = texts.collect();
    texts.into_iter().map(str::to_owned).collect()
}

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
