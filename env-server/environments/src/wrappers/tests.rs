use env_protocol::{AutoresetMode, Kwargs, Seed, Value};
use serde_json::json;

use super::*;
use crate::check::{arguments, check_environment};
use crate::tasks::bsuite::discounting_chain::BsuiteDiscountingChain;
use crate::tasks::bsuite::memory::{BsuiteMemoryLen, BsuiteMemorySize};
use crate::tasks::bsuite::umbrella_chain::BsuiteUmbrellaChain;
use crate::tasks::memory_task::MemoryTask;
use crate::tasks::persistent_recall::PersistentRecall;
use crate::tasks::popgym::autoencode::Autoencode;
use crate::tasks::popgym::battleship::Battleship;
use crate::tasks::popgym::concentration::Concentration;
use crate::tasks::popgym::count_recall::CountRecall;
use crate::tasks::popgym::higher_lower::HigherLower;
use crate::tasks::popgym::minesweeper::MineSweeper;
use crate::tasks::popgym::multiarmed_bandit::MultiarmedBandit;
use crate::tasks::popgym::repeat_first::RepeatFirst;
use crate::tasks::popgym::repeat_previous::RepeatPrevious;
use crate::tasks::popgym::stateless_cartpole::StatelessCartPole;
use crate::tasks::tmaze::corridor::{TMazeActive, TMazePassive};
use crate::tasks::tmaze::distractors::TMazeDistractors;
use crate::tasks::tmaze::endless::EndlessTMaze;
use crate::vector::{Reset, VectorEnvironment, VectorOf};
use crate::{Rng, Script, registry};

fn wrapped<E: Environment>(kwargs: serde_json::Value) -> Wrapped<E> {
    Wrapped::new(&arguments::<E>(kwargs)).unwrap()
}

/// Plays actions with scripted draws; the row after each, and what it led to.
fn play<E: Environment>(
    environment: &mut Wrapped<E>,
    draws: &mut impl Draws,
    actions: &[i64],
) -> (Vec<Vec<f64>>, Vec<Transition>) {
    let mut row = vec![0.0; environment.observation_space().flat_size()];
    environment.reset(draws, &mut row);
    let mut rows = vec![row.clone()];
    let step = |action: &i64| {
        let transition = environment.step(&[*action], draws, &mut row);
        rows.push(row.clone());
        transition
    };
    let transitions = actions.iter().map(step).collect();
    (rows, transitions)
}

/// The target is 1; the second action is judged. A row is `is_first`, three numbers of the task, the action, the reward.
#[test]
fn extras_by_hand() {
    let kwargs = json!({"delay": 2, "previous_action": true, "previous_reward": true,
                        "is_first": true});
    let mut environment = wrapped::<MemoryTask>(kwargs);
    let mut draws = Script::new(vec![Draw::Bit(true)]);
    let (rows, transitions) = play(&mut environment, &mut draws, &[1, 0]);
    draws.finish().unwrap();
    assert_eq!(
        rows,
        [
            [1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, -1.0],
        ]
    );
    assert_eq!(transitions[1], Transition::terminal(-1.0));
    let Space::Dict { spaces } = environment.observation_space() else {
        panic!("extras stand in a Dict")
    };
    let names: Vec<&str> = spaces.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "is_first",
            "observation",
            "previous_action",
            "previous_reward"
        ]
    );
    assert_eq!(
        spaces["previous_action"],
        Space::Discrete { n: 2, start: 0 }
    );
    assert_eq!(
        spaces["observation"],
        environment.environment.observation_space()
    );
}

/// An action of two numbers, zeros at the reset.
#[test]
fn an_action_of_several_numbers_is_shown_whole() {
    let mut environment = wrapped::<Battleship>(json!({"previous_action": true}));
    let mut row = [9.0; 3];
    let mut rng = Rng::from_seed(1);
    environment.reset(&mut rng, &mut row);
    assert_eq!(row, [0.0; 3]);
    environment.step(&[3, 5], &mut rng, &mut row);
    assert_eq!(row[1..], [3.0, 5.0]);
}

