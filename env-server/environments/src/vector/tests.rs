//! The three autoreset modes, on an environment whose numbers can be computed by hand.

use env_protocol::{Array, AutoresetMode, LanePhase, Parameter, Returns, Seed, Space, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::check::{arguments, check_environment};
use crate::render::{Tone, to_ansi};
use crate::{Draws, Environment, Profile, Transition};

/// Counts down from `length` and is cut short at 0. Shows `[count, a random bit]`, pays the action.
#[derive(Clone, Serialize, Deserialize)]
struct Countdown {
    length: i64,
    count: i64,
}

impl Catalogued for Countdown {
    fn profile() -> Profile {
        let length = Parameter::integer("length", "", 1, 9, Some(2)).resettable();
        Profile {
            id: "Countdown-v0",
            description: "",
            parameters: vec![length],
            remember: "",
            source: "",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [5.0, 7.0]
    }

    fn returns(&self) -> Returns {
        Returns::default()
    }
}

impl Environment for Countdown {
    type Element = i64;
    type Action = i64;

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete { nvec: vec![10, 2] }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 3, start: 5 }
    }

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let length = arguments.integer("length").expect("it has a default");
        Ok(Countdown { length, count: 0 })
    }

    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.count = self.length;
        observation.copy_from_slice(&[self.count, i64::from(draws.bit())]);
    }

    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        self.count -= 1;
        observation.copy_from_slice(&[self.count, i64::from(draws.bit())]);
        Transition {
            reward: action[0] as f64,
            terminated: false,
            truncated: self.count == 0,
        }
    }

    fn oracle(&self) -> Vec<i64> {
        vec![7]
    }

    fn validate(&self) -> Result<(), String> {
        let is_good = (1..=9).contains(&self.length) && (0..=self.length).contains(&self.count);
        is_good
            .then_some(())
            .ok_or_else(|| "out of range".to_owned())
    }

    fn is_running(&self) -> bool {
        self.count > 0
    }
}

impl Pictured for Countdown {
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let action = seen.action.map_or("none".to_owned(), |a| a[0].to_string());
        let text = format!("{} left, action {action}", self.count);
        Picture::new()
            .note(Tone::Neutral, &text)
            .grid("observation", seen.grid())
    }
}

/// Makes two lanes whose counts are 2 and 3.
fn two_lanes(autoreset_mode: AutoresetMode) -> VectorOf<Countdown> {
    let arguments = arguments::<Countdown>(json!({}));
    let mut vector = VectorOf::new(&arguments, 2, autoreset_mode, &Seed::First(1)).unwrap();
    assert_eq!(counts(&vector.reset(&Reset::default()).unwrap()), [2, 2]);
    let longer = Reset {
        mask: Some(vec![false, true]),
        kwargs: Kwargs::from([("length".to_owned(), json!(3))]),
        ..Reset::default()
    };
    assert_eq!(counts(&vector.reset(&longer).unwrap()), [2, 3]);
    vector
}

fn counts(observations: &Value) -> Vec<i64> {
    let numbers = observations.as_array().expect("one array").to_f64s();
    numbers.chunks(2).map(|row| row[0] as i64).collect()
}

/// Takes a step and returns counts, rewards and truncations.
fn step(vector: &mut VectorOf<Countdown>, actions: [u8; 2]) -> (Vec<i64>, Vec<f64>, Vec<bool>) {
    let batch = vector.step(&actions.map(f64::from)).unwrap();
    assert_eq!(batch.terminations, [false, false]);
    (
        counts(&batch.observations),
        batch.rewards,
        batch.truncations,
    )
}

#[test]
fn keeps_the_contract() {
    check_environment::<Countdown>(json!({"length": 4}));
}

#[test]
fn next_step_resets_in_the_step_after_the_end() {
    let mut vector = two_lanes(AutoresetMode::NextStep);
    let (no, yes) = (false, true);
    assert_eq!(
        step(&mut vector, [5, 6]),
        (vec![1, 2], vec![5.0, 6.0], vec![no, no])
    );
    assert_eq!(
        step(&mut vector, [5, 6]),
        (vec![0, 1], vec![5.0, 6.0], vec![yes, no])
    );
    // Lane 0 is reset: its action is ignored and its reward is 0.
    assert_eq!(
        step(&mut vector, [99, 6]),
        (vec![2, 0], vec![0.0, 6.0], vec![no, yes])
    );
    // Lane 1 keeps the length of its last reset.
    assert_eq!(
        step(&mut vector, [7, 99]),
        (vec![1, 3], vec![7.0, 0.0], vec![no, no])
    );
}

#[test]
fn same_step_resets_at_once_and_shows_the_end_in_infos() {
    let mut vector = two_lanes(AutoresetMode::SameStep);
    assert!(vector.step(&[5.0, 5.0]).unwrap().infos.is_empty());
    let batch = vector.step(&[5.0, 6.0]).unwrap();
    assert_eq!(counts(&batch.observations), [2, 1]);
    assert_eq!(batch.rewards, [5.0, 6.0]);
    assert_eq!(batch.truncations, [true, false]);
    let array = |key: &str| batch.infos[key].as_array().expect("an array");
    assert_eq!(array("final_obs").shape(), [2, 2]);
    assert_eq!(counts(&batch.infos["final_obs"])[0], 0);
    assert_eq!(array("_final_obs"), &Array::mask(vec![true, false]));
    assert_eq!(array("_final_info"), &Array::mask(vec![true, false]));
    assert_eq!(batch.infos["final_info"], Value::Dict(BTreeMap::new()));
    assert_eq!(step(&mut vector, [5, 6]).0, [1, 3]);
}

