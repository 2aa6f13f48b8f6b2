//! Distributions over actions: for each component a categorical over its choices, or a normal distribution of its number,
//! independent given the network's outputs. The log-probability (a density where numbers are among the components) and the
//! entropy of an action are the sums over its components (Huang et al. 2022, "multi-discrete action support" and
//! "independent action components").
//!
//! A row of the network's outputs has, in the order of the components, n logits for a choice and the mean of a number, W
//! numbers together, and behind them the logarithm of the standard deviation of each number, C of them. The deviations do
//! not depend on what is seen (Huang et al. 2022, "state-independent log standard deviation"). Numbers are in the agents'
//! [`Unit`], and not clipped before they are sent: a log-probability is that of the number that was drawn.

use std::ops::Range;

use env_protocol::Space;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::UnsupportedSpace;
use super::components::{Component, Unit, components};
use crate::nn::{self, categorical, normal};

pub use super::components::{Choice, number, of_number};

/// The distribution of one component.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ActionHead {
    /// A categorical one over so many choices.
    Categorical(usize),
    /// A normal one, in this unit.
    Gaussian(Unit),
}

impl ActionHead {
    /// Logits of the component, or 1 for the mean.
    fn width(self) -> usize {
        match self {
            Self::Categorical(choices) => choices,
            Self::Gaussian(_) => 1,
        }
    }
}

/// The distributions of the components of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionHeads {
    heads: Vec<ActionHead>,
    num_outputs: usize,
    num_logits: usize,
}

impl ActionHeads {
    /// The heads of a space's [components].
    ///
    /// # Errors
    /// A space that the agents cannot play.
    ///
    /// [components]: super::components
    pub fn new(space: &Space) -> Result<Self, UnsupportedSpace> {
        let head = |component| match component {
            Component::Choice { n, .. } => ActionHead::Categorical(n),
            Component::Number(unit) => ActionHead::Gaussian(unit),
        };
        Ok(Self::from(
            components(space)?.into_iter().map(head).collect(),
        ))
    }

    fn from(heads: Vec<ActionHead>) -> Self {
        let num_outputs = heads.iter().map(|head| head.width()).sum();
        let is_number = |head: &&ActionHead| matches!(head, ActionHead::Gaussian(_));
        Self {
            num_outputs,
            num_logits: num_outputs + heads.iter().filter(is_number).count(),
            heads,
        }
    }

    /// Components that are choices, of these sizes.
    #[cfg(test)]
    pub(crate) fn of(sizes: &[usize]) -> Self {
        let heads = sizes.iter().map(|&size| ActionHead::Categorical(size));
        Self::from(heads.collect())
    }

    /// Returns the distribution of each component.
    pub fn heads(&self) -> &[ActionHead] {
        &self.heads
    }

    /// Returns the kind of the distribution of each component, as losses take them.
    pub fn kinds(&self) -> Vec<nn::Head> {
        let kind = |head: &ActionHead| match *head {
            ActionHead::Categorical(choices) => nn::Head::Categorical(choices),
            ActionHead::Gaussian(_) => nn::Head::Gaussian,
        };
        self.heads.iter().map(kind).collect()
    }

    /// Number of choices of each component; 1 for a number.
    pub fn sizes(&self) -> Vec<usize> {
        self.heads.iter().map(|head| head.width()).collect()
    }

    /// Whether all components are choices.
    pub fn are_choices(&self) -> bool {
        self.num_numbers() == 0
    }

    /// Components of an action, K.
    pub fn components(&self) -> usize {
        self.heads.len()
    }

    /// Components that are numbers, C.
    pub fn num_numbers(&self) -> usize {
        self.num_logits - self.num_outputs
    }

    /// Logits and means of all components together, W: the width of a layer of outputs, and the numbers by which an action
    /// is [shown](Self::mark).
    pub fn num_outputs(&self) -> usize {
        self.num_outputs
    }