#[test]
fn a_time_limit_truncates() {
    let mut environment = wrapped::<MemoryTask>(json!({"delay": 5, "max_episode_steps": 2}));
    let mut draws = Script::new(vec![Draw::Bit(true)]);
    let (_, transitions) = play(&mut environment, &mut draws, &[0, 0]);
    assert_eq!(transitions[0], Transition::going_on(0.0));
    assert_eq!(transitions[1], Transition::until(0.0, false, true));
    assert!(!environment.is_running());
    // A task that ends in that step is both, as in Gymnasium.
    let mut environment = wrapped::<MemoryTask>(json!({"delay": 2, "max_episode_steps": 2}));
    let (_, transitions) = play(
        &mut environment,
        &mut Script::new(vec![Draw::Bit(true)]),
        &[0, 1],
    );
    assert_eq!(transitions[1], Transition::until(1.0, true, true));
}

/// The arm chosen by action 3 pays once, at frame 30; episodes have 100 frames.
#[test]
fn frames_add_up_and_stop_at_the_end() {
    let kwargs = json!({"mapping_seed": 0, "frame_skip": 30, "max_episode_steps": 9});
    let mut environment = wrapped::<BsuiteDiscountingChain>(kwargs);
    let (rows, transitions) = play(&mut environment, &mut Script::new(vec![]), &[3; 4]);
    let rewards: Vec<f64> = transitions.iter().map(|t| t.reward).collect();
    assert_eq!(rewards, [1.0, 0.0, 0.0, 0.0]);
    assert!(transitions[..3].iter().all(|t| !t.is_end()));
    assert!(transitions[3].terminated);
    let times: Vec<f32> = rows.iter().map(|row| row[1] as f32).collect();
    assert_eq!(times, [0.0, 0.3, 0.6, 0.9, 1.0]);
    let [low, high] = environment.reward_range();
    assert_eq!(low, 0.0);
    assert!((high - 33.0).abs() < 1e-9, "{high}");
}

/// 3,000 numbers that are 0 but for the noise: the mean's standard deviation is 0.5 / √3000 = 0.009, the deviation's
/// 0.5 / √6000 = 0.0065.
#[test]
fn noise_has_the_deviation_it_was_given() {
    let mut environment = wrapped::<MemoryTask>(json!({"delay": 1001, "observation_noise": 0.5}));
    let mut rng = Rng::from_seed(4);
    let (rows, _) = play(&mut environment, &mut rng, &[0; 1000]);
    let numbers = rows[1..].concat();
    let n = numbers.len() as f64;
    assert_eq!(n, 3000.0);
    let mean = numbers.iter().sum::<f64>() / n;
    let deviation = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    assert!(mean.abs() < 0.045, "{mean}");
    assert!((deviation - 0.5).abs() < 0.033, "{deviation}");
    let is_single = |x: &f64| f64::from(*x as f32) == *x;
    assert!(numbers.iter().all(is_single));
    // Of a normal distribution 4.6 % are further from 0 than two deviations: 137 of 3,000, within five times 11.4.
    let far = numbers.iter().filter(|x| x.abs() > 1.0).count();
    assert!(far.abs_diff(137) < 57, "{far}");
}

#[test]
fn only_real_numbers_take_noise() {
    let arguments = arguments::<RepeatFirst>(json!({"observation_noise": 0.1}));
    let error = Wrapped::<RepeatFirst>::new(&arguments).unwrap_err();
    assert_eq!(error.name, "observation_noise");
    let space = wrapped::<MemoryTask>(json!({"observation_noise": 0.1})).observation_space();
    assert_eq!(
        space,
        Space::Box {
            shape: vec![3],
            dtype: Dtype::Float32,
            low: Bound::All(f64::NEG_INFINITY),
            high: Bound::All(f64::INFINITY),
        }
    );
}

#[test]
fn returns_are_those_that_are_known_to_stay() {
    let returns = |wrapper: serde_json::Value| wrapped::<MemoryTask>(wrapper).returns();
    let known = |returns: Returns| {
        [
            returns.random,
            returns.memoryless,
            returns.best,
            returns.oracle,
        ]
    };
    assert_eq!(
        known(returns(json!({"previous_action": true}))),
        [Some(0.0), None, Some(1.0), Some(1.0)]
    );
    assert_eq!(
        known(returns(json!({"observation_noise": 0.5}))),
        [Some(0.0), None, None, Some(1.0)]
    );
    assert_eq!(known(returns(json!({"frame_skip": 2}))), [None; 4]);
}

