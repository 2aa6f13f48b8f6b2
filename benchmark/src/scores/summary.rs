//! Summaries: records grouped by experiment in the plan's order, then by agent, then by seed.

use std::collections::BTreeSet;

use agent::evaluate::Mode;
use env_protocol::SOLVED_SCORE;

use crate::format::speed;
use crate::plan::{AgentRow, Experiment, Plan};
use crate::records::outcome::Outcome;
use crate::records::{Record, RowResult};
use crate::scores::reference::{Reference, needs_memory, solved_threshold};
use crate::scores::statistics::{Estimate, Measured, mean, median_steps_to_solve};
use crate::scores::verdict::{Evidence, Verdict};

/// All agents on one experiment.
#[derive(Debug)]
pub struct ExperimentSummary<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// Its agents, in the plan's order.
    pub agents: Vec<AgentSummary<'a>>,
}

/// All seeds of one agent on one experiment.
#[derive(Debug)]
pub struct AgentSummary<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The agent.
    pub agent: &'a AgentRow,
    /// The jobs that finished, by seed.
    pub finished: Vec<(&'a Record, &'a Outcome)>,
    /// The jobs that failed, by seed.
    pub failed: Vec<&'a Record>,
    /// The reason why the agent cannot play the task, if it cannot.
    pub not_applicable: Option<&'a str>,
}

/// Groups records by experiment and agent. Compares definitions instead of names: the same name
/// with another budget or other settings is another group, so that different things are never
/// averaged. Rows that the plan does not list come last.
pub fn summarize<'a>(records: &'a [Record], plan: &Plan) -> Vec<ExperimentSummary<'a>> {
    let mut ordered: Vec<&Record> = records.iter().collect();
    ordered.sort_by_key(|record| {
        let experiment = plan
            .experiments
            .iter()
            .position(|experiment| *experiment == record.experiment);
        let agent = plan.agents.iter().position(|agent| *agent == record.agent);
        (
            experiment.unwrap_or(usize::MAX),
            agent.unwrap_or(usize::MAX),
            record.seed,
        )
    });
    let mut summaries: Vec<ExperimentSummary<'a>> = Vec::new();
    for record in ordered {
        let index = summaries
            .iter()
            .position(|summary| *summary.experiment == record.experiment)
            .unwrap_or_else(|| {
                summaries.push(ExperimentSummary {
                    experiment: &record.experiment,
                    agents: Vec::new(),
                });
                summaries.len() - 1
            });
        summaries[index].add(record);
    }
    summaries
}

/// Returns the trained steps after which a seed solved its task. Earlier versions recorded on every
/// task when the mean return passed 0.95; on tasks with another threshold their value is ignored.
pub fn solved_at(record: &Record) -> Option<u64> {
    let outcome = record.outcome()?;
    let is_told = outcome.solved_threshold.is_some()
        || solved_threshold(&record.experiment) == Some(SOLVED_SCORE);
    outcome.solved_at.filter(|_| is_told)
}

/// Returns the verdict on one seed's evaluations.
pub fn verdict_of(record: &Record) -> Verdict {
    if record.not_applicable().is_some() {
        return Verdict::NotApplicable;
    }
    let experiment = &record.experiment;
    let evidence = Evidence::from_modes(|mode| {
        let outcome = record.outcome();
        let judged = outcome.and_then(|outcome| outcome.evaluation(experiment.delay(), mode));
        judged
            .iter()
            .map(|judged| Measured::from_record(judged))
            .collect()
    });
    let reference = Reference::from_experiment(experiment);
    evidence.verdict(reference.as_ref(), needs_memory(experiment))
}

impl<'a> ExperimentSummary<'a> {
    fn add(&mut self, record: &'a Record) {
        let index = self
            .agents
            .iter()
            .position(|summary| *summary.agent == record.agent)
            .unwrap_or_else(|| {
                self.agents.push(AgentSummary {
                    experiment: self.experiment,
                    agent: &record.agent,
                    finished: Vec::new(),
                    failed: Vec::new(),
                    not_applicable: None,
                });
                self.agents.len() - 1
            });
        let summary = &mut self.agents[index];
        match &record.result {
            RowResult::Finished(outcome) => summary.finished.push((record, outcome)),
            RowResult::Failed { .. } => summary.failed.push(record),
            RowResult::NotApplicable { reason } => summary.not_applicable = Some(reason),
        }
    }

