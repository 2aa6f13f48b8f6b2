//! Which part of an agent with slots fails: writing, keeping, finding or acting.
//!
//! A probe plays the same episodes several times, each time with something done for the agent that it would have to do itself.
//! With outside knowledge of the [task](needs) it keeps entries that will be needed, and hands them to the policy when they
//! are. The gain in return tells where it is lost. This is a diagnosis: training and evaluation never do so.

use std::time::Instant;

use serde_json::{Map, Value};

use self::counts::Counts;
use self::episodes::{Episodes, Shares};
use self::needs::Needs;
use self::readout::accuracy;
use self::verdict::{Measured, Verdict};
use crate::env::{EnvError, ResetRequest, VectorEnv};
use crate::evaluate::{EvaluateError, EvaluateOptions, Evaluation, Mode, Player, Tally};
use crate::seeds::{self, Role};

pub mod counts;
mod episodes;
mod intervention;
pub mod needs;
mod readout;
pub mod verdict;

pub use intervention::Intervention;

/// Options of a probe.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// The task, as the server knows it.
    pub spec_id: String,
    /// Its arguments, with the server's defaults filled in.
    pub kwargs: Map<String, Value>,
    /// Episodes, each in an environment of its own; the environment has as many.
    pub episodes: usize,
    /// The episodes come from this and never meet training's.
    pub seed: u64,
    /// Return of the best player known.
    pub best: f64,
    /// Return of the best player without memory.
    pub floor: f64,
}

/// The episodes under an intervention.
#[derive(Clone, Debug)]
pub struct Run {
    /// The help that the agent got.
    pub intervention: Intervention,
    /// Returns, of greedy actions.
    pub evaluation: Evaluation,
    /// Counts of the entries that it needed.
    pub counts: Counts,
}

/// The findings of a probe.
#[derive(Clone, Debug)]
pub struct Probe {
    /// In the order of [`Intervention::ALL`].
    pub runs: Vec<Run>,
    /// Share of needed entries from which a linear readout tells the answer: fitted on one half of the episodes and judged on
    /// the other. `None` if there is nothing to judge.
    pub written: Option<f64>,
    /// The conclusion.
    pub verdict: Verdict,
}

/// Why an agent could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The agent does not fit, or the environment failed.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The agent's memory, or the task.
    #[error("{0}")]
    Refused(String),
}

impl From<EnvError> for ProbeError {
    fn from(error: EnvError) -> Self {
        Self::Evaluate(error.into())
    }
}

impl Player {
    /// Plays the same episodes under each intervention.
    ///
    /// # Errors
    /// A memory or a task that cannot be probed, a task that needs no memory, and what the environment refused.
    pub fn probe(
        &self,
        env: &mut dyn VectorEnv,
        options: &ProbeOptions,
    ) -> Result<Probe, ProbeError> {
        let memory = self.actor.policy().core.probed();
        let memory = memory.map_err(|reason| ProbeError::Refused(reason.into()))?;
        if options.best <= options.floor {
            let reason = "with these arguments a player without memory does as well as any";
            return Err(ProbeError::Refused(reason.into()));
        }
        let of_play = EvaluateOptions {
            episodes: options.episodes,
            seed: options.seed,
            mode: Mode::Greedy,
            balanced: false,
            judged_step: None,
            episodes_per_lifetime: 1,
        };
        self.check(env, &of_play)?;
        let mut runs = Vec::with_capacity(Intervention::ALL.len());
        let (mut written, mut found) = (None, Shares::default());
        for intervention in Intervention::ALL {
            let needs = |_| Needs::new(&options.spec_id, &options.kwargs);
            let needs: Result<Vec<Needs>, String> = (0..options.episodes).map(needs).collect();
            let needs = needs.map_err(ProbeError::Refused)?;
            let mut episodes = Episodes::new(&self.actor, memory, intervention, &found, needs);
            let evaluation = self.follow(env, &mut episodes, options)?;
            match intervention {
                Intervention::AsItIs => {
                    let [fitted, judged] = &episodes.samples;
                    written = accuracy(fitted, judged);
                }
                Intervention::Keep => found = episodes.shares,
                Intervention::Read | Intervention::KeepAndRead => {}
            }
            runs.push(Run {
                intervention,
                evaluation,
                counts: episodes.counts,
            });
        }
        let verdict = measured(&runs, written, options).verdict();
        Ok(Probe {
            runs,
            written,
            verdict,
        })
    }

    /// Plays one episode in each of the environments, and lets a probe choose the actions.
    fn follow(
        &self,
        env: &mut dyn VectorEnv,
        episodes: &mut Episodes<'_>,
        options: &ProbeOptions,
    ) -> Result<Evaluation, ProbeError> {
        let (lanes, began) = (options.episodes, Instant::now());
        let first = seeds::first_environment_seed(options.seed, Role::Evaluation);
        let request = ResetRequest {
            seeds: Some((first..).take(lanes).collect()),
            options: Map::new(),
        };
        let mut observations = env.reset(&request)?.observations;
        let mut carried = self.actor.lanes(lanes);
        let mut starts = vec![true; lanes];
        let mut tally = Tally::new(lanes, 1);
        let mut steps = 0;
        loop {
            let actions = episodes.act(&mut carried, &observations, &starts);
            let reply = env.step(&actions)?;
            let ended = reply.terminations.iter().zip(&reply.truncations);
            let ends: Vec<bool> = ended.map(|(&end, &cut)| end || cut).collect();
            steps += lanes as u64;
            tally.push(&reply.rewards, &ends);
            if tally.all_ended() {
                return Ok(tally.evaluation(Mode::Greedy, steps, began.elapsed()));
            }
            episodes.end(&ends);
            let actor = &self.actor;
            actor.record(&mut carried, &actions, &reply.rewards, &ends);
            (observations, starts) = (reply.observations, ends);
        }
    }
}

/// The measurements of runs in the order of [`Intervention::ALL`].
fn measured(runs: &[Run], written: Option<f64>, options: &ProbeOptions) -> Measured {
    let mean_return = |run: &Run| run.evaluation.mean_return;
    let as_it_is = &runs[0].counts;
    Measured {
        needed: as_it_is.needed(),
        unseen: as_it_is.unseen_share(),
        written,
        kept: as_it_is.all().kept_share(),
        kept_by_force: runs[1].counts.all().kept_share(),
        best_head: as_it_is.all().best_head(),
        found: as_it_is.all().found_share(),
        as_it_is: mean_return(&runs[0]),
        keep: mean_return(&runs[1]),
        read: mean_return(&runs[2]),
        keep_and_read: mean_return(&runs[3]),
        best: options.best,
        floor: options.floor,
    }
}
