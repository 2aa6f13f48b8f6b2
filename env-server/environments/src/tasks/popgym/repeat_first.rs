//! POPGym's RepeatFirst: name the suit of the first card at every step.
//!
//! Observation: the suit of the newly dealt card, four values. N = 52·`num_decks` cards, N − 1
//! steps; every step, including the first one with the cue still on screen, pays 1/(N − 1) for
//! naming the first card's suit, else −1/(N − 1). The episode terminates with the last card. There
//! is no flag for the first card, although the original's documentation mentions one.
//!
//! Returns: random −0.5, best and oracle 1. Memoryless: naming the suit on screen, which is right
//! at the first step and else with probability (13D − 1)/(52D − 1), about −0.499 at easy. To
//! remember: one suit for N − 2 observations.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/repeat_first.py`.

use env_protocol::{Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::parse;
use crate::render::{Cell, Grid, Picture, Seen, Tone};
use crate::tasks::popgym::cards::{self, Deck, DeckOrder, DeckType, MAX_DECKS};
use crate::tasks::popgym::levels::{self, Levels};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// `RepeatFirst-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatFirst {
    deck: Deck,
}

impl RepeatFirst {
    fn most(&self) -> f64 {
        1.0 / (self.deck.len() as f64 - 1.0)
    }
}

impl Catalogued for RepeatFirst {
    fn profile() -> Profile {
        Profile {
            id: "RepeatFirst-v0",
            description: "Name the suit of the first card at every step.",
            parameters: vec![levels::parameter(), cards::num_decks(MAX_DECKS)],
            remember: "one suit for 52 `num_decks` - 2 observations; 1, 8, 16 decks at easy, \
                       medium, hard",
            source: "POPGym 1.0.7, RepeatFirst (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        let n = self.deck.len() as f64;
        let same_suit = (n / 4.0 - 1.0) / (n - 1.0);
        let memoryless = (1.0 + (n - 2.0) * (2.0 * same_suit - 1.0)) / (n - 1.0);
        Returns {
            random: Some(-0.5),
            memoryless: Some(memoryless),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Memoryless: naming the suit on screen.".to_owned(),
        }
    }
}

impl Environment for RepeatFirst {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let num_decks = Levels::from_arguments(arguments).natural("num_decks", [1, 8, 16])?;
        Ok(RepeatFirst {
            deck: Deck::new(num_decks, DeckType::Suits),
        })
    }

    fn observation_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the order of the cards.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.deck.shuffle(draws);
        observation[0] = i64::from(self.deck.deal());
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let is_right = action[0] == i64::from(self.deck.card(1));
        observation[0] = i64::from(self.deck.deal());
        let reward = if is_right { self.most() } else { -self.most() };
        Transition::new(reward, self.deck.left() == 0, false)
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.deck.card(1))]
    }

    fn validate(&self) -> Result<(), String> {
        self.deck.validate(DeckType::Suits)?;
        match self.deck.dealt() {
            0 => Err("the first card has been dealt".to_owned()),
            _ => Ok(()),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.deck.heap_bytes()
    }

    fn is_running(&self) -> bool {
        self.deck.left() > 0
    }
}

impl Pictured for RepeatFirst {
    /// Shows the first card, and the cards as they are dealt.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let first = self.deck.card(1);
        let cue = DeckType::Suits.cell(first).tone(Tone::Cue);
        let cue = cue.seen(self.deck.dealt() == 1);
        let picture = Picture::new()
            .grid("first card, and the right answer", Grid::cards(1, [cue]))
            .grid("cards dealt", self.deck.dealt_rows(DeckType::Suits))
            .grid("observation", seen.grid())
            .bars("", [self.deck.bar()])
            .key(Cell::default().tone(Tone::Hidden), "not dealt yet");
        match seen.action {
            Some(&[answer]) => cards::answered(picture, answer, answer == i64::from(first)),
            _ => picture,
        }
    }
}

impl Recorded for RepeatFirst {
    const REFERENCE_NAME: &'static str = "popgym/RepeatFirst";

    /// `{"deck_order"}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        let DeckOrder { deck_order } = parse(latent)?;
        Ok(vec![self.deck.script(&deck_order, DeckType::Suits)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Script;
    use crate::check::{arguments, check_environment};
    use serde_json::json;

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"num_decks": 3}),
            json!({"level": "medium"}),
        ] {
            check_environment::<RepeatFirst>(kwargs);
        }
    }

    #[test]
    fn the_first_card_is_asked_for_all_along() {
        let mut task = RepeatFirst::new(&arguments::<RepeatFirst>(json!({}))).unwrap();
        let order: Vec<usize> = (0..52).collect();
        let draw = task.script(&json!({"deck_order": order})).unwrap();
        let mut draws = Script::new(draw);
        let mut observation = [9];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [3], "card 51 is dealt first");
        for t in 1..=51 {
            let action = if t == 5 { 0 } else { 3 };
            let transition = task.step(&[action], &mut draws, &mut observation);
            let reward = if t == 5 { -1.0 / 51.0 } else { 1.0 / 51.0 };
            assert_eq!(transition, Transition::new(reward, t == 51, false));
            assert_eq!(observation, [(51 - t) % 4]);
        }
        draws.finish().unwrap();
    }
}
