//! POPGym's Autoencode: watch a deck being dealt, then name its suits in reverse order.
//!
//! Observation `[mode, suit]`, a tuple; mode 1 is watching, 0 playing. N = 52·`num_decks` cards.
//! The reset shows `[1, c₁]`, steps 1 … N − 2 show `[1, c_{t+1}]`, and step N − 1 shows `[0, c_N]`:
//! the last card comes together with the switch to playing. Actions until then do nothing and pay
//! 0. Then N steps follow. The j-th pays 1/N for naming the suit of c_{N+1−j}, else −1/N, and
//! always shows `[0, 0]`. The episode terminates after 2N − 1 steps.
//!
//! Returns: random −0.5, best and oracle 1. Memoryless: (1.5 − 26D)/(52D), about −0.471 at easy,
//! for naming the suit on screen: right for the last card, and then always suit 0. To remember: N
//! suits in order, each for up to 2N − 2 observations.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/autoencode.py`.

use env_protocol::{Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::parse;
use crate::render::{Bar, Cell, Picture, Seen, Tone};
use crate::tasks::popgym::cards::{self, CARDS, Deck, DeckOrder, DeckType, MAX_DECKS};
use crate::tasks::popgym::levels::{self, Levels};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// `Autoencode-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoencode {
    deck: Deck,
    /// Cards not yet named.
    to_play: u32,
}

impl Autoencode {
    fn most(&self) -> f64 {
        1.0 / self.deck.len() as f64
    }

    fn show(&mut self, observation: &mut [i64]) {
        let suit = self.deck.deal();
        let is_watching = self.deck.left() > 0;
        observation.copy_from_slice(&[i64::from(is_watching), i64::from(suit)]);
    }
}

impl Catalogued for Autoencode {
    fn profile() -> Profile {
        Profile {
            id: "Autoencode-v0",
            description: "Watch a deck being dealt, then name its suits from the last to the first.",
            parameters: vec![levels::parameter(), cards::num_decks(MAX_DECKS)],
            remember: "52 `num_decks` suits in order, each for up to 104 `num_decks` - 2 \
                       observations; 1, 2, 3 decks at easy, medium, hard",
            source: "POPGym 1.0.7, Autoencode (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        let n = self.deck.len() as f64;
        Returns {
            random: Some(-0.5),
            memoryless: Some((1.5 - n / 2.0) / n),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Memoryless: naming the suit on screen.".to_owned(),
        }
    }
}

impl Environment for Autoencode {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let num_decks = Levels::from_arguments(arguments).natural("num_decks", [1, 2, 3])?;
        Ok(Autoencode {
            deck: Deck::new(num_decks, DeckType::Suits),
            to_play: 0,
        })
    }

    fn observation_space(&self) -> Space {
        let discrete = |n| Space::Discrete { n, start: 0 };
        Space::Tuple {
            spaces: vec![discrete(2), discrete(4)],
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 4, start: 0 }
    }

    /// Draws the order of the cards.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.deck.shuffle(draws);
        self.to_play = self.deck.len() as u32;
        self.show(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        if self.deck.left() > 0 {
            self.show(observation);
            return Transition::running(0.0);
        }
        observation.fill(0);
        let is_right = action[0] == i64::from(self.deck.card(self.to_play as usize));
        self.to_play -= 1;
        let reward = if is_right { self.most() } else { -self.most() };
        Transition::new(reward, self.to_play == 0, false)
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.deck.card(self.to_play as usize))]
    }

    fn validate(&self) -> Result<(), String> {
        self.deck.validate(DeckType::Suits)?;
        let all = self.deck.len();
        let to_play = self.to_play as usize;
        let is_watching = self.deck.left() > 0;
        let is_good = match is_watching {
            true => to_play == all && self.deck.dealt() > 0,
            false => to_play <= all,
        };
        match is_good {
            true => Ok(()),
            false => Err(format!("{to_play} cards cannot be left to name")),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.deck.heap_bytes()
    }

    fn is_running(&self) -> bool {
        self.to_play > 0
    }
}

impl Pictured for Autoencode {
    /// Shows the cards as they are dealt, and then the cards that have been named.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let (dealt, all) = (self.deck.dealt(), self.deck.len());
        let to_play = self.to_play as usize;
        let is_watching = self.deck.left() > 0;
        let focus = if is_watching { dealt } else { to_play };
        let deck = self
            .deck
            .rows(DeckType::Suits, focus, CARDS, |place, card| {
                let tone = match place {
                    _ if place > dealt => Tone::Hidden,
                    _ if place > to_play => Tone::Neutral,
                    _ if place == to_play && !is_watching => Tone::Goal,
                    _ => Tone::Cue,
                };
                let is_seen = place == dealt && to_play == all;
                card.tone(tone).seen(is_seen)
            });
        let named = (all - to_play) as u64;
        let bars = [
            Bar::new("dealt", dealt as f64 / all as f64).note(&format!("{dealt} of {all}")),
            Bar::new("named", named as f64 / all as f64).note(&format!("{named} of {all}")),
        ];
        let picture = Picture::new()
            .grid("cards in the order in which they are dealt", deck)
            .grid("watching, suit", seen.grid())
            .bars("", bars)
            .key(Cell::default().tone(Tone::Hidden), "not dealt yet")
            .key(Cell::default().tone(Tone::Cue), "to be remembered")
            .key(Cell::default().tone(Tone::Goal), "to be named now");
        let picture = match seen.action {
            Some(&[answer]) if to_play < all => {
                let is_right = answer == i64::from(self.deck.card(to_play + 1));
                cards::answered(picture, answer, is_right)
            }
            _ => picture,
        };
        match to_play {
            0 => picture,
            _ if is_watching => picture.note(Tone::Neutral, "actions do nothing yet"),
            _ => cards::asked(picture, &format!("name card {to_play}")),
        }
    }
}

impl Recorded for Autoencode {
    const REFERENCE_NAME: &'static str = "popgym/Autoencode";

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
        for kwargs in [json!({}), json!({"num_decks": 4})] {
            check_environment::<Autoencode>(kwargs);
        }
    }

    #[test]
    fn the_last_card_is_shown_with_the_switch_and_named_first() {
        let mut task = Autoencode::new(&arguments::<Autoencode>(json!({}))).unwrap();
        let order: Vec<usize> = (0..52).collect();
        let mut draws = Script::new(task.script(&json!({"deck_order": order})).unwrap());
        let mut observation = [9; 2];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [1, 3]);
        for t in 1..=51 {
            let transition = task.step(&[0], &mut draws, &mut observation);
            assert_eq!(transition, Transition::running(0.0));
            assert_eq!(observation, [i64::from(t < 51), (51 - t) % 4]);
        }
        for j in 1..=52 {
            // Card 0 was dealt last, so that suits 0, 1, 2, 3, 0, … are right.
            let action = if j == 2 { 0 } else { (j - 1) % 4 };
            let transition = task.step(&[action], &mut draws, &mut observation);
            let reward = if j == 2 { -1.0 / 52.0 } else { 1.0 / 52.0 };
            assert_eq!(transition, Transition::new(reward, j == 52, false));
            assert_eq!(observation, [0, 0]);
        }
    }
}
