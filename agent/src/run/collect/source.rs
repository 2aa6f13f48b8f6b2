//! The caller's side: a source of experience whose groups are played by workers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rand_xoshiro::Xoshiro256PlusPlus;
use workers::{Pool, Request, Shared};

use super::call::{Answer, Call, Manner, NAME, Named, Place, Run, Weights, decode, encode};
use super::lanes_of;
use crate::env::EnvError;
use crate::env::remote::{join_snapshots, split_snapshot};
use crate::env::selection::OptionDraw;
use crate::experience::{
    Behaviour, Collection, CollectorState, Limits, Rollout, Source, Spent, drawn,
};
use crate::policy::Policy;
use crate::policy::inputs::InputEncoder;
use crate::run::config::TrainConfig;

/// Workers that play a run's lanes.
#[derive(Clone)]
pub struct Workers {
    /// A pool for each worker, so that a group comes back to the worker that holds it.
    pub pools: Vec<Arc<dyn Pool + Send + Sync>>,
    /// Environment servers that they play on; none: each has one of its own.
    pub servers: Vec<String>,
    /// Called with the reason for every worker that a call has lost, from several threads. The call goes on in another one.
    pub on_lost: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Workers");
        shown.field("pools", &self.pools.len());
        shown.field("servers", &self.servers).finish()
    }
}

/// Lanes that are played by workers.
pub struct RemoteCollector<'a> {
    workers: &'a Workers,
    run: Named,
    collection: Collection,
    draws: Vec<OptionDraw>,
    encoder: InputEncoder,
    decision_width: usize,
    /// Where each group is.
    places: Vec<Named>,
    /// Whether no worker can know where the groups are.
    is_news: bool,
    state: CollectorState,
    spent: Spent,
}

/// A group's part of an answer.
struct Part {
    rollout: Option<Rollout>,
    place: Place,
    named: Named,
}

/// An answer, and how long it took.
struct Answered {
    answer: Answer,
    wall: Duration,
}

impl<'a> RemoteCollector<'a> {
    /// Begins a run whose lanes are dealt into so many groups.
    ///
    /// # Errors
    /// [`EnvError::Worker`]: what the workers could not do.
    pub fn begin(
        workers: &'a Workers,
        groups: usize,
        config: &TrainConfig,
        encoder: InputEncoder,
        policy: &Policy,
    ) -> Result<Self, EnvError> {
        let num_envs = config.hyper.get::<Collection>().num_envs;
        if !(1..=num_envs).contains(&groups) || workers.pools.is_empty() {
            let workers = workers.pools.len();
            return Err(worker(format!(
                "{workers} of them cannot play {num_envs} environments in {groups} groups"
            )));
        }
        let config_text = serde_json::to_string(config).map_err(worker)?;
        let run = Run {
            config: config_text,
            groups,
            servers: workers.servers.clone(),
        };
        let beginning = Named::of(Vec::new());
        let mut collector = Self {
            workers,
            run: Named::of(encode(&run)),
            collection: config.hyper.get(),
            draws: config.env.draws.clone(),
            encoder,
            decision_width: policy.core.decision_width(),
            places: vec![beginning; groups],
            is_news: true,
            state: CollectorState::default(),
            spent: Spent::default(),
        };
        let manner = Manner {
            behaviour: Behaviour::Policy,
            options: None,
        };
        let weights = Shared::new(encode(&Weights::of(policy)));
        let parts = collector.played(&weights, &manner, 0)?;
        collector.move_to(parts);
        Ok(collector)
    }

    /// Plays every group for exactly so many steps.
    fn played(
        &mut self,
        weights: &Shared,
        manner: &Manner,
        steps: usize,
    ) -> Result<Vec<Part>, EnvError> {
        let answers = self.ask(weights, manner, steps, false)?;
        let parts = answers.into_iter().enumerate();
        parts
            .map(|(group, answer)| self.part(group, answer, steps))
            .collect()
    }

