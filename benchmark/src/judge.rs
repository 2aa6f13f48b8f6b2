//! Judges a trained agent: who remembers, who is merely lucky, and how far beyond its training.

use std::sync::atomic::{AtomicBool, Ordering};

use agent::checkpoint::Checkpoint;
use agent::env::remote::{RemoteEnvConfig, RemoteVectorEnv, RetryPolicy};
use agent::env::{EnvError, ResetReply, ResetRequest, Space, StepReply, VectorEnv};
use agent::evaluate::{
    EvaluateError, EvaluateOptions, Mode, Player, evaluation_kwargs, judged_step,
};
use agent::memory::MemoryContents;
use agent::seeds::{self, Role};
use serde_json::{Map, Value};

use crate::contender::{EvaluationMode, EvaluationRecord, Job, MemoryView};
use crate::format::thousands;
use crate::progress::JobProgress;

/// How an agent is judged at delays other than its own: what success against delay shows.
const FURTHER_MODES: [EvaluationMode; 2] = [EvaluationMode::Greedy, EvaluationMode::Scrambled];

/// Steps of the memory view that are kept: a figure has no room for more.
const VIEW_COLUMNS: usize = 256;

/// Episodes among which one with a visible cue is looked for; fair cues need two.
const CUE_SEARCH: u64 = 64;

/// A trained agent and what it is judged for.
pub struct Judge<'a> {
    /// The job it was trained in.
    pub job: &'a Job,
    /// Its last state.
    pub checkpoint: &'a Checkpoint,
    /// Where is shown how far judging is.
    pub progress: &'a JobProgress,
    /// Ends judging with [`EnvError::Stopped`].
    pub stop: &'a AtomicBool,
}

impl Judge<'_> {
    /// Evaluates in every way at the delay of the experiment, greedily and scrambled at its further delays, and looks
    /// into the memory through one episode.
    ///
    /// # Errors
    /// What the environment refused, or that judging was stopped.
    pub fn judge(&self) -> Result<(Vec<EvaluationRecord>, Option<MemoryView>), EvaluateError> {
        let player = Player::new(self.checkpoint)?;
        let plan = &self.job.experiment.eval;
        let own = self.job.experiment.delay();
        let mut evaluations = self.evaluate(&player, own, plan.episodes, &EvaluationMode::ALL)?;
        for &delay in plan.delays.iter().filter(|&&delay| Some(delay) != own) {
            let episodes = plan.delay_episodes;
            evaluations.extend(self.evaluate(&player, Some(delay), episodes, &FURTHER_MODES)?);
        }
        Ok((evaluations, self.memory_view(&player)?))
    }

    fn evaluate(
        &self,
        player: &Player,
        delay: Option<u64>,
        episodes: u64,
        modes: &[EvaluationMode],
    ) -> Result<Vec<EvaluationRecord>, EvaluateError> {
        let kwargs = self.kwargs(delay);
        let judged_step = judged_step(&kwargs);
        let mut env = self.connect(kwargs, episodes)?;
        let mut records = Vec::new();
        // Where nothing says which action is judged, there is none before which to scramble.
        for &mode in modes
            .iter()
            .filter(|&&mode| mode != EvaluationMode::Scrambled || judged_step.is_some())
        {
            env.begin(&label(delay, mode), judged_step);
            let options = EvaluateOptions {
                episodes: episodes as usize,
                seed: self.job.seed,
                mode: agent_mode(mode),
                // The first observation of tasks with a delay is the cue.
                balanced: delay.is_some(),
                judged_step,
            };
            let evaluation = player.evaluate(&mut env, &options)?;
            records.push(EvaluationRecord {
                delay,
                mode,
                mean_return: evaluation.mean_return,
                std_return: evaluation.std_return,
                episodes,
            });
        }
        Ok(records)
    }

    /// What the memory held through one greedy episode, if it has slots.
    fn memory_view(&self, player: &Player) -> Result<Option<MemoryView>, EvaluateError> {
        let delay = self.job.experiment.delay();
        let mut env = self.connect(self.kwargs(delay), 1)?;
        self.progress.phase("looking into the memory");
        let options = EvaluateOptions {
            episodes: 1,
            seed: self.seed_of_a_visible_cue(&mut env)?,
            mode: Mode::Greedy,
            balanced: false,
            judged_step: None,
        };
        let mut columns = Vec::new();
        player.watch(&mut env, &options, |moment| {
            columns.push(moment.memory.clone());
        })?;
        let cue_step = delay.map(|_| 0);
        Ok(view_of(&columns, cue_step).map(|view| view.thinned(VIEW_COLUMNS)))
    }

    /// The first seed, from the job's on, of an episode whose cue is 1: in EASY tasks a cue of 0 looks like everything
    /// after it, and there is nothing to keep.
    fn seed_of_a_visible_cue(&self, env: &mut dyn VectorEnv) -> Result<u64, EnvError> {
        let seeds = self.job.seed..self.job.seed + CUE_SEARCH;
        for seed in seeds {
            let first = seeds::first_environment_seed(seed, Role::Evaluation);
            let request = ResetRequest {
                seeds: Some(vec![first]),
                options: Map::new(),
            };
            if env.reset(&request)?.observations[0] >= 0.5 {
                return Ok(seed);
            }
        }
        Ok(self.job.seed)
    }

    /// The arguments of the experiment, at a delay.
    fn kwargs(&self, delay: Option<u64>) -> Map<String, Value> {
        let overrides = delay.map(|delay| ("delay".to_owned(), Value::from(delay)));
        evaluation_kwargs(
            &self.checkpoint.config.env.kwargs,
            &overrides.into_iter().collect(),
        )
    }

    fn connect(
        &self,
        kwargs: Map<String, Value>,
        episodes: u64,
    ) -> Result<WatchedEnv<'_>, EvaluateError> {
        let env = RemoteVectorEnv::connect(&RemoteEnvConfig {
            servers: vec![self.job.server.clone()],
            spec_id: self.job.experiment.spec_id.clone(),
            kwargs,
            num_envs: episodes as usize,
            retry: RetryPolicy::default(),
        })?;
        Ok(WatchedEnv {
            env,
            progress: self.progress,
            stop: self.stop,
        })
    }
}

