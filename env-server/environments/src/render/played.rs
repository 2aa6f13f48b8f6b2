//! What was played of an episode.

use super::decimal::decimal;

/// What was played of an episode, and how the one before ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Played {
    /// Steps so far.
    pub steps: u64,
    /// Reward of the last step, 0 before it.
    pub reward: f64,
    /// Sum of the rewards, undiscounted.
    pub episode_return: f64,
    /// The sum of the episode before on this lane, if that has ended.
    pub last_return: Option<f64>,
}

impl Played {
    /// Counts a step.
    #[inline]
    pub fn step(&mut self, reward: f64) {
        self.steps += 1;
        self.reward = reward;
        self.episode_return += reward;
    }

    /// Nothing yet, in an episode after one that came to its end, or after none.
    pub fn after(ended: Option<Self>) -> Self {
        Played {
            last_return: ended.map(|played| played.episode_return),
            ..Played::default()
        }
    }

    /// In words.
    pub(crate) fn status(&self) -> String {
        let number = |x| decimal(x, 4);
        let mut status = format!("step {}", self.steps);
        if self.steps > 0 {
            let (reward, episode) = (number(self.reward), number(self.episode_return));
            status.push_str(&format!(" · reward {reward} · return {episode}"));
        }
        if let Some(last) = self.last_return {
            status.push_str(&format!(" · last episode {}", number(last)));
        }
        status
    }
}
