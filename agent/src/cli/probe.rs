//! `agent inspect --probe`: which part of a memory of slots fails.

use std::borrow::Cow;
use std::path::Path;

use agent::algorithms;
use agent::evaluate::probe::counts::Band;
use agent::evaluate::probe::verdict::Verdict;
use agent::evaluate::probe::{Probe, ProbeOptions, Run};
use agent::evaluate::{EvaluationEnv, Player};
use agent::run::checkpoint::Checkpoint;
use agent::text::wrapped;
use anyhow::Context;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use serde_json::Value;

use super::evaluate::{WIDTH, heading, timesteps};
use super::row::Row;
use super::server::ServerArgs;
use super::thousands;

/// How the agent is probed.
pub struct ProbeArgs<'a> {
    pub env_arg: &'a [(String, Value)],
    pub episodes: usize,
    pub seed: u64,
    pub servers: &'a ServerArgs,
    /// Whether the outcome is for a program.
    pub json: bool,
}

/// Probes the agent of a checkpoint at a path, and returns the outcome.
///
/// # Errors
/// An agent or a task that cannot be probed, and what the servers refused.
pub fn probe(checkpoint: &Checkpoint, path: &Path, args: &ProbeArgs<'_>) -> anyhow::Result<String> {
    let config = &checkpoint.config;
    let servers = args
        .servers
        .start_for(algorithms::find(&config.algorithm)?)?;
    let EvaluationEnv { mut env, .. } =
        servers.evaluation_env(checkpoint, args.env_arg, args.episodes)?;
    let player = Player::for_env(checkpoint, &env)?;
    let returns = env.returns()?;
    let unknown = "the server does not know the returns of this task with these arguments, which a probe compares with";
    let options = ProbeOptions {
        spec_id: config.env.spec_id.clone(),
        kwargs: env.kwargs().clone(),
        episodes: args.episodes,
        seed: args.seed,
        best: returns.best.or(returns.oracle).context(unknown)?,
        floor: returns.memoryless.or(returns.random).context(unknown)?,
    };
    let probe = player.probe(&mut env, &options)?;
    match args.json {
        true => json(checkpoint, path, &options, &probe),
        false => Ok(report(checkpoint, &options, &probe)),
    }
}

/// The outcome for a person.
fn report(checkpoint: &Checkpoint, options: &ProbeOptions, probe: &Probe) -> String {
    let counts = &probe.runs[0].counts;
    let mut text = format!("{}\n", heading(checkpoint, &options.kwargs));
    if counts.all().needed > 0 {
        text.push_str(&needed(probe));
    }
    text.push_str(&format!("\n{}\n", returns(options, probe)));
    let explained = "keep: entries that may be needed are kept by force. read: the needed entry is handed to the policy. Right: \
                     actions that need an entry.";
    text.push_str(&wrapped(explained, WIDTH, ""));
    let verdict = &probe.verdict.verdict;
    let (first, rest) = verdict.split_at(1);
    let verdict = format!("{}{rest}.", first.to_uppercase());
    format!("{text}\n\n{}", wrapped(&verdict, WIDTH, ""))
}

