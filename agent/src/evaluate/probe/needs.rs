//! The earlier steps that an action needs, told from observations alone, task by task. A probe knows them; agents do not.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

/// A step whose observation holds the answer to a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Step of the episode, from 0.
    pub step: u32,
    /// The right action, a choice counted from 0.
    pub answer: u32,
}

/// A need of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing, or what is on screen.
    Nothing,
    /// Something that the episode has not shown yet.
    Unseen,
    /// The entry of this step.
    Of(Source),
}

impl Need {
    /// The need of a source at a step; there is none where the source is on screen.
    fn of(source: Option<Source>, step: u32) -> Self {
        match source {
            None => Need::Unseen,
            Some(source) if source.step == step => Need::Nothing,
            Some(source) => Need::Of(source),
        }
    }
}

/// The needs of the steps of an episode. The steps are counted by the caller, from 0.
trait Task {
    /// Takes the observation of a step, the task's own numbers first, and returns what the action at it needs.
    fn observe(&mut self, step: u32, observation: &[f32]) -> Need;

    /// Returns the steps so far whose entries later actions may need.
    fn wanted(&self) -> Vec<u32>;
}

/// `MemoryTask`: cues, given back in their order.
struct Cues {
    num_bits: usize,
    /// Step of the first action that gives one back.
    first_answer: u32,
    /// Whether the third number says what is a cue. Otherwise the first observations are.
    is_marked: bool,
    /// The latest cues, at most `num_bits`.
    shown: VecDeque<Source>,
}

impl Task for Cues {
    fn observe(&mut self, step: u32, observation: &[f32]) -> Need {
        let is_cue = match self.is_marked {
            true => observation[2] == 1.0,
            false => (step as usize) < self.num_bits,
        };
        if is_cue {
            let answer = observation[0] as u32;
            push(&mut self.shown, Source { step, answer }, self.num_bits);
        }
        match step.checked_sub(self.first_answer) {
            Some(number) if (number as usize) < self.num_bits => {
                Need::of(self.shown.get(number as usize).copied(), step)
            }
            _ => Need::Nothing,
        }
    }

    fn wanted(&self) -> Vec<u32> {
        self.shown.iter().map(|source| source.step).collect()
    }
}

/// `AssociativeRecall`: for a query, the last pair of its key.
#[derive(Default)]
struct Pairs {
    last: BTreeMap<u32, Source>,
}

impl Task for Pairs {
    fn observe(&mut self, step: u32, observation: &[f32]) -> Need {
        let (key, answer) = (observation[1] as u32, observation[2] as u32);
        match observation[0] {
            0.0 => {
                self.last.insert(key, Source { step, answer });
                Need::Nothing
            }
            2.0 => Need::of(self.last.get(&key).copied(), step),
            _ => Need::Nothing,
        }
    }

    fn wanted(&self) -> Vec<u32> {
        self.last.values().map(|source| source.step).collect()
    }
}

/// `RepeatFirst`: the first card.
#[derive(Default)]
struct FirstCard {
    card: Option<Source>,
}

impl Task for FirstCard {
    fn observe(&mut self, step: u32, observation: &[f32]) -> Need {
        let answer = observation[0] as u32;
        let card = *self.card.get_or_insert(Source { step, answer });
        Need::of(Some(card), step)
    }

    fn wanted(&self) -> Vec<u32> {
        self.card.iter().map(|card| card.step).collect()
    }
}

/// `RepeatPrevious`: the card `k` − 1 steps ago, once so many have been dealt.
struct PreviousCard {
    k: usize,
    /// The latest cards, at most `k`.
    dealt: VecDeque<Source>,
}

impl Task for PreviousCard {
    fn observe(&mut self, step: u32, observation: &[f32]) -> Need {
        let answer = observation[0] as u32;
        push(&mut self.dealt, Source { step, answer }, self.k);
        match self.dealt.len() == self.k {
            true => Need::of(self.dealt.front().copied(), step),
            false => Need::Nothing,
        }
    }

    fn wanted(&self) -> Vec<u32> {
        let used = usize::from(self.dealt.len() == self.k);
        self.dealt.iter().skip(used).map(|card| card.step).collect()
    }
}

