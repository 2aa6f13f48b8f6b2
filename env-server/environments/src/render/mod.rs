//! Pictures of environments, for people.
//!
//! A [`Picture`] is data: what an environment says about its present state. [`to_ansi`] and
//! [`to_png`] draw it, and the same picture always gives the same bytes.
//!
//! **A picture is not an observation.** As in Gymnasium, it shows what a spectator may see, so also
//! what is hidden from the agent: the card that lies face down, the bit to be remembered. What the
//! agent itself sees now is framed, what its last action chose has a mark, and what it has not been
//! shown should be [`Tone::Hidden`]. Nobody should learn from pictures.
//!
//! Text is plain by default: codes for colours are put in only when asked for, so that
//! `text/plain` is what it says, whoever reads it.

mod ansi;
mod canvas;
#[cfg(test)]
pub(crate) mod examples;
mod grid;
mod image;
mod palette;
mod picture;
mod shapes;

use crate::Element;

pub use ansi::to_ansi;
#[cfg(test)]
pub(crate) use image::png_size;
pub use image::{tiles_to_png, to_png};
pub use picture::{
    Bar, Cell, Grid, MAX_BARS, MAX_COLUMNS, MAX_KEYS, MAX_PARTS, MAX_ROWS, MAX_SHAPES, Picture,
    Scene, Tone, decimal, window,
};
pub use shapes::{Point, Shape, Suit};

/// Pictures in one rendering, at most.
pub const MAX_PICTURES: usize = 16;

/// What pictures are drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of text in UTF-8, one picture below the other.
    Ansi {
        /// With escape codes for colours.
        has_colour: bool,
    },
    /// An image, the pictures side by side.
    Png,
}

impl Format {
    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Ansi { .. } => "text/plain; charset=utf-8",
            Format::Png => "image/png",
        }
    }
}

/// The pictures, of which there should be no more than [`MAX_PICTURES`] (those beyond are left
/// out), as a media type and the bytes of it.
pub fn render(pictures: &[Picture], format: Format) -> (&'static str, Vec<u8>) {
    let pictures = &pictures[..pictures.len().min(MAX_PICTURES)];
    let bytes = match format {
        Format::Ansi { has_colour } => {
            let texts: Vec<String> = pictures.iter().map(|p| to_ansi(p, has_colour)).collect();
            texts.join("\n\n").into_bytes()
        }
        Format::Png => tiles_to_png(pictures),
    };
    (format.content_type(), bytes)
}

/// What a lane knows of the episode it is in, beside its environment's own state.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a, T> {
    /// The last observation: a row of the observation space.
    pub observation: &'a [T],
    /// The action that led to it: a row of the action space. None after a reset, nor before the
    /// first step of a restored lane.
    pub action: Option<&'a [i64]>,
    /// What was played. None in an episode that was under way when its lane was restored:
    /// snapshots do not hold it.
    pub played: Option<Played>,
}

impl<T: Element> Seen<'_, T> {
    /// The observation as a grid.
    pub fn grid(&self) -> Grid {
        Grid::observation(self.observation.iter().map(|x| x.to_f64()))
    }
}

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