    /// Reads a group's part, and checks that it is what was asked for.
    fn part(&self, group: usize, answer: Answer, steps: usize) -> Result<Part, EnvError> {
        let Answer::Played { rollout, place, .. } = answer else {
            return Err(worker("an answer to another call"));
        };
        let lanes = lanes_of(group, self.places.len(), self.collection.num_envs).len();
        let widths = [
            self.encoder.input_size(),
            self.encoder.observation_size(),
            self.encoder.heads().components(),
            self.decision_width,
        ];
        let is_whole = match &rollout {
            Some(rollout) => steps > 0 && rollout.is_whole(steps, lanes, widths),
            None => steps == 0,
        };
        let named = Named::of(place);
        let place: Place = decode("a place", named.as_slice()).map_err(worker)?;
        if !is_whole || place.state.batch() != lanes {
            return Err(worker("a part of other lanes than were asked for"));
        }
        Ok(Part {
            rollout: rollout.map(|rollout| *rollout),
            place,
            named,
        })
    }

    /// Makes the parts' places the current ones; returns the rollouts.
    fn move_to(&mut self, parts: Vec<Part>) -> Vec<Rollout> {
        let (mut rollouts, mut states) = (Vec::new(), Vec::new());
        for (place, part) in self.places.iter_mut().zip(parts) {
            *place = part.named;
            rollouts.extend(part.rollout);
            states.push(part.place.state);
        }
        self.state = CollectorState::join(&states);
        rollouts
    }

    /// Asks all groups at once, each worker for its own one after the other; the answers are in the order of groups.
    fn ask(
        &mut self,
        weights: &Shared,
        manner: &Manner,
        steps: usize,
        until_all_ended: bool,
    ) -> Result<Vec<Answer>, EnvError> {
        let began = Instant::now();
        let groups = self.places.len();
        let workers = self.workers.pools.len().min(groups);
        let call = |group: usize| Call {
            run: self.run.clone(),
            weights: weights.id().to_owned(),
            place: self.places[group].clone(),
            group,
            manner: manner.clone(),
            steps,
            until_all_ended,
        };
        let is_news = self.is_news;
        let of_worker = |number: usize| -> Vec<Result<Answered, EnvError>> {
            let pool = &self.workers.pools[number];
            let own = number * groups / workers..(number + 1) * groups / workers;
            let lost = &*self.workers.on_lost;
            own.map(|group| answered(&**pool, call(group), weights, is_news, lost))
                .collect()
        };
        let of_worker = &of_worker;
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|number| scope.spawn(move || of_worker(number)))
                .collect();
            let joined = threads.into_iter().map(|thread| {
                let gone = |_| vec![Err(worker("a thread that waits for a worker panicked"))];
                thread.join().unwrap_or_else(gone)
            });
            joined.flatten().collect()
        });
        let answers: Vec<Answered> = answers.into_iter().collect::<Result<_, _>>()?;
        self.is_news = false;
        self.spent.add(began.elapsed(), &answers, workers);
        Ok(answers
            .into_iter()
            .map(|answered| answered.answer)
            .collect())
    }
}

impl Spent {
    /// Adds a round of calls: means over the workers, of the time they played and of the rest of their calls.
    fn add(&mut self, wall: Duration, answers: &[Answered], workers: usize) {
        let of = |answer: &Answer| match answer {
            Answer::Ended { seconds, .. } | Answer::Played { seconds, .. } => *seconds,
            Answer::Missing => 0.0,
        };
        let share = 1.0 / workers.max(1) as f64;
        let playing = share * answers.iter().map(|done| of(&done.answer)).sum::<f64>();
        let calls = share
            * answers
                .iter()
                .map(|done| done.wall.as_secs_f64())
                .sum::<f64>();
        self.collecting += playing;
        self.carrying += (calls - playing).max(0.0);
        self.waiting += (wall.as_secs_f64() - calls).max(0.0);
    }
}

/// Makes a call, first without what the worker is thought to hold: the run and its place, unless they are news.
fn answered(
    pool: &dyn Pool,
    whole: Call,
    weights: &Shared,
    is_news: bool,
    on_lost: &dyn Fn(&str),
) -> Result<Answered, EnvError> {
    let began = Instant::now();
    let mut lean = whole.clone();
    if !is_news {
        (lean.run, lean.place) = (whole.run.alone(), whole.place.alone());
    }
    let mut answer = call(pool, &lean, weights, on_lost)?;
    if answer == Answer::Missing {
        answer = call(pool, &whole, weights, on_lost)?;
    }
    if answer == Answer::Missing {
        return Err(worker("it misses what it was sent"));
    }
    Ok(Answered {
        answer,
        wall: began.elapsed(),
    })
}

