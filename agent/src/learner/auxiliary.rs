//! Auxiliary losses: questions that the memory's features must answer while learning. They shape the features and touch
//! nothing else: acting never computes them. A new one is a struct here and a name in the hyper-parameters' table.

use clap::ValueEnum;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::experience::Rollout;
use serde::{Deserialize, Serialize};

use crate::hyper::Hyperparameters;
use crate::hyper::section::section;
use crate::nn::{Activation, Graph, Init, ParamId, Params, Tensor};
use crate::policy::inputs::InputEncoder;
use crate::spaces::actions::ActionHeads;
use crate::spaces::encoder::FirstNumber;

/// Auxiliary prediction tasks that share the memory's features (the reference notebook's `aux_modules`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AuxModule {
    /// Classify the first observation of the episode (rounded) from every later step's features.
    Cue,
    /// Predict the probability that the episode ends with a positive return.
    Confidence,
    /// Predict the next observation.
    NextObservation,
}

section! {
    /// Auxiliary losses.
    pub struct AuxiliaryLosses, overridden by AuxiliaryOverrides {
        /// Auxiliary losses, by comma: `cue`, `confidence`, `next-observation`.
        #[arg(value_enum, value_delimiter = ',', num_args = 0..)]
        aux_modules: Vec<AuxModule> = Vec::new(), |_| true, "cue, confidence, next-observation";
        /// Weight of each auxiliary loss.
        aux_coef: f32 = 0.1, |&v| (0.0..=100.0).contains(&v), "0 to 100";
    }
}

/// Whether a loss asks for the cue, which the encoder of inputs then has to know.
pub fn wants_cue(hyper: &Hyperparameters) -> bool {
    let AuxiliaryLosses { aux_modules, .. } = hyper.get();
    aux_modules.contains(&AuxModule::Cue)
}

/// A question about a rollout's steps.
trait AuxiliaryTask: Send + Sync {
    /// Returns the error of the answers from `features` (`[T*B, feature_size]`), a `(1, 1)` tensor.
    fn loss(&self, graph: &mut Graph<'_>, features: &Tensor, rollout: &Rollout) -> Tensor;
}

/// The questions that an agent is asked, with the parameters that answer them.
pub struct Auxiliary {
    tasks: Vec<Box<dyn AuxiliaryTask>>,
}

impl Auxiliary {
    /// Adds the parameters of `aux_modules` to the agent's.
    pub fn new(
        hyper: &Hyperparameters,
        encoder: &InputEncoder,
        feature_size: usize,
        params: &mut Params,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let mut modules = hyper.get::<AuxiliaryLosses>().aux_modules;
        modules.sort();
        modules.dedup();
        let mut head =
            |name: &str, inputs, outputs| Head::new(name, (inputs, outputs), params, rng);
        let tasks = modules.into_iter().map(|module| -> Box<dyn AuxiliaryTask> {
            match module {
                AuxModule::Cue => {
                    let cue = encoder
                        .cue()
                        .expect("the encoder asks for it as well")
                        .clone();
                    let head = head("cue", feature_size, cue.classes());
                    Box::new(Cue { head, cue })
                }
                AuxModule::Confidence => Box::new(Confidence(head("confidence", feature_size, 2))),
                AuxModule::NextObservation => Box::new(NextObservation {
                    head: head(
                        "next_observation",
                        feature_size + encoder.heads().num_outputs(),
                        encoder.observation_size(),
                    ),
                    heads: encoder.heads().clone(),
                }),
            }
        });
        Self {
            tasks: tasks.collect(),
        }
    }

