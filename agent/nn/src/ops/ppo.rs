//! The loss of proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

use crate::graph::Graph;
use crate::kernels::ppo::{
    Normal, Policy, logits_gradient, normal, normal_gradient, policy, surrogate, weighted_sum,
};
use crate::tensor::{Tensor, shape, values};

/// The kind of distribution that a component of an action has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// A categorical one over so many choices. In a row of outputs it has as many logits.
    Categorical(usize),
    /// A normal one. In a row of outputs it has its mean, and its log deviation behind the means and logits of all
    /// components.
    Gaussian,
}

impl Head {
    /// Numbers of it among the means and logits.
    pub fn width(self) -> usize {
        match self {
            Self::Categorical(choices) => choices,
            Self::Gaussian => 1,
        }
    }
}

/// Experience to learn from, with one value per row of the logits unless noted otherwise.
#[derive(Clone, Copy, Debug)]
pub struct PpoBatch<'a> {
    /// The distribution of each component of an action. A row holds the logits and means of all of them, in their order,
    /// and then the log deviations of the normal ones. A plain action has one component.
    pub heads: &'a [Head],
    /// Actions taken, `[M, K]` for K components: choices, each `0..` its number of them, and the bits of numbers.
    pub actions: &'a [u32],
    /// Log-probabilities of the actions when they were taken, summed over the components.
    pub old_log_probs: &'a [f32],
    /// Advantages, normalised or not as the learner chooses.
    pub advantages: &'a [f32],
    /// Targets for the values.
    pub returns: &'a [f32],
    /// Values when the actions were taken; used only with `clip_vloss`.
    pub old_values: &'a [f32],
    /// Weights of the rows; 0 masks a row.
    pub weights: &'a [f32],
}

/// Coefficients of the loss, under their usual names.
#[derive(Clone, Copy, Debug)]
pub struct PpoCoefficients {
    /// Half the width of the range of ratios, usually 0.2.
    pub clip_coef: f32,
    /// Whether values are clipped around the old values too.
    pub clip_vloss: bool,
    /// Coefficient of the entropy.
    pub ent_coef: f32,
    /// Coefficient of the value loss.
    pub vf_coef: f32,
}

/// Weighted means over the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PpoStats {
    /// `max(-A r, -A clip(r))`.
    pub policy_loss: f32,
    /// `½ (v - R)²`, clipped or not.
    pub value_loss: f32,
    /// Entropy of the policy in nats, summed over the components of an action.
    pub entropy: f32,
    /// `(r - 1) - ln r`, Schulman's low-variance estimate of the divergence from the old policy.
    pub approx_kl: f32,
    /// Share of rows whose ratio is outside the range.
    pub clip_fraction: f32,
}

impl Graph<'_> {
    /// `policy_loss - ent_coef · entropy + vf_coef · value_loss` `[1, 1]`, weighted means over the
    /// rows of `logits` `[M, Σ heads + normal ones]` and `values` `[M, 1]`, with `r = π(a) / π_old(a)` (eq. 7 and
    /// 9; value clipping follows the authors' code). The components of an action are independent
    /// given the logits: `ln π(a)`, a density where numbers are among them, and the entropy are sums
    /// over them. All 0 when every weight is 0.
    pub fn ppo_loss(
        &mut self,
        logits: &Tensor,
        state_values: &Tensor,
        batch: &PpoBatch<'_>,
        coefficients: &PpoCoefficients,
    ) -> (Tensor, PpoStats) {
        let (rows, width) = shape(logits);
        assert_eq!(
            shape(state_values),
            (rows, 1),
            "one value per row of the logits"
        );
        check_lengths(batch, rows, width);
        let total_weight: f32 = batch.weights.iter().sum();
        let factor = if total_weight > 0.0 {
            1.0 / total_weight
        } else {
            0.0
        };
        let weights: Vec<f32> = batch.weights.iter().map(|weight| factor * weight).collect();

        let components = components(values(logits), width, batch);
        let log_ratios = log_ratios(&components, batch.old_log_probs);
        let surrogate = surrogate(&log_ratios, batch.advantages, coefficients.clip_coef);
        let (value_losses, value_slopes) = value_losses(values(state_values), batch, coefficients);
        let mean = |terms: &[f32]| weighted_sum(terms, &weights) as f32;
        let stats = PpoStats {
            policy_loss: mean(&surrogate.loss),
            value_loss: mean(&value_losses),
            entropy: components.iter().map(|c| mean(c.entropy())).sum(),
            approx_kl: mean(&surrogate.kl),
            clip_fraction: mean(&surrogate.clipped),
        };
        let PpoCoefficients {
            ent_coef, vf_coef, ..
        } = *coefficients;
        let loss = stats.policy_loss - ent_coef * stats.entropy + vf_coef * stats.value_loss;
        let loss = self.constant(vec![loss], (1, 1));

        let (logits_key, values_key) = (self.key(logits), self.key(state_values));
        if logits_key.wanted() || values_key.wanted() {
            self.record(&loss, move |d_loss, grads| {
                let weights: Vec<f32> = weights.iter().map(|weight| d_loss[0] * weight).collect();
                let slope = &surrogate.slope;
                let mut d_logits = vec![0.0; rows * width];
                for component in &components {
                    component.gradient(slope, &weights, ent_coef, width, &mut d_logits);
                }
                grads.give(&logits_key, d_logits);
                let pairs = value_slopes.iter().zip(&weights);
                grads.give(
                    &values_key,
                    pairs.map(|(slope, w)| vf_coef * slope * w).collect(),
                );
            });
        }
        (loss, stats)
    }
}

