//! MemoryTask: remember one bit while distractors go by.
//!
//! The first observation is `[target, distractor, 0]`, every later one
//! `[distractor, distractor, 0]`. The `delay`-th action ends the episode and pays +1 if it equals
//! the target and −1 otherwise; everything before pays 0. Distractors are 0 at difficulty 0 and
//! fair bits at difficulty 1, including the one next to the target. Only its place, the first
//! observation, distinguishes a cue from a distractor.
//!
//! Three arguments are new, and change nothing at their defaults:
//! - `cue_time` `random`: the cue comes at one of the first `delay − 1` observations (the only one,
//!   at delay 1), each equally likely, and its third number is 1. Observations before it look like
//!   those after it. So a cue is 1 to `delay − 1` observations old when it is asked for.
//! - `num_bits` k: k targets are shown in k observations one after the other, and given back in
//!   that order by the last k of `delay + k − 1` actions, each for ±1/k. Each target is as old when
//!   it is asked for as a single target would be. Nothing marks their order: a player that knows
//!   only how many of the targets are 1 answers with the more frequent bit and earns E|2X − k|/k,
//!   X binomial of k fair bits: 0.375 for 4, 0.273 for 8.
//! - `cue_changes` k, with one bit and a random `cue_time`: a new cue is shown at k of the
//!   observations between the first cue and the one at which the answer is given, every choice of k
//!   equally likely; at all of them, if they are fewer. Each is a fair bit, and marked like the
//!   first one. The last one counts.
//!
//! Returns: random 0, memoryless 0 (1 at delay 1, where the cue is on screen when it is asked
//! for), best and oracle 1. To remember: `num_bits` bits for `delay − 1` observations.
//!
//! Source: the `MemoryTaskEnv` of the Strategic Memory Retrieval notebook
//! (pihh/strategic-memory-retrieval-reinforcement-agent, 2025). Deviations: seeds are honoured, a
//! delay of 0 is refused, a step after the end is an error, and `delay_min`, `cue_time`, `num_bits`
//! and `cue_changes` are new.

use env_protocol::{Bound, Dtype, Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::{Bit, ensure, parse};
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone};
use crate::tasks::delays;
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Most bits to give back.
const MAX_BITS: u32 = 64;
/// Most changes of the cue.
const MAX_CHANGES: u32 = 4096;