fn label(delay: Option<u64>, mode: EvaluationMode) -> String {
    match delay {
        Some(delay) => format!("judging {mode}, delay {}", thousands(delay)),
        None => format!("judging {mode}"),
    }
}

const fn agent_mode(mode: EvaluationMode) -> Mode {
    match mode {
        EvaluationMode::Greedy => Mode::Greedy,
        EvaluationMode::Sampled => Mode::Sampled,
        EvaluationMode::Scrambled => Mode::Scrambled,
        EvaluationMode::Emptied => Mode::Emptied,
    }
}

/// The view of an episode from what the memory held at each step; `None` for a memory without slots.
fn view_of(columns: &[MemoryContents], cue_step: Option<u32>) -> Option<MemoryView> {
    let columns: Vec<_> = columns
        .iter()
        .map(|column| match column {
            MemoryContents::Slots(slots) => Some(slots),
            // Entries that are episodes have no place on an axis of steps.
            MemoryContents::Nothing | MemoryContents::Units(_) | MemoryContents::Episodes(_) => {
                None
            }
        })
        .collect::<Option<_>>()?;
    let cells = || columns.iter().copied().flatten();
    Some(MemoryView {
        slots: columns.first()?.len(),
        steps: (0..columns.len() as u32).collect(),
        cue_step,
        write_step: cells()
            .map(|cell| Some(cell.as_ref()?.written_at))
            .collect(),
        usefulness: cells()
            .map(|cell| cell.map_or(0.0, |entry| entry.usefulness))
            .collect(),
        attention: cells()
            .map(|cell| cell.map_or(0.0, |entry| entry.attention))
            .collect(),
    })
}

/// An environment that shows how far its episodes are, and ends them when the run is stopped: at long delays an
/// evaluation takes minutes.
struct WatchedEnv<'a> {
    env: RemoteVectorEnv,
    progress: &'a JobProgress,
    stop: &'a AtomicBool,
}

impl WatchedEnv<'_> {
    /// Another evaluation begins, whose episodes last until this step, if that is known.
    fn begin(&self, label: &str, last_step: Option<u64>) {
        match last_step {
            Some(last) => self.progress.phase_of(label, last + 1),
            None => self.progress.phase(label),
        }
    }
}

impl VectorEnv for WatchedEnv<'_> {
    fn num_envs(&self) -> usize {
        self.env.num_envs()
    }

    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.env.action_space()
    }

    fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
        self.env.reset(request)
    }

    fn step(&mut self, actions: &[i64]) -> Result<StepReply, EnvError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(EnvError::Stopped);
        }
        self.progress.advance(1);
        self.env.step(actions)
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
    use agent::memory::SlotContents;

    use super::*;

    #[test]
    fn a_view_has_a_column_for_every_step() {
        let entry = |written_at, usefulness, attention| {
            Some(SlotContents {
                written_at,
                usefulness,
                attention,
            })
        };
        let columns = [
            MemoryContents::Slots(vec![entry(0, 2.0, 0.5), None]),
            MemoryContents::Slots(vec![entry(0, 2.0, 0.75), entry(1, -1.0, 0.25)]),
        ];
        let expected = MemoryView {
            slots: 2,
            steps: vec![0, 1],
            cue_step: Some(0),
            write_step: vec![Some(0), None, Some(0), Some(1)],
            usefulness: vec![2.0, 0.0, 2.0, -1.0],
            attention: vec![0.5, 0.0, 0.75, 0.25],
        };
        assert_eq!(view_of(&columns, Some(0)), Some(expected));
        assert_eq!(view_of(&[MemoryContents::Units(vec![0.5])], Some(0)), None);
        assert_eq!(view_of(&[], None), None);
    }
}