/// A T-maze: at the junction, the last sign.
struct Maze {
    /// Whether an observation shows the sign, and if so whether it points up.
    sign: fn(&[f32]) -> Option<bool>,
    /// Whether an observation is that of the junction.
    is_junction: fn(&[f32]) -> bool,
    last: Option<Source>,
}

/// The actions that turn up and down.
const UP: u32 = 1;
const DOWN: u32 = 3;

impl Maze {
    /// `[is at the junction, side or sign]`: the mazes of Ni et al. and the endless one.
    fn of_pairs() -> Self {
        Self {
            sign: |seen| (seen[0] == 0.0 && seen[1] != 0.0).then_some(seen[1] > 0.0),
            is_junction: |seen| seen[..2] == [1.0, 0.0],
            last: None,
        }
    }

    /// Three numbers, with noise in the corridor: the maze of Bakker.
    fn of_triples() -> Self {
        Self {
            sign: |seen| (seen[1] == 1.0 && seen[0] != seen[2]).then_some(seen[2] == 1.0),
            is_junction: |seen| seen[..3] == [0.0, 1.0, 0.0],
            last: None,
        }
    }
}

impl Task for Maze {
    fn observe(&mut self, step: u32, observation: &[f32]) -> Need {
        if let Some(is_up) = (self.sign)(observation) {
            let answer = if is_up { UP } else { DOWN };
            self.last = Some(Source { step, answer });
        }
        match (self.is_junction)(observation) {
            true => Need::of(self.last, step),
            false => Need::Nothing,
        }
    }

    fn wanted(&self) -> Vec<u32> {
        self.last.iter().map(|sign| sign.step).collect()
    }
}

/// Appends a source and drops the oldest of more than `most`.
fn push(sources: &mut VecDeque<Source>, source: Source, most: usize) {
    sources.push_back(source);
    if sources.len() > most {
        sources.pop_front();
    }
}

type Begin = fn(&Map<String, Value>) -> Result<Box<dyn Task>, &'static str>;

/// The tasks that can be probed, and how their episodes begin.
const TASKS: [(&str, Begin); 8] = [
    ("MemoryTask-v0", |kwargs| {
        let delay = number(kwargs, "delay").unwrap_or(1);
        if number(kwargs, "delay_min").is_some_and(|shortest| shortest < delay) {
            return Err(
                "where an episode's delay is drawn, observations do not tell when the cue is asked for. Leave delay_min out",
            );
        }
        Ok(Box::new(Cues {
            num_bits: number(kwargs, "num_bits").unwrap_or(1) as usize,
            first_answer: delay.saturating_sub(1) as u32,
            is_marked: text(kwargs, "cue_time") == Some("random"),
            shown: VecDeque::new(),
        }))
    }),
    ("AssociativeRecall-v0", |_| Ok(Box::<Pairs>::default())),
    ("RepeatFirst-v0", |_| Ok(Box::<FirstCard>::default())),
    ("RepeatPrevious-v0", |kwargs| {
        let of_level = match text(kwargs, "level") {
            Some("medium") => 32,
            Some("hard") => 64,
            _ => 4,
        };
        Ok(Box::new(PreviousCard {
            k: number(kwargs, "k").unwrap_or(of_level) as usize,
            dealt: VecDeque::new(),
        }))
    }),
    ("TMazePassive-v0", |_| Ok(Box::new(Maze::of_pairs()))),
    ("TMazeActive-v0", |_| Ok(Box::new(Maze::of_pairs()))),
    ("EndlessTMaze-v0", |_| Ok(Box::new(Maze::of_pairs()))),
    ("TMazeDistractors-v0", |_| Ok(Box::new(Maze::of_triples()))),
];

fn number(kwargs: &Map<String, Value>, name: &str) -> Option<u64> {
    kwargs.get(name).and_then(Value::as_u64)
}

fn text<'a>(kwargs: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    kwargs.get(name).and_then(Value::as_str)
}

/// The needs of an episode of a task.
pub struct Needs {
    task: Box<dyn Task>,
    /// Where the task's own numbers begin in an observation.
    own: usize,
    /// Steps observed.
    steps: u32,
}