/// The task, with its arguments and its present episode.
///
/// Fields that the first version of the task did not have are left out of the serde form at their
/// defaults, so that old and new snapshots are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryTask {
    delay: u32,
    delay_min: u32,
    has_distractors: bool,
    target: bool,
    /// Actions until the end of the episode.
    remaining: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    has_random_cue: bool,
    /// Number of targets after the first one.
    #[serde(default, skip_serializing_if = "is_default")]
    more_bits: u32,
    /// Values of the later targets, the second target in the lowest bit.
    #[serde(default, skip_serializing_if = "is_default")]
    more_targets: u64,
    /// Number of targets not yet shown.
    #[serde(default, skip_serializing_if = "is_default")]
    to_show: u32,
    /// Number of observations before the next target.
    #[serde(default, skip_serializing_if = "is_default")]
    before_cue: u32,
    /// Cues that an episode shows after the first one, if there is room.
    #[serde(default, skip_serializing_if = "is_default")]
    cue_changes: u32,
    /// Number of them not yet shown.
    #[serde(default, skip_serializing_if = "is_default")]
    changes_left: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl MemoryTask {
    #[inline]
    fn distractor(&self, draws: &mut impl Draws) -> f32 {
        if self.has_distractors && draws.bit() {
            1.0
        } else {
            0.0
        }
    }

    /// Returns the target with this number, from 0.
    fn target_at(&self, index: u32) -> bool {
        match index.checked_sub(1) {
            None => self.target,
            Some(position) => self.more_targets >> position & 1 == 1,
        }
    }

    #[inline]
    fn observe(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        if self.to_show > 0 {
            if self.before_cue == 0 {
                let target = self.target_at(self.more_bits + 1 - self.to_show);
                self.to_show -= 1;
                let target = f32::from(u8::from(target));
                let flag = f32::from(u8::from(self.has_random_cue));
                observation.copy_from_slice(&[target, self.distractor(draws), flag]);
                return;
            }
            self.before_cue -= 1;
        } else if self.changes(draws) {
            self.target = draws.bit();
            self.changes_left -= 1;
            let target = f32::from(u8::from(self.target));
            observation.copy_from_slice(&[target, self.distractor(draws), 1.0]);
            return;
        }
        let first = self.distractor(draws);
        let second = self.distractor(draws);
        observation.copy_from_slice(&[first, second, 0.0]);
    }

    /// Draws whether the observation after the first cue that comes next is a new cue, only if it
    /// may be one: so that every choice of places is equally likely.
    #[inline]
    fn changes(&self, draws: &mut impl Draws) -> bool {
        // The step that shows it has not counted its action yet.
        let places = self.remaining.saturating_sub(2);
        self.changes_left > 0
            && places > 0
            && draws.below(u64::from(places)) < u64::from(self.changes_left)
    }

    /// Returns the number of the target that the next action must name, if any.
    fn asked(&self) -> Option<u32> {
        match self.remaining {
            0 => None,
            remaining => (self.more_bits + 1).checked_sub(remaining),
        }
    }

    /// Returns the number of the target that the last action had to name, if any.
    fn answered(&self) -> Option<u32> {
        self.more_bits.checked_sub(self.remaining)
    }

    /// Returns the cell of a target in a picture.
    fn target_cell(&self, index: u32, seen: &Seen<'_, f32>) -> Cell {
        let shown = (self.more_bits + 1).saturating_sub(self.to_show);
        // At the start cues fill the first observations. One at a random time has a mark.
        let is_cue_seen = match self.has_random_cue {
            true => seen.observation[2] == 1.0,
            false => {
                let steps = seen.played.map(|played| played.steps);
                self.to_show > 0 || steps == Some(u64::from(self.more_bits))
            }
        };
        let tone = match index {
            _ if index >= shown => Tone::Hidden,
            _ if self.more_bits > 0 && self.asked() == Some(index) => Tone::Goal,
            _ => Tone::Cue,
        };
        let was_asked = seen.action.is_some() && self.answered() == Some(index);
        Cell::bit(self.target_at(index))
            .tone(tone)
            .seen(is_cue_seen && index + 1 == shown)
            .chosen(was_asked && self.more_bits > 0)
    }

    /// Number of observations at which the cue may come.
    fn cue_places(delay: u32) -> u32 {
        delay.saturating_sub(1).max(1)
    }
}

