//! AssociativeRecall: pairs of a key and a value are shown, and later the values of keys are asked for.
//!
//! Observation `[kind, key, value]`; kind is 0 for a pair, 1 for a distractor, 2 for a query. First
//! come `num_pairs` K pairs of different keys, then `rewrites` R of these keys again, each with
//! another value than before. Among these K + R pairs lie `spread` distractors; every arrangement
//! that ends with a pair is equally likely. Then `delay` D distractors follow, and then
//! `num_queries` Q queries `[2, key, 0]`. Every key is asked for once, in a random order, before any
//! is asked for again, in an order drawn anew. A distractor is `[1, 0, 0]` at difficulty 0, and has
//! a random key and value at difficulty 1.
//!
//! An episode has K + R + `spread` + D + Q actions. Those at queries are the answers: each pays 1/Q
//! if it is the latest value of the key, and else −1/Q. Other actions have no effect. The last
//! answer ends the episode, with the observation `[1, 0, 0]`.
//!
//! Returns: random and memoryless 2/`num_values` − 1, best and oracle 1. To remember: K values by
//! their keys, for `delay` observations and more.
//!
//! Source: this project, after the multi-query associative recall of Arora et al. 2023, Zoology,
//! arXiv:2312.04927, which is a data set of sequences.

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};

use crate::kit::arguments::required;
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Seen, Tone, window};
use crate::tasks::delays;
use crate::{
    Arguments, Catalogued, Draws, Environment, KwargsError, Pictured, Profile, Transition,
};

/// Most pairs.
const MAX_PAIRS: u32 = 1024;
/// Most keys, and most values.
const MAX_CHOICES: u32 = 4096;
/// Most distractors among the pairs.
const MAX_SPREAD: u32 = 10_000_000;
/// Most queries.
const MAX_QUERIES: u32 = 65_536;

/// Kinds of observations.
const PAIR: i64 = 0;
const DISTRACTOR: i64 = 1;
const QUERY: i64 = 2;

/// `AssociativeRecall-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssociativeRecall {
    num_keys: u32,
    num_values: u32,
    delay: u32,
    delay_min: u32,
    spread: u32,
    rewrites: u32,
    num_queries: u32,
    has_distractors: bool,
    /// The keys of the pairs, in the order in which they are first shown.
    keys: Vec<u16>,
    /// The latest value of each.
    values: Vec<u16>,
    /// The numbers of the pairs. Those shown again come first, and later those asked for in this
    /// round of queries.
    order: Vec<u16>,
    /// Pairs to be shown.
    pairs_left: u32,
    /// Distractors to be shown among them.
    spread_left: u32,
    /// Actions until the end of the episode.
    remaining: u32,
}

impl AssociativeRecall {
    fn num_pairs(&self) -> u32 {
        self.keys.len() as u32
    }

    /// Number of pairs shown in an episode.
    fn all_pairs(&self) -> u32 {
        self.num_pairs() + self.rewrites
    }

    /// Returns the number of the query on screen, if any.
    fn query(&self) -> Option<u32> {
        match self.remaining {
            0 => None,
            remaining => self.num_queries.checked_sub(remaining),
        }
    }

    /// Returns the number of the pair asked for, if any.
    fn asked(&self) -> Option<usize> {
        let place = self.query()? as usize % self.order.len();
        Some(usize::from(self.order[place]))
    }

    /// Returns the number of the pair that was shown last, if any.
    fn last_shown(&self) -> Option<usize> {
        let last = (self.all_pairs() - self.pairs_left).checked_sub(1)?;
        Some(match last.checked_sub(self.num_pairs()) {
            None => last as usize,
            Some(rewritten) => usize::from(self.order[rewritten as usize]),
        })
    }

    /// Returns the number of pairs whose keys have been shown.
    fn num_shown(&self) -> usize {
        self.keys
            .len()
            .min((self.all_pairs() - self.pairs_left) as usize)
    }

    /// Draws the number of a pair for this place of the order, and moves it there. Earlier places
    /// stay.
    fn draw_place(&mut self, place: usize, draws: &mut impl Draws) -> usize {
        let left = (self.order.len() - place) as u64;
        self.order.swap(place, place + draws.below(left) as usize);
        usize::from(self.order[place])
    }

