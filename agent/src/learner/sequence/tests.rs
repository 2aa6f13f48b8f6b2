use super::*;
use crate::algorithms;
use crate::env::VectorEnv;
use crate::env::test_task::TestTask;
use crate::experience::{Collection, Collector, Rollout, Source};
use crate::policy::inputs::InputEncoder;
use crate::seeds::{self, LaneSeeds, Role};

/// A small agent that has stored some episodes of 4 steps.
struct Subject {
    policy: Policy,
    learner: Sequences,
    rollout: Rollout,
    rng: Xoshiro256PlusPlus,
}

fn subject(id: &str, set: impl Fn(&mut Hyperparameters)) -> Subject {
    let row = algorithms::find(id).unwrap();
    let mut hyper = (row.defaults)()
        .edited(|collection: &mut Collection| collection.num_steps = 8)
        .edited(|replaying: &mut Replaying| replaying.train_every = 16)
        .edited(|imitation: &mut Imitation| imitation.warmup = 0);
    set(&mut hyper);
    let mut env = TestTask::new(8, 4);
    let encoder = InputEncoder::new(env.observation_space(), env.action_space(), &hyper, false);
    let encoder = encoder.unwrap();
    let mut rng = seeds::generator(0, Role::Agent);
    let mut policy = row.policy(&hyper, &encoder, &mut rng);
    let learner = Sequences::new(&mut LearnerContext {
        policy: &mut policy,
        encoder: &encoder,
        hyper: &hyper,
        rng: &mut rng,
    });
    let seeds = LaneSeeds::training(0, 0..8);
    let mut source = Collector::begin(&mut env, encoder, &policy, &hyper, &[], seeds).unwrap();
    let behaviour = learner.behaviour(0.0);
    let rollout = source
        .collect(&policy, behaviour, &mut rng, usize::MAX)
        .unwrap();
    Subject {
        policy,
        learner,
        rollout,
        rng,
    }
}

impl Subject {
    fn learn(&mut self, rewards: &[f32]) -> Result<Option<Metrics>, Diverged> {
        let experience = Experience {
            rollout: &self.rollout,
            rewards,
            progress: 0.5,
        };
        self.learner
            .learn(&mut self.policy, &experience, &mut self.rng)
    }
}

#[test]
fn episodes_are_drawn_by_their_lengths() {
    let lengths = Lengths::of_episodes([2, 1, 3].into_iter());
    assert_eq!(lengths.total(), 6);
    let found: Vec<_> = (0..6).map(|step| lengths.find(step)).collect();
    assert_eq!(found, [(0, 0), (0, 1), (1, 0), (2, 0), (2, 1), (2, 2)]);
    assert_eq!([0, 1, 2].map(|episode| lengths.of(episode)), [2, 1, 3]);
}

/// Windows over whole episodes begin with the first step; shorter ones anywhere, with the clock there.
#[test]
fn windows_begin_where_acting_begins_them() {
    for window in [4, 3] {
        let mut subject = subject("dt", |hyper| {
            hyper.get_mut::<Context>().unwrap().memory_window = window;
        });
        let rewards = subject.rollout.rewards.clone();
        subject.learn(&rewards).unwrap();
        let Subject {
            policy,
            learner,
            rng,
            ..
        } = &mut subject;
        let lengths = Lengths::of_episodes(learner.replay.lengths());
        let windows = learner.draw(&lengths, rng);
        let first: Vec<usize> = windows.iter().map(|window| window.first).collect();
        assert_eq!(first.iter().any(|&first| first > 0), window == 3);
        let batch = batch(&learner.replay, policy, &windows);
        assert_eq!(batch.steps, window);
        for (lane, &first) in first.iter().enumerate() {
            assert_eq!(batch.starts[lane], first == 0);
            // A return-to-go is the step's reward and the next return-to-go.
            for row in (lane..batch.weights.len()).step_by(batch.batch) {
                let next = row + batch.batch;
                let follows = next < batch.weights.len() && batch.weights[next] > 0.0;
                if batch.weights[row] > 0.0 && (follows || batch.ends[row]) {
                    let beyond = if follows {
                        batch.returns_to_go[next]
                    } else {
                        0.0
                    };
                    assert_eq!(batch.returns_to_go[row] - beyond, batch.rewards[row]);
                }
            }
        }
    }
}

#[test]
fn the_entropys_weight_grows_below_the_bound_and_shrinks_above() {
    for (share, grows) in [(1.0, true), (0.0, false)] {
        let mut subject = subject("odt", |hyper| {
            let bound = hyper.get_mut::<EntropyBound>().unwrap();
            (bound.entropy_target, bound.entropy_final) = (share, share);
        });
        let weight = subject.learner.bound.as_ref().unwrap().log_weight;
        // Away from chance.
        let logits = subject
            .policy
            .params
            .ids()
            .find(|&id| subject.policy.params.name(id) == "actor.bias");
        subject.policy.params.data_mut(logits.unwrap())[0] = 1.0;
        let before = subject.policy.params.data(weight)[0];
        let rewards = subject.rollout.rewards.clone();
        subject.learn(&rewards).unwrap();
        let after = subject.policy.params.data(weight)[0];
        assert_eq!(after > before, grows, "{before} to {after}");
        assert!(after.exp() > 0.0);
    }
}

/// Rewards without bound.
#[test]
fn an_update_that_diverges_changes_nothing() {
    for id in ["dt", "odt"] {
        let mut subject = subject(id, |_| {});
        let rewards = subject.rollout.rewards.clone();
        assert!(subject.learn(&rewards).unwrap().is_some());
        let before = (subject.policy.params.export(), subject.learner.export());
        let poison = vec![f32::INFINITY; rewards.len()];
        assert!(subject.learn(&poison).is_err());
        let after = (subject.policy.params.export(), subject.learner.export());
        assert!(before.0 == after.0 && before.1.adam == after.1.adam, "{id}");
        assert_eq!(subject.learner.counts.updates, 4, "{id}");
    }
}

#[test]
fn a_larger_replay_than_its_bounds_is_never_kept() {
    let mut subject = subject("dt", |hyper| {
        let replaying = hyper.get_mut::<Replaying>().unwrap();
        (replaying.replay_steps, replaying.replay_bytes) = (24, 1 << 16);
    });
    let rewards = subject.rollout.rewards.clone();
    for _ in 0..3 {
        subject.learn(&rewards).unwrap();
        assert!(subject.learner.replay.lengths().sum::<usize>() <= 24);
        assert!(subject.learner.replay.bytes() <= 1 << 16);
    }
}