impl Catalogued for MemoryTask {
    fn profile() -> Profile {
        let [delay, delay_min] =
            delays::parameters("Actions in an episode; the last one is judged.", 4);
        Profile {
            id: "MemoryTask-v0",
            description: "Remember the bit shown first and answer with it `delay` actions later, \
                          past distractors. Delay 1 needs no memory.",
            parameters: vec![
                delay,
                delay_min,
                Parameter::integer(
                    "difficulty",
                    "0: distractors are 0. 1: distractors are fair bits.",
                    0,
                    1,
                    Some(0),
                ),
                Parameter::choice(
                    "cue_time",
                    "first: the cue is the first observation. random: it comes at one of the \
                     first `delay` - 1 observations, marked by a 1 in the third slot.",
                    &["first", "random"],
                    Some("first"),
                ),
                Parameter::integer(
                    "num_bits",
                    "Bits that are shown one after the other and given back in that order; each \
                     one more adds an action to the episode.",
                    1,
                    i64::from(MAX_BITS),
                    Some(1),
                ),
                Parameter::integer(
                    "cue_changes",
                    "New cues, marked like the first one, at as many random observations after it; \
                     the last cue counts. Needs `cue_time` random and `num_bits` 1.",
                    0,
                    i64::from(MAX_CHANGES),
                    Some(0),
                ),
            ],
            remember: "`num_bits` bits, each for `delay` - 1 observations",
            source: "MemoryTaskEnv, pihh/strategic-memory-retrieval-reinforcement-agent (2025)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        let most = 1.0 / f64::from(self.more_bits + 1);
        [-most, most]
    }

    fn returns(&self) -> Returns {
        // Right where a drawn delay is 1, a coin otherwise.
        let memoryless = match self.delay_min {
            1 => f64::ln(2.0) / f64::from(self.delay + 1).ln(),
            _ => 0.0,
        };
        Returns {
            random: Some(0.0),
            memoryless: Some(memoryless),
            best: Some(1.0),
            oracle: Some(1.0),
            note:
                "Memoryless: right at delay 1, where the cue is on screen when it is asked for; so \
                   1, or how often a drawn delay is 1."
                    .to_owned(),
        }
    }
}

impl Environment for MemoryTask {
    type Element = f32;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let [delay_min, delay] = delays::from_arguments(arguments)?;
        let num_bits = required("num_bits", arguments.natural("num_bits")?)?;
        let has_random_cue = arguments.choice("cue_time") == Some("random");
        let cue_changes = required("cue_changes", arguments.natural("cue_changes")?)?;
        if cue_changes > 0 && (num_bits > 1 || !has_random_cue) {
            let detail = "needs cue_time random and num_bits 1";
            return Err(KwargsError::new("cue_changes", detail));
        }
        Ok(MemoryTask {
            delay,
            delay_min,
            has_distractors: arguments.integer("difficulty") == Some(1),
            target: false,
            remaining: 0,
            has_random_cue,
            more_bits: num_bits - 1,
            more_targets: 0,
            to_show: 0,
            before_cue: 0,
            cue_changes,
            changes_left: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::Box {
            shape: vec![3],
            dtype: Dtype::Float32,
            low: Bound::All(0.0),
            high: Bound::All(1.0),
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
    }

    /// Draws the episode's delay (only if there is a choice), the place of the cue (only if it is
    /// random), the targets, and the distractors. After the first cue a step draws whether the cue
    /// changes (only if it may), the new one, and the distractors.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [f32]) {
        let delay = delays::draw(self.delay_min, self.delay, draws);
        self.remaining = delay + self.more_bits;
        self.before_cue = match self.has_random_cue {
            true => draws.below(u64::from(Self::cue_places(delay))) as u32,
            false => 0,
        };
        self.target = draws.bit();
        self.more_targets = 0;
        for position in 0..self.more_bits {
            self.more_targets |= u64::from(draws.bit()) << position;
        }
        self.to_show = self.more_bits + 1;
        self.changes_left = self.cue_changes;
        self.observe(draws, observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [f32],
    ) -> Transition {
        self.observe(draws, observation);
        self.remaining -= 1;
        let Some(index) = self.more_bits.checked_sub(self.remaining) else {
            return Transition::running(0.0);
        };
        let most = 1.0 / f64::from(self.more_bits + 1);
        let is_right = action[0] == i64::from(self.target_at(index));
        Transition::new(
            if is_right { most } else { -most },
            self.remaining == 0,
            false,
        )
    }

    fn oracle(&self) -> Vec<i64> {
        let index = (self.more_bits + 1).saturating_sub(self.remaining);
        vec![i64::from(self.target_at(index))]
    }

    fn validate(&self) -> Result<(), String> {
        let MemoryTask {
            delay,
            delay_min,
            remaining,
            more_bits,
            to_show,
            before_cue,
            cue_changes,
            changes_left,
            ..
        } = *self;
        delays::validate(delay_min, delay)?;
        if more_bits >= MAX_BITS || self.more_targets >> more_bits != 0 {
            return Err(format!("it cannot hold {} bits", u64::from(more_bits) + 1));
        }
        if remaining > delay + more_bits {
            return Err(format!("{remaining} actions remain of a delay of {delay}"));
        }
        let is_late = to_show > 0 && before_cue.saturating_add(to_show) > remaining;
        if to_show > more_bits + 1 || is_late || (to_show == 0 && before_cue > 0) {
            return Err(format!(
                "{to_show} bits cannot be shown {before_cue} observations from here"
            ));
        }
        let may_change = more_bits == 0 && self.has_random_cue;
        if cue_changes > MAX_CHANGES || (cue_changes > 0 && !may_change) {
            return Err(format!("the cue cannot change {cue_changes} times"));
        }
        // Before the first cue all changes are left, and each observation after it shows one.
        let most_shown = match (remaining, to_show) {
            (0, _) => cue_changes,
            (_, 0) => delay.saturating_sub(remaining),
            _ => 0,
        };
        if changes_left > cue_changes || cue_changes - changes_left > most_shown {
            return Err(format!("{changes_left} changes cannot be left here"));
        }
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for MemoryTask {
    /// The bits to remember, what is seen, and how far away the answers are.
    fn picture(&self, seen: &Seen<'_, f32>) -> Picture {
        const COLUMNS: u32 = 16;
        let num_bits = self.more_bits + 1;
        let steps = seen.played.map(|played| played.steps);
        let remaining = u64::from(self.remaining);
        // After a restore the steps are unknown, and the longest possible delay stands for a drawn
        // one.
        let longest = u64::from(self.delay) + u64::from(self.more_bits);
        let all = steps.map_or(longest, |steps| steps + remaining);
        let mut time = Bar::remaining("actions left", remaining, all);
        if self.asked().is_some() {
            time = time.tone(Tone::Goal);
        }
        let targets = (0..num_bits).map(|index| self.target_cell(index, seen));
        let mut targets = Grid::new(num_bits.min(COLUMNS) as usize, targets);
        if num_bits > 1 {
            targets = targets.column_labels(1..=num_bits.min(COLUMNS));
        }
        if num_bits > COLUMNS {
            targets = targets.row_labels((1..=num_bits).step_by(COLUMNS as usize));
        }
        let heading = match num_bits {
            1 => "cue, and the right answer",
            _ => "cues, and the right answers",
        };
        let mut picture = Picture::new()
            .grid(heading, targets)
            .grid("observation", seen.grid())
            .bars("", [time]);
        if self.has_random_cue || num_bits > 1 {
            picture = picture.key(Cell::default().tone(Tone::Hidden), "not shown yet");
        }
        if self.to_show > 0 {
            let text = format!("the next cue comes in {} steps", self.before_cue + 1);
            picture = picture.note(Tone::Hidden, &text);
        } else if self.changes_left > 0 && self.remaining > 1 {
            let text = format!("the cue may change {} times more", self.changes_left);
            picture = picture.note(Tone::Hidden, &text);
        }
        if let (Some(index), Some(&[answer])) = (self.answered(), seen.action) {
            let is_right = answer == i64::from(self.target_at(index));
            picture = picture.judged(&format!("answered {answer}"), is_right);
        }
        match self.asked() {
            None => picture,
            Some(_) if num_bits == 1 => picture.note(Tone::Goal, "the next action is the answer"),
            Some(index) => {
                let text = format!("the next action is answer {}", index + 1);
                picture.note(Tone::Goal, &text)
            }
        }
    }
}

impl Recorded for MemoryTask {
    const REFERENCE_NAME: &'static str = "MemoryTask";

    /// `{"target", "reset_distractor", "distractors": [[d1, d2], …]}` and, where the delay was
    /// drawn, `"delay"`. With a random cue or several bits, `{"targets": […], "distractors": […]}`,
    /// with a list for each observation from the reset's on, and `"cue_at"` where that was drawn.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        let Latent {
            delay,
            cue_at,
            target,
            targets,
            reset_distractor,
            distractors,
        } = parse(latent)?;
        ensure(self.cue_changes == 0, || {
            "recordings have no changes of the cue".to_owned()
        })?;
        let mut draws = Vec::new();
        if self.delay_min < self.delay {
            let delay = delay.ok_or("latent: the drawn delay is missing")?;
            draws.push(Draw::Integer(delay));
        }
        if self.has_random_cue {
            let cue_at = cue_at.ok_or("latent: the drawn place of the cue is missing")?;
            draws.push(Draw::Integer(cue_at));
        }
        let targets: Vec<Bit> = targets.into_iter().flatten().chain(target).collect();
        ensure(targets.len() == self.more_bits as usize + 1, || {
            format!("{} targets", targets.len())
        })?;
        draws.extend(targets.into_iter().map(Draw::from));
        let num_lists = distractors.len();
        let distractors: Vec<Bit> = reset_distractor
            .into_iter()
            .chain(distractors.into_iter().flatten())
            .collect();
        if self.has_distractors {
            draws.extend(distractors.into_iter().map(Draw::from));
        } else {
            let is_silent = distractors.iter().all(|bit| !bit.0);
            ensure(is_silent, || "difficulty 0 has no distractors".to_owned())?;
            let steps = delay.unwrap_or(u64::from(self.delay)) + u64::from(self.more_bits);
            let expected = steps + u64::from(reset_distractor.is_none());
            ensure(num_lists as u64 == expected, || {
                format!("{num_lists} lists of distractors")
            })?;
        }
        Ok(draws)
    }
}

#[derive(Deserialize)]
struct Latent {
    delay: Option<u64>,
    cue_at: Option<u64>,
    target: Option<Bit>,
    targets: Option<Vec<Bit>>,
    reset_distractor: Option<Bit>,
    distractors: Vec<Vec<Bit>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Rng, Script};
    use serde_json::json;

    fn task(kwargs: Value) -> MemoryTask {
        MemoryTask::new(&arguments::<MemoryTask>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({"delay": 1}),
            json!({"delay": 5, "difficulty": 1}),
            json!({"delay": 40, "delay_min": 3, "difficulty": 1}),
            json!({"delay": 1, "cue_time": "random"}),
            json!({"delay": 9, "cue_time": "random", "difficulty": 1}),
            json!({"delay": 3, "num_bits": 5, "difficulty": 1}),
            json!({"delay": 20, "delay_min": 2, "num_bits": 3, "cue_time": "random"}),
            json!({"delay": 12, "cue_time": "random", "cue_changes": 3, "difficulty": 1}),
            json!({"delay": 6, "delay_min": 1, "cue_time": "random", "cue_changes": 4096}),
        ] {
            check_environment::<MemoryTask>(kwargs);
        }
    }

    #[test]
    fn draws_target_then_distractors() {
        let bits = [true, false, true, true, false, true].map(Draw::Bit);
        let mut draws = Script::new(bits.to_vec());
        let mut task = task(json!({"delay": 2, "difficulty": 1}));
        let mut observation = [9.0; 3];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [1.0, 0.0, 0.0]);
        let first = task.step(&[0], &mut draws, &mut observation);
        assert_eq!(
            (first, observation),
            (Transition::running(0.0), [1.0, 1.0, 0.0])
        );
        let last = task.step(&[1], &mut draws, &mut observation);
        assert_eq!(
            (last, observation),
            (Transition::terminal(1.0), [0.0, 1.0, 0.0])
        );
        draws.finish().unwrap();
    }

