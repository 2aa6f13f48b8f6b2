//! Judging a trained agent: whether it remembers or is merely lucky, and how far beyond its
//! training.

use std::sync::atomic::{AtomicBool, Ordering};

use agent::algorithms;
use agent::env::remote::{RemoteVectorEnv, RetryPolicy, Token};
use agent::env::{EnvError, ResetRequest, VectorEnv, Watched};
use agent::evaluate::inspect::{MAX_STEPS, record_episode};
use agent::evaluate::{EvaluateError, EvaluateOptions, EvaluationEnv, Mode, Player};
use agent::run::checkpoint::Checkpoint;
use agent::seeds::{self, Role};
use agent::views::heatmap::EpisodeView;
use serde_json::{Map, Value};

use crate::format::thousands;
use crate::plan::{EvalPlan, Experiment, Job};
use crate::records::outcome::{EvaluationRecord, MemoryView, cue_attention};
use crate::run::progress::JobProgress;

/// Most steps that a memory view keeps: a figure has no room for more.
const VIEW_COLUMNS: usize = 256;

/// Most cells of a memory view, slots × steps: of many slots fewer steps are kept, so that records and pages stay small.
const VIEW_CELLS: usize = 16 * VIEW_COLUMNS;

/// Number of seeds to try for an episode with a visible cue; fair cues need two on average.
const CUE_SEARCH: u64 = 64;

/// A delay to judge at, with the episodes and the modes.
pub(crate) struct Judgement<'a> {
    /// The delay; `None` for a task without one.
    pub(crate) delay: Option<u64>,
    /// Episodes in each mode.
    pub(crate) episodes: u64,
    /// The modes: how the agent acts, and how its memory is restricted.
    pub(crate) modes: &'a [Mode],
}

/// Returns how an experiment's contenders are judged: in every mode at its own delay, and in the
/// plan's at its further ones, the shortest first.
pub(crate) fn judgements(experiment: &Experiment) -> Vec<Judgement<'_>> {
    let own = experiment.delay();
    let plan = &experiment.eval;
    let mut delays = plan.delays.clone();
    delays.retain(|&delay| Some(delay) != own);
    delays.sort_unstable();
    let further = delays.into_iter().map(|delay| Judgement {
        delay: Some(delay),
        episodes: plan.episodes_at(delay),
        modes: &plan.delay_modes,
    });
    let at_own = Judgement {
        delay: own,
        episodes: plan.episodes,
        modes: &Mode::ALL,
    };
    std::iter::once(at_own).chain(further).collect()
}

/// Returns whether a shorter delay of these results earned less than the plan's floor, so that this one is not judged.
pub(crate) fn is_out_of_reach(
    plan: &EvalPlan,
    delay: Option<u64>,
    results: &[EvaluationRecord],
) -> bool {
    let Some((floor, delay)) = plan.delay_floor.zip(delay) else {
        return false;
    };
    results.iter().any(|result| {
        result.mode == Mode::Greedy
            && result.delay.is_some_and(|shorter| shorter < delay)
            && result.mean_return < floor
    })
}

/// The results of judging an agent.
pub struct Judged {
    /// The evaluations.
    pub evaluations: Vec<EvaluationRecord>,
    /// Contents of the memory during one greedy episode, if it has slots.
    pub memory_view: Option<MemoryView>,
    /// Share of attention on the cue in the last step of that episode, if it is known.
    pub cue_attention: Option<f64>,
}

/// A trained agent and the job that it is judged for.
pub struct Judge<'a> {
    /// The job in which it was trained.
    pub job: &'a Job,
    /// The token for the job's server.
    pub token: Option<&'a Token>,
    /// The agent's last checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// Displays the progress of judging.
    pub progress: &'a JobProgress,
    /// Ends judging with [`EnvError::Stopped`].
    pub stop: &'a AtomicBool,
}

