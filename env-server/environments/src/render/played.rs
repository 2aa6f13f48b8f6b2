//! The part of an episode played so far.

use super::decimal::decimal;

/// The part of an episode played so far, and the return of the previous episode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Played {
    /// Number of steps.
    pub steps: u64,
    /// Reward of the last step, 0 before it.
    pub reward: f64,
    /// Sum of the rewards, undiscounted.
    pub episode_return: f64,
    /// Return of the previous episode on this lane, if that ended.
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

    /// Begins an episode. `ended` is the previous one, if it was played to its end.
    pub fn after(ended: Option<Self>) -> Self {
        Played {
            last_return: ended.map(|played| played.episode_return),
            ..Played::default()
        }
    }

    /// Describes the episode in a line of text.
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