    #[test]
    fn a_drawn_delay_comes_first_and_counts() {
        let mut draws = Script::new(vec![Draw::Integer(3), Draw::Bit(true)]);
        let mut task = task(json!({"delay": 8, "delay_min": 2}));
        let mut observation = [0.0; 3];
        task.reset(&mut draws, &mut observation);
        let rewards: Vec<f64> = (0..3)
            .map(|_| task.step(&[0], &mut draws, &mut observation).reward)
            .collect();
        assert_eq!(rewards, [0.0, 0.0, -1.0]);
        draws.finish().unwrap();
    }

    #[test]
    fn equal_delays_draw_nothing_for_the_delay() {
        let mut rng = Rng::from_seed(5);
        let mut reference = rng.clone();
        task(json!({"delay": 8, "delay_min": 8})).reset(&mut rng, &mut [0.0; 3]);
        reference.next_u64();
        assert_eq!(rng, reference, "one draw, the target, at difficulty 0");
    }

    #[test]
    fn a_random_cue_is_marked_and_comes_when_drawn() {
        let distractors = [true, true, false, true, false, false, true, true, false];
        let mut draws = vec![Draw::Integer(2), Draw::Bit(true)];
        draws.extend(distractors.map(Draw::Bit));
        let mut draws = Script::new(draws);
        let kwargs = json!({"delay": 4, "difficulty": 1, "cue_time": "random"});
        let mut task = task(kwargs);
        let mut seen = vec![[9.0; 3]; 5];
        task.reset(&mut draws, &mut seen[0]);
        let steps = seen[1..].iter_mut();
        let rewards: Vec<f64> = steps
            .map(|observation| task.step(&[1], &mut draws, observation).reward)
            .collect();
        let (no, yes) = (0.0, 1.0);
        let expected = [
            [yes, yes, no],
            [no, yes, no],
            [yes, no, yes],
            [no, yes, no],
            [yes, no, no],
        ];
        assert_eq!(seen, expected);
        assert_eq!(rewards, [0.0, 0.0, 0.0, 1.0]);
        draws.finish().unwrap();
    }

