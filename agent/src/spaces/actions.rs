//! Distributions over actions: a categorical for each component, independent given the logits,
//! which stand side by side in one row of the network's output. The log-probability and the entropy
//! of an action are the sums over its components (Huang et al. 2022, "multi-discrete action
//! support").

use std::ops::Range;

use env_protocol::Space;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::UnsupportedSpace;
use crate::nn::categorical;

/// One component of an action: the number of a choice, counted from 0 wherever a `Discrete` starts. An action is one such
/// number for each component; the wire and the terminal have numbers of their own, which [`crate::env`] and what asks
/// for actions convert.
pub type Choice = u32;

/// Most choices of all components together.
const MAX_CHOICES: usize = 65_536;

/// The components of an action. Everywhere in the agents an action is one number for each, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionHeads {
    sizes: Vec<usize>,
    num_logits: usize,
}

impl ActionHeads {
    /// `Discrete` is one component, `MultiDiscrete` one for each position.
    ///
    /// # Errors
    /// Another space, or more than 65,536 choices.
    pub fn new(space: &Space) -> Result<Self, UnsupportedSpace> {
        let choices = match space {
            Space::Discrete { n, .. } => std::slice::from_ref(n),
            Space::MultiDiscrete { nvec } => nvec,
            other => {
                return Err(unsupported(format!(
                    "{other:?}; the agents take Discrete and MultiDiscrete actions"
                )));
            }
        };
        let sizes: Vec<usize> = choices
            .iter()
            .filter_map(|&n| usize::try_from(n).ok())
            .filter(|n| (1..=MAX_CHOICES).contains(n))
            .collect();
        let num_logits = sizes.iter().sum();
        if sizes.is_empty() || sizes.len() < choices.len() || num_logits > MAX_CHOICES {
            return Err(unsupported(format!(
                "{space:?}; the agents choose from 1 to {MAX_CHOICES} actions, of all components together"
            )));
        }
        Ok(Self { sizes, num_logits })
    }

    /// Components of these sizes.
    #[cfg(test)]
    pub(crate) fn of(sizes: &[usize]) -> Self {
        Self {
            sizes: sizes.to_vec(),
            num_logits: sizes.iter().sum(),
        }
    }

    /// Number of choices of each component.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Components of an action, K.
    pub fn components(&self) -> usize {
        self.sizes.len()
    }

    /// Choices of all components together: numbers in a row of logits and in a one-hot action.
    pub fn num_logits(&self) -> usize {
        self.num_logits
    }

    /// The columns of each component in a row of logits.
    fn columns(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.sizes.iter().map(move |size| {
            let first = end;
            end += size;
            first..end
        })
    }

    /// Appends an action drawn from a row of logits, with one uniform draw a component; returns its log-probability.
    pub fn sample(
        &self,
        logits: &[f32],
        rng: &mut Xoshiro256PlusPlus,
        actions: &mut Vec<Choice>,
    ) -> f32 {
        let mut draw = |columns: Range<usize>| {
            let (choice, log_prob) = categorical::sample(&logits[columns], rng);
            actions.push(choice);
            log_prob
        };
        let log_probs = self.columns().map(&mut draw);
        log_probs
            .reduce(|sum, log_prob| sum + log_prob)
            .unwrap_or(0.0)
    }

    /// Appends the likeliest action of a row of logits.
    pub fn likeliest(&self, logits: &[f32], actions: &mut Vec<Choice>) {
        let choices = self.columns().map(|columns| &logits[columns]);
        actions.extend(choices.map(categorical::argmax));
    }

    /// Returns the mean over the components of the largest number in each, in a row of action values.
    pub fn best(&self, values: &[f32]) -> f32 {
        let largest =
            |columns: Range<usize>| values[columns].iter().copied().fold(f32::MIN, f32::max);
        self.columns().map(largest).sum::<f32>() / self.components() as f32
    }

    /// Appends a uniformly drawn action.
    pub fn random(&self, rng: &mut Xoshiro256PlusPlus, actions: &mut Vec<Choice>) {
        let sizes = self.sizes.iter();
        actions.extend(sizes.map(|&size| rng.random_range(0..size as Choice)));
    }

    /// Sets the choices of an action in a row of `num_logits` zeros to 1.
    pub fn mark(&self, action: &[Choice], row: &mut [f32]) {
        self.chosen(action).for_each(|column| row[column] = 1.0);
    }