    /// Numbers in a row of the network's outputs: logits and means, and then the log deviations of the numbers, W + C. Of
    /// actions that are choices, the logits.
    pub fn num_logits(&self) -> usize {
        self.num_logits
    }

    /// The columns of each component among logits and means.
    fn columns(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.heads.iter().map(move |head| {
            let first = end;
            end += head.width();
            first..end
        })
    }

    /// Appends an action drawn from a row of outputs, with one uniform draw for a choice and two for a number; returns its
    /// log-probability.
    pub fn sample(
        &self,
        logits: &[f32],
        rng: &mut Xoshiro256PlusPlus,
        actions: &mut Vec<Choice>,
    ) -> f32 {
        let (outputs, mut log_stds) = logits.split_at(self.num_outputs);
        let mut draw = |(head, columns): (&ActionHead, Range<usize>)| {
            let (choice, log_prob) = match head {
                ActionHead::Categorical(_) => categorical::sample(&outputs[columns], rng),
                ActionHead::Gaussian(_) => {
                    let (&log_std, rest) = log_stds.split_first().expect("one for each number");
                    log_stds = rest;
                    let (drawn, log_prob) = normal::sample(outputs[columns.start], log_std, rng);
                    (of_number(drawn), log_prob)
                }
            };
            actions.push(choice);
            log_prob
        };
        let log_probs = self.heads.iter().zip(self.columns()).map(&mut draw);
        log_probs
            .reduce(|sum, log_prob| sum + log_prob)
            .unwrap_or(0.0)
    }

    /// Appends the likeliest action of a row of outputs: the likeliest choices, and the means of numbers.
    pub fn likeliest(&self, logits: &[f32], actions: &mut Vec<Choice>) {
        let likeliest = |(head, columns): (&ActionHead, Range<usize>)| match head {
            ActionHead::Categorical(_) => categorical::argmax(&logits[columns]),
            ActionHead::Gaussian(_) => of_number(logits[columns.start]),
        };
        actions.extend(self.heads.iter().zip(self.columns()).map(likeliest));
    }

    /// Returns the mean over the components of the largest number in each, in a row of action values. For actions that are
    /// choices.
    pub fn best(&self, values: &[f32]) -> f32 {
        let largest =
            |columns: Range<usize>| values[columns].iter().copied().fold(f32::MIN, f32::max);
        self.columns().map(largest).sum::<f32>() / self.components() as f32
    }

    /// Appends an action of chance: any choice, all of them as likely; of numbers any within finite bounds, and elsewhere
    /// one of mean 0 and deviation 1.
    pub fn random(&self, rng: &mut Xoshiro256PlusPlus, actions: &mut Vec<Choice>) {
        let draw = |head: &ActionHead| match head {
            ActionHead::Categorical(choices) => rng.random_range(0..*choices as Choice),
            ActionHead::Gaussian(unit) if unit.half().is_some() => {
                of_number(2.0 * rng.random::<f32>() - 1.0)
            }
            ActionHead::Gaussian(_) => of_number(normal::standard(rng)),
        };
        actions.extend(self.heads.iter().map(draw));
    }

    /// Shows an action in a row of `num_outputs` zeros: a one-hot for each choice, and each number as it is, clipped.
    pub fn mark(&self, action: &[Choice], row: &mut [f32]) {
        let components = self.heads.iter().zip(self.columns());
        for ((head, columns), &choice) in components.zip(action) {
            match head {
                ActionHead::Categorical(_) => row[columns.start + choice as usize] = 1.0,
                ActionHead::Gaussian(unit) => row[columns.start] = unit.clip(number(choice)),
            }
        }
    }

    /// Returns an action as people read it: choices counted from 0, and numbers in their unit, clipped.
    pub fn readable(&self, action: &[Choice]) -> Vec<f32> {
        let components = self.heads.iter().zip(action);
        let read = |(head, &choice): (&ActionHead, &Choice)| match head {
            ActionHead::Categorical(_) => choice as f32,
            ActionHead::Gaussian(unit) => unit.clip(number(choice)),
        };
        components.map(read).collect()
    }