    #[test]
    fn a_random_cue_is_never_on_screen_when_asked_for() {
        let mut rng = Rng::from_seed(1);
        let mut task = task(json!({"delay": 4, "cue_time": "random"}));
        let mut places = [0u32; 4];
        for _ in 0..3000 {
            let mut observation = [0.0; 3];
            task.reset(&mut rng, &mut observation);
            for place in &mut places {
                *place += u32::from(observation[2] == 1.0);
                task.step(&[0], &mut rng, &mut observation);
            }
        }
        assert_eq!(places[3], 0);
        assert_eq!(places.iter().sum::<u32>(), 3000);
        // 1000 each; five standard deviations are 129.
        assert!(
            places[..3].iter().all(|n| n.abs_diff(1000) < 129),
            "{places:?}"
        );
    }

    #[test]
    fn several_bits_are_given_back_in_order() {
        let mut draws = Script::new([true, false, true].map(Draw::Bit).to_vec());
        let mut task = task(json!({"delay": 2, "num_bits": 3}));
        let mut observation = [9.0; 3];
        task.reset(&mut draws, &mut observation);
        let mut shown = vec![observation[0]];
        let mut transitions = Vec::new();
        for action in [0, 1, 1, 1] {
            transitions.push(task.step(&[action], &mut draws, &mut observation));
            shown.push(observation[0]);
        }
        assert_eq!(shown, [1.0, 0.0, 1.0, 0.0, 0.0]);
        let third = 1.0 / 3.0;
        let expected = [
            Transition::running(0.0),
            Transition::running(third),
            Transition::running(-third),
            Transition::terminal(third),
        ];
        assert_eq!(transitions, expected);
        draws.finish().unwrap();
    }

