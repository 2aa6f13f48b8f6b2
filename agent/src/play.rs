//! A person plays in the terminal what the agents play.

use std::io::{self, BufRead, Write};
use std::ops::RangeInclusive;

use env_protocol::Space;

use crate::env::{EnvError, ResetRequest, VectorEnv};

/// Why a person could not play on.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The environment.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// What is typed cannot be read, or what happens cannot be shown.
    #[error("cannot talk to the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Plays up to `num_episodes` episodes of an environment of one lane: shows each observation on `output`, takes actions
/// from the lines of `input`, and asks again where a line is not an action. `q` or the end of `input` ends the play.
/// Returns the returns of the episodes that were played to their end.
///
/// # Errors
/// The environment's, among them that its actions are not whole numbers; that `input` or `output` fails.
pub fn play(
    env: &mut dyn VectorEnv,
    reset: &ResetRequest,
    num_episodes: u64,
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
        input,
        output,
    };
    let mut returns = Vec::new();
    if num_episodes == 0 {
        return Ok(returns);
    }
    writeln!(table.output, "Actions: {}; q quits.", table.actions)?;
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

/// Where a person sits.
struct Table<'a> {
    actions: Actions,
    row_length: usize,
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
        self.show(&first)?;
        let mut episode_return = 0.0;
        for step in 1_u64.. {
            let Some(action) = self.ask()? else {
                writeln!(self.output, "\nLeft in the middle of episode {number}.")?;
                return Ok(None);
            };
            let reply = env.step(&action)?;
            episode_return += reply.rewards[0];
            writeln!(self.output, "step {step}, reward {}", reply.rewards[0])?;
            let ending = match (reply.terminations[0], reply.truncations[0]) {
                (true, _) => "terminated",
                (false, true) => "truncated",
                (false, false) => {
                    self.show(&reply.observations)?;
                    continue;
                }
            };
            self.show(&reply.final_observations)?;
            writeln!(
                self.output,
                "The episode is over ({ending}): return {episode_return} in {step} steps."
            )?;
            return Ok(Some((episode_return, reply.observations)));
        }
        unreachable!("nobody takes 2⁶⁴ steps")
    }

    /// Asks until a line is an action; `None` is a wish to leave.
    fn ask(&mut self) -> Result<Option<Vec<i64>>, PlayError> {
        loop {
            write!(self.output, "action> ")?;
            self.output.flush()?;
            let mut line = String::new();
            let is_end = self.input.read_line(&mut line)? == 0;
            let answer = line.trim();
            if is_end || answer.eq_ignore_ascii_case("q") {
                return Ok(None);
            }
            match self.actions.read(answer) {
                Some(action) => return Ok(Some(action)),
                None => writeln!(
                    self.output,
                    "`{answer}` is not an action; type {}, or q to quit.",
                    self.actions
                )?,
            }
        }
    }

    /// Shows an observation, a line for each row of its last dimension.
    fn show(&mut self, observation: &[f32]) -> io::Result<()> {
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

/// What can be typed: an integer for each component of an action.
struct Actions {
    components: Vec<RangeInclusive<i64>>,
}

impl Actions {
    fn of(space: &Space) -> Result<Self, EnvError> {
        let components = match space {
            Space::Discrete { n, start } => vec![*start..=start + n - 1],
            Space::MultiDiscrete { nvec } => nvec.iter().map(|n| 0..=n - 1).collect(),
            _ => {
                return Err(EnvError::UnsupportedSpace {
                    what: "action",
                    detail:
                        "a person types whole numbers, so it has to be Discrete or MultiDiscrete"
                            .into(),
                });
            }
        };
        Ok(Self { components })
    }

    /// The action that a line says, if it says one, counted from 0: numbers with blanks between them.
    fn read(&self, line: &str) -> Option<Vec<i64>> {
        let numbers: Result<Vec<i64>, _> = line.split_whitespace().map(str::parse).collect();
        let numbers = numbers.ok()?;
        let pairs = || numbers.iter().zip(&self.components);
        let fits = numbers.len() == self.components.len()
            && pairs().all(|(number, range)| range.contains(number));
        fits.then(|| {
            pairs()
                .map(|(number, range)| number - range.start())
                .collect()
        })
    }
}

impl std::fmt::Display for Actions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, range) in self.components.iter().enumerate() {
            let (first, last) = (range.start(), range.end());
            let before = if i == 0 { "" } else { ", blank, " };
            match last - first {
                0 => write!(f, "{before}{first}")?,
                1 => write!(f, "{before}{first} or {last}")?,
                _ => write!(f, "{before}{first} to {last}")?,
            }
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
    use crate::env::{ResetReply, StepReply};

    /// Shows a cue, then nothing; the second action earns 1 if it repeats the cue, else −1. Cues alternate.
    struct Recall {
        observation_space: Space,
        action_space: Space,
        cue: i64,
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

        fn step(&mut self, actions: &[i64]) -> Result<StepReply, EnvError> {
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
        Actions: 0 or 1; q quits.

        Episode 1
        observation [1, 0.3333]
        action> step 1, reward 0
        observation [0, 0]
        action> `2` is not an action; type 0 or 1, or q to quit.
        action> `foo` is not an action; type 0 or 1, or q to quit.
        action> `` is not an action; type 0 or 1, or q to quit.
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
        assert_eq!(pair.to_string(), "0 or 1, blank, 0 to 2");
        assert_eq!(pair.read(" 1  2 "), Some(vec![1, 2]));
        for line in ["1", "1 3", "1 2 0", "1,2", ""] {
            assert_eq!(pair.read(line), None, "{line}");
        }
        let shifted = Actions::of(&Space::Discrete { n: 3, start: -1 }).unwrap();
        assert_eq!(shifted.to_string(), "-1 to 1");
        assert_eq!(shifted.read("-1"), Some(vec![0]));
    }

    #[test]
    fn only_whole_numbers_can_be_typed() {
        let mut env = Recall::new();
        env.action_space = Space::MultiBinary { n: 2 };
        let error = play(
            &mut env,
            &ResetRequest::default(),
            1,
            &mut io::empty(),
            &mut io::sink(),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("Discrete"), "{error}");
    }

    #[test]
    fn rows_of_an_observation_of_two_dimensions_have_lines_of_their_own() {
        let mut output = Vec::new();
        let mut table = Table {
            actions: Actions {
                components: vec![0..=4],
            },
            row_length: row_length(&Space::Box {
                shape: vec![2, 3],
                dtype: Dtype::Float32,
                low: Bound::All(0.0),
                high: Bound::All(9.0),
            }),
            input: &mut io::empty(),
            output: &mut output,
        };
        table.show(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(table.actions.to_string(), "0 to 4");
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "observation [1, 2, 3]\n            [4, 5, 6]\n"
        );
    }
}