/// The table of needed entries, by age.
fn needed(probe: &Probe) -> String {
    let counts = &probe.runs[0].counts;
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_header([
            "Steps ago",
            "Needed",
            "Kept",
            "Attention",
            "Best Head",
            "Found",
        ]);
    let mut add = |steps: String, band: &Band| {
        let of_kept = |share: f64| match band.kept {
            0 => "–".to_owned(),
            _ => percent(share),
        };
        table.add_row([
            steps,
            thousands(band.needed),
            percent(band.kept_share()),
            of_kept(band.attention()),
            of_kept(band.best_head()),
            of_kept(band.found_share()),
        ]);
    };
    for ([least, most], band) in counts.bands() {
        let [least, most] = [least, most].map(|steps| thousands(steps.into()));
        add(format!("{least} to {most}"), band);
    }
    if counts.bands().count() != 1 {
        add("all".to_owned(), &counts.all());
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let written = match probe.written {
        Some(written) => format!(
            " A linear readout of a needed entry tells the answer in {} of cases.",
            percent(written)
        ),
        None => String::new(),
    };
    let unseen = match counts.unseen {
        0 => String::new(),
        unseen => format!(
            " {} more actions needed what the episode had not shown.",
            thousands(unseen)
        ),
    };
    let explained = format!(
        "Entries that an action needed, by age: kept in the slots; of the kept, the share of attention, as the mean over heads \
         and of the best, and found, where a head attended to no other entry more.{written}{unseen}"
    );
    format!("{table}\n{}\n", wrapped(&explained, WIDTH, ""))
}

/// The table of returns.
fn returns(options: &ProbeOptions, probe: &Probe) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
        .set_header(["Memory", "Mean Ep Rew", "± 95 %", "Kept", "Right"]);
    for run in &probe.runs {
        let share = |share: f64| match run.counts.all().needed {
            0 => "–".to_owned(),
            _ => percent(share),
        };
        table.add_row([
            run.intervention.name().to_owned(),
            format!("{:.3}", run.evaluation.mean_return),
            format!("{:.3}", run.evaluation.margin()),
            share(run.counts.all().kept_share()),
            share(run.counts.right_share()),
        ]);
    }
    for (name, mean_return) in [("best known", options.best), ("no memory", options.floor)] {
        let mean_return = format!("{mean_return:.3}");
        table.add_row([name, &mean_return, "", "", ""]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The outcome for a program.
fn json(
    checkpoint: &Checkpoint,
    path: &Path,
    options: &ProbeOptions,
    probe: &Probe,
) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Entries {
        least_steps: u32,
        most_steps: u32,
        needed: u64,
        kept: f64,
        attention: Option<f64>,
        best_head: Option<f64>,
        found: Option<f64>,
    }
    #[derive(Serialize)]
    struct Played {
        memory: &'static str,
        mean_return: f64,
        standard_error: f64,
        needed: u64,
        unseen: u64,
        kept: Option<f64>,
        right: Option<f64>,
    }
    #[derive(Serialize)]
    struct Outcome<'a> {
        #[serde(flatten)]
        row: Row,
        episodes: usize,
        best_return: f64,
        memoryless_return: f64,
        /// As it is, by age.
        entries: Vec<Entries>,
        written: Option<f64>,
        probes: Vec<Played>,
        #[serde(flatten)]
        verdict: &'a Verdict,
        checkpoint: Cow<'a, str>,
    }
    let entries = |([least_steps, most_steps], band): ([u32; 2], &Band)| {
        let of_kept = |share: f64| (band.kept > 0).then_some(share);
        Entries {
            least_steps,
            most_steps,
            needed: band.needed,
            kept: band.kept_share(),
            attention: of_kept(band.attention()),
            best_head: of_kept(band.best_head()),
            found: of_kept(band.found_share()),
        }
    };
    let played = |run: &Run| {
        let all = run.counts.all();
        let share = |share: f64| (all.needed > 0).then_some(share);
        Played {
            memory: run.intervention.name(),
            mean_return: run.evaluation.mean_return,
            standard_error: run.evaluation.standard_error(),
            needed: all.needed,
            unseen: run.counts.unseen,
            kept: share(all.kept_share()),
            right: share(run.counts.right_share()),
        }
    };
    Ok(serde_json::to_string(&Outcome {
        row: Row::new(&checkpoint.config, &options.kwargs, timesteps(checkpoint)),
        episodes: options.episodes,
        best_return: options.best,
        memoryless_return: options.floor,
        entries: probe.runs[0].counts.bands().map(entries).collect(),
        written: probe.written,
        probes: probe.runs.iter().map(played).collect(),
        verdict: &probe.verdict,
        checkpoint: path.to_string_lossy(),
    })?)
}