    /// The mean over all values of k targets is exact.
    #[test]
    fn targets_without_their_order_earn_the_majority() {
        for (k, expected) in [(1, 1.0), (4, 0.375), (8, 0.2734375)] {
            let mut task = task(json!({"delay": 1, "num_bits": k}));
            let mut total = 0.0;
            for targets in 0u32..1 << k {
                let bits = (0..k).map(|i| Draw::Bit(targets >> i & 1 == 1));
                let mut draws = Script::new(bits.collect());
                let majority = i64::from(2 * targets.count_ones() > k);
                let mut observation = [0.0; 3];
                task.reset(&mut draws, &mut observation);
                while task.is_running() {
                    let step = task.step(&[majority], &mut draws, &mut observation);
                    total += step.reward;
                }
                draws.finish().unwrap();
            }
            assert_eq!(total / f64::from(1 << k), expected, "{k}");
        }
    }

    #[test]
    fn the_last_cue_counts() {
        // The first cue comes at the second observation. Of the 4 places for 2 changes, the second
        // and the last are drawn.
        let draws = [
            Draw::Integer(1),
            Draw::Bit(true),
            Draw::Integer(2),
            Draw::Integer(1),
            Draw::Bit(true),
            Draw::Integer(1),
            Draw::Integer(0),
            Draw::Bit(false),
        ];
        let kwargs = json!({"delay": 7, "cue_time": "random", "cue_changes": 2});
        for (action, reward) in [(0, 1.0), (1, -1.0)] {
            let mut draws = Script::new(draws.to_vec());
            let mut task = task(kwargs.clone());
            let mut seen = vec![[9.0; 3]; 8];
            task.reset(&mut draws, &mut seen[0]);
            let mut rewards = Vec::new();
            for observation in &mut seen[1..] {
                task.validate().unwrap();
                rewards.push(task.step(&[action], &mut draws, observation).reward);
            }
            let (silent, cue) = ([0.0; 3], |bit| [bit, 0.0, 1.0]);
            let expected = [
                silent,
                cue(1.0),
                silent,
                cue(1.0),
                silent,
                cue(0.0),
                silent,
                silent,
            ];
            assert_eq!(seen, expected);
            assert_eq!(rewards, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, reward]);
            draws.finish().unwrap();
        }
    }

    /// Plays episodes and counts, for each observation, how often it has the mark.
    fn marks<const N: usize>(kwargs: Value, episodes: u32) -> [u32; N] {
        let mut rng = Rng::from_seed(2);
        let mut task = task(kwargs);
        let mut marks = [0; N];
        for _ in 0..episodes {
            let mut observation = [0.0; 3];
            task.reset(&mut rng, &mut observation);
            for mark in &mut marks {
                *mark += u32::from(observation[2] == 1.0);
                task.step(&[0], &mut rng, &mut observation);
            }
        }
        marks
    }

    /// With the first cue at place c of 4, the 2 changes are at 2 of the 3 − c places after it, or at all.
    #[test]
    fn every_place_of_a_change_is_equally_likely() {
        let kwargs = json!({"delay": 5, "cue_time": "random", "cue_changes": 2});
        let marks = marks::<5>(kwargs, 12_000);
        // 3000, 3000 + 2000, 6000 + 2000, 9000 + 2000; five standard deviations are at most 274.
        for (mark, expected) in marks.into_iter().zip([3000, 5000, 8000, 11_000]) {
            assert!(mark.abs_diff(expected) < 274, "{marks:?}");
        }
        assert_eq!(marks[4], 0);
    }

