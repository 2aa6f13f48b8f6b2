//! Requests for actions, checked against the agent's spaces.

use env_protocol::{Array, Data, ErrorCode, Problem, Space, Value};

use super::lanes::Step;
use super::observations;
use super::wire::ActRequest;
use crate::spaces::actions::Choice;
use crate::spaces::batches;

/// Spaces of an agent's observations and actions on the wire.
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
                .map(|actions| self.previous_actions(actions, lanes))
                .transpose()?,
            previous_rewards: previous_rewards
                .map(|array| rewards(array, lanes))
                .transpose()?,
            mode: request.mode,
        })
    }

    /// Actions as the action space has them. Numbers are clipped to its bounds.
    pub fn actions(&self, actions: &[Choice], lanes: usize) -> Value {
        batches::to_value(&self.action, actions, lanes)
    }

    fn previous_actions(&self, actions: Value, lanes: usize) -> Result<Vec<Choice>, Problem> {
        const POINTER: &str = "/previous_actions";
        let space = &self.action;
        let actions = observations::fitting(space, actions, lanes, POINTER).and_then(|actions| {
            let actions = batches::from_value(space, actions, lanes);
            actions.map_err(|detail| observations::refused(detail, POINTER))
        });
        actions.map_err(|misfit| misfit.problem(ErrorCode::InvalidAction))
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