    /// Writes the observation at which the next action is taken.
    #[inline]
    fn show(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        let seen = if self.pairs_left > 0 {
            self.show_among_pairs(draws)
        } else if let Some(query) = self.query() {
            let pair = self.draw_place(query as usize % self.order.len(), draws);
            [QUERY, i64::from(self.keys[pair]), 0]
        } else {
            self.distractor(draws)
        };
        observation.copy_from_slice(&seen);
    }

    /// Shows a pair, or a distractor among the pairs: the last pair comes after all of these.
    fn show_among_pairs(&mut self, draws: &mut impl Draws) -> [i64; 3] {
        let but_last = u64::from(self.pairs_left - 1);
        let spread = u64::from(self.spread_left);
        let is_pair = match (but_last, spread) {
            (_, 0) => true,
            (0, _) => false,
            _ => draws.below(but_last + spread) < but_last,
        };
        if !is_pair {
            self.spread_left -= 1;
            return self.distractor(draws);
        }
        let shown = self.all_pairs() - self.pairs_left;
        self.pairs_left -= 1;
        let pair = match shown.checked_sub(self.num_pairs()) {
            None => shown as usize,
            Some(rewritten) => {
                let pair = self.draw_place(rewritten as usize, draws);
                let other = draws.below(u64::from(self.num_values) - 1) as u16;
                self.values[pair] = other + u16::from(other >= self.values[pair]);
                pair
            }
        };
        [
            PAIR,
            i64::from(self.keys[pair]),
            i64::from(self.values[pair]),
        ]
    }

    #[inline]
    fn distractor(&self, draws: &mut impl Draws) -> [i64; 3] {
        match self.has_distractors {
            true => {
                let key = draws.below(u64::from(self.num_keys)) as i64;
                [
                    DISTRACTOR,
                    key,
                    draws.below(u64::from(self.num_values)) as i64,
                ]
            }
            false => [DISTRACTOR, 0, 0],
        }
    }

    /// Checks arguments that came from outside.
    fn validate_arguments(&self) -> Result<(), String> {
        delays::validate(self.delay_min, self.delay)?;
        let keys = self.keys.len();
        let is_good = (1..=MAX_PAIRS as usize).contains(&keys)
            && (2..=MAX_CHOICES).contains(&self.num_keys)
            && (2..=MAX_CHOICES).contains(&self.num_values)
            && keys <= self.num_keys as usize
            && self.spread <= MAX_SPREAD
            && self.rewrites as usize <= keys
            && (1..=MAX_QUERIES).contains(&self.num_queries);
        match is_good {
            true => Ok(()),
            false => Err(format!(
                "no arguments lead to {keys} pairs, {} keys",
                self.num_keys
            )),
        }
    }

    /// Checks keys, values and their order that came from outside.
    fn validate_pairs(&self) -> Result<(), String> {
        let keys = self.keys.len();
        if !are_different(&self.keys, self.num_keys as usize) {
            return Err(format!("keys are not {keys} different ones"));
        }
        let is_value = |&value: &u16| u32::from(value) < self.num_values;
        if self.values.len() != keys || !self.values.iter().all(is_value) {
            return Err(format!("values are not {keys} below {}", self.num_values));
        }
        match self.order.len() == keys && are_different(&self.order, keys) {
            true => Ok(()),
            false => Err(format!("the order is not one of {keys} pairs")),
        }
    }

    /// Checks counters that came from outside: what is left to show takes as many actions as remain.
    fn validate_time(&self) -> Result<(), String> {
        let (pairs, spread) = (u64::from(self.pairs_left), u64::from(self.spread_left));
        let all = u64::from(self.all_pairs()) + u64::from(self.spread);
        let (delay_min, delay) = (u64::from(self.delay_min), u64::from(self.delay));
        let (queries, remaining) = (u64::from(self.num_queries), u64::from(self.remaining));
        let is_good = match (remaining, pairs) {
            (0, _) => pairs == 0 && spread == 0,
            (_, 0) => spread == 0 && remaining <= 1 + delay + queries,
            _ => {
                let left = 1 + pairs + spread + queries;
                pairs <= u64::from(self.all_pairs())
                    && spread <= u64::from(self.spread)
                    && pairs + spread < all
                    && (left + delay_min..=left + delay).contains(&remaining)
            }
        };
        match is_good {
            true => Ok(()),
            false => Err(format!(
                "{pairs} pairs and {spread} distractors among them cannot be left {remaining} \
                 actions before the end"
            )),
        }
    }
}