    /// Returns the experiment's heading: `delay 4 HARD` or `delay 4…256 HARD` if these are its only
    /// arguments, and otherwise its name.
    pub fn title(&self) -> String {
        let says_all =
            |argument: &String| ["delay", "delay_min", "difficulty"].contains(&argument.as_str());
        let is_plain = self.experiment.kwargs.keys().all(says_all);
        let Some((shortest, longest)) = self.experiment.delay_range().filter(|_| is_plain) else {
            return self.experiment.name.clone();
        };
        let delay = if shortest == longest {
            longest.to_string()
        } else {
            format!("{shortest}…{longest}")
        };
        format!("delay {delay} {}", self.experiment.mode().unwrap_or(""))
            .trim_end()
            .to_owned()
    }

    /// Returns the agent with this name.
    pub fn agent(&self, name: &str) -> Option<&AgentSummary<'a>> {
        self.agents.iter().find(|agent| agent.agent.name == name)
    }

    /// Returns the delays that any agent was judged at, ascending.
    pub fn judged_delays(&self) -> Vec<u64> {
        let outcomes = self.agents.iter().flat_map(|agent| &agent.finished);
        let evaluations = outcomes.flat_map(|(_, outcome)| &outcome.evaluations);
        let delays: BTreeSet<u64> = evaluations.filter_map(|judged| judged.delay).collect();
        delays.into_iter().collect()
    }
}

