//! The table of features: what a memory can do, as far as records show it.

use agent::algorithms::{self, Algorithm};
use agent::evaluate::Mode;
use agent::memory::MemoryContents;
use agent::policy::inputs::InputEncoder;
use agent::spaces::Spaces;
use environments::registry;
use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::super::markdown::{header_lines, table_line};
use super::cells::linked;
use super::found::Comparison;
use crate::format::fixed;
use crate::plan::{AgentRow, Experiment, Shows};
use crate::scores::statistics::{Estimate, mean};
use crate::scores::summary::AgentSummary;
use crate::scores::verdict::Verdict;

/// Share of attention from which on an entry counts as the one that was read.
const MOST_OF_THE_ATTENTION: f64 = 0.5;

/// Retrieval where there is nothing to look at.
const NOTHING: &str = "none";

/// A memory whose emptying changes nothing.
const NOT_USED: &str = "not used";

/// Settings that show an agent more than the observation.
const FURTHER_INPUTS: [&str; 3] = ["previous_action", "previous_reward", "step_counter"];

const HEADER: [&str; 8] = [
    "algorithm",
    "family",
    "retention learned?",
    "retrieval",
    "interpretable?",
    "persistent?",
    "longest delay",
    "hints",
];

pub(super) fn table(comparison: &Comparison<'_>) -> String {
    let mut text = header_lines(&HEADER.map(str::to_owned));
    for row in comparison.rows() {
        let Ok(algorithm) = algorithms::find(&row.algorithm) else {
            continue;
        };
        let of = Features {
            comparison,
            row,
            algorithm,
        };
        text.push_str(&table_line(&[
            format!("`{}`", row.name),
            algorithm.family.title().to_lowercase(),
            of.retention(),
            of.retrieval(),
            of.interpretable(),
            of.persistent(),
            of.longest_delay(),
            of.hints(),
        ]));
    }
    text
}

/// The features of one row.
struct Features<'a> {
    comparison: &'a Comparison<'a>,
    row: &'a AgentRow,
    algorithm: &'static Algorithm,
}

/// A row and a variant of it on the same task.
struct Pair<'a> {
    plain: &'a AgentSummary<'a>,
    changed: &'a AgentSummary<'a>,
}

impl<'a> Features<'a> {
    fn missing(&self) -> String {
        self.comparison.missing(self.row).to_owned()
    }

    /// Compares the row with one whose retention was taken away. Without such a row, the emptied control shows at least
    /// whether there is a memory.
    fn retention(&self) -> String {
        if self.variant(Shows::Retention).is_none() {
            return self.state();
        }
        let Some(pair) = self.pair(Shows::Retention) else {
            return self.missing();
        };
        let lost = pair.is_lost();
        let text = match (self.algorithm.window_setting(), lost) {
            (Some(_), true) => "no: what leaves the window is gone",
            (Some(_), false) => "no effect of a shorter window",
            (None, true) => "yes",
            (None, false) => "no effect shown",
        };
        linked(text, pair.changed)
    }

    /// Says whether a memory without a switch of its retention is used at all.
    fn state(&self) -> String {
        let Some((_, agent)) = self.on_delays().next() else {
            return self.missing();
        };
        let text = match (agent.memory_bytes(), agent.verdict()) {
            (Some(0), _) => "no memory",
            (_, Verdict::Remembers | Verdict::UsesMemory) => "in its state, which has no switch",
            _ => NOT_USED,
        };
        linked(text, agent)
    }

    fn retrieval(&self) -> String {
        let text = match self.contents() {
            None | Some(MemoryContents::Nothing) => NOTHING.to_owned(),
            Some(MemoryContents::Units(_)) => "implicit".to_owned(),
            Some(MemoryContents::Slots(_)) => "attention to steps".to_owned(),
            Some(MemoryContents::Episodes(_)) => "attention to episodes".to_owned(),
            Some(MemoryContents::Vectors(vectors)) => {
                let names: Vec<&str> = vectors.iter().map(|(name, _)| *name).collect();
                names.join(", ")
            }
        };
        let mut measured = self.on_delays();
        let Some((_, first)) = measured.next() else {
            return self.missing();
        };
        if is_used(first) || text == NOTHING {
            return linked(&text, first);
        }
        match measured.find(|(_, agent)| is_used(agent)) {
            Some((_, agent)) => linked(&text, agent),
            None => linked(&format!("{text}, {NOT_USED}"), first),
        }
    }

    /// Says how much of the attention is on the cue when it is asked for, at the longest delay that the row remembers.
    fn interpretable(&self) -> String {
        let used = self.on_delays().filter(|(_, agent)| is_used(agent)).last();
        let Some((_, agent)) = used else {
            return match self.on_delays().next() {
                Some((_, agent)) => linked(NOT_USED, agent),
                None => self.missing(),
            };
        };
        let shares = agent.values(|outcome| outcome.cue_attention);
        let text = match (mean(&shares), self.contents()) {
            (Some(share), _) => {
                let answer = match share >= MOST_OF_THE_ATTENTION {
                    true => "yes",
                    false => "no",
                };
                format!(
                    "{answer}: {} of the attention is on the cue",
                    fixed(share, 2)
                )
            }
            (None, Some(MemoryContents::Units(_))) => "no: units".to_owned(),
            (None, _) => "no entry of the cue is recorded".to_owned(),
        };
        linked(&text, agent)
    }

