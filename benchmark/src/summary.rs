//! Records brought together: experiments in the plan's order, agents within them, seeds within those.

use agent::evaluate::Mode;

use crate::contender::Outcome;
use crate::plan::{AgentRow, Experiment, Plan};
use crate::records::Record;
use crate::reference::Reference;
use crate::statistics::{Estimate, mean, median_steps_to_solve};

/// Normalised score from which on a task counts as recalled; the best known return is 1 and chance 0.
pub const RECALL_BAR: f64 = 0.95;

/// Largest absolute normalised score that counts as chance.
pub const CHANCE_BAR: f64 = 0.1;

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
}

/// What the evaluations together say about an agent on a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Right when its earlier actions are scrambled, lost when its memory is emptied.
    Remembers,
    /// Right, but only as long as its own actions stand: it carried the cue in them.
    ActionTrail,
    /// Right even with its memory emptied: the task did not need it.
    NotNeeded,
    /// Right, and nobody could look further: it played by itself, so nothing was scrambled or emptied.
    Unexplained,
    /// Between chance and the bar, in greedy acting or in what an emptied memory leaves.
    Partly,
    /// No better than guessing.
    Chance,
    /// No seed finished.
    Failed,
}

impl Verdict {
    /// The verdict in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remembers => "remembers",
            Self::ActionTrail => "action trail",
            Self::NotNeeded => "memory not needed",
            Self::Unexplained => "right, unexplained",
            Self::Partly => "partly",
            Self::Chance => "chance",
            Self::Failed => "failed",
        }
    }
}

/// Groups records by experiment and agent. Definitions are compared, not names: the same name with another budget
/// or other settings is another group, so that what differs is never averaged. Whatever the plan does not list
/// comes last.
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
                });
                self.agents.len() - 1
            });
        match record.outcome() {
            Some(outcome) => self.agents[index].finished.push((record, outcome)),
            None => self.agents[index].failed.push(record),
        }
    }

    /// The experiment in a heading's words: `delay 4 HARD` or `delay 4…256 HARD` where that says all of it, or its name.
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
}