fn call(
    pool: &dyn Pool,
    call: &Call,
    weights: &Shared,
    on_lost: &dyn Fn(&str),
) -> Result<Answer, EnvError> {
    let request = Request {
        name: NAME.to_owned(),
        body: encode(call),
        checkpoint: None,
        shared: Some(weights.clone()),
    };
    // A stop is for the loop, after the update under way.
    let stop = AtomicBool::new(false);
    let mut on_part = |part: workers::Part<'_>| {
        if let workers::Part::Lost(reason) = part {
            on_lost(reason);
        }
    };
    let done = pool.call(&request, &mut on_part, &stop).map_err(worker)?;
    decode("an answer", &done).map_err(worker)
}

fn worker(error: impl std::fmt::Display) -> EnvError {
    EnvError::Worker {
        detail: error.to_string(),
    }
}

impl Source for RemoteCollector<'_> {
    fn batch(&self) -> usize {
        self.collection.num_envs
    }

    fn is_played(&self) -> bool {
        true
    }

    fn collect(
        &mut self,
        policy: &Policy,
        behaviour: Behaviour,
        rng: &mut Xoshiro256PlusPlus,
        max_steps: usize,
    ) -> Result<Rollout, EnvError> {
        self.spent = Spent::default();
        let began = Instant::now();
        let limits = Limits::of(&self.collection, max_steps);
        let options = drawn(&self.draws, rng);
        let manner = Manner { behaviour, options };
        let weights = Shared::new(encode(&Weights::of(policy)));
        let mut steps = limits.steps;
        if limits.until_all_ended {
            let answers = self.ask(&weights, &manner, steps, true)?;
            let lengths = answers.iter().map(|answer| match answer {
                Answer::Ended { steps, .. } => Ok(*steps),
                _ => Err(worker("an answer to another call")),
            });
            let lengths: Vec<usize> = lengths.collect::<Result<_, _>>()?;
            steps = lengths.into_iter().max().unwrap_or(0).min(limits.steps);
        }
        let parts = self.played(&weights, &manner, steps)?;
        let mut rollout = Rollout::join(&self.move_to(parts));
        rollout.cut_short = limits.cut_short(&rollout);
        // The rest went into making calls and joining their results.
        let known = self.spent.collecting + self.spent.carrying + self.spent.waiting;
        self.spent.carrying += (began.elapsed().as_secs_f64() - known).max(0.0);
        Ok(rollout)
    }

    fn spent(&self) -> Option<Spent> {
        Some(self.spent)
    }

    fn state(&self) -> &CollectorState {
        &self.state
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
        let places = self.places.iter().map(|place| {
            let place: Place = decode("a place", place.as_slice()).map_err(worker)?;
            Ok(place.snapshot)
        });
        let snapshots = places.collect::<Result<Vec<_>, EnvError>>()?;
        join_snapshots(&snapshots)
    }

    fn restore(
        &mut self,
        snapshot: Option<&[u8]>,
        mut state: CollectorState,
    ) -> Result<(), EnvError> {
        let groups = self.places.len();
        // Without the environments' own state only the generators are taken over.
        let snapshots = match snapshot {
            Some(snapshot) => split_snapshot(snapshot)?,
            None => {
                let generators = state.generators;
                state = self.state.clone();
                state.generators = generators;
                split_snapshot(&self.snapshot()?)?
            }
        };
        if snapshots.len() != groups || state.batch() != self.batch() {
            let found = snapshots.len();
            return Err(worker(format!(
                "the state of {found} groups of environments cannot be restored in {groups}"
            )));
        }
        let places = snapshots.into_iter().enumerate().map(|(group, snapshot)| {
            let lanes = lanes_of(group, groups, self.collection.num_envs);
            let state = state.part(lanes);
            Named::of(encode(&Place { snapshot, state }))
        });
        self.places = places.collect();
        self.is_news = true;
        self.state = state;
        Ok(())
    }
}