    /// Returns the columns of an action's choices in a row of logits. For actions that are choices.
    pub fn chosen<'a>(&'a self, action: &'a [Choice]) -> impl Iterator<Item = usize> + 'a {
        let choices = self.columns().zip(action);
        choices.map(|(columns, &choice)| columns.start + choice as usize)
    }

    /// Returns what an action is worth that `choosing` likes best, as `values` tell: the mean over the components
    /// (Tavakoli et al. 2018, arXiv:1711.08946, eq. 6). Both are rows of action values. For actions that are choices.
    pub fn worth(&self, choosing: &[f32], values: &[f32]) -> f32 {
        let best = |columns: Range<usize>| {
            let first = columns.start;
            values[first + categorical::argmax(&choosing[columns]) as usize]
        };
        self.columns().map(best).sum::<f32>() / self.components() as f32
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
        assert_eq!((heads.sizes(), heads.num_logits()), (vec![4], 4));
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

    /// A choice of two between two numbers: one between −2 and 2, and one without bounds.
    fn mixture() -> ActionHeads {
        let number = |low: &str, high: &str| {
            format!(r#"{{"type":"Box","shape":[1],"dtype":"float32","low":{low},"high":{high}}}"#)
        };
        heads(&format!(
            r#"{{"type":"Tuple","spaces":[{},{{"type":"Discrete","n":2}},{}]}}"#,
            number("-2.0", "2.0"),
            number(r#""-Infinity""#, r#""Infinity""#)
        ))
        .unwrap()
    }

    #[test]
    fn numbers_have_a_mean_and_a_deviation_behind_all_means_and_logits() {
        let mixture = mixture();
        assert_eq!((mixture.sizes(), mixture.components()), (vec![1, 2, 1], 3));
        assert_eq!((mixture.num_outputs(), mixture.num_logits()), (4, 6));
        assert!(!mixture.are_choices() && pair().are_choices());
        let mut actions = Vec::new();
        mixture.likeliest(&[1.5, 0.0, 3.0, -7.0, 0.0, 0.0], &mut actions);
        assert_eq!(actions, [of_number(1.5), 1, of_number(-7.0)]);
        let mut row = [0.0; 4];
        mixture.mark(&actions, &mut row);
        assert_eq!(row, [1.0, 0.0, 1.0, -7.0]);
        assert_eq!(mixture.readable(&actions), [1.0, 1.0, -7.0]);
    }

    /// Of deviations ½ and 2. A log-probability is that of what was drawn, whether or not it will be clipped.
    #[test]
    fn samples_of_numbers_have_their_means_deviations_and_densities() {
        let mut rng = seeds::generator(0, Role::Agent);
        let outputs = [0.5, 0.0, 0.0, -3.0, 0.5f32.ln(), 2.0f32.ln()];
        let draws = 20_000;
        let mut sums = [0.0f64; 4];
        for _ in 0..draws {
            let mut action = Vec::new();
            let log_prob = mixture().sample(&outputs, &mut rng, &mut action);
            let apart = [
                (number(action[0]) - 0.5) / 0.5,
                (number(action[2]) + 3.0) / 2.0,
            ];
            // ln ½ of the choice; the deviations' product is 1.
            let tau = std::f32::consts::TAU;
            let expected = 0.5f32.ln() - tau.ln() - 0.5 * apart.map(|z| z * z).iter().sum::<f32>();
            assert!((log_prob - expected).abs() < 1e-4, "{log_prob}, {expected}");
            for (i, z) in apart.map(f64::from).into_iter().enumerate() {
                sums[2 * i] += z;
                sums[2 * i + 1] += z * z;
            }
        }
        // Five standard deviations of the means of z and z².
        for sums in sums.chunks(2) {
            let [mean, square] = [sums[0], sums[1]].map(|sum| sum / f64::from(draws));
            assert!(
                mean.abs() < 0.036 && (square - 1.0).abs() < 0.051,
                "{sums:?}"
            );
        }
    }

    /// What `scripts/parity/gaussian_policy.py` recorded: log-probabilities and entropies of a number, a choice and a number.
    #[derive(serde::Deserialize)]
    struct Recorded {
        outputs: Vec<Vec<f32>>,
        numbers: Vec<[f32; 2]>,
        choices: Vec<Choice>,
        log_probs: Vec<f32>,
        entropies: Vec<f32>,
    }

    #[test]
    fn they_are_those_of_scipy() {
        let recorded = include_str!("../../tests/parity/gaussian_policy.json");
        let recorded: Recorded = serde_json::from_str(recorded).unwrap();
        let number =
            |bounds: &str| format!(r#"{{"type":"Box","shape":[],"dtype":"float32",{bounds}}}"#);
        let heads = heads(&format!(
            r#"{{"type":"Tuple","spaces":[{},{{"type":"Discrete","n":3}},{}]}}"#,
            number(r#""low":-1.0,"high":1.0"#),
            number(r#""low":"-Infinity","high":"Infinity""#),
        ))
        .unwrap();
        let params = nn::Params::new();
        for (row, outputs) in recorded.outputs.iter().enumerate() {
            let [first, second] = recorded.numbers[row].map(of_number);
            let mut graph = nn::Graph::inference(&params);
            let logits = graph.constant(outputs.clone(), (1, heads.num_logits()));
            let value = graph.constant(vec![0.0], (1, 1));
            // A ratio of 1 to SciPy's probability is the policy loss of this advantage.
            let batch = nn::PpoBatch {
                heads: &heads.kinds(),
                actions: &[first, recorded.choices[row], second],
                old_log_probs: &[recorded.log_probs[row]],
                advantages: &[-1.0],
                returns: &[0.0],
                old_values: &[0.0],
                weights: &[1.0],
            };
            let coefficients = nn::PpoCoefficients {
                clip_coef: 0.2,
                clip_vloss: false,
                ent_coef: 0.0,
                vf_coef: 0.0,
            };
            let (_, stats) = graph.ppo_loss(&logits, &value, &batch, &coefficients);
            assert!((stats.policy_loss - 1.0).abs() < 3e-5, "{row}: {stats:?}");
            let entropy = recorded.entropies[row];
            assert!(
                (stats.entropy - entropy).abs() < 5e-6,
                "{row}: {stats:?}, {entropy}"
            );
            let of_number = |i: usize, mean: usize| {
                normal::log_density(recorded.numbers[row][i], outputs[mean], outputs[5 + i])
            };
            let mut of_choices = outputs[1..4].to_vec();
            categorical::log_softmax(&mut of_choices, 3);
            let of_choice = of_choices[recorded.choices[row] as usize];
            let sum = of_number(0, 0) + of_choice + of_number(1, 4);
            assert!((sum - recorded.log_probs[row]).abs() < 3e-5, "{row}: {sum}");
        }
    }

    #[test]
    fn random_numbers_are_even_within_finite_bounds() {
        let mut rng = seeds::generator(0, Role::Agent);
        let (mut quarters, mut within) = ([0; 4], 0);
        for _ in 0..8_000 {
            let mut action = Vec::new();
            mixture().random(&mut rng, &mut action);
            let bounded = number(action[0]);
            assert!((-1.0..1.0).contains(&bounded));
            quarters[(2.0 * (bounded + 1.0)) as usize] += 1;
            within += i32::from(number(action[2]).abs() < 1.0);
        }
        // Five standard deviations of a count of 2,000 are 194; 0.6827 of 8,000 are 5,462, and five of theirs 208.
        assert!(
            quarters.iter().all(|n: &i32| n.abs_diff(2_000) < 194),
            "{quarters:?}"
        );
        assert!(within.abs_diff(5_462) < 208, "{within}");
    }
}
