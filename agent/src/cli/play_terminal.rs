//! A person plays in the terminal what the agents play.

use std::io::{self, BufRead, Write};

use env_protocol::Space;

use agent::env::{EnvError, ResetRequest, VectorEnv};
use agent::spaces::actions::Choice;
use agent::spaces::components::{Component, components};

/// Erases the screen of a terminal and what has scrolled out of it, and begins again at the top.
const ERASE: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Why a person could not play on.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// Input cannot be read, or output cannot be written.
    #[error("cannot talk to the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Text for the player, and its style.
#[derive(Clone, Debug, Default)]
pub struct Briefing {
    /// Description of the task, shown at the start and on request.
    pub task: String,
    /// Whether the output is a terminal: what was shown before an action is erased after it, for it is to be
    /// remembered, and pictures have colours.
    pub is_terminal: bool,
}

/// Plays up to `num_episodes` episodes of an environment of one lane: shows what the agent sees on `output`, as a picture
/// where the environment draws one, takes actions from the lines of `input`, and asks again where a line is not an
/// action. `?` or `help` explains the task, `q` or the end of `input` ends the play. Returns the returns of the
/// episodes that were played to their end.
///
/// # Errors
/// The environment's, among them that the agents cannot play its actions; that `input` or `output` fails.
pub fn play(
    env: &mut dyn VectorEnv,
    reset: &ResetRequest,
    num_episodes: u64,
    briefing: &Briefing,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<Vec<f64>, PlayError> {
    assert_eq!(
        env.num_envs(),
        1,
        "a person plays one environment at a time"
    );
    let mut table = Table {
        actions: Actions::of(env.action_space())?,
        row_length: row_length(env.observation_space()),
        briefing,
        input,
        output,
    };
    let mut returns = Vec::new();
    if num_episodes == 0 {
        return Ok(returns);
    }
    table.explain()?;
    let mut observation = env.reset(reset)?.observations;
    while let Some((episode_return, next)) = table.episode(env, observation, returns.len() + 1)? {
        returns.push(episode_return);
        if returns.len() as u64 == num_episodes {
            break;
        }
        observation = next;
    }
    Ok(returns)
}

/// A reward or a sum of rewards as people read it: four decimals, more for small ones, and no trailing zeros.
pub fn readable(number: f64) -> String {
    let size = number.abs();
    let decimals = match size {
        _ if size >= 0.01 || size == 0.0 || !size.is_finite() => 4,
        _ => (3.0 - size.log10().floor()).min(15.0) as usize,
    };
    let fixed = format!("{number:.decimals$}");
    let short = match fixed.contains('.') {
        true => fixed.trim_end_matches('0').trim_end_matches('.'),
        false => &fixed,
    };
    if short == "-0" { "0" } else { short }.to_owned()
}

/// Where a person sits.
struct Table<'a> {
    actions: Actions,
    row_length: usize,
    briefing: &'a Briefing,
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
}