    /// Returns the columns of an action's choices in a row of logits.
    pub fn chosen<'a>(&'a self, action: &'a [Choice]) -> impl Iterator<Item = usize> + 'a {
        let choices = self.columns().zip(action);
        choices.map(|(columns, &choice)| columns.start + choice as usize)
    }

    /// Returns what an action is worth that `choosing` likes best, as `values` tell: the mean over the components
    /// (Tavakoli et al. 2018, arXiv:1711.08946, eq. 6). Both are rows of action values.
    pub fn worth(&self, choosing: &[f32], values: &[f32]) -> f32 {
        let best = |columns: Range<usize>| {
            let first = columns.start;
            values[first + categorical::argmax(&choosing[columns]) as usize]
        };
        self.columns().map(best).sum::<f32>() / self.components() as f32
    }
}

fn unsupported(detail: String) -> UnsupportedSpace {
    UnsupportedSpace {
        what: "action",
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds::{self, Role};

    fn heads(space: &str) -> Result<ActionHeads, UnsupportedSpace> {
        ActionHeads::new(&serde_json::from_str(space).unwrap())
    }

    fn pair() -> ActionHeads {
        heads(r#"{"type":"MultiDiscrete","nvec":[2,3]}"#).unwrap()
    }

    #[test]
    fn discrete_is_one_component_wherever_it_starts() {
        let heads = heads(r#"{"type":"Discrete","n":4,"start":-7}"#).unwrap();
        assert_eq!((heads.sizes(), heads.num_logits()), (&[4][..], 4));
    }

    #[test]
    fn other_spaces_are_refused() {
        for space in [
            r#"{"type":"MultiBinary","n":2}"#,
            r#"{"type":"Discrete","n":0,"start":0}"#,
            r#"{"type":"Discrete","n":65537,"start":0}"#,
            r#"{"type":"MultiDiscrete","nvec":[]}"#,
            r#"{"type":"MultiDiscrete","nvec":[2,-1]}"#,
            r#"{"type":"MultiDiscrete","nvec":[65536,1]}"#,
        ] {
            let error = heads(space).unwrap_err();
            assert!(
                matches!(error, UnsupportedSpace { what: "action", .. }),
                "{space}: {error}"
            );
        }
    }

    #[test]
    fn each_component_has_its_own_logits() {
        let mut actions = Vec::new();
        pair().likeliest(&[3.0, 1.0, 9.0, 0.0, 10.0], &mut actions);
        assert_eq!(actions, [0, 2]);
        let mut row = [0.0; 5];
        pair().mark(&[1, 2], &mut row);
        assert_eq!(row, [0.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_best_value_is_the_mean_over_the_components() {
        assert_eq!(pair().best(&[-3.0, -1.0, 4.0, 5.0, 2.0]), 2.0);
    }

    /// A component of ¼, ¾ and one of ½, ½, 0: (1, 0) and (1, 1) are drawn three times as often as (0, 0) and (0, 1).
    #[test]
    fn a_log_probability_is_the_sum_over_the_components() {
        let mut rng = seeds::generator(0, Role::Agent);
        let logits = [0.0, 3.0f32.ln(), 5.0, 5.0, f32::NEG_INFINITY];
        let mut counts = [[0; 3]; 2];
        for _ in 0..16_000 {
            let mut action = Vec::new();
            let log_prob = pair().sample(&logits, &mut rng, &mut action);
            let [first, second] = [action[0] as usize, action[1] as usize];
            let expected = [0.25f32, 0.75][first].ln() + 0.5f32.ln();
            assert!((log_prob - expected).abs() < 1e-6, "{action:?}: {log_prob}");
            counts[first][second] += 1;
        }
        // Five standard deviations of a count of 2,000 are 209, of one of 6,000 are 306.
        for (row, expected) in counts.iter().zip([2_000, 6_000]) {
            assert!(
                row[..2].iter().all(|n: &i32| n.abs_diff(expected) < 306),
                "{counts:?}"
            );
            assert_eq!(row[2], 0);
        }
    }

    #[test]
    fn random_actions_are_even_over_all_of_them() {
        let mut rng = seeds::generator(0, Role::Agent);
        let mut counts = [[0; 3]; 2];
        for _ in 0..12_000 {
            let mut action = Vec::new();
            pair().random(&mut rng, &mut action);
            counts[action[0] as usize][action[1] as usize] += 1;
        }
        // Five standard deviations of a count of 2,000 are 204.
        assert!(
            counts
                .as_flattened()
                .iter()
                .all(|n: &i32| n.abs_diff(2_000) < 204),
            "{counts:?}"
        );
    }
}