/// Whether these numbers are below `end` and different.
fn are_different(numbers: &[u16], end: usize) -> bool {
    let mut is_taken = vec![false; end];
    numbers.iter().all(|&number| {
        let taken = is_taken.get_mut(usize::from(number));
        taken.is_some_and(|taken| !std::mem::replace(taken, true))
    })
}

impl Catalogued for AssociativeRecall {
    fn profile() -> Profile {
        let natural = |name, about, [low, high]: [u32; 2], default| {
            Parameter::integer(name, about, low.into(), high.into(), default)
        };
        let [delay, delay_min] =
            delays::parameters("Distractors between the last pair and the first query.", 16);
        Profile {
            id: "AssociativeRecall-v0",
            description: "Pairs of a key and a value are shown; past distractors, answer with the \
                          latest value of each key that is asked for.",
            parameters: vec![
                natural(
                    "num_pairs",
                    "Different keys that are shown.",
                    [1, MAX_PAIRS],
                    Some(4),
                ),
                natural(
                    "num_keys",
                    "Keys to draw from, at least `num_pairs`.",
                    [2, MAX_CHOICES],
                    Some(16),
                ),
                natural(
                    "num_values",
                    "Values, and actions.",
                    [2, MAX_CHOICES],
                    Some(4),
                ),
                delay,
                delay_min,
                natural(
                    "spread",
                    "Distractors among the pairs, at random places before the last one.",
                    [0, MAX_SPREAD],
                    Some(0),
                ),
                natural(
                    "rewrites",
                    "Keys that are shown again after all pairs, with another value; at most \
                     `num_pairs`.",
                    [0, MAX_PAIRS],
                    Some(0),
                ),
                natural(
                    "num_queries",
                    "Keys asked for, by default `num_pairs`. None is asked for again before all \
                     have been.",
                    [1, MAX_QUERIES],
                    None,
                ),
                natural(
                    "difficulty",
                    "0: distractors show key 0 and value 0. 1: random ones.",
                    [0, 1],
                    Some(0),
                ),
            ],
            remember: "`num_pairs` values by their keys, for `delay` observations and more",
            source: "this project, after Arora et al. 2023 (arXiv:2312.04927)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        let most = 1.0 / f64::from(self.num_queries);
        [-most, most]
    }

    fn returns(&self) -> Returns {
        let guessed = 2.0 / f64::from(self.num_values) - 1.0;
        Returns {
            random: Some(guessed),
            memoryless: Some(guessed),
            best: Some(1.0),
            oracle: Some(1.0),
            note: String::new(),
        }
    }
}

impl Environment for AssociativeRecall {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let natural = |name| required(name, arguments.natural(name)?);
        let [delay_min, delay] = delays::from_arguments(arguments)?;
        let [num_pairs, num_keys] = [natural("num_pairs")?, natural("num_keys")?];
        if num_keys < num_pairs {
            let detail = format!("{num_keys} is less than num_pairs, which is {num_pairs}");
            return Err(KwargsError::new("num_keys", detail));
        }
        let rewrites = natural("rewrites")?;
        if rewrites > num_pairs {
            let detail = format!("{rewrites} is greater than num_pairs, which is {num_pairs}");
            return Err(KwargsError::new("rewrites", detail));
        }
        let numbers = || (0..num_pairs as u16).collect();
        Ok(AssociativeRecall {
            num_keys,
            num_values: natural("num_values")?,
            delay,
            delay_min,
            spread: natural("spread")?,
            rewrites,
            num_queries: arguments.natural("num_queries")?.unwrap_or(num_pairs),
            has_distractors: arguments.integer("difficulty") == Some(1),
            keys: numbers(),
            values: vec![0; num_pairs as usize],
            order: numbers(),
            pairs_left: 0,
            spread_left: 0,
            remaining: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete {
            nvec: vec![3, self.num_keys.into(), self.num_values.into()],
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete {
            n: self.num_values.into(),
            start: 0,
        }
    }

    /// Draws the delay (only if there is a choice), the keys (the beginning of a shuffle of all,
    /// from its front), and their first values.
    ///
    /// Steps draw the rest with the observation that shows it. Among the pairs: whether it is a pair,
    /// only if another pair than the last one and a distractor are left; then, for a key that is
    /// shown again, which one it is, and its value. A query draws its key. A distractor draws its
    /// key and its value, at difficulty 1.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        let delay = delays::draw(self.delay_min, self.delay, draws);
        let mut keys: Vec<u16> = (0..self.num_keys as u16).collect();
        for (place, key) in self.keys.iter_mut().enumerate() {
            let left = (keys.len() - place) as u64;
            keys.swap(place, place + draws.below(left) as usize);
            *key = keys[place];
        }
        let num_values = u64::from(self.num_values);
        self.values.fill_with(|| draws.below(num_values) as u16);
        for (number, place) in (0..).zip(&mut self.order) {
            *place = number;
        }
        self.pairs_left = self.all_pairs();
        self.spread_left = self.spread;
        self.remaining = self.all_pairs() + self.spread + delay + self.num_queries;
        self.show(draws, observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let most = 1.0 / f64::from(self.num_queries);
        let reward = match self.asked() {
            None => 0.0,
            Some(pair) if action[0] == i64::from(self.values[pair]) => most,
            Some(_) => -most,
        };
        self.remaining -= 1;
        if self.remaining == 0 {
            observation.copy_from_slice(&[DISTRACTOR, 0, 0]);
            return Transition::terminal(reward);
        }
        self.show(draws, observation);
        Transition::running(reward)
    }

    fn oracle(&self) -> Vec<i64> {
        vec![self.asked().map_or(0, |pair| self.values[pair].into())]
    }

    fn validate(&self) -> Result<(), String> {
        self.validate_arguments()?;
        self.validate_pairs()?;
        self.validate_time()
    }

    fn heap_bytes(&self) -> usize {
        vec_bytes(&self.keys) + vec_bytes(&self.values) + vec_bytes(&self.order)
    }

    fn is_running(&self) -> bool {
        self.remaining > 0
    }
}

impl Pictured for AssociativeRecall {
    /// Shows the pairs, the one asked for, and how far away the answers are.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let asked = self.asked();
        // After a restore the steps are unknown, and the longest possible delay stands for a drawn
        // one.
        let longest = self.all_pairs() + self.spread + self.delay + self.num_queries;
        let (longest, remaining) = (u64::from(longest), u64::from(self.remaining));
        let all = seen
            .played
            .map_or(longest, |played| played.steps + remaining);
        let mut time = Bar::remaining("actions left", remaining, all);
        if asked.is_some() {
            time = time.tone(Tone::Goal);
        }
        let picture = Picture::new()
            .grid("pairs, as they count now", self.pairs(seen))
            .grid(
                "observation",
                seen.grid().column_labels(["kind", "key", "value"]),
            )
            .bars("", [time])
            .key(Cell::default().tone(Tone::Hidden), "not shown yet")
            .key(Cell::default().tone(Tone::Goal), "asked for");
        let picture = match (seen.action, seen.played) {
            (Some(&[answer]), Some(played)) if played.reward != 0.0 => {
                picture.judged(&format!("answered {answer}"), played.reward > 0.0)
            }
            _ => picture,
        };
        match asked {
            Some(pair) => {
                let text = format!("the next action is the value of key {}", self.keys[pair]);
                picture.note(Tone::Goal, &text)
            }
            None => picture.note(Tone::Neutral, "nothing is asked"),
        }
    }
}

impl AssociativeRecall {
    /// Returns the pairs, at most 64 around the one on screen, in blocks of two rows: keys, and
    /// their values below them.
    fn pairs(&self, seen: &Seen<'_, i64>) -> Grid {
        const COLUMNS: usize = 16;
        const MOST: usize = 64;
        let asked = self.asked();
        let kind = seen.observation[0];
        let shows_pair = kind == PAIR && self.is_running();
        let on_screen = asked.or(self.last_shown().filter(|_| shows_pair));
        let focus = asked.or(self.last_shown()).unwrap_or(0);
        let places: Vec<usize> = window(self.keys.len(), focus, MOST).collect();
        let columns = COLUMNS.min(places.len());
        let cell = |pair: usize, number: u16, is_key: bool| {
            let tone = match asked {
                _ if pair >= self.num_shown() => Tone::Hidden,
                Some(asked) if pair == asked => Tone::Goal,
                _ => Tone::Cue,
            };
            let is_seen = on_screen == Some(pair) && (is_key || shows_pair);
            Cell::new(&number.to_string()).tone(tone).seen(is_seen)
        };
        let cells = places.chunks(columns).flat_map(|block| {
            let row = |numbers: &[u16], is_key| {
                let cells = block.iter().map(|&pair| cell(pair, numbers[pair], is_key));
                let mut cells: Vec<Cell> = cells.collect();
                cells.resize(columns, Cell::blank());
                cells
            };
            [row(&self.keys, true), row(&self.values, false)].concat()
        });
        let cells: Vec<Cell> = cells.collect();
        let labels = ["key", "value"].into_iter().cycle();
        Grid::new(columns, cells).row_labels(labels.take(2 * places.len().div_ceil(columns)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::check::{arguments, check_environment};
    use crate::{Draw, Rng, Script};
    use serde_json::{Value, json};

    fn task(kwargs: Value) -> AssociativeRecall {
        AssociativeRecall::new(&arguments::<AssociativeRecall>(kwargs)).unwrap()
    }

    /// Plays an episode, always with the same action, and returns its observations.
    fn shown(task: &mut AssociativeRecall, draws: &mut impl Draws) -> Vec<[i64; 3]> {
        let mut observation = [9; 3];
        task.reset(draws, &mut observation);
        let mut shown = vec![observation];
        while task.is_running() {
            task.validate().unwrap();
            task.step(&[0], draws, &mut observation);
            shown.push(observation);
        }
        task.validate().unwrap();
        shown
    }

    /// Plays an episode with these draws and actions; returns observations and rewards.
    fn played(kwargs: Value, draws: &[u64], actions: &[i64]) -> (Vec<[i64; 3]>, Vec<f64>) {
        let mut task = task(kwargs);
        let mut draws = Script::new(draws.iter().map(|&draw| Draw::Integer(draw)).collect());
        let mut observation = [9; 3];
        task.reset(&mut draws, &mut observation);
        let (mut shown, mut rewards) = (vec![observation], Vec::new());
        for (step, &action) in (1..).zip(actions) {
            let transition = task.step(&[action], &mut draws, &mut observation);
            assert_eq!(transition.terminated, step == actions.len());
            rewards.push(transition.reward);
            shown.push(observation);
        }
        draws.finish().unwrap();
        (shown, rewards)
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"num_pairs": 1, "num_keys": 2, "num_values": 2, "delay": 1}),
            json!({"num_pairs": 5, "num_keys": 5, "spread": 7, "rewrites": 5, "num_queries": 13}),
            json!({"delay": 40, "delay_min": 2, "difficulty": 1, "num_queries": 1}),
            json!({"num_pairs": 70, "num_keys": 4096, "num_values": 4096, "delay": 3,
                   "difficulty": 1}),
        ] {
            check_environment::<AssociativeRecall>(kwargs);
        }
    }

