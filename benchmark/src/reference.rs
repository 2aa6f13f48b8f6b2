//! What a return is worth: 0 for random actions, 1 for the best player known that does not see what is hidden.

use env_server::environments::registry;

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
        let instance = registry::instance(&experiment.spec_id, &experiment.kwargs)?.ok()?;
        let returns = instance.returns;
        let reference = Self {
            random: returns.random?,
            best: returns.best.or(returns.oracle)?,
            is_bound: returns.best.is_none(),
            memoryless: returns.memoryless,
        };
        (reference.best > reference.random).then_some(reference)
    }

    /// `(x − random) / (best − random)`: below 0 when worse than random, above 1 when better than the best known.
    pub fn normalise(&self, mean_return: f64) -> f64 {
        (mean_return - self.random) / (self.best - self.random)
    }

    /// The normalised score that needs no memory: 0 (random) where the memoryless player's is not known.
    pub fn without_memory(&self) -> f64 {
        self.memoryless
            .map_or(0.0, |score| self.normalise(score).max(0.0))
    }
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