impl Table<'_> {
    /// Plays an episode to its end; returns its return and the next episode's first observation, or `None` if the
    /// person left.
    fn episode(
        &mut self,
        env: &mut dyn VectorEnv,
        first: Vec<f32>,
        number: usize,
    ) -> Result<Option<(f64, Vec<f32>)>, PlayError> {
        writeln!(self.output, "\nEpisode {number}")?;
        self.show(env, &first)?;
        let mut episode_return = 0.0;
        for step in 1_u64.. {
            let Some(action) = self.ask()? else {
                writeln!(self.output, "\nLeft in the middle of episode {number}.")?;
                return Ok(None);
            };
            let reply = env.step(&action)?;
            if self.briefing.is_terminal {
                write!(self.output, "{ERASE}")?;
            }
            episode_return += reply.rewards[0];
            let reward = readable(reply.rewards[0]);
            writeln!(self.output, "step {step}, reward {reward}")?;
            let ending = match (reply.terminations[0], reply.truncations[0]) {
                (true, _) => "terminated",
                (false, true) => "truncated",
                (false, false) => {
                    self.show(env, &reply.observations)?;
                    continue;
                }
            };
            // The environment has begun the next episode, and draws that.
            self.show_numbers(&reply.final_observations)?;
            writeln!(
                self.output,
                "The episode is over ({ending}): return {} in {step} steps.",
                readable(episode_return)
            )?;
            return Ok(Some((episode_return, reply.observations)));
        }
        unreachable!("nobody takes 2⁶⁴ steps")
    }

    /// Asks until a line is an action; `None` is a wish to leave.
    fn ask(&mut self) -> Result<Option<Vec<Choice>>, PlayError> {
        loop {
            write!(self.output, "action> ")?;
            self.output.flush()?;
            let mut line = String::new();
            let is_end = self.input.read_line(&mut line)? == 0;
            let answer = line.trim();
            match answer.to_ascii_lowercase().as_str() {
                _ if is_end => return Ok(None),
                "q" | "quit" | "exit" => return Ok(None),
                "?" | "h" | "help" => {
                    self.explain()?;
                    continue;
                }
                _ => {}
            }
            match self.actions.read(answer) {
                Some(action) => return Ok(Some(action)),
                None => writeln!(
                    self.output,
                    "`{answer}` is not an action; type {}. ? explains, q quits.",
                    self.actions
                )?,
            }
        }
    }

    /// Says what the task is and what can be typed.
    fn explain(&mut self) -> io::Result<()> {
        if !self.briefing.task.is_empty() {
            writeln!(self.output, "{}", self.briefing.task.trim_end())?;
        }
        writeln!(
            self.output,
            "Actions: {}; ? explains, q quits.",
            self.actions
        )
    }

    /// Shows what the agent sees: the environment's picture of it, or the numbers.
    fn show(&mut self, env: &mut dyn VectorEnv, observation: &[f32]) -> Result<(), PlayError> {
        match env.picture(self.briefing.is_terminal)? {
            Some(picture) => writeln!(self.output, "\n{}\n", picture.trim_end())?,
            None => self.show_numbers(observation)?,
        }
        Ok(())
    }

    /// Shows an observation, a line for each row of its last dimension.
    fn show_numbers(&mut self, observation: &[f32]) -> io::Result<()> {
        let rows: Vec<String> = observation
            .chunks(self.row_length)
            .map(|row| {
                let numbers: Vec<String> = row.iter().map(|&number| four_places(number)).collect();
                format!("[{}]", numbers.join(", "))
            })
            .collect();
        writeln!(self.output, "observation {}", rows.join("\n            "))
    }
}

/// Valid input: a number for each component of an action.
struct Actions {
    components: Vec<Component>,
}

impl Actions {
    fn of(space: &Space) -> Result<Self, EnvError> {
        Ok(Self {
            components: components(space)?,
        })
    }

    /// The action that a line says, if it says one: numbers with blanks, commas or both between them.
    fn read(&self, line: &str) -> Option<Vec<Choice>> {
        let parts = line.split(',').flat_map(|part| {
            // Nothing between two commas is no number.
            let is_empty = part.trim().is_empty() && line.contains(',');
            part.split_whitespace().chain(is_empty.then_some(""))
        });
        let parts: Vec<&str> = parts.collect();
        if parts.len() != self.components.len() {
            return None;
        }
        let pairs = parts.iter().zip(&self.components);
        pairs
            .map(|(part, component)| {
                let number = match component {
                    Component::Choice { .. } => part.parse::<i64>().ok()? as f64,
                    Component::Number(_) => part.parse().ok()?,
                };
                component.of_space(number)
            })
            .collect()
    }
}