fn vector(
    spec_id: &str,
    kwargs: serde_json::Value,
    mode: AutoresetMode,
) -> Box<dyn VectorEnvironment> {
    let (entry, spec) = registry::find(spec_id).unwrap();
    let kwargs: Kwargs = serde_json::from_value(kwargs).unwrap();
    let arguments = Arguments::resolve(&spec.parameters, &kwargs).unwrap();
    (entry.vector)(&arguments, 2, mode, &Seed::First(3)).unwrap()
}

/// Arguments that switch nothing on are as good as none, to the bit and in what is saved.
#[test]
fn without_wrappers_nothing_is_wrapped() {
    let off = json!({"frame_skip": 1, "observation_noise": 0.0, "previous_action": false,
                     "previous_reward": false, "is_first": false});
    for spec in registry::specs() {
        let [plain, off] = [json!({}), off.clone()].map(|kwargs| {
            let mut vector = vector(&spec.id, kwargs, AutoresetMode::SameStep);
            let mut seen = vec![vector.reset(&Reset::default()).unwrap()];
            for _ in 0..20 {
                let actions = vector.oracle().unwrap();
                seen.push(vector.step(&actions).unwrap().observations);
            }
            (seen, vector.save())
        });
        assert_eq!(plain, off, "{}", spec.id);
    }
}

/// Its own limit is the older one of that name.
#[test]
fn what_an_environment_has_for_itself_is_not_wrapped() {
    let arguments = arguments::<TMazeDistractors>(json!({"max_episode_steps": 30}));
    let own = TMazeDistractors::profile().parameters;
    assert!(!Wrappers::of(&arguments, &own).unwrap().any());
    for spec in registry::specs() {
        let named = |name: &str| spec.parameters.iter().filter(|p| p.name == name).count();
        for wrapper in Wrappers::parameters() {
            assert_eq!(named(&wrapper.name), 1, "{} of {}", wrapper.name, spec.id);
        }
    }
}

#[test]
fn what_is_out_of_range_is_refused() {
    let (_, spec) = registry::find("MemoryTask-v0").unwrap();
    for (name, value) in [
        ("max_episode_steps", json!(0)),
        ("max_episode_steps", json!(1_000_000_001)),
        ("frame_skip", json!(0)),
        ("frame_skip", json!(101)),
        ("observation_noise", json!(-0.1)),
        ("observation_noise", json!(1e7)),
        ("previous_action", json!(1)),
        ("is_first", json!("yes")),
    ] {
        let kwargs = Kwargs::from([(name.to_owned(), value)]);
        let error = Arguments::resolve(&spec.parameters, &kwargs).unwrap_err();
        assert_eq!(error.name, name);
    }
}

/// Whether each lane's observation is the first of its episode.
fn first(observations: &Value) -> Vec<f64> {
    match observations {
        Value::Dict(parts) => parts["is_first"].as_array().unwrap().to_f64s(),
        other => panic!("{other:?} is no Dict"),
    }
}

/// Episodes of one step, in the three ways of starting over.
#[test]
fn first_observations_are_flagged_however_an_episode_begins() {
    let make = |mode| {
        let kwargs = json!({"delay": 1, "is_first": true});
        let mut vector = vector("MemoryTask-v0", kwargs, mode);
        assert_eq!(first(&vector.reset(&Reset::default()).unwrap()), [1.0, 1.0]);
        vector
    };
    let mut next_step = make(AutoresetMode::NextStep);
    for expected in [0.0, 1.0, 0.0, 1.0] {
        let observations = next_step.step(&[0, 0]).unwrap().observations;
        assert_eq!(first(&observations), [expected; 2]);
    }
    let mut same_step = make(AutoresetMode::SameStep);
    for _ in 0..3 {
        let batch = same_step.step(&[0, 0]).unwrap();
        assert_eq!(first(&batch.observations), [1.0; 2]);
        assert_eq!(first(&batch.infos["final_obs"]), [0.0; 2]);
    }
    let mut disabled = make(AutoresetMode::Disabled);
    assert_eq!(
        first(&disabled.step(&[0, 0]).unwrap().observations),
        [0.0; 2]
    );
    let one = Reset {
        mask: Some(vec![false, true]),
        ..Reset::default()
    };
    assert_eq!(first(&disabled.reset(&one).unwrap()), [0.0, 1.0]);
}

