//! An environment with an onlooker.

use super::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use crate::spaces::actions::Choice;

/// An environment that tells of every step before it is taken: to move a bar, or to end a long evaluation.
pub struct Watched<'a, F> {
    env: &'a mut dyn VectorEnv,
    before_step: F,
}

impl<'a, F: FnMut() -> Result<(), EnvError>> Watched<'a, F> {
    /// `before_step` is called before every step; a step that it refuses is not taken.
    pub fn new(env: &'a mut dyn VectorEnv, before_step: F) -> Self {
        Self { env, before_step }
    }
}

impl<F: FnMut() -> Result<(), EnvError>> VectorEnv for Watched<'_, F> {
    fn num_envs(&self) -> usize {
        self.env.num_envs()
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn solved_threshold(&mut self) -> Result<Option<f64>, EnvError> {
        self.env.solved_threshold()
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        self.env.reset(request)
    }

    fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
        (self.before_step)()?;
        self.env.step(actions)
    }

    fn oracle(&mut self) -> Result<Vec<Choice>, EnvError> {
        self.env.oracle()
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        self.env.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.env.restore(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::test_task::TestTask;

    #[test]
    fn a_step_that_is_refused_is_not_taken() {
        let mut task = TestTask::new(2, 2);
        let seeded = ResetRequest {
            seeds: Some(vec![1, 2]),
            ..ResetRequest::default()
        };
        let mut steps = 0;
        let mut env = Watched::new(&mut task, || {
            steps += 1;
            if steps == 2 {
                Err(EnvError::Stopped)
            } else {
                Ok(())
            }
        });
        env.reset(&seeded).unwrap();
        assert_eq!(env.step(&[0, 0]).unwrap().terminations, [false; 2]);
        assert!(matches!(env.step(&[0, 0]), Err(EnvError::Stopped)));
        assert_eq!(env.step(&[0, 0]).unwrap().terminations, [true; 2]);
        assert_eq!(steps, 3);
    }
}