impl Needs {
    /// The needs of an episode that begins.
    ///
    /// # Errors
    /// The reason why observations do not tell them, and tasks whose observations do.
    pub fn new(spec_id: &str, kwargs: &Map<String, Value>) -> Result<Self, String> {
        let Some((_, begin)) = TASKS.iter().find(|(id, _)| *id == spec_id) else {
            let names: Vec<&str> = TASKS.iter().map(|(id, _)| *id).collect();
            return Err(format!(
                "{spec_id} cannot be probed, as its observations do not tell which earlier step an action needs. These \
                 can: {}",
                names.join(", ")
            ));
        };
        if number(kwargs, "frame_skip").is_some_and(|skip| skip > 1) {
            return Err("with frame_skip an agent does not see every step. Leave it out".into());
        }
        let noise = kwargs.get("observation_noise").and_then(Value::as_f64);
        if noise.is_some_and(|noise| noise > 0.0) {
            return Err(
                "with observation_noise observations do not tell what they show. Leave it out"
                    .into(),
            );
        }
        Ok(Self {
            task: begin(kwargs)?,
            // That flag comes before all else.
            own: usize::from(kwargs.get("is_first").is_some_and(|flag| flag == true)),
            steps: 0,
        })
    }

    /// Takes the flat observation of the next step, and returns what the action at it needs.
    pub fn observe(&mut self, observation: &[f32]) -> Need {
        let need = self.task.observe(self.steps, &observation[self.own..]);
        self.steps += 1;
        need
    }