    fn persistent(&self) -> String {
        let changed = self.variant(Shows::Persistence);
        let changed = changed.and_then(|(row, task)| self.comparison.finished(task, row));
        let lifetime = self
            .tasks()
            .find(|task| task.spec_id == "PersistentRecall-v0");
        let plain = lifetime.and_then(|task| self.comparison.find(task, self.row));
        let with_setting = changed.filter(|agent| is_used(agent));
        match (plain, with_setting) {
            (Some(agent), _) if is_used(agent) => linked(&format!("yes: {}", score(agent)), agent),
            (_, Some(agent)) => linked(&format!("on request: {}", score(agent)), agent),
            (Some(agent), None) if !agent.finished.is_empty() => {
                linked(&format!("no: {}", score(agent)), agent)
            }
            (Some(agent), None) => agent.verdict().name().to_owned(),
            (None, None) => self.missing(),
        }
    }

    fn longest_delay(&self) -> String {
        let measured: Vec<_> = self.on_delays().collect();
        let Some((_, first)) = measured.first() else {
            return self.missing();
        };
        let delays: Vec<String> = measured
            .iter()
            .map(|(delay, _)| delay.to_string())
            .collect();
        let mut remembered = measured.iter().rev();
        match remembered.find(|(_, agent)| agent.verdict() == Verdict::Remembers) {
            Some((delay, agent)) => linked(&delay.to_string(), agent),
            None => linked(&format!("none of {}", delays.join(", ")), first),
        }
    }

    /// Says what the row is told besides the observation. A cue at a random step shows that it needs no more.
    fn hints(&self) -> String {
        let Some((_, measured)) = self.on_delays().next() else {
            return self.missing();
        };
        let (_, outcome) = measured.finished[0];
        let is_shown = |name: &&&str| {
            outcome.hyperparameters.get(**name) == Some(&serde_json::Value::Bool(true))
        };
        let mut told: Vec<&str> = FURTHER_INPUTS.iter().filter(is_shown).copied().collect();
        told.extend(self.algorithm.window_setting().map(|_| "the delay"));
        let told = match told.is_empty() {
            true => "none".to_owned(),
            false => told.join(", "),
        };
        let random_cue = self.tasks().find(|task| {
            task.kwargs
                .get("cue_time")
                .and_then(serde_json::Value::as_str)
                == Some("random")
        });
        match random_cue.and_then(|task| self.comparison.finished(task, self.row)) {
            Some(agent) => linked(
                &format!("{told}; cue at a random step: {}", score(agent)),
                agent,
            ),
            None => linked(&told, measured),
        }
    }

    /// Returns what an inspection of the memory shows.
    fn contents(&self) -> Option<MemoryContents> {
        let instance = registry::instance("MemoryTask-v0", &std::collections::BTreeMap::new())?;
        let instance = instance.ok()?;
        let spaces = Spaces {
            observation: instance.observation_space,
            action: instance.action_space,
        };
        let hyper = (self.algorithm.defaults)();
        if self.algorithm.refusal(&spaces, &hyper).is_some() {
            return None;
        }
        let encoder = InputEncoder::new(&spaces.observation, &spaces.action, &hyper, false).ok()?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
        let policy = self.algorithm.policy(&hyper, &encoder, &mut rng);
        let mut state = policy.core.initial_state(1);
        let inputs = vec![0.0; encoder.input_size()];
        policy
            .core
            .step(&policy.params, &inputs, &[true], &mut state, None);
        Some(policy.core.inspect(&state, 0))
    }

    fn tasks(&self) -> impl Iterator<Item = &'a Experiment> {
        self.comparison.plan.experiments.iter()
    }

    /// Returns the row's results at each delay, shortest first.
    fn on_delays(&self) -> impl Iterator<Item = (u64, &'a AgentSummary<'a>)> {
        let tasks = self.comparison.delay_tasks();
        tasks.filter_map(move |(delay, task)| {
            Some((delay, self.comparison.finished(task, self.row)?))
        })
    }

    /// Returns the row's variant that shows this, and its task.
    fn variant(&self, shows: Shows) -> Option<(&'a AgentRow, &'a Experiment)> {
        let mut rows = self.comparison.plan.agents.iter();
        let row = rows.find(|row| {
            let variant = row.variant.as_ref();
            variant.is_some_and(|variant| variant.of == self.row.name && variant.shows == shows)
        })?;
        Some((row, self.tasks().find(|task| row.runs(task))?))
    }

    fn pair(&self, shows: Shows) -> Option<Pair<'a>> {
        let (row, task) = self.variant(shows)?;
        Some(Pair {
            plain: self.comparison.finished(task, self.row)?,
            changed: self.comparison.finished(task, row)?,
        })
    }
}

impl Pair<'_> {
    /// Returns whether the change took something away: the intervals of the scores do not overlap.
    fn is_lost(&self) -> bool {
        let interval = |agent: &AgentSummary<'_>| {
            Estimate::from_seeds(&agent.scores(Mode::Greedy)).map(|score| score.interval)
        };
        match (interval(self.plain), interval(self.changed)) {
            (Some((low, _)), Some((_, high))) => high < low,
            _ => false,
        }
    }
}

/// Returns whether an agent's score needs its memory.
fn is_used(agent: &AgentSummary<'_>) -> bool {
    matches!(agent.verdict(), Verdict::Remembers | Verdict::UsesMemory)
}

fn score(agent: &AgentSummary<'_>) -> String {
    let score = Estimate::from_seeds(&agent.scores(Mode::Greedy));
    score.map_or_else(|| "–".to_owned(), |score| fixed(score.mean, 2))
}