/// An option of a reset reaches the environment inside, and the wrappers stay.
#[test]
fn a_reset_with_options_keeps_the_wrappers() {
    let arguments = arguments::<MemoryTask>(json!({"delay": 9, "is_first": true}));
    let mode = AutoresetMode::Disabled;
    let mut vector = VectorOf::<Wrapped<MemoryTask>>::new(&arguments, 1, mode, &Seed::First(0));
    let vector = vector.as_mut().unwrap();
    let reset = |name: &str, value| Reset {
        kwargs: Kwargs::from([(name.to_owned(), json!(value))]),
        ..Reset::default()
    };
    assert_eq!(first(&vector.reset(&reset("delay", 1)).unwrap()), [1.0]);
    assert_eq!(vector.step(&[0]).unwrap().terminations, [true]);
    assert!(vector.reset(&reset("frame_skip", 2)).is_err());
}

/// Every environment keeps its contract under each wrapper and under all of them.
fn keeps_the_contract<E: Environment>(kwargs: serde_json::Value) {
    let with = |wrappers: &serde_json::Value| {
        let mut kwargs = kwargs.as_object().unwrap().clone();
        kwargs.extend(wrappers.as_object().unwrap().clone());
        serde_json::Value::Object(kwargs)
    };
    let noise = json!({"observation_noise": 0.25});
    let refused = Wrapped::<E>::new(&arguments::<E>(with(&noise))).is_err();
    let plain = E::new(&arguments::<E>(kwargs.clone())).unwrap();
    assert_eq!(refused, !takes_noise(&plain.observation_space()));
    if !refused {
        check_environment::<Wrapped<E>>(with(&noise));
    }
    for wrappers in [
        json!({"max_episode_steps": 7}),
        json!({"frame_skip": 3}),
        json!({"previous_action": true}),
        json!({"previous_reward": true}),
        json!({"is_first": true}),
        json!({"max_episode_steps": 7, "frame_skip": 2, "previous_action": true,
               "previous_reward": true, "is_first": true,
               "observation_noise": if refused { 0.0 } else { 0.25 }}),
    ] {
        check_environment::<Wrapped<E>>(with(&wrappers));
    }
}

macro_rules! contracts {
    ($($name:ident: $environment:ty, $kwargs:tt;)+) => {
        mod contract {
            use super::*;

            $(
                #[test]
                fn $name() {
                    keeps_the_contract::<$environment>(json!($kwargs));
                }
            )+

            #[test]
            fn covers_every_spec() {
                let covered = [$(stringify!($name)),+].len();
                assert_eq!(covered, registry::specs().len());
            }
        }
    };
}

contracts! {
    memory_task: MemoryTask, {"delay": 9, "difficulty": 1};
    bsuite_memory_len: BsuiteMemoryLen, {"memory_length": 9};
    bsuite_memory_size: BsuiteMemorySize, {"num_bits": 3};
    bsuite_umbrella_chain: BsuiteUmbrellaChain, {"chain_length": 9, "n_distractor": 3};
    bsuite_discounting_chain: BsuiteDiscountingChain, {};
    tmaze_passive: TMazePassive, {"corridor_length": 5};
    tmaze_active: TMazeActive, {"corridor_length": 3};
    repeat_first: RepeatFirst, {};
    repeat_previous: RepeatPrevious, {};
    autoencode: Autoencode, {};
    count_recall: CountRecall, {};
    concentration: Concentration, {};
    higher_lower: HigherLower, {};
    multiarmed_bandit: MultiarmedBandit, {"episode_length": 20};
    battleship: Battleship, {};
    minesweeper: MineSweeper, {};
    stateless_cartpole: StatelessCartPole, {};
    endless_tmaze: EndlessTMaze, {"num_corridors": 2, "corridor_length": 4};
    persistent_recall: PersistentRecall, {"delay": 5};
    tmaze_distractors: TMazeDistractors, {"corridor_length": 4};
}