/// One component of the actions: its distribution in every row, and what was taken.
enum Component {
    Categorical { policy: Policy, actions: Vec<u32> },
    Gaussian(Normal),
}

impl Component {
    /// `ln π(a)` of a row.
    fn log_prob(&self, row: usize) -> f32 {
        match self {
            Self::Categorical { policy, actions } => {
                policy.log_probs[actions[row] as usize * actions.len() + row]
            }
            Self::Gaussian(normal) => normal.log_probs[row],
        }
    }

    /// Of each row.
    fn entropy(&self) -> &[f32] {
        match self {
            Self::Categorical { policy, .. } => &policy.entropy,
            Self::Gaussian(normal) => &normal.entropy,
        }
    }

    /// Writes its columns of the gradient.
    fn gradient(
        &self,
        slope: &[f32],
        weights: &[f32],
        ent_coef: f32,
        width: usize,
        d_logits: &mut [f32],
    ) {
        match self {
            Self::Categorical { policy, actions } => {
                logits_gradient(policy, slope, actions, weights, ent_coef, width, d_logits);
            }
            Self::Gaussian(normal) => {
                normal_gradient(normal, slope, weights, ent_coef, width, d_logits);
            }
        }
    }
}

fn components(logits: &[f32], width: usize, batch: &PpoBatch<'_>) -> Vec<Component> {
    let PpoBatch { heads, actions, .. } = batch;
    let (mut end, mut log_stds) = (0, outputs(heads)..);
    let component = |(k, &head): (usize, &Head)| {
        let first = end;
        end += head.width();
        let taken = actions.iter().skip(k).step_by(heads.len()).copied();
        match head {
            Head::Categorical(_) => Component::Categorical {
                policy: policy(logits, width, first..end),
                actions: taken.collect(),
            },
            Head::Gaussian => {
                let log_std = log_stds.next().expect("columns without end");
                let numbers: Vec<f32> = taken.map(f32::from_bits).collect();
                Component::Gaussian(normal(logits, width, (first, log_std), &numbers))
            }
        }
    };
    heads.iter().enumerate().map(component).collect()
}

/// Logits and means of a row.
fn outputs(heads: &[Head]) -> usize {
    heads.iter().map(|head| head.width()).sum()
}

/// `ln π(a) - ln π_old(a)` of each row.
fn log_ratios(components: &[Component], old_log_probs: &[f32]) -> Vec<f32> {
    let (first, others) = components.split_first().expect("at least one component");
    let log_prob = |row| {
        others
            .iter()
            .fold(first.log_prob(row), |sum, other| sum + other.log_prob(row))
    };
    let rows = old_log_probs.iter().enumerate();
    rows.map(|(row, old)| log_prob(row) - old).collect()
}