    /// Returns the steps so far whose entries later actions may need.
    pub fn wanted(&self) -> Vec<u32> {
        self.task.wanted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(spec_id: &str, kwargs: &str) -> Result<Needs, String> {
        Needs::new(spec_id, &serde_json::from_str(kwargs).unwrap())
    }

    /// Needs of each of these observations as (step, answer); `None` for nothing. Nothing is unseen.
    fn told<const N: usize>(
        spec_id: &str,
        kwargs: &str,
        seen: &[[f32; N]],
    ) -> Vec<Option<(u32, u32)>> {
        let mut needs = begin(spec_id, kwargs).unwrap();
        let need = |observation: &[f32; N]| match needs.observe(observation) {
            Need::Nothing => None,
            Need::Unseen => panic!("{observation:?} needs what was not shown"),
            Need::Of(source) => Some((source.step, source.answer)),
        };
        seen.iter().map(need).collect()
    }

    #[test]
    fn the_first_cue_is_needed_at_the_last_action() {
        let seen = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
        let kwargs = r#"{"delay": 3, "cue_time": "first", "num_bits": 1}"#;
        let needs = told("MemoryTask-v0", kwargs, &seen);
        assert_eq!(needs, [None, None, Some((0, 1))]);
        // At delay 1 it is on screen.
        let needs = told("MemoryTask-v0", r#"{"delay": 1}"#, &seen[..1]);
        assert_eq!(needs, [None]);
    }

    #[test]
    fn several_bits_are_given_back_in_their_order() {
        let seen = [
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [1.0, 0.0, 0.0],
            [0.0, 0.0, 0.0],
        ];
        let kwargs = r#"{"delay": 2, "num_bits": 3}"#;
        let needs = told("MemoryTask-v0", kwargs, &seen);
        assert_eq!(needs, [None, Some((0, 1)), Some((1, 0)), Some((2, 1))]);
    }

    #[test]
    fn of_marked_cues_the_last_counts() {
        let seen = [
            [1.0, 1.0, 0.0],
            [0.0, 1.0, 1.0],
            [1.0, 0.0, 0.0],
            [1.0, 0.0, 1.0],
            [0.0, 0.0, 0.0],
        ];
        let kwargs = r#"{"delay": 5, "cue_time": "random", "cue_changes": 1}"#;
        let mut needs = begin("MemoryTask-v0", kwargs).unwrap();
        let told: Vec<Need> = seen.iter().map(|seen| needs.observe(seen)).collect();
        let (step, answer) = (3, 1);
        assert_eq!(told[..4], [Need::Nothing; 4]);
        assert_eq!(told[4], Need::Of(Source { step, answer }));
        assert_eq!(needs.wanted(), [3]);
        // Without a mark nothing has been shown.
        let mut needs = begin("MemoryTask-v0", r#"{"delay": 1, "cue_time": "random"}"#).unwrap();
        assert_eq!(needs.observe(&seen[0]), Need::Unseen);
    }

    #[test]
    fn a_query_needs_the_last_pair_of_its_key() {
        let seen = [
            [0.0, 7.0, 2.0],
            [0.0, 3.0, 1.0],
            [1.0, 7.0, 3.0],
            [0.0, 7.0, 0.0],
            [2.0, 3.0, 0.0],
            [2.0, 7.0, 0.0],
        ];
        let mut needs = begin("AssociativeRecall-v0", r#"{"delay": 1, "delay_min": 1}"#).unwrap();
        let told: Vec<Need> = seen.iter().map(|seen| needs.observe(seen)).collect();
        let of = |step, answer| Need::Of(Source { step, answer });
        assert_eq!(told[..4], [Need::Nothing; 4]);
        assert_eq!(told[4..], [of(1, 1), of(3, 0)]);
        assert_eq!(needs.wanted(), [1, 3]);
        assert_eq!(needs.observe(&[2.0, 9.0, 0.0]), Need::Unseen);
    }

    #[test]
    fn cards_are_asked_for_from_the_first_and_from_before() {
        let seen = [[3.0], [0.0], [2.0], [1.0]];
        let needs = told("RepeatFirst-v0", "{}", &seen);
        assert_eq!(needs, [None, Some((0, 3)), Some((0, 3)), Some((0, 3))]);
        let needs = told("RepeatPrevious-v0", r#"{"k": 3}"#, &seen);
        assert_eq!(needs, [None, None, Some((0, 3)), Some((1, 0))]);
        assert_eq!(
            told("RepeatPrevious-v0", r#"{"k": 1}"#, &seen),
            [None, None, None, None]
        );
        // The level says how many, and what has been asked for is not wanted again.
        let mut needs = begin("RepeatPrevious-v0", r#"{"level": "easy"}"#).unwrap();
        let told: Vec<Need> = seen.iter().map(|seen| needs.observe(seen)).collect();
        let (step, answer) = (0, 3);
        assert_eq!(told[3], Need::Of(Source { step, answer }));
        assert_eq!(needs.wanted(), [1, 2, 3]);
    }

    #[test]
    fn a_junction_needs_the_last_sign() {
        let seen = [[0.0, -1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]];
        let needs = told("TMazePassive-v0", "{}", &seen);
        assert_eq!(needs, [None, None, Some((0, DOWN)), None]);
        let seen = [[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]];
        let needs = told("EndlessTMaze-v0", "{}", &seen);
        assert_eq!(needs, [None, Some((0, DOWN)), None, Some((2, UP))]);
        let seen = [
            [1.0, 1.0, 0.0],
            [1.0, 0.0, 0.0],
            [1.0, 0.0, 1.0],
            [0.0, 1.0, 0.0],
        ];
        let needs = told("TMazeDistractors-v0", "{}", &seen);
        assert_eq!(needs, [None, None, None, Some((0, DOWN))]);
        // In the active maze an agent may not have looked. The flag of the first step comes before.
        let mut needs = begin("TMazeActive-v0", r#"{"is_first": true}"#).unwrap();
        assert_eq!(needs.observe(&[1.0, 0.0, 0.0]), Need::Nothing);
        assert_eq!(needs.observe(&[0.0, 1.0, 0.0]), Need::Unseen);
        assert_eq!(needs.observe(&[0.0, 0.0, 1.0]), Need::Nothing);
        let (step, answer) = (2, UP);
        let need = needs.observe(&[0.0, 1.0, 0.0]);
        assert_eq!(need, Need::Of(Source { step, answer }));
    }

    #[test]
    fn refusals_say_what_can_be_probed() {
        let refused = |spec_id, kwargs| begin(spec_id, kwargs).err().unwrap();
        let text = refused("Concentration-v0", "{}");
        assert!(text.contains("TMazeDistractors-v0"), "{text}");
        let text = refused("MemoryTask-v0", r#"{"delay": 9, "delay_min": 2}"#);
        assert!(text.contains("Leave delay_min out"), "{text}");
        let text = refused("RepeatFirst-v0", r#"{"frame_skip": 2}"#);
        assert!(text.contains("frame_skip"), "{text}");
        let text = refused("RepeatFirst-v0", r#"{"observation_noise": 0.1}"#);
        assert!(text.contains("observation_noise"), "{text}");
    }
}