#[test]
fn disabled_waits_for_a_masked_reset() {
    let mut vector = two_lanes(AutoresetMode::Disabled);
    step(&mut vector, [5, 6]);
    assert_eq!(step(&mut vector, [5, 6]).2, [true, false]);
    let before = vector.save();
    let refusal = vector.step(&[5.0, 6.0]).unwrap_err();
    let phase = LanePhase::Ended;
    assert_eq!(refusal, Refusal::NeedsReset { lane: 0, phase });
    assert_eq!(vector.save(), before);
    let first_only = Reset {
        mask: Some(vec![true, false]),
        ..Reset::default()
    };
    // Lane 1 repeats its last observation and does not change.
    assert_eq!(counts(&vector.reset(&first_only).unwrap()), [2, 1]);
    assert_eq!(step(&mut vector, [5, 6]).0, [1, 0]);
}

#[test]
fn a_lane_never_reset_cannot_step() {
    for mode in [
        AutoresetMode::NextStep,
        AutoresetMode::SameStep,
        AutoresetMode::Disabled,
    ] {
        let arguments = arguments::<Countdown>(json!({}));
        let mut vector = VectorOf::<Countdown>::new(&arguments, 1, mode, &Seed::First(0)).unwrap();
        let phase = LanePhase::New;
        let refusal = vector.step(&[5.0]).unwrap_err();
        assert_eq!(refusal, Refusal::NeedsReset { lane: 0, phase });
    }
}

#[test]
fn a_refusal_names_the_number_and_its_range() {
    let mut vector = two_lanes(AutoresetMode::SameStep);
    for (number, message) in [
        (8.0, "8 is not one of 5..=7"),
        (5.5, "5.5 is not one of 5..=7"),
        (f64::NAN, "NaN is not one of 5..=7"),
    ] {
        let refusal = vector.step(&[5.0, number]).unwrap_err();
        assert_eq!(refusal.to_string(), message);
        assert!(matches!(
            refusal,
            Refusal::Action {
                lane: 1,
                position: 0,
                ..
            }
        ));
    }
}

#[test]
fn a_seeded_reset_repeats_itself_and_an_unseeded_one_goes_on() {
    let arguments = arguments::<Countdown>(json!({}));
    let seed = Seed::Each(vec![3; 64]);
    let make = || VectorOf::<Countdown>::new(&arguments, 64, AutoresetMode::Disabled, &seed);
    let (mut vector, mut other) = (make().unwrap(), make().unwrap());
    let created = vector.reset(&Reset::default()).unwrap();
    let seeded = Reset {
        seed: Some(seed.clone()),
        ..Reset::default()
    };
    assert_eq!(
        other.reset(&seeded).unwrap(),
        created,
        "the creation's seed is the first one"
    );
    let by_lane = Reset {
        seed: Some(Seed::First(3)),
        ..Reset::default()
    };
    let spread = other.reset(&by_lane).unwrap();
    assert_ne!(
        spread, created,
        "64 lanes of seeds 3, 4, … do not all draw alike"
    );
    let resets: Vec<Value> = (0..64)
        .map(|_| vector.reset(&Reset::default()).unwrap())
        .collect();
    assert!(resets.iter().any(|r| *r != created), "the stream goes on");
}

/// Returns the lines of a lane's picture down to its note.
fn told(vector: &VectorOf<Countdown>, lane: usize) -> Vec<String> {
    let text = to_ansi(&vector.picture(lane).unwrap(), false);
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.take(3).map(str::to_owned).collect()
}

#[test]
fn a_picture_tells_where_its_lane_is() {
    let mut vector = two_lanes(AutoresetMode::SameStep);
    assert_eq!(
        told(&vector, 0),
        ["Countdown-v0 · lane 0", "step 0", "2 left, action none"]
    );
    step(&mut vector, [5, 6]);
    step(&mut vector, [7, 6]);
    let begun = "step 0 · last episode 12";
    assert_eq!(
        told(&vector, 0),
        ["Countdown-v0 · lane 0", begun, "2 left, action none"]
    );
    let played = "step 2 · reward 6 · return 12";
    assert_eq!(
        told(&vector, 1),
        ["Countdown-v0 · lane 1", played, "1 left, action 6"]
    );
    assert_eq!(vector.picture(2), None);
}

#[test]
fn a_picture_says_when_there_is_nothing_to_see_or_to_know() {
    let arguments = arguments::<Countdown>(json!({}));
    let mut vector =
        VectorOf::<Countdown>::new(&arguments, 1, AutoresetMode::Disabled, &Seed::First(1))
            .unwrap();
    assert_eq!(
        to_ansi(&vector.picture(0).unwrap(), false),
        "Countdown-v0\nwaits for its first reset\n"
    );
    vector.reset(&Reset::default()).unwrap();
    vector.step(&[5.0]).unwrap();
    let saved = vector.save();
    vector.step(&[7.0]).unwrap();
    let ended = "step 2 · reward 7 · return 12 · ended";
    assert_eq!(told(&vector, 0)[1..], [ended, "0 left, action 7"]);
    vector.restore(&saved.observations, &saved.lanes).unwrap();
    assert_eq!(told(&vector, 0)[1..], ["restored", "1 left, action none"]);
    vector.step(&[6.0]).unwrap();
    assert_eq!(
        told(&vector, 0)[1..],
        ["restored · ended", "0 left, action 6"]
    );
    vector.reset(&Reset::default()).unwrap();
    assert_eq!(told(&vector, 0)[1..], ["step 0", "2 left, action none"]);
}