fn check_lengths(batch: &PpoBatch<'_>, rows: usize, width: usize) {
    let PpoBatch {
        heads,
        actions,
        old_log_probs,
        advantages,
        returns,
        old_values,
        weights,
    } = batch;
    let normal = heads.iter().filter(|head| **head == Head::Gaussian);
    assert_eq!(
        outputs(heads) + normal.count(),
        width,
        "a logit for every choice, and a mean and a log deviation for every number"
    );
    assert!(!heads.is_empty(), "an action has at least one component");
    assert_eq!(
        actions.len(),
        rows * heads.len(),
        "one action per row of the logits"
    );
    let is_choice = |(&action, &head): (&u32, &Head)| match head {
        Head::Categorical(choices) => (action as usize) < choices,
        Head::Gaussian => true,
    };
    assert!(
        actions
            .chunks_exact(heads.len())
            .all(|action| action.iter().zip(*heads).all(is_choice)),
        "an action is not among the {heads:?}"
    );
    for numbers in [old_log_probs, advantages, returns, old_values, weights] {
        assert_eq!(
            numbers.len(),
            rows,
            "every part of a batch has one number per row"
        );
    }
}

/// Returns the value loss of each row and its slope.
fn value_losses(
    state_values: &[f32],
    batch: &PpoBatch<'_>,
    coefficients: &PpoCoefficients,
) -> (Vec<f32>, Vec<f32>) {
    let &PpoCoefficients {
        clip_coef: clip,
        clip_vloss,
        ..
    } = coefficients;
    let rows = state_values.iter().zip(batch.returns).zip(batch.old_values);
    rows.map(|((value, target), old)| {
        let error = value - target;
        let change = value - old;
        let clipped_error = old + change.clamp(-clip, clip) - target;
        if clip_vloss && clipped_error * clipped_error > error * error {
            let slope = if change.abs() < clip {
                clipped_error
            } else {
                0.0
            };
            (0.5 * clipped_error * clipped_error, slope)
        } else {
            (0.5 * error * error, error)
        }
    })
    .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    /// Statistics of three rows with two equally likely actions; the third row is masked.
    fn stats(clip_vloss: bool) -> PpoStats {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let logits = graph.constant(vec![0.0; 6], (3, 2));
        let state_values = graph.constant(vec![1.0, 1.0, 50.0], (3, 1));
        let half = 0.5f32.ln();
        let batch = PpoBatch {
            heads: &[Head::Categorical(2)],
            actions: &[0, 1, 1],
            // Ratios 2 and 1.
            old_log_probs: &[half - 2.0f32.ln(), half, 0.0],
            advantages: &[1.0, -3.0, 9.0],
            returns: &[0.0, 1.5, -9.0],
            old_values: &[0.5, 1.0, 9.0],
            weights: &[3.0, 1.0, 0.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss,
            ent_coef: 0.1,
            vf_coef: 0.5,
        };
        let (loss, stats) = graph.ppo_loss(&logits, &state_values, &batch, &coefficients);
        let expected = stats.policy_loss - 0.1 * stats.entropy + 0.5 * stats.value_loss;
        assert!((values(&loss)[0] - expected).abs() < 1e-6);
        stats
    }

    fn assert_stats(stats: PpoStats, expected: [f32; 5]) {
        let PpoStats {
            policy_loss,
            value_loss,
            entropy,
            approx_kl,
            clip_fraction,
        } = stats;
        let found = [policy_loss, value_loss, entropy, approx_kl, clip_fraction];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{stats:?}");
        }
    }

    #[test]
    fn by_hand() {
        let ln_2 = std::f32::consts::LN_2;
        let policy_loss = 0.75 * -1.2 + 0.25 * 3.0;
        let kl = 0.75 * (1.0 - ln_2);
        let value_loss = 0.75 * 0.5 + 0.25 * 0.125;
        assert_stats(stats(false), [policy_loss, value_loss, ln_2, kl, 0.75]);
        // The first value, clipped to 0.7, would have a smaller error, so the larger error counts.
        assert_stats(stats(true), [policy_loss, value_loss, ln_2, kl, 0.75]);
    }

    #[test]
    fn a_clipped_value_counts_when_its_error_is_larger() {
        let params = Params::new();
        let mut graph = Graph::training(&params);
        let logits = graph.constant(vec![0.0; 2], (1, 2));
        let state_value = graph.constant(vec![1.0], (1, 1));
        let batch = PpoBatch {
            heads: &[Head::Categorical(2)],
            actions: &[0],
            old_log_probs: &[0.5f32.ln()],
            advantages: &[0.0],
            returns: &[1.0],
            old_values: &[0.0],
            weights: &[1.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.25,
            clip_vloss: true,
            ent_coef: 0.0,
            vf_coef: 1.0,
        };
        let (_, stats) = graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
        assert_eq!(stats.value_loss, 0.5 * 0.75 * 0.75);
    }

    /// One component has two equally likely choices, the other has choices of probability ¼, ¼ and
    /// ½. The action (1, 2) has ln π = ln ½ + ln ½. Its old probability was ⅛, so the ratio is 2.
    /// The entropy is ln 2 + 1½ ln 2.
    #[test]
    fn components_by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let ln_2 = std::f32::consts::LN_2;
        let logits = graph.constant(vec![7.0, 7.0, 0.0, 0.0, ln_2], (1, 5));
        let state_value = graph.constant(vec![0.0], (1, 1));
        let batch = PpoBatch {
            heads: &[Head::Categorical(2), Head::Categorical(3)],
            actions: &[1, 2],
            old_log_probs: &[0.125f32.ln()],
            advantages: &[-1.0],
            returns: &[0.0],
            old_values: &[0.0],
            weights: &[1.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: false,
            ent_coef: 0.0,
            vf_coef: 0.0,
        };
        let (_, stats) = graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
        assert_stats(stats, [2.0, 0.0, 2.5 * ln_2, 1.0 - ln_2, 1.0]);
    }

    /// A number and a choice of two. The mean is 1 and the deviation ½; 2 was taken, two deviations away: ln p = −2 + ln 2
    /// − ½ ln 2π. The choice has probability ½. The old log-probability was ln 2 less, so the ratio is 2. The entropy is
    /// ½ ln 2πe − ln 2 + ln 2.
    #[test]
    fn numbers_by_hand() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let ln_2 = std::f32::consts::LN_2;
        let logits = graph.constant(vec![1.0, 7.0, 7.0, -ln_2], (1, 4));
        let state_value = graph.constant(vec![0.0], (1, 1));
        let half_ln_tau = 0.5 * std::f32::consts::TAU.ln();
        let batch = PpoBatch {
            heads: &[Head::Gaussian, Head::Categorical(2)],
            actions: &[2.0f32.to_bits(), 1],
            old_log_probs: &[-2.0 - half_ln_tau - ln_2],
            advantages: &[-1.0],
            returns: &[0.0],
            old_values: &[0.0],
            weights: &[1.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: false,
            ent_coef: 0.0,
            vf_coef: 0.0,
        };
        let (_, stats) = graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
        let entropy = 0.5 + half_ln_tau;
        assert_stats(stats, [2.0, 0.0, entropy, 1.0 - ln_2, 1.0]);
    }

    #[test]
    #[should_panic(expected = "an action is not among the [Categorical(2), Categorical(3)]")]
    fn an_action_of_another_component_is_refused() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let logits = graph.constant(vec![0.0; 5], (1, 5));
        let state_value = graph.constant(vec![0.0], (1, 1));
        let one = &[1.0][..];
        let batch = PpoBatch {
            heads: &[Head::Categorical(2), Head::Categorical(3)],
            actions: &[2, 0],
            old_log_probs: one,
            advantages: one,
            returns: one,
            old_values: one,
            weights: one,
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: false,
            ent_coef: 0.0,
            vf_coef: 0.0,
        };
        graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
    }

    #[test]
    fn without_weights_everything_is_zero() {
        let params = Params::new();
        let mut graph = Graph::inference(&params);
        let logits = graph.constant(vec![1.0, 2.0], (1, 2));
        let state_value = graph.constant(vec![1.0], (1, 1));
        let one = &[1.0][..];
        let batch = PpoBatch {
            heads: &[Head::Categorical(2)],
            actions: &[0],
            old_log_probs: one,
            advantages: one,
            returns: one,
            old_values: one,
            weights: &[0.0],
        };
        let coefficients = PpoCoefficients {
            clip_coef: 0.2,
            clip_vloss: true,
            ent_coef: 0.1,
            vf_coef: 0.5,
        };
        let (loss, stats) = graph.ppo_loss(&logits, &state_value, &batch, &coefficients);
        assert_eq!((values(&loss)[0], stats), (0.0, PpoStats::default()));
    }
}