    #[test]
    fn the_values_of_keys_are_asked_for() {
        let kwargs =
            json!({"num_pairs": 2, "num_keys": 4, "num_values": 3, "delay": 2, "num_queries": 3});
        // Keys 2 and 1, values 1 and 0; the second pair is asked for, then the first one, and in
        // the second round the second one.
        let draws = [2, 0, 1, 0, 1, 0, 0];
        let (shown, rewards) = played(kwargs, &draws, &[1, 1, 1, 1, 0, 2, 0]);
        let expected = [
            [0, 2, 1],
            [0, 1, 0],
            [1, 0, 0],
            [1, 0, 0],
            [2, 1, 0],
            [2, 2, 0],
            [2, 1, 0],
            [1, 0, 0],
        ];
        assert_eq!(shown, expected);
        let third = 1.0 / 3.0;
        assert_eq!(rewards, [0.0, 0.0, 0.0, 0.0, third, -third, third]);
    }

    #[test]
    fn a_key_shown_again_has_a_new_value() {
        let kwargs = json!({"num_pairs": 2, "num_keys": 3, "num_values": 3, "delay": 1,
                            "spread": 2, "rewrites": 1, "difficulty": 1});
        // Keys 0 and 2, values 2 and 0.
        let pairs = [0, 1, 2, 0];
        // A distractor with key 1 and value 2, two pairs, a distractor with key 2 and value 1; then
        // the first key again, with the second of the other values; a distractor; both queries.
        let then = [3, 1, 2, 1, 0, 2, 1, 0, 1, 0, 0, 0, 0];
        let draws = [&pairs[..], &then].concat();
        let (shown, rewards) = played(kwargs, &draws, &[0, 0, 0, 0, 0, 0, 1, 2]);
        let expected = [
            [1, 1, 2],
            [0, 0, 2],
            [0, 2, 0],
            [1, 2, 1],
            [0, 0, 1],
            [1, 0, 0],
            [2, 0, 0],
            [2, 2, 0],
            [1, 0, 0],
        ];
        assert_eq!(shown, expected);
        assert_eq!(rewards, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, -0.5]);
    }