impl Judge<'_> {
    /// Evaluates according to [`judgements`], and records the memory through one episode.
    ///
    /// # Errors
    /// When the environment refuses a request, or judging is stopped.
    pub fn judge(&self) -> Result<Judged, EvaluateError> {
        let player = Player::new(self.checkpoint)?;
        let mut evaluations = Vec::new();
        let experiment = &self.job.experiment;
        for judgement in judgements(experiment) {
            if is_out_of_reach(&experiment.eval, judgement.delay, &evaluations) {
                continue;
            }
            evaluations.extend(self.evaluate(&player, &judgement)?);
        }
        let episode = self.episode(&player)?;
        let view = episode.as_ref().and_then(MemoryView::from_episode);
        let hyper = &self.checkpoint.config.hyper;
        let window = algorithms::find(&self.checkpoint.config.algorithm)
            .ok()
            .and_then(|algorithm| algorithm.window_setting())
            .and_then(|setting| hyper.to_map().get(setting)?.as_u64());
        let window = window.map(|length| length as usize);
        Ok(Judged {
            evaluations,
            memory_view: view.map(|view| {
                let columns = VIEW_CELLS / view.slots.max(1);
                view.thinned(columns.min(VIEW_COLUMNS))
            }),
            cue_attention: episode.and_then(|episode| cue_attention(&episode, window)),
        })
    }

    fn evaluate(
        &self,
        player: &Player,
        judgement: &Judgement<'_>,
    ) -> Result<Vec<EvaluationRecord>, EvaluateError> {
        let &Judgement {
            delay,
            episodes,
            modes,
        } = judgement;
        let EvaluationEnv {
            mut env,
            judged_step,
            episode_steps,
            episodes_per_lifetime,
            shows_cue_first,
        } = self.connect(delay, episodes)?;
        let mut records = Vec::new();
        for &mode in modes.iter().filter(|mode| mode.is_possible(judged_step)) {
            let label = label(delay, mode);
            match episode_steps {
                Some(steps) => self
                    .progress
                    .phase_of(&label, steps * episodes_per_lifetime as u64),
                None => self.progress.phase(&label),
            }
            let options = EvaluateOptions {
                episodes: episodes as usize,
                seed: self.job.seed,
                mode,
                balanced: shows_cue_first,
                judged_step,
                episodes_per_lifetime,
            };
            let evaluation = player.evaluate(&mut self.watched(&mut env), &options)?;
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

    /// Returns one greedy episode with the contents of the memory, if it is short enough to keep.
    fn episode(&self, player: &Player) -> Result<Option<EpisodeView>, EvaluateError> {
        let EvaluationEnv {
            mut env,
            episode_steps,
            ..
        } = self.connect(self.job.experiment.delay(), 1)?;
        if episode_steps.is_some_and(|steps| steps > MAX_STEPS) {
            return Ok(None);
        }
        self.progress.phase("recording the memory");
        let seed = self.seed_of_a_visible_cue(&mut env)?;
        let cue_steps = self.job.experiment.cue_step().into_iter().collect();
        let mut watched = self.watched(&mut env);
        let episode = record_episode(player, &mut watched, seed, String::new(), cue_steps)?;
        Ok(Some(episode))
    }

    /// Returns the first seed, starting at the job's, of an episode whose cue is 1. In EASY tasks a
    /// cue of 0 looks like everything after it, so there would be nothing to show.
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

    /// Connects to environments of the experiment at a delay.
    fn connect(&self, delay: Option<u64>, episodes: u64) -> Result<EvaluationEnv, EnvError> {
        let overrides = delay.map(|delay| ("delay".to_owned(), Value::from(delay)));
        EvaluationEnv::connect(
            &self.checkpoint.config.env,
            &overrides.into_iter().collect(),
            episodes as usize,
            std::slice::from_ref(&self.job.server),
            self.token,
            RetryPolicy::default(),
        )
    }

    /// Wraps an environment: shows the progress of its episodes, and ends them when the run is
    /// stopped. At long delays an evaluation takes minutes.
    fn watched<'a>(&'a self, env: &'a mut RemoteVectorEnv) -> impl VectorEnv + 'a {
        Watched::new(env, || {
            if self.stop.load(Ordering::Relaxed) {
                return Err(EnvError::Stopped);
            }
            self.progress.advance(1);
            Ok(())
        })
    }
}

/// Returns the text to show while judging.
pub(crate) fn label(delay: Option<u64>, mode: Mode) -> String {
    match delay {
        Some(delay) => format!("judging {mode}, delay {}", thousands(delay)),
        None => format!("judging {mode}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(delay: u64, mode: Mode, mean_return: f64) -> EvaluationRecord {
        EvaluationRecord {
            delay: Some(delay),
            mode,
            mean_return,
            std_return: 0.0,
            episodes: 2,
        }
    }

    #[test]
    fn only_delays_beyond_a_greedy_return_below_the_floor_are_out_of_reach() {
        let plan = EvalPlan {
            delay_floor: Some(0.0),
            ..EvalPlan::default()
        };
        let results = [
            result(256, Mode::Greedy, -0.1),
            result(64, Mode::Emptied, -0.5),
            result(64, Mode::Greedy, 0.0),
        ];
        let is_out = |plan, delay| is_out_of_reach(plan, delay, &results);
        assert!(is_out(&plan, Some(257)));
        assert!(!is_out(&plan, Some(256)));
        assert!(!is_out(&plan, None));
        assert!(!is_out(&EvalPlan::default(), Some(257)));
        assert!(!is_out_of_reach(&plan, Some(257), &results[1..]));
    }
}