/// What can be typed for a component.
fn words(component: &Component) -> String {
    match component {
        Component::Choice { start, n } => {
            let last = start + *n as i64 - 1;
            match n {
                1 => format!("{start}"),
                2 => format!("{start} or {last}"),
                _ => format!("{start} to {last}"),
            }
        }
        Component::Number(unit) => {
            let [low, high] = unit.bounds();
            match (low.is_finite(), high.is_finite()) {
                (true, true) => format!("a number from {low} to {high}"),
                (true, false) => format!("a number from {low}"),
                (false, true) => format!("a number up to {high}"),
                (false, false) => "a number".to_owned(),
            }
        }
    }
}

/// The largest that can be typed for a component, or any.
fn example(component: &Component) -> String {
    match component {
        Component::Choice { start, n } => (start + *n as i64 - 1).to_string(),
        Component::Number(unit) => unit.to_space(0.5).to_string(),
    }
}

impl std::fmt::Display for Actions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said: Vec<String> = self.components.iter().map(words).collect();
        write!(f, "{}", said.join(" and "))?;
        if self.components.len() > 1 {
            let example: Vec<String> = self.components.iter().map(example).collect();
            write!(f, ", as in `{}`", example.join(","))?;
        }
        Ok(())
    }
}

/// Numbers a line when an observation is shown.
fn row_length(space: &Space) -> usize {
    let shape = space.shape().unwrap_or_default();
    shape
        .last()
        .copied()
        .unwrap_or_else(|| space.flat_size())
        .max(1)
}

fn four_places(number: f32) -> String {
    ((f64::from(number) * 1e4).round() / 1e4).to_string()
}

#[cfg(test)]
mod tests {
    use env_protocol::{Bound, Dtype};

    use super::*;
    use agent::env::{ResetReply, StepReply};
    use agent::spaces::actions::of_number;

    /// Shows a cue, then nothing; the second action earns 1 if it repeats the cue, else −1. Cues alternate.
    struct Recall {
        observation_space: Space,
        action_space: Space,
        cue: Choice,
        taken: u32,
    }

    impl Recall {
        fn new() -> Self {
            Self {
                observation_space: Space::Box {
                    shape: vec![2],
                    dtype: Dtype::Float32,
                    low: Bound::All(0.0),
                    high: Bound::All(1.0),
                },
                action_space: Space::Discrete { n: 2, start: 0 },
                cue: 1,
                taken: 0,
            }
        }
    }

    impl VectorEnv for Recall {
        fn num_envs(&self) -> usize {
            1
        }

        fn observation_space(&self) -> &Space {
            &self.observation_space
        }

        fn action_space(&self) -> &Space {
            &self.action_space
        }

        fn reset(&mut self, _: &ResetRequest) -> Result<ResetReply, EnvError> {
            Ok(ResetReply {
                observations: vec![self.cue as f32, 1.0 / 3.0],
            })
        }

        fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
            self.taken += 1;
            if self.taken == 1 {
                return Ok(StepReply {
                    observations: vec![0.0, 0.0],
                    rewards: vec![0.0],
                    terminations: vec![false],
                    truncations: vec![false],
                    final_observations: Vec::new(),
                });
            }
            let reward = if actions[0] == self.cue { 1.0 } else { -1.0 };
            (self.cue, self.taken) = (1 - self.cue, 0);
            Ok(StepReply {
                observations: vec![self.cue as f32, 0.25],
                rewards: vec![reward],
                terminations: vec![true],
                truncations: vec![false],
                final_observations: vec![0.0, 0.5],
            })
        }

        fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
            unreachable!("a person does not go back")
        }

        fn restore(&mut self, _: &[u8]) -> Result<(), EnvError> {
            unreachable!("a person does not go back")
        }
    }

    fn typed(lines: &str, num_episodes: u64) -> (Vec<f64>, String) {
        let mut output = Vec::new();
        let returns = play(
            &mut Recall::new(),
            &ResetRequest::default(),
            num_episodes,
            &Briefing::default(),
            &mut lines.as_bytes(),
            &mut output,
        )
        .unwrap();
        (returns, String::from_utf8(output).unwrap())
    }

    #[test]
    fn an_episode_with_slips_of_the_finger() {
        let (returns, shown) = typed("0\n2\nfoo\n\n 1 \n0\n", 1);
        assert_eq!(returns, [1.0]);
        insta::assert_snapshot!(shown, @r"
        Actions: 0 or 1; ? explains, q quits.

        Episode 1
        observation [1, 0.3333]
        action> step 1, reward 0
        observation [0, 0]
        action> `2` is not an action; type 0 or 1. ? explains, q quits.
        action> `foo` is not an action; type 0 or 1. ? explains, q quits.
        action> `` is not an action; type 0 or 1. ? explains, q quits.
        action> step 2, reward 1
        observation [0, 0.5]
        The episode is over (terminated): return 1 in 2 steps.
        ");
    }

    #[test]
    fn the_next_episode_begins_with_its_own_observation() {
        let (returns, shown) = typed("0\n1\n0\n1\n0\n0\n", 3);
        assert_eq!(returns, [1.0, -1.0, -1.0]);
        assert_eq!(shown.matches("observation [0, 0.25]").count(), 1);
        assert_eq!(shown.matches("observation [1, 0.25]").count(), 1);
    }

    #[test]
    fn q_and_the_end_of_the_input_leave() {
        for lines in ["0\n1\n0\nq\n1\n", "0\n1\n0\nQ", "0\n1\n0\n"] {
            let (returns, shown) = typed(lines, 9);
            assert_eq!(returns, [1.0], "{lines:?}");
            assert!(
                shown.ends_with("Left in the middle of episode 2.\n"),
                "{shown}"
            );
        }
    }

    #[test]
    fn each_component_is_typed() {
        let pair = Actions::of(&Space::MultiDiscrete { nvec: vec![2, 3] }).unwrap();
        assert_eq!(pair.to_string(), "0 or 1 and 0 to 2, as in `1,2`");
        for line in [" 1  2 ", "1,2", "1, 2", " 1 ,2 ", "1\t2"] {
            assert_eq!(pair.read(line), Some(vec![1, 2]), "{line}");
        }
        for line in ["1", "1 3", "1 2 0", "1,,2", "1,2,", ",", "1;2", ""] {
            assert_eq!(pair.read(line), None, "{line}");
        }
        let shifted = Actions::of(&Space::Discrete { n: 3, start: -1 }).unwrap();
        assert_eq!(shifted.to_string(), "-1 to 1");
        assert_eq!(shifted.read("-1"), Some(vec![0]));
    }

    /// A task that draws itself, and pays what does not add up in binary.
    struct Drawn(Recall);

    impl VectorEnv for Drawn {
        fn num_envs(&self) -> usize {
            1
        }

        fn observation_space(&self) -> &Space {
            self.0.observation_space()
        }

        fn action_space(&self) -> &Space {
            self.0.action_space()
        }

        fn reset(&mut self, request: &ResetRequest) -> Result<ResetReply, EnvError> {
            self.0.reset(request)
        }

        fn step(&mut self, actions: &[Choice]) -> Result<StepReply, EnvError> {
            let mut reply = self.0.step(actions)?;
            reply.rewards[0] = if reply.terminations[0] { 0.2 } else { 0.1 };
            Ok(reply)
        }

        fn picture(&mut self, has_colour: bool) -> Result<Option<String>, EnvError> {
            let look = if has_colour { "coloured" } else { "plain" };
            Ok(Some(format!(
                "a {look} picture after {} steps\n",
                self.0.taken
            )))
        }

        fn snapshot(&mut self) -> Result<Vec<u8>, EnvError> {
            unreachable!("a person does not go back")
        }

        fn restore(&mut self, _: &[u8]) -> Result<(), EnvError> {
            unreachable!("a person does not go back")
        }
    }

    fn drawn(lines: &str, is_terminal: bool) -> String {
        let mut output = Vec::new();
        let briefing = Briefing {
            task: "Repeat the cue.".into(),
            is_terminal,
        };
        play(
            &mut Drawn(Recall::new()),
            &ResetRequest::default(),
            1,
            &briefing,
            &mut lines.as_bytes(),
            &mut output,
        )
        .unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_task_is_explained_and_drawn_and_sums_are_rounded() {
        insta::assert_snapshot!(drawn("?\n0\nHELP\n1\n", false), @r"
        Repeat the cue.
        Actions: 0 or 1; ? explains, q quits.

        Episode 1

        a plain picture after 0 steps

        action> Repeat the cue.
        Actions: 0 or 1; ? explains, q quits.
        action> step 1, reward 0.1

        a plain picture after 1 steps

        action> Repeat the cue.
        Actions: 0 or 1; ? explains, q quits.
        action> step 2, reward 0.2
        observation [0, 0.5]
        The episode is over (terminated): return 0.3 in 2 steps.
        ");
    }

    #[test]
    fn a_terminal_forgets_what_is_to_be_remembered() {
        let shown = drawn("0\n1\n", true);
        let after: Vec<&str> = shown.split(ERASE).collect();
        assert_eq!(after.len(), 3, "{shown:?}");
        assert!(after[0].contains("a coloured picture after 0 steps"));
        assert!(!after[1].contains("after 0 steps"));
        assert!(after[2].contains("return 0.3"), "the result stays");
        assert!(!drawn("0\n1\n", false).contains('\x1b'));
    }

    #[test]
    fn sums_of_rewards_are_readable() {
        for (number, text) in [
            (1.0000000000000007, "1"),
            (0.1 + 0.2, "0.3"),
            (-0.0, "0"),
            (-1.0, "-1"),
            (0.019_230_769, "0.0192"),
            (1.0 / 832.0, "0.001202"),
            (-1e-7, "-0.0000001"),
            (1234.56789, "1234.5679"),
            (1e-300, "0"),
            (f64::INFINITY, "inf"),
            (100.0, "100"),
        ] {
            assert_eq!(readable(number), text);
        }
    }

    #[test]
    fn numbers_are_typed_within_their_bounds() {
        let space = r#"{"type":"Tuple","spaces":[
            {"type":"Box","shape":[1],"dtype":"float32","low":-2.0,"high":2.0},
            {"type":"MultiBinary","n":1},
            {"type":"Box","shape":[],"dtype":"float32","low":"-Infinity","high":"Infinity"}]}"#;
        let actions = Actions::of(&serde_json::from_str(space).unwrap()).unwrap();
        assert_eq!(
            actions.to_string(),
            "a number from -2 to 2 and 0 or 1 and a number, as in `1,1,0.5`"
        );
        let expected = [of_number(-0.75), 1, of_number(1000.0)].to_vec();
        assert_eq!(actions.read("-1.5, 1, 1e3"), Some(expected));
        for line in ["2.1 1 0", "1 0.5 0", "1 1 inf", "nan 1 0", "1 1", "x 1 0"] {
            assert_eq!(actions.read(line), None, "{line}");
        }
    }

    #[test]
    fn rows_of_an_observation_of_two_dimensions_have_lines_of_their_own() {
        let mut output = Vec::new();
        let mut table = Table {
            actions: Actions {
                components: vec![Component::Choice { start: 0, n: 5 }],
            },
            row_length: row_length(&Space::Box {
                shape: vec![2, 3],
                dtype: Dtype::Float32,
                low: Bound::All(0.0),
                high: Bound::All(9.0),
            }),
            briefing: &Briefing::default(),
            input: &mut io::empty(),
            output: &mut output,
        };
        table.show_numbers(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(table.actions.to_string(), "0 to 4");
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "observation [1, 2, 3]\n            [4, 5, 6]\n"
        );
    }
}