    /// Of 3 pairs and 2 distractors the last is a pair: 6 arrangements, 2000 each of 12 000; five
    /// standard deviations are 204.
    #[test]
    fn every_arrangement_is_equally_likely() {
        let mut rng = Rng::from_seed(1);
        let mut task = task(json!({"num_pairs": 2, "rewrites": 1, "spread": 2, "delay": 1}));
        let mut counts = BTreeMap::new();
        for _ in 0..12_000 {
            let kinds: Vec<i64> = shown(&mut task, &mut rng)
                .iter()
                .map(|seen| seen[0])
                .collect();
            assert_eq!(kinds[4..], [PAIR, DISTRACTOR, QUERY, QUERY, DISTRACTOR]);
            *counts.entry(kinds[..4].to_vec()).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        let is_even = |count: &u32| count.abs_diff(2000) < 204;
        assert!(counts.values().all(is_even), "{counts:?}");
    }

    /// 6 orders of 3 keys in each round, 2000 each of 12 000; five standard deviations are 204.
    #[test]
    fn every_round_asks_for_every_key_in_any_order() {
        let mut rng = Rng::from_seed(2);
        let kwargs = json!({"num_pairs": 3, "num_keys": 3, "num_queries": 7, "delay": 1});
        let mut task = task(kwargs);
        let mut counts = BTreeMap::new();
        for _ in 0..12_000 {
            let shown = shown(&mut task, &mut rng);
            let keys: Vec<i64> = shown[4..11].iter().map(|seen| seen[1]).collect();
            for (round, keys) in keys[..6].chunks(3).enumerate() {
                assert_eq!(BTreeSet::from_iter(keys).len(), 3);
                *counts.entry((round, keys.to_vec())).or_insert(0u32) += 1;
            }
        }
        assert_eq!(counts.len(), 12);
        let is_even = |count: &u32| count.abs_diff(2000) < 204;
        assert!(counts.values().all(is_even), "{counts:?}");
    }

    /// 12 pairs of keys, 1000 each of 12 000, and 6 pairs of an old and a new value among them, 2000 each;
    /// five standard deviations are 152 and 204.
    #[test]
    fn keys_and_values_are_uniform() {
        let mut rng = Rng::from_seed(3);
        let kwargs = json!({"num_pairs": 2, "num_keys": 4, "num_values": 3, "rewrites": 2});
        let mut task = task(kwargs);
        let (mut keys, mut values) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..12_000 {
            let shown = shown(&mut task, &mut rng);
            *keys.entry([shown[0][1], shown[1][1]]).or_insert(0u32) += 1;
            let again = shown[2..4]
                .iter()
                .find(|seen| seen[1] == shown[0][1])
                .unwrap();
            *values.entry([shown[0][2], again[2]]).or_insert(0u32) += 1;
        }
        assert_eq!((keys.len(), values.len()), (12, 6));
        assert!(
            keys.values().all(|count| count.abs_diff(1000) < 152),
            "{keys:?}"
        );
        assert!(
            values.values().all(|count| count.abs_diff(2000) < 204),
            "{values:?}"
        );
    }

    /// At difficulty 1 only the kind tells a distractor from a pair.
    #[test]
    fn distractors_are_uniform() {
        let mut rng = Rng::from_seed(4);
        let kwargs = json!({"num_pairs": 1, "num_keys": 3, "num_values": 2, "delay": 12_000,
                            "difficulty": 1});
        let mut counts = BTreeMap::new();
        for seen in &shown(&mut task(kwargs), &mut rng)[1..12_001] {
            *counts.entry(*seen).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        for (seen, count) in counts {
            assert!(
                seen[0] == DISTRACTOR && count.abs_diff(2000) < 204,
                "{seen:?}: {count}"
            );
        }
    }

    #[test]
    fn a_drawn_delay_comes_first_and_counts() {
        let kwargs = json!({"num_pairs": 1, "num_keys": 2, "delay": 8, "delay_min": 2});
        let (shown, _) = played(kwargs, &[3, 1, 0, 0], &[0; 5]);
        let none = [1, 0, 0];
        assert_eq!(shown, [[0, 1, 0], none, none, none, [2, 1, 0], none]);
    }

    #[test]
    fn an_episode_does_not_depend_on_the_one_before() {
        let kwargs = json!({"num_pairs": 5, "rewrites": 3, "num_queries": 7});
        let mut again = task(kwargs.clone());
        shown(&mut again, &mut Rng::from_seed(1));
        let again = shown(&mut again, &mut Rng::from_seed(2));
        assert_eq!(again, shown(&mut task(kwargs), &mut Rng::from_seed(2)));
    }

    #[test]
    fn arguments_must_fit_together() {
        for (kwargs, message) in [
            (
                json!({"num_pairs": 17}),
                "num_keys: 16 is less than num_pairs, which is 17",
            ),
            (
                json!({"rewrites": 5}),
                "rewrites: 5 is greater than num_pairs, which is 4",
            ),
            (
                json!({"delay": 2, "delay_min": 3}),
                "delay_min: 3 is greater than delay, which is 2",
            ),
        ] {
            let error =
                AssociativeRecall::new(&arguments::<AssociativeRecall>(kwargs)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }

    #[test]
    fn the_heap_holds_three_numbers_of_two_bytes_for_a_pair() {
        let mut task = task(json!({"num_pairs": 1000, "num_keys": 4096, "delay": 1}));
        assert_eq!(task.heap_bytes(), 6000);
        shown(&mut task, &mut Rng::from_seed(1));
        assert_eq!(task.heap_bytes(), 6000);
    }

    #[test]
    fn impossible_states_are_refused() {
        // The state after two pairs: two more and one distractor among them are left.
        let kwargs =
            json!({"num_pairs": 3, "rewrites": 1, "spread": 1, "delay": 4, "delay_min": 2});
        let mut task = task(kwargs);
        let draws = [3, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut draws = Script::new(draws.map(Draw::Integer).to_vec());
        let mut observation = [0; 3];
        task.reset(&mut draws, &mut observation);
        task.step(&[0], &mut draws, &mut observation);
        draws.finish().unwrap();
        task.validate().unwrap();
        let state = serde_json::to_value(task).unwrap();
        for (field, value) in [
            ("num_keys", json!(2)),
            ("num_keys", json!(4097)),
            ("num_values", json!(1)),
            ("num_values", json!(4097)),
            ("delay", json!(0)),
            ("delay", json!(10_000_001)),
            ("delay_min", json!(5)),
            ("spread", json!(0)),
            ("spread", json!(10_000_001)),
            ("rewrites", json!(4)),
            ("rewrites", json!(u32::MAX)),
            ("num_queries", json!(0)),
            ("num_queries", json!(65_537)),
            ("keys", json!([])),
            ("keys", json!([0, 1])),
            ("keys", json!([0, 1, 1])),
            ("keys", json!([0, 1, 16])),
            ("keys", json!([0, 1, 2, 3])),
            ("values", json!([0, 0])),
            ("values", json!([0, 0, 4])),
            ("values", json!([0, 0, 0, 0])),
            ("order", json!([0, 1])),
            ("order", json!([0, 1, 1])),
            ("order", json!([0, 1, 3])),
            ("pairs_left", json!(0)),
            ("pairs_left", json!(5)),
            ("pairs_left", json!(u32::MAX)),
            ("spread_left", json!(2)),
            ("spread_left", json!(u32::MAX)),
            ("remaining", json!(0)),
            ("remaining", json!(8)),
            ("remaining", json!(12)),
            ("remaining", json!(u32::MAX)),
        ] {
            let mut state = state.clone();
            state[field] = value.clone();
            let task: AssociativeRecall = serde_json::from_value(state).unwrap();
            assert!(task.validate().is_err(), "{field} {value}");
        }
    }
}