    #[test]
    fn changes_without_room_fill_it() {
        let kwargs = json!({"delay": 4, "cue_time": "random", "cue_changes": 9});
        let [first, second, third, last] = marks::<4>(kwargs, 300);
        assert!(first > 0 && first < second && second < third);
        assert_eq!((third, last), (300, 0));
    }

    #[test]
    fn changes_need_a_single_cue_at_a_random_time() {
        for kwargs in [
            json!({"cue_changes": 1}),
            json!({"cue_changes": 1, "cue_time": "random", "num_bits": 2}),
        ] {
            let error = MemoryTask::new(&arguments::<MemoryTask>(kwargs)).unwrap_err();
            let expected = "cue_changes: needs cue_time random and num_bits 1";
            assert_eq!(error.to_string(), expected);
        }
    }

    /// All changes of the longest episodes come, and nothing grows with them.
    #[test]
    fn a_long_delay_shows_every_change() {
        let mut rng = Rng::from_seed(3);
        let kwargs = json!({"delay": 1_000_000, "cue_time": "random", "cue_changes": 100});
        let mut task = task(kwargs);
        let mut observation = [0.0; 3];
        task.reset(&mut rng, &mut observation);
        let (mut cues, mut last) = (0, 0.0);
        let mut reward = 0.0;
        while task.is_running() {
            if observation[2] == 1.0 {
                (cues, last) = (cues + 1, observation[0]);
            }
            reward = task.step(&[last as i64], &mut rng, &mut observation).reward;
        }
        assert_eq!((cues, reward), (101, 1.0));
        assert_eq!(task.heap_bytes(), 0);
    }

    #[test]
    fn its_default_form_is_that_of_the_first_version() {
        let state = json!({"delay": 4, "delay_min": 4, "has_distractors": true, "target": true,
                           "remaining": 2});
        let task: MemoryTask = serde_json::from_value(state.clone()).unwrap();
        task.validate().unwrap();
        assert_eq!(serde_json::to_value(task).unwrap(), state);
    }

    #[test]
    fn delay_min_must_not_exceed_delay() {
        let arguments = arguments::<MemoryTask>(json!({"delay": 2, "delay_min": 3}));
        let error = MemoryTask::new(&arguments).unwrap_err();
        assert_eq!(
            error.to_string(),
            "delay_min: 3 is greater than delay, which is 2"
        );
    }

    #[test]
    fn impossible_changes_are_refused() {
        let mut draws = Rng::from_seed(1);
        let mut task = task(json!({"delay": 9, "cue_time": "random", "cue_changes": 2}));
        task.reset(&mut draws, &mut [0.0; 3]);
        task.validate().unwrap();
        let refused = |change: &dyn Fn(&mut MemoryTask)| {
            let mut task = task.clone();
            change(&mut task);
            task.validate().is_err()
        };
        assert!(refused(&|task| task.cue_changes = 4097));
        assert!(refused(&|task| task.changes_left = 3));
        assert!(refused(&|task| task.changes_left = u32::MAX));
        assert!(refused(&|task| task.has_random_cue = false));
        assert!(refused(&|task| task.more_bits = 1));
        // At the reset nothing has changed yet, whether the cue was shown or not.
        assert!(refused(&|task| task.changes_left = 1));
        let shown = |task: &mut MemoryTask| (task.to_show, task.before_cue) = (0, 0);
        assert!(!refused(&|task| shown(task)));
        assert!(refused(&|task| {
            shown(task);
            task.changes_left = 1;
        }));
    }

    #[test]
    fn impossible_states_are_refused() {
        let state = serde_json::to_value(task(json!({"delay": 4}))).unwrap();
        for (field, value) in [
            ("delay", json!(0)),
            ("delay", json!(10_000_001)),
            ("delay_min", json!(5)),
            ("remaining", json!(5)),
            ("remaining", json!(u32::MAX)),
            ("more_bits", json!(64)),
            ("more_bits", json!(u32::MAX)),
            ("more_targets", json!(1)),
            ("to_show", json!(1)),
            ("to_show", json!(u32::MAX)),
            ("before_cue", json!(1)),
            ("cue_changes", json!(1)),
            ("changes_left", json!(1)),
        ] {
            let mut state = state.clone();
            state[field] = value;
            let task: MemoryTask = serde_json::from_value(state).unwrap();
            assert!(task.validate().is_err(), "{field}");
        }
    }
}
