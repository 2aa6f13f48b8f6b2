//! Where the numbers of the tables come from: the results of a plan's rows on its tasks.

use super::cells::NOT_MEASURED;
use crate::plan::{AgentRow, Experiment, Plan};
use crate::scores::summary::{AgentSummary, ExperimentSummary};
use crate::scores::verdict::Verdict;

/// A plan and its results.
pub(super) struct Comparison<'a> {
    pub(super) plan: &'a Plan,
    pub(super) summaries: &'a [ExperimentSummary<'a>],
}

impl<'a> Comparison<'a> {
    /// Returns the rows that are compared: those that are not a variant of another.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'a AgentRow> {
        let agents = self.plan.agents.iter();
        agents.filter(|row| row.variant.is_none())
    }

    /// Returns a row's results on a task. Those of the plan's own budget come before others.
    pub(super) fn find(&self, task: &Experiment, row: &AgentRow) -> Option<&'a AgentSummary<'a>> {
        let mut same = self.summaries.iter();
        same.find_map(|summary| {
            let is_same = summary.experiment.name == task.name;
            let mut agents = summary.agents.iter().filter(|_| is_same);
            agents.find(|agent| agent.agent.name == row.name)
        })
    }

    /// Returns a row's results on a task if some seed finished.
    pub(super) fn finished(
        &self,
        task: &Experiment,
        row: &AgentRow,
    ) -> Option<&'a AgentSummary<'a>> {
        let found = self.find(task, row);
        found.filter(|agent| !agent.finished.is_empty())
    }

    /// Returns the text of a cell without a measurement: "not applicable" where the row can play none
    /// of the tasks.
    pub(super) fn missing(&self, row: &AgentRow) -> &'static str {
        let tasks = self.plan.experiments.iter();
        let mut verdicts = tasks.map(|task| Some(self.find(task, row)?.verdict()));
        if verdicts.all(|verdict| verdict == Some(Verdict::NotApplicable)) {
            Verdict::NotApplicable.name()
        } else {
            NOT_MEASURED
        }
    }

    /// Returns the tasks that ask for the same after ever longer delays, shortest first.
    pub(super) fn delay_tasks(&self) -> impl Iterator<Item = (u64, &'a Experiment)> {
        let tasks = self.plan.experiments.iter();
        let same = tasks.filter(|task| task.spec_id == "MemoryTask-v0" && task.shows_cue_first());
        same.filter_map(|task| Some((task.delay()?, task)))
    }
}