impl AgentSummary<'_> {
    /// One value a finished seed.
    pub fn values(&self, of: impl Fn(&Outcome) -> Option<f64>) -> Vec<f64> {
        self.finished
            .iter()
            .filter_map(|(_, outcome)| of(outcome))
            .collect()
    }

    /// One normalised score a finished seed, in a mode at the experiment's own delay; returns as they are for a task
    /// without a scale.
    pub fn scores(&self, mode: Mode) -> Vec<f64> {
        let reference = Reference::of(self.experiment);
        let delay = self.experiment.delay();
        self.values(|outcome| {
            let judged = outcome.evaluation(delay, mode)?.mean_return;
            Some(reference.map_or(judged, |reference| reference.normalise(judged)))
        })
    }

    /// Mean return over seeds at a delay in a mode.
    pub fn estimate_at(&self, delay: Option<u64>, mode: Mode) -> Option<Estimate> {
        Estimate::of(&self.values(|outcome| Some(outcome.evaluation(delay, mode)?.mean_return)))
    }

    /// Mean return over seeds in a mode, at the experiment's own delay.
    pub fn estimate(&self, mode: Mode) -> Option<Estimate> {
        self.estimate_at(self.experiment.delay(), mode)
    }

    /// Standard deviation of the greedy return over episodes, averaged over seeds.
    pub fn std_return(&self) -> Option<f64> {
        let delay = self.experiment.delay();
        mean(&self.values(|outcome| Some(outcome.evaluation(delay, Mode::Greedy)?.std_return)))
    }

    /// Trained steps, averaged over seeds.
    pub fn trained_steps(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.trained_steps as f64)))
    }

    /// Environment steps a second while training, averaged over seeds.
    pub fn steps_per_s(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.steps_per_s)))
    }

    /// Seconds of training, averaged over seeds.
    pub fn train_duration_s(&self) -> Option<f64> {
        mean(&self.values(|outcome| Some(outcome.train_duration_s)))
    }

    /// Median over seeds of the steps to solve; `None` when the median seed did not.
    pub fn median_steps_to_solve(&self) -> Option<f64> {
        let solved_at: Vec<_> = self
            .finished
            .iter()
            .map(|(_, outcome)| outcome.solved_at)
            .collect();
        median_steps_to_solve(&solved_at)
    }

    /// Number of trained parameters, where it is known.
    pub fn parameters(&self) -> Option<usize> {
        self.finished.first()?.1.parameters
    }

    /// The agent's name, marked when its settings were searched for or when it is a program from outside.
    pub fn label(&self) -> String {
        let name = &self.agent.name;
        match (&self.agent.external, self.agent.tuned) {
            (Some(_), _) => format!("{name} (external)"),
            (None, true) => format!("{name} (tuned)"),
            (None, false) => name.clone(),
        }
    }

    /// How many seeds recall, greedily and, where the task allows it, with their earlier actions scrambled.
    pub fn recalling_seeds(&self) -> usize {
        let greedy = self.scores(Mode::Greedy);
        let scrambled = self.scores(Mode::Scrambled);
        let recalls = |score: Option<&f64>| score.is_none_or(|&score| score >= RECALL_BAR);
        let both = |&seed: &usize| recalls(greedy.get(seed)) && recalls(scrambled.get(seed));
        (0..greedy.len()).filter(both).count()
    }

    /// What the means over seeds say together.
    pub fn verdict(&self) -> Verdict {
        let mean = |mode| mean(&self.scores(mode));
        let Some(greedy) = mean(Mode::Greedy) else {
            return Verdict::Failed;
        };
        let at_bar = |mode| mean(mode).is_some_and(|value| value >= RECALL_BAR);
        let best = Mode::ALL
            .into_iter()
            .filter_map(mean)
            .fold(greedy.abs(), |a, b| a.max(b.abs()));
        let has_controls = [Mode::Scrambled, Mode::Emptied]
            .map(mean)
            .iter()
            .any(Option::is_some);
        // What remains is what needs no memory: chance, or what a player sees who sees the last observation only.
        let floor = Reference::of(self.experiment).map_or(0.0, |known| known.without_memory());
        let lost = mean(Mode::Emptied)
            .is_some_and(|value| (-CHANCE_BAR..=floor + CHANCE_BAR).contains(&value));
        if !at_bar(Mode::Greedy) {
            return if best <= CHANCE_BAR {
                Verdict::Chance
            } else {
                Verdict::Partly
            };
        }
        if !has_controls {
            return Verdict::Unexplained;
        }
        // A trail of actions is no memory: emptying what an agent without one lacks takes nothing from it. A task that
        // cannot be scrambled says nothing of trails.
        let trail = mean(Mode::Scrambled).is_some() && !at_bar(Mode::Scrambled);
        match (trail, at_bar(Mode::Emptied)) {
            (true, _) => Verdict::ActionTrail,
            (false, true) => Verdict::NotNeeded,
            (false, false) if lost => Verdict::Remembers,
            (false, false) => Verdict::Partly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::records::RowResult;

    /// The verdict on an agent with these mean returns: greedy, sampled, scrambled, emptied.
    fn verdict(returns: [f64; 4]) -> Verdict {
        let records = [fixtures::record_with_returns("x", 4, 1, 0, returns)];
        summarize(&records, &fixtures::plan())[0].agents[0].verdict()
    }

    #[test]
    fn verdicts() {
        assert_eq!(verdict([1.0, 0.98, 0.99, 0.02]), Verdict::Remembers);
        assert_eq!(verdict([1.0, 0.98, -0.04, 0.02]), Verdict::ActionTrail);
        assert_eq!(verdict([1.0, 0.98, -0.04, 1.0]), Verdict::ActionTrail);
        assert_eq!(verdict([1.0, 1.0, 1.0, 0.99]), Verdict::NotNeeded);
        assert_eq!(verdict([0.6, 0.5, 0.6, 0.0]), Verdict::Partly);
        assert_eq!(verdict([1.0, 1.0, 1.0, 0.4]), Verdict::Partly);
        assert_eq!(verdict([0.1, 0.0, -0.1, 0.02]), Verdict::Chance);
        // Reliably wrong is not chance: the cue was there.
        assert_eq!(verdict([-1.0, -0.9, -1.0, 0.0]), Verdict::Partly);
        let failed = [fixtures::failed_record("x", 4, 1, 0, "no server")];
        assert_eq!(
            summarize(&failed, &fixtures::plan())[0].agents[0].verdict(),
            Verdict::Failed
        );
    }

    #[test]
    fn a_contender_that_played_by_itself_is_right_and_no_more() {
        let verdict = |greedy: f64| {
            let returns = [greedy, 0.0, 0.0, 0.0];
            let mut record = fixtures::record_with_returns("x", 4, 1, 0, returns);
            if let RowResult::Finished(outcome) = &mut record.result {
                outcome
                    .evaluations
                    .retain(|judged| judged.mode == Mode::Greedy);
            }
            let records = [record];
            summarize(&records, &fixtures::plan())[0].agents[0].verdict()
        };
        assert_eq!(verdict(1.0), Verdict::Unexplained);
        assert_eq!(verdict(0.5), Verdict::Partly);
        assert_eq!(verdict(0.05), Verdict::Chance);
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

    /// The verdict on a passive T-maze of 20: random −0.984, memoryless 0.5, best 1.
    fn verdict_in_a_maze(greedy: f64, emptied: f64) -> Verdict {
        let record = fixtures::record_on(
            ("maze", "TMazePassive-v0"),
            &[("corridor_length", 20.into())],
            "x",
            0,
            [greedy, 0.0, emptied],
        );
        summarize(&[record], &fixtures::plan())[0].agents[0].verdict()
    }

    #[test]
    fn verdicts_are_on_the_tasks_own_scale() {
        // 0.95 of the way from −0.984 to 1 is 0.901.
        assert_eq!(verdict_in_a_maze(0.91, -0.98), Verdict::Remembers);
        assert_eq!(verdict_in_a_maze(1.0, 0.5), Verdict::Remembers);
        assert_eq!(verdict_in_a_maze(1.0, 1.0), Verdict::NotNeeded);
        assert_eq!(verdict_in_a_maze(0.89, -0.98), Verdict::Partly);
        assert_eq!(
            verdict_in_a_maze(-0.98, -0.98),
            Verdict::Partly,
            "sampled 0 is above chance"
        );
    }

    #[test]
    fn recalling_seeds_need_both_evaluations() {
        let records = [
            fixtures::record_with_returns("x", 4, 1, 0, [1.0, 1.0, 1.0, 0.0]),
            fixtures::record_with_returns("x", 4, 1, 1, [1.0, 1.0, 0.5, 0.0]),
            fixtures::record_with_returns("x", 4, 1, 2, [0.9, 1.0, 1.0, 0.0]),
        ];
        assert_eq!(
            summarize(&records, &fixtures::plan())[0].agents[0].recalling_seeds(),
            1
        );
    }
}
