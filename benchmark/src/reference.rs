//! What a return is worth: 0 for random actions, 1 for the best player known that does not see what is hidden.

use env_protocol::Returns;
use environments::registry::{self, Instance};

use crate::plan::Experiment;

/// What players score on a task with its arguments, as the environment itself says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// Of uniformly random actions.
    pub random: f64,
    /// Of the best player known without clairvoyance, or of the clairvoyant where no other is known.
    pub best: f64,
    /// Whether `best` is the clairvoyant's: an upper bound that nobody may reach.
    pub is_bound: bool,
    /// Of the best player that sees the last observation only, where that is known.
    pub memoryless: Option<f64>,
}

impl Reference {
    /// The reference of an experiment's task; `None` when this program's table of environments has no such task, or
    /// nothing is known of its returns, or random actions are as good as any.
    pub fn of(experiment: &Experiment) -> Option<Self> {
        let returns = returns(experiment)?;
        let (random, best) = returns.scale()?;
        Some(Self {
            random,
            best,
            is_bound: returns.best.is_none(),
            memoryless: returns.memoryless,
        })
    }

    /// `(x − random) / (best − random)`: below 0 when worse than random, above 1 when better than the best known.
    pub fn normalise(&self, mean_return: f64) -> f64 {
        (mean_return - self.random) / (self.best - self.random)
    }

    /// What can be earned without memory: the best that sees the last observation only, or random actions where that is
    /// not known.
    pub fn without_memory(&self) -> f64 {
        self.memoryless
            .map_or(self.random, |known| known.max(self.random))
    }

    /// `(x − memoryless) / (best − memoryless)`: 0 for what can be earned without memory, 1 for the best known. Meant for
    /// tasks on which there is something to remember.
    pub fn memory_score(&self, mean_return: f64) -> f64 {
        let floor = self.without_memory();
        (mean_return - floor) / (self.best - floor)
    }

    /// The return that has this memory score.
    pub fn return_at(&self, memory_score: f64) -> f64 {
        let floor = self.without_memory();
        floor + memory_score * (self.best - floor)
    }
}

/// Whether an experiment's task asks for a memory, as the environment itself says. Of one that this program's table lacks
/// it is taken to ask for one.
pub fn needs_memory(experiment: &Experiment) -> bool {
    let instance = registry::instance(&experiment.spec_id, &experiment.kwargs);
    instance
        .and_then(Result::ok)
        .is_none_or(|instance| instance.needs_memory)
}

/// The mean return from which an experiment's task counts as solved, where that is known.
pub fn solved_threshold(experiment: &Experiment) -> Option<f64> {
    instance(experiment)?.solved_threshold
}

/// What players score on an experiment's task; `None` when this program's table of environments has no such task.
fn returns(experiment: &Experiment) -> Option<Returns> {
    Some(instance(experiment)?.returns)
}

fn instance(experiment: &Experiment) -> Option<Instance> {
    registry::instance(&experiment.spec_id, &experiment.kwargs)?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use std::collections::BTreeMap;

    fn of(spec_id: &str, kwargs: BTreeMap<String, serde_json::Value>) -> Option<Reference> {
        let mut experiment = fixtures::experiment(4, 1);
        experiment.spec_id = spec_id.to_owned();
        experiment.kwargs = kwargs;
        Reference::of(&experiment)
    }

    #[test]
    fn scores_by_hand() {
        let maze = of(
            "TMazeDistractors-v0",
            BTreeMap::from([("corridor_length".into(), 10.into())]),
        );
        let maze = maze.unwrap();
        assert_eq!((maze.best, maze.memoryless), (4.0, Some(1.95)));
        assert_eq!(
            [maze.random, maze.best].map(|x| maze.normalise(x)),
            [0.0, 1.0]
        );
        let first = of("RepeatFirst-v0", BTreeMap::new()).unwrap();
        assert_eq!(
            [-1.0, -0.5, 0.25].map(|x| first.normalise(x)),
            [-1.0 / 3.0, 0.0, 0.5]
        );
    }

    #[test]
    fn the_notebooks_task_is_its_own_scale() {
        let task = Reference::of(&fixtures::experiment(32, 1)).unwrap();
        assert_eq!([-1.0, 0.3].map(|x| task.normalise(x)), [-1.0, 0.3]);
        assert_eq!(task.without_memory(), 0.0);
        assert_eq!(task.memory_score(0.3), 0.3);
    }

    #[test]
    fn memory_scores_by_hand() {
        // Random −0.984, memoryless 0.5, best 1.
        let length = BTreeMap::from([("corridor_length".into(), 20.into())]);
        let maze = of("TMazePassive-v0", length).unwrap();
        assert_eq!(maze.without_memory(), 0.5);
        assert_eq!(
            [0.5, 0.75, 1.0, 0.0].map(|x| maze.memory_score(x)),
            [0.0, 0.5, 1.0, -1.0]
        );
        assert_eq!([0.0, 0.5, 1.0].map(|x| maze.return_at(x)), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn what_asks_for_a_memory_is_told_by_its_best_player_without_one() {
        let needs = |spec_id: &str, argument: &str, value: serde_json::Value| {
            let mut experiment = fixtures::experiment(4, 1);
            experiment.spec_id = spec_id.to_owned();
            experiment.kwargs = BTreeMap::from([(argument.to_owned(), value)]);
            needs_memory(&experiment)
        };
        assert!(!needs("BsuiteUmbrellaChain-v0", "chain_length", 20.into()));
        assert!(!needs(
            "BsuiteDiscountingChain-v0",
            "mapping_seed",
            3.into()
        ));
        assert!(!needs("MemoryTask-v0", "delay", 1.into()));
        assert!(needs("MemoryTask-v0", "delay", 2.into()));
        assert!(needs("HigherLower-v0", "level", "easy".into()));
        // Nothing is known of this one without memory, nor of one that is elsewhere.
        assert!(needs("MineSweeper-v0", "level", "easy".into()));
        assert!(needs("Elsewhere-v0", "level", "easy".into()));
    }

    #[test]
    fn a_bound_is_told_and_a_task_without_a_scale_has_none() {
        let decks = BTreeMap::from([("num_decks".into(), 4.into())]);
        assert!(of("HigherLower-v0", decks).unwrap().is_bound);
        assert!(!of("MineSweeper-v0", BTreeMap::new()).unwrap().is_bound);
        // Nothing says which arm is best: random is as good as any.
        assert_eq!(of("BsuiteDiscountingChain-v0", BTreeMap::new()), None);
        assert_eq!(of("Elsewhere-v0", BTreeMap::new()), None);
    }
}