impl AgentSummary<'_> {
    /// Returns one value for each finished seed that has it.
    pub fn values(&self, of: impl Fn(&Outcome) -> Option<f64>) -> Vec<f64> {
        self.finished
            .iter()
            .filter_map(|(_, outcome)| of(outcome))
            .collect()
    }

    /// Returns one evaluation for each finished seed, at a delay in a mode.
    pub fn judged_at(&self, delay: Option<u64>, mode: Mode) -> Vec<Measured> {
        self.finished
            .iter()
            .filter_map(|(_, outcome)| {
                Some(Measured::from_record(outcome.evaluation(delay, mode)?))
            })
            .collect()
    }

    /// Returns one evaluation for each finished seed, at the experiment's own delay.
    pub fn judged(&self, mode: Mode) -> Vec<Measured> {
        self.judged_at(self.experiment.delay(), mode)
    }

    /// Returns one normalised score for each finished seed, in a mode at the experiment's own
    /// delay. On a task without a scale, scores are the returns themselves.
    pub fn scores(&self, mode: Mode) -> Vec<Measured> {
        let reference = Reference::from_experiment(self.experiment);
        let score =
            |judged: Measured| reference.map_or(judged, |known| judged.on(|x| known.normalise(x)));
        self.judged(mode).into_iter().map(score).collect()
    }

    /// Returns the mean return over seeds at a delay in a mode.
    pub fn estimate_at(&self, delay: Option<u64>, mode: Mode) -> Option<Estimate> {
        Estimate::from_seeds(&self.judged_at(delay, mode))
    }

    /// Returns the mean return over seeds in a mode, at the experiment's own delay.
    pub fn estimate(&self, mode: Mode) -> Option<Estimate> {
        self.estimate_at(self.experiment.delay(), mode)
    }

    /// Returns how much more the agent earns when greedy than with its memory emptied.
    pub fn gap(&self) -> Option<Estimate> {
        Estimate::from_seeds(&self.evidence().gap())
    }

    /// Returns the greedy agent's memory score: 0 for the best return without memory, 1 for the
    /// best known. `None` on a task without a scale, or with nothing to remember.
    pub fn memory_score(&self) -> Option<Estimate> {
        let known = Reference::from_experiment(self.experiment)
            .filter(|_| needs_memory(self.experiment))?;
        let judged = self.judged(Mode::Greedy).into_iter();
        let scores: Vec<Measured> = judged
            .map(|judged| judged.on(|x| known.memory_score(x)))
            .collect();
        Estimate::from_seeds(&scores)
    }

    /// Returns the standard deviation of the greedy return over episodes, averaged over seeds.
    pub fn std_return(&self) -> Option<f64> {
        let delay = self.experiment.delay();
        mean(&self.values(|outcome| Some(outcome.evaluation(delay, Mode::Greedy)?.std_return)))
    }

    /// Returns the trained steps, averaged over seeds.
    pub fn trained_steps(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.trained_steps as f64)))
    }

    /// Returns environment steps per second of training, averaged over the seeds that trained long
    /// enough to measure it.
    pub fn steps_per_s(&self) -> Option<f64> {
        mean(&self.values(|outcome| speed(outcome.steps_per_s, outcome.train_duration_s)))
    }

    /// Returns the seconds of training, averaged over seeds.
    pub fn train_duration_s(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.train_duration_s)))
    }

    /// Returns the median over seeds of the steps to solve; `None` when the median seed did not
    /// solve the task.
    pub fn median_steps_to_solve(&self) -> Option<f64> {
        let solved_at: Vec<_> = self
            .finished
            .iter()
            .map(|(record, _)| solved_at(record))
            .collect();
        median_steps_to_solve(&solved_at)
    }

    /// Returns the number of trained parameters, if known.
    pub fn parameters(&self) -> Option<usize> {
        self.finished.first()?.1.parameters
    }

    /// Returns the bytes of one lane's memory, if known.
    pub fn memory_bytes(&self) -> Option<usize> {
        self.finished.first()?.1.memory_bytes
    }

    /// Returns the agent's name, marked if its settings were tuned or it is an external program.
    pub fn label(&self) -> String {
        let name = &self.agent.name;
        match (&self.agent.external, self.agent.tuned) {
            (Some(_), _) => format!("{name} (external)"),
            (None, true) => format!("{name} (tuned)"),
            (None, false) => name.clone(),
        }
    }

    /// Counts the seeds that remember, each judged on its own.
    pub fn remembering_seeds(&self) -> usize {
        let remembers =
            |&&(record, _): &&(&Record, &Outcome)| verdict_of(record) == Verdict::Remembers;
        self.finished.iter().filter(remembers).count()
    }

    /// Returns the verdict on the evaluations of all seeds together.
    pub fn verdict(&self) -> Verdict {
        if self.finished.is_empty() && self.not_applicable.is_some() {
            return Verdict::NotApplicable;
        }
        let reference = Reference::from_experiment(self.experiment);
        self.evidence()
            .verdict(reference.as_ref(), needs_memory(self.experiment))
    }

    fn evidence(&self) -> Evidence {
        Evidence::from_modes(|mode| self.judged(mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    /// Returns the verdict on an agent with these mean returns over 1,000 episodes: greedy,
    /// sampled, scrambled, emptied.
    fn verdict(returns: [f64; 4]) -> Verdict {
        let records = [fixtures::record_with_returns("x", 4, 1, 0, returns)];
        summarize(&records, &fixtures::plan())[0].agents[0].verdict()
    }

    #[test]
    fn verdicts_of_records() {
        assert_eq!(verdict([1.0, 0.98, 0.99, 0.02]), Verdict::Remembers);
        assert_eq!(verdict([1.0, 0.98, -0.04, 0.02]), Verdict::ActionTrail);
        assert_eq!(verdict([0.6, 0.5, 0.6, 0.0]), Verdict::UsesMemory);
        assert_eq!(
            verdict([1.0, 1.0, 1.0, 1.0]),
            Verdict::AsGoodAsWithoutMemory
        );
        assert_eq!(
            verdict([0.05, 0.0, -0.1, 0.02]),
            Verdict::NoBetterThanRandom
        );
        let failed = [fixtures::failed_record("x", 4, 1, 0, "no server")];
        assert_eq!(
            summarize(&failed, &fixtures::plan())[0].agents[0].verdict(),
            Verdict::Failed
        );
    }

    #[test]
    fn the_memory_of_a_contender_that_played_by_itself_is_not_tested() {
        let verdict = |greedy: f64| {
            let records = [fixtures::external_record("x", greedy, &[])];
            summarize(&records, &fixtures::plan())[0].agents[0].verdict()
        };
        assert_eq!(verdict(1.0), Verdict::Untested);
        assert_eq!(verdict(0.5), Verdict::Untested);
        assert_eq!(verdict(0.05), Verdict::NoBetterThanRandom);
        assert_eq!(verdict(-0.5), Verdict::WorseThanRandom);
    }

    #[test]
    fn groups_follow_the_plan_and_never_mix_definitions() {
        let mut other_budget = fixtures::record("ppo", 4, 1, 0);
        other_budget.experiment.total_timesteps += 1;
        let records = [
            other_budget,
            fixtures::record("tracerl", 4, 1, 1),
            fixtures::record("tracerl", 4, 1, 0),
            fixtures::record("ppo", 4, 1, 0),
            fixtures::record("ppo", 4, 0, 0),
        ];
        let summaries = summarize(&records, &fixtures::plan());
        let titles: Vec<_> = summaries.iter().map(ExperimentSummary::title).collect();
        assert_eq!(titles, ["delay 4 EASY", "delay 4 HARD", "delay 4 HARD"]);
        let hard = &summaries[1];
        let agents: Vec<_> = hard
            .agents
            .iter()
            .map(|summary| summary.agent.name.as_str())
            .collect();
        assert_eq!(agents, ["ppo", "tracerl"]);
        let seeds: Vec<_> = hard.agents[1]
            .finished
            .iter()
            .map(|(record, _)| record.seed)
            .collect();
        assert_eq!(seeds, [0, 1]);
    }

    #[test]
    fn an_earlier_meaning_of_solved_is_not_mixed_with_todays() {
        let record = |spec_id, solved_threshold| {
            let mut record = fixtures::record_on(("x", spec_id), &[], "x", 0, [1.0, 1.0, 0.0]);
            if let crate::records::RowResult::Finished(outcome) = &mut record.result {
                outcome.solved_threshold = solved_threshold;
            }
            record
        };
        assert_eq!(
            solved_at(&record("HigherLower-v0", Some(0.503))),
            Some(4_096)
        );
        // Without a threshold the record is of an earlier version: a mean above 0.95.
        assert_eq!(solved_at(&record("HigherLower-v0", None)), None);
        assert_eq!(solved_at(&record("MemoryTask-v0", None)), Some(4_096));
    }

    #[test]
    fn seeds_are_judged_together_and_counted_one_by_one() {
        let records = [
            fixtures::record_with_returns("x", 4, 1, 0, [1.0, 1.0, 1.0, 0.0]),
            fixtures::record_with_returns("x", 4, 1, 1, [1.0, 1.0, 0.5, 0.0]),
            fixtures::record_with_returns("x", 4, 1, 2, [0.9, 1.0, 1.0, 0.0]),
        ];
        let summaries = summarize(&records, &fixtures::plan());
        let agent = &summaries[0].agents[0];
        // Greedy 0.967, but scrambled only 0.833.
        assert_eq!(agent.verdict(), Verdict::UsesMemory);
        assert_eq!(agent.remembering_seeds(), 1);
        let gap = agent.gap().unwrap();
        assert!(
            (gap.mean - 2.9 / 3.0).abs() < 1e-12 && gap.interval.0 > 0.8,
            "{gap:?}"
        );
    }

    #[test]
    fn a_task_with_nothing_to_remember_has_no_memory_score() {
        let records = [
            fixtures::record_on(
                ("u", "BsuiteUmbrellaChain-v0"),
                &[],
                "x",
                0,
                [0.9, 0.0, 0.9],
            ),
            fixtures::record_on(("f", "RepeatFirst-v0"), &[], "x", 0, [0.9, 0.0, -0.5]),
        ];
        let summaries = summarize(&records, &fixtures::plan());
        let of = |index: usize| &summaries[index].agents[0];
        assert_eq!(of(0).verdict(), Verdict::NothingToRemember);
        assert_eq!(of(0).memory_score(), None);
        assert!(of(1).memory_score().is_some_and(|score| score.mean > 0.9));
    }
}
