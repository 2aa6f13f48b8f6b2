use env_protocol::{AutoresetMode, Kwargs, Seed, Value};
use serde_json::json;

use super::*;
use crate::check::{arguments, check_environment};
use crate::tasks::bsuite::discounting_chain::BsuiteDiscountingChain;
use crate::tasks::memory_task::MemoryTask;
use crate::tasks::popgym::battleship::Battleship;
use crate::tasks::popgym::repeat_first::RepeatFirst;
use crate::tasks::tmaze::distractors::TMazeDistractors;
use crate::vector::{Reset, VectorEnvironment, VectorOf};
use crate::{Draw, Rng, Script, registry};

fn wrapped<E: Catalogued>(kwargs: serde_json::Value) -> Wrapped<E> {
    Wrapped::new(&arguments::<E>(kwargs)).unwrap()
}

/// Plays actions with scripted draws. Returns the row at the reset and after each action, and the
/// transitions.
fn play<E: Catalogued<Action = i64>>(
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

/// The target is 1, and the second action is the answer. A row holds `is_first`, three numbers of
/// the task, the action and the reward.
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

/// An action of two numbers is shown as two numbers, zeros at the reset.
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

/// A number of a `Box` is shown as it is, rounded to float32; at the reset 0.
#[test]
fn a_real_action_is_shown_as_float32() {
    let kwargs = json!({"previous_action": true});
    let mut vector = vector("PositionOnlyPendulum-v0", kwargs, AutoresetMode::Disabled);
    let shown = |observations: &Value| match observations {
        Value::Dict(parts) => parts["previous_action"].as_array().unwrap().to_f64s(),
        other => panic!("{other:?} is no Dict"),
    };
    assert_eq!(shown(&vector.reset(&Reset::default()).unwrap()), [0.0, 0.0]);
    let batch = vector.step(&[0.1, -2.0]).unwrap();
    assert_eq!(shown(&batch.observations), [f64::from(0.1f32), -2.0]);
    let refusal = vector.step(&[0.0, 2.5]).unwrap_err();
    assert_eq!(refusal.to_string(), "2.5 is not in [-2, 2]");
}

#[test]
fn a_time_limit_truncates() {
    let mut environment = wrapped::<MemoryTask>(json!({"delay": 5, "max_episode_steps": 2}));
    let mut draws = Script::new(vec![Draw::Bit(true)]);
    let (_, transitions) = play(&mut environment, &mut draws, &[0, 0]);
    assert_eq!(transitions[0], Transition::running(0.0));
    assert_eq!(transitions[1], Transition::new(0.0, false, true));
    assert!(!environment.is_running());
    // A task that ends in that step is both terminated and truncated, as in Gymnasium.
    let mut environment = wrapped::<MemoryTask>(json!({"delay": 2, "max_episode_steps": 2}));
    let (_, transitions) = play(
        &mut environment,
        &mut Script::new(vec![Draw::Bit(true)]),
        &[0, 1],
    );
    assert_eq!(transitions[1], Transition::new(1.0, true, true));
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

/// 3,000 numbers that are 0 without noise. The standard deviation of their mean is 0.5 / √3000 =
/// 0.009, and that of their standard deviation is 0.5 / √6000 = 0.0065.
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
    // 4.6 % of a normal distribution are more than two deviations from 0: 137 of 3,000, within five
    // times 11.4.
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

/// Arguments that switch nothing on change no bit of the results and of the saved state.
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

/// An environment's own argument takes precedence over the wrapper of the same name.
#[test]
fn what_an_environment_has_for_itself_is_not_wrapped() {
    let arguments = arguments::<TMazeDistractors>(json!({"max_episode_steps": 30}));
    let own = TMazeDistractors::profile().parameters;
    assert!(!Wrappers::from_arguments(&arguments, &own).unwrap().any());
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

/// Returns whether each lane's observation is the first of its episode.
fn first(observations: &Value) -> Vec<f64> {
    match observations {
        Value::Dict(parts) => parts["is_first"].as_array().unwrap().to_f64s(),
        other => panic!("{other:?} is no Dict"),
    }
}

/// Episodes of one step, in the three autoreset modes.
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
        let observations = next_step.step(&[0.0, 0.0]).unwrap().observations;
        assert_eq!(first(&observations), [expected; 2]);
    }
    let mut same_step = make(AutoresetMode::SameStep);
    for _ in 0..3 {
        let batch = same_step.step(&[0.0, 0.0]).unwrap();
        assert_eq!(first(&batch.observations), [1.0; 2]);
        assert_eq!(first(&batch.infos["final_obs"]), [0.0; 2]);
    }
    let mut disabled = make(AutoresetMode::Disabled);
    assert_eq!(
        first(&disabled.step(&[0.0, 0.0]).unwrap().observations),
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
    assert_eq!(vector.step(&[0.0]).unwrap().terminations, [true]);
    assert!(vector.reset(&reset("frame_skip", 2)).is_err());
}

/// Checks an environment's contract without wrappers, under each of them and under all.
pub(crate) fn keeps_the_contract<E: Catalogued + Pictured>(kwargs: &serde_json::Value) {
    let with = |wrappers: &serde_json::Value| {
        let mut kwargs = kwargs.as_object().unwrap().clone();
        kwargs.extend(wrappers.as_object().unwrap().clone());
        serde_json::Value::Object(kwargs)
    };
    check_environment::<E>(kwargs.clone());
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

/// Returns arguments that make the episodes of a task short, or its draws many. Tasks that are not
/// listed are checked with their default arguments.
fn checked_arguments(spec_id: &str) -> serde_json::Value {
    match spec_id {
        "MemoryTask-v0" => json!({"delay": 9, "difficulty": 1}),
        "BsuiteMemoryLen-v0" => json!({"memory_length": 9}),
        "BsuiteMemorySize-v0" => json!({"num_bits": 3}),
        "BsuiteUmbrellaChain-v0" => json!({"chain_length": 9, "n_distractor": 3}),
        "TMazePassive-v0" => json!({"corridor_length": 5}),
        "TMazeActive-v0" => json!({"corridor_length": 3}),
        "MultiarmedBandit-v0" => json!({"episode_length": 20}),
        "EndlessTMaze-v0" => json!({"num_corridors": 2, "corridor_length": 4}),
        "PersistentRecall-v0" => json!({"delay": 5}),
        "AssociativeRecall-v0" => json!({"delay": 4, "spread": 3, "rewrites": 2, "difficulty": 1}),
        "TMazeDistractors-v0" => json!({"corridor_length": 4}),
        "LabyrinthEscape-v0" | "LabyrinthExplore-v0" => {
            json!({"maze_dims": [6, 8], "episode_length": 40})
        }
        _ => json!({}),
    }
}

/// Every row of the table is checked, in a thread named after its task.
#[test]
fn every_row_of_the_table_keeps_the_contract() {
    let threads = registry::ENTRIES.iter().zip(registry::specs());
    let threads: Vec<_> = threads
        .map(|(entry, spec)| {
            let thread = std::thread::Builder::new().name(spec.id.clone());
            let check = || (entry.check)(&checked_arguments(&spec.id));
            (&spec.id, thread.spawn(check).unwrap())
        })
        .collect();
    let failed = threads
        .into_iter()
        .filter_map(|(id, thread)| thread.join().is_err().then_some(id));
    assert_eq!(failed.collect::<Vec<_>>(), [""; 0]);
}
