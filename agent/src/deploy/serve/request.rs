//! Requests for actions, checked against the agent's spaces.

use env_protocol::{Array, Data, ErrorCode, Problem, Space};

use super::lanes::Step;
use super::observations;
use super::wire::ActRequest;
use crate::spaces::actions::Choice;

/// What an agent takes and gives, in terms of the wire.
#[derive(Clone, Debug)]
pub struct Spaces {
    /// Of one lane's observation.
    pub observation: Space,
    /// Of one lane's action.
    pub action: Space,
}

impl Spaces {
    /// The step that a request asks for.
    ///
    /// # Errors
    /// `invalid-observation`, `invalid-action` or `invalid-body`, with the place.
    pub fn step(&self, request: ActRequest, lanes: usize) -> Result<Step, Problem> {
        let is_first = flags(request.is_first, lanes)?;
        let previous_actions = request.previous_actions;
        let previous_rewards = request.previous_rewards;
        Ok(Step {
            observations: observations::rows(&self.observation, request.observations, lanes)?,
            is_first,
            previous_actions: previous_actions
                .map(|actions| self.actions_from_zero(actions, lanes))
                .transpose()?,
            previous_rewards: previous_rewards
                .map(|array| rewards(array, lanes))
                .transpose()?,
            mode: request.mode,
        })
    }

    /// Actions as the action space has them, of actions counted from 0.
    pub fn actions(&self, choices: &[Choice], lanes: usize) -> Array {
        let start = self.start();
        let numbers = choices.iter().map(|&choice| start + i64::from(choice));
        Array::from_i64(self.action_shape(lanes), numbers.collect())
            .expect("one action for each lane")
    }

    fn actions_from_zero(&self, actions: Array, lanes: usize) -> Result<Vec<Choice>, Problem> {
        const POINTER: &str = "/previous_actions";
        let refused = |detail: String, pointer: String| {
            Problem::new(ErrorCode::InvalidAction, detail).at(pointer)
        };
        check_shape(&actions, &self.action_shape(lanes))
            .map_err(|detail| refused(detail, POINTER.into()))?;
        let actions = match actions.into_data() {
            Data::Int64(actions) => actions,
            Data::Uint8(actions) => actions.into_iter().map(i64::from).collect(),
            _ => return Err(refused("actions must be integers".into(), POINTER.into())),
        };
        let choices = match &self.action {
            Space::MultiDiscrete { nvec } => &nvec[..],
            Space::Discrete { n, .. } => std::slice::from_ref(n),
            // No other has been trained on.
            _ => &[],
        };
        let start = self.start();
        let numbered = actions.iter().zip(choices.iter().cycle()).enumerate();
        numbered
            .map(|(i, (&action, &n))| {
                let choice = action.checked_sub(start).filter(|a| (0..n).contains(a));
                let choice = choice.and_then(|choice| Choice::try_from(choice).ok());
                choice.ok_or_else(|| {
                    let detail = format!("{action} is not in {start}..{}", start + n);
                    refused(detail, format!("{POINTER}/{}", i / choices.len()))
                })
            })
            .collect()
    }

    fn action_shape(&self, lanes: usize) -> Vec<usize> {
        [&[lanes], &self.action.shape().unwrap_or_default()[..]].concat()
    }

    /// The least action.
    fn start(&self) -> i64 {
        match self.action {
            Space::Discrete { start, .. } => start,
            _ => 0,
        }
    }
}

fn flags(array: Array, lanes: usize) -> Result<Vec<bool>, Problem> {
    let refused = |detail: String| Problem::new(ErrorCode::InvalidBody, detail).at("/is_first");
    check_shape(&array, &[lanes]).map_err(refused)?;
    match array.into_data() {
        Data::Bool(flags) => Ok(flags),
        other => Err(refused(format!(
            "truth values are needed, not {}",
            other.dtype()
        ))),
    }
}

/// Rewards, which the agent takes as float32.
fn rewards(array: Array, lanes: usize) -> Result<Vec<f64>, Problem> {
    const POINTER: &str = "/previous_rewards";
    let refused =
        |detail: String, pointer: String| Problem::new(ErrorCode::InvalidBody, detail).at(pointer);
    check_shape(&array, &[lanes]).map_err(|detail| refused(detail, POINTER.into()))?;
    let rewards = array.to_f64s();
    match rewards
        .iter()
        .position(|&reward| !(reward as f32).is_finite())
    {
        None => Ok(rewards),
        Some(lane) => {
            let detail = format!("{} is no finite float32", rewards[lane]);
            Err(refused(detail, format!("{POINTER}/{lane}")))
        }
    }
}

fn check_shape(array: &Array, needed: &[usize]) -> Result<(), String> {
    let found = array.shape();
    if found == needed {
        Ok(())
    } else {
        Err(format!("the shape is {found:?}, but {needed:?} is needed"))
    }
}