    /// Returns whether there is no question.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Returns a `(1, 1)` loss for each question.
    pub fn losses(
        &self,
        graph: &mut Graph<'_>,
        features: &Tensor,
        rollout: &Rollout,
    ) -> Vec<Tensor> {
        self.tasks
            .iter()
            .map(|task| task.loss(graph, features, rollout))
            .collect()
    }
}

/// A linear layer.
struct Head(ParamId, ParamId);

impl Head {
    fn new(
        name: &str,
        shape: (usize, usize),
        params: &mut Params,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Self {
        let orthogonal = Init::Orthogonal { gain: 1.0 };
        let weight = params.add(&format!("aux.{name}.weight"), shape, orthogonal, rng);
        let bias = format!("aux.{name}.bias");
        Self(weight, params.add(&bias, (1, shape.1), Init::Zeros, rng))
    }

    fn answer(&self, graph: &mut Graph<'_>, features: &Tensor) -> Tensor {
        graph.linear(features, self.0, Some(self.1), Activation::Identity)
    }
}

/// Which cue did the episode begin with? Classifies the first number of the episode's first observation, rounded, from
/// the features of every later step. Episodes that began before the rollout are left out: their cue is not in it.
struct Cue {
    head: Head,
    cue: FirstNumber,
}

impl AuxiliaryTask for Cue {
    fn loss(&self, graph: &mut Graph<'_>, features: &Tensor, rollout: &Rollout) -> Tensor {
        let (classes, weights) = cues(rollout, &self.cue);
        let logits = self.head.answer(graph, features);
        graph.cross_entropy(&logits, &classes, &weights)
    }
}

/// Returns the class of every row, and 1 for the rows that are asked, 0 for the others.
fn cues(rollout: &Rollout, first: &FirstNumber) -> (Vec<u32>, Vec<f32>) {
    let input_size = rollout.inputs.len() / rollout.starts.len();
    let mut cue_of_lane = vec![None; rollout.batch];
    let mut of_row = |row: usize| {
        let lane = row % rollout.batch;
        if rollout.starts[row] {
            let inputs = &rollout.inputs[row * input_size..][..input_size];
            cue_of_lane[lane] = Some(first.class(inputs));
            (0, 0.0)
        } else {
            cue_of_lane[lane].map_or((0, 0.0), |cue| (cue, 1.0))
        }
    };
    (0..rollout.starts.len()).map(&mut of_row).unzip()
}

/// Will the episode's return be positive? Episodes that the rollout does not hold whole are left out: their return is
/// not known.
struct Confidence(Head);

impl AuxiliaryTask for Confidence {
    fn loss(&self, graph: &mut Graph<'_>, features: &Tensor, rollout: &Rollout) -> Tensor {
        let (classes, weights) = successes(rollout);
        let logits = self.0.answer(graph, features);
        graph.cross_entropy(&logits, &classes, &weights)
    }
}

/// Returns 1 for rows of episodes with a positive return, 0 for others; and 1 for rows of whole episodes, 0 for others.
fn successes(rollout: &Rollout) -> (Vec<u32>, Vec<f32>) {
    let rows = rollout.starts.len();
    let (mut classes, mut weights) = (vec![0; rows], vec![0.0; rows]);
    for lane in 0..rollout.batch {
        let mut begin = None;
        let mut sum = 0.0;
        for row in (lane..rows).step_by(rollout.batch) {
            if rollout.starts[row] {
                (begin, sum) = (Some(row), 0.0);
            }
            sum += rollout.rewards[row];
            if rollout.ends[row]
                && let Some(begin) = begin.take()
            {
                for row in (begin..=row).step_by(rollout.batch) {
                    (classes[row], weights[row]) = (u32::from(sum > 0.0), 1.0);
                }
            }
        }
    }
    (classes, weights)
}

/// What will the action lead to? Predicts the next observation from the features and the action that was taken.
struct NextObservation {
    head: Head,
    heads: ActionHeads,
}

impl AuxiliaryTask for NextObservation {
    fn loss(&self, graph: &mut Graph<'_>, features: &Tensor, rollout: &Rollout) -> Tensor {
        let (rows, width) = (rollout.starts.len(), self.heads.num_outputs());
        let mut actions = vec![0.0; rows * width];
        let taken = rollout.actions.chunks_exact(self.heads.components());
        for (row, action) in actions.chunks_exact_mut(width).zip(taken) {
            self.heads.mark(action, row);
        }
        let actions = graph.constant(actions, (rows, width));
        let known = graph.concat_cols(&[features, &actions]);
        let predicted = self.head.answer(graph, &known);
        graph.mse(&predicted, &rollout.next_observations, &vec![1.0; rows])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithms;
    use crate::env::VectorEnv;
    use crate::env::test_task::TestTask;
    use crate::memory::State;
    use crate::nn;
    use crate::policy::Policy;
    use crate::seeds::{self, Role};

    /// One lane: the end of an episode, a whole one of three steps, the beginning of another.
    fn rollout() -> Rollout {
        Rollout {
            steps: 6,
            inputs: [
                [1.0, 9.0],
                [3.0, 9.0],
                [5.0, 9.0],
                [5.0, 9.0],
                [2.0, 9.0],
                [5.0, 9.0],
            ]
            .concat(),
            starts: vec![false, true, false, false, true, false],
            ends: vec![true, false, false, true, false, false],
            rewards: vec![5.0, -1.0, 0.0, 3.0, 1.0, 1.0],
            actions: vec![0, 1, 0, 1, 0, 1],
            next_observations: vec![0.0; 12],
            ..Rollout::empty(1, State::new(1, Vec::new()))
        }
    }

    #[test]
    fn later_steps_are_asked_for_the_first_observation() {
        let bounds = r#"{"type":"Box","shape":[2],"dtype":"float32","low":1.0,"high":9.0}"#;
        let first = FirstNumber::new(&serde_json::from_str(bounds).unwrap(), 9).unwrap();
        let (classes, weights) = cues(&rollout(), &first);
        assert_eq!(classes, [0, 0, 2, 2, 0, 1]);
        assert_eq!(weights, [0.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn whole_episodes_are_asked_for_their_return() {
        let (classes, weights) = successes(&rollout());
        assert_eq!(classes, [0, 1, 1, 1, 0, 0]);
        assert_eq!(weights, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        let lost = Rollout {
            rewards: vec![5.0, 1.0, 0.0, -1.0, 1.0, 1.0],
            ..rollout()
        };
        assert_eq!(successes(&lost).0, [0; 6]);
    }

    /// A policy, and the questions that a learner adds to it.
    fn policy(aux_modules: Vec<AuxModule>) -> (Policy, Auxiliary) {
        let row = algorithms::find("ppo").unwrap();
        let hyper = (row.defaults)().edited(|losses: &mut AuxiliaryLosses| {
            losses.aux_modules = aux_modules;
        });
        let env = TestTask::new(1, 1);
        let encoder = InputEncoder::new(
            env.observation_space(),
            env.action_space(),
            &hyper,
            wants_cue(&hyper),
        )
        .unwrap();
        let mut rng = seeds::generator(0, Role::Agent);
        let mut policy = row.policy(&hyper, &encoder, &mut rng);
        let feature_size = policy.core.feature_size();
        let params = &mut policy.params;
        let auxiliary = Auxiliary::new(&hyper, &encoder, feature_size, params, &mut rng);
        (policy, auxiliary)
    }

    /// Fresh answers to a two-way question cost ln 2 where the features are zeros; the prediction of ones costs 1.
    #[test]
    fn losses_by_hand() {
        let all = vec![
            AuxModule::Cue,
            AuxModule::Confidence,
            AuxModule::NextObservation,
        ];
        let (policy, auxiliary) = policy(all);
        let rollout = Rollout {
            steps: 2,
            inputs: vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            starts: vec![true, false],
            ends: vec![false, true],
            rewards: vec![0.0, 1.0],
            actions: vec![0, 0],
            next_observations: vec![1.0; 6],
            ..Rollout::empty(1, State::new(1, Vec::new()))
        };
        let mut graph = Graph::inference(&policy.params);
        let features = graph.constant(
            vec![0.0; 2 * policy.core.feature_size()],
            (2, policy.core.feature_size()),
        );
        let losses = auxiliary.losses(&mut graph, &features, &rollout);
        let losses: Vec<f32> = losses.iter().map(|loss| nn::values(loss)[0]).collect();
        assert!((losses[0] - 2.0f32.ln()).abs() < 1e-6);
        assert!((losses[1] - 2.0f32.ln()).abs() < 1e-6);
        let action = policy
            .params
            .names()
            .position(|name| name == "aux.next_observation.weight")
            .unwrap();
        let weight = policy.params.data(policy.params.ids().nth(action).unwrap());
        let row = &weight[policy.core.feature_size() * 3..][..3];
        let expected = row.iter().map(|w| (w - 1.0) * (w - 1.0)).sum::<f32>() / 3.0;
        assert!((losses[2] - expected).abs() < 1e-6);
    }

    #[test]
    fn acting_is_the_same_with_and_without() {
        let all = vec![
            AuxModule::Cue,
            AuxModule::Confidence,
            AuxModule::NextObservation,
        ];
        let [with, without] = [all, Vec::new()].map(|modules| {
            let (policy, _) = policy(modules);
            let mut state = policy.core.initial_state(1);
            let acted = policy.act(&[1.0, 0.5, 0.0], &[true], &mut state, None);
            (nn::values(&acted.logits).to_vec(), acted.values)
        });
        assert_eq!(with, without);
    }
}
