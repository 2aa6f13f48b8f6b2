//! POPGym's RepeatPrevious: name the suit that was dealt `k` − 1 cards ago.
//!
//! Observation: the suit of the newly dealt card, four values. N = 52·`num_decks` cards c₁ … c_N, N
//! − 1 steps. Step t, with c_t on screen, pays 0 if t < k, and else 1/(N − k) for naming the suit
//! of c_{t−k+1} and −1/(N − k) for another suit: k = 1 is the card on screen, k = 4 is three
//! observations back. The episode terminates with the last card.
//!
//! Returns: random −0.5, best and oracle 1. Memoryless: naming any suit but the one on screen,
//! right with probability 13D/(52D − 1), about −0.490 at easy (1 at k = 1). To remember: the last k
//! suits, in order, a new one replacing the oldest at every step.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/repeat_previous.py`.

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::parse;
use crate::render::{Cell, Grid, Picture, Seen, Tone};
use crate::tasks::popgym::cards::{self, CARDS, Deck, DeckOrder, DeckType, MAX_DECKS};
use crate::tasks::popgym::levels::{self, Levels};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// `RepeatPrevious-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatPrevious {
    deck: Deck,
    k: u32,
}

impl RepeatPrevious {
    fn most(&self) -> f64 {
        1.0 / (self.deck.len() as f64 - f64::from(self.k))
    }
}

impl Catalogued for RepeatPrevious {
    fn profile() -> Profile {
        Profile {
            id: "RepeatPrevious-v0",
            description: "Name the suit that was dealt `k` - 1 cards ago, at every step.",
            parameters: vec![
                levels::parameter(),
                cards::num_decks(MAX_DECKS),
                Parameter::integer(
                    "k",
                    "Which card is asked for: 1 is the one on screen. At most the number of cards \
                     less 1.",
                    1,
                    i64::from(MAX_DECKS) * 52 - 1,
                    None,
                ),
            ],
            remember: "the last `k` suits in order, each for `k` - 1 observations; k is 4, 32, 64 \
                       at easy, medium, hard",
            source: "POPGym 1.0.7, RepeatPrevious (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        let n = self.deck.len() as f64;
        let memoryless = match self.k {
            1 => 1.0,
            _ => 2.0 * (n / 4.0) / (n - 1.0) - 1.0,
        };
        Returns {
            random: Some(-0.5),
            memoryless: Some(memoryless),
            best: Some(1.0),
            oracle: Some(1.0),
            note: "Memoryless: naming any suit but the one on screen; 1 at k = 1.".to_owned(),
        }
    }
}

impl Environment for RepeatPrevious {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        let deck = Deck::new(levels.natural("num_decks", [1, 2, 3])?, DeckType::Suits);
        let k = levels.natural("k", [4, 32, 64])?;
        if k as usize >= deck.len() {
            let detail = format!("{k} is not less than the number of cards, {}", deck.len());
            return Err(KwargsError::new("k", detail));
        }
        Ok(RepeatPrevious { deck, k })
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
        let reward = match (self.deck.dealt() + 1).checked_sub(self.k as usize) {
            None | Some(0) => 0.0,
            Some(place) if action[0] == i64::from(self.deck.card(place)) => self.most(),
            Some(_) => -self.most(),
        };
        observation[0] = i64::from(self.deck.deal());
        Transition::new(reward, self.deck.left() == 0, false)
    }

    fn oracle(&self) -> Vec<i64> {
        let place = (self.deck.dealt() + 1).saturating_sub(self.k as usize);
        vec![i64::from(self.deck.card(place.max(1)))]
    }

    fn validate(&self) -> Result<(), String> {
        self.deck.validate(DeckType::Suits)?;
        let is_good = self.k >= 1 && (self.k as usize) < self.deck.len() && self.deck.dealt() > 0;
        match is_good {
            true => Ok(()),
            false => Err(format!("k cannot be {} with these cards", self.k)),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.deck.heap_bytes()
    }

    fn is_running(&self) -> bool {
        self.deck.left() > 0
    }
}

impl Pictured for RepeatPrevious {
    /// Shows the card that is asked for, and the cards as they are dealt.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let (dealt, k) = (self.deck.dealt(), self.k as usize);
        let asked = match self.is_running() {
            true => (dealt + 1).checked_sub(k).filter(|&place| place > 0),
            false => None,
        };
        // Both the card on screen and the one asked for, unless the latter is too old.
        let middle = dealt.saturating_sub(k / 2);
        let most = if k <= CARDS / 2 { CARDS } else { 2 * CARDS };
        let deck = self
            .deck
            .rows(DeckType::Suits, middle, most, |place, card| {
                let card = self.deck.as_dealt(place, card);
                match asked == Some(place) {
                    true => card.tone(Tone::Cue),
                    false => card,
                }
            });
        let card = asked.map_or_else(Cell::blank, |place| {
            DeckType::Suits.cell(self.deck.card(place)).tone(Tone::Cue)
        });
        let picture = Picture::new()
            .grid("asked for, and the right answer", Grid::cards(1, [card]))
            .grid("cards dealt", deck)
            .grid("observation", seen.grid())
            .bars("", [self.deck.bar()])
            .key(Cell::default().tone(Tone::Hidden), "not dealt yet")
            .key(Cell::default().tone(Tone::Cue), "asked for");
        let was_asked = dealt.checked_sub(k).filter(|&place| place > 0);
        let picture = match (seen.action, was_asked) {
            (Some(&[answer]), Some(place)) => {
                let is_right = answer == i64::from(self.deck.card(place));
                cards::answered(picture, answer, is_right)
            }
            _ => picture,
        };
        match asked {
            Some(place) => cards::asked(picture, &format!("name card {place}")),
            None => picture.note(Tone::Neutral, "nothing is asked"),
        }
    }
}

impl Recorded for RepeatPrevious {
    const REFERENCE_NAME: &'static str = "popgym/RepeatPrevious";

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
            json!({"level": "hard"}),
            json!({"k": 1}),
            json!({"num_decks": 2, "k": 103}),
        ] {
            check_environment::<RepeatPrevious>(kwargs);
        }
    }

    #[test]
    fn k_counts_the_card_on_screen() {
        let arguments = arguments::<RepeatPrevious>(json!({"k": 2}));
        let mut task = RepeatPrevious::new(&arguments).unwrap();
        let order: Vec<usize> = (0..52).collect();
        let mut draws = Script::new(task.script(&json!({"deck_order": order})).unwrap());
        let mut observation = [9];
        task.reset(&mut draws, &mut observation);
        // Dealt are 3, 2, 1, 0, 3, …; from the second step on, the one before is right.
        let rewards: Vec<f64> = [3, 3, 2, 2]
            .map(|action| task.step(&[action], &mut draws, &mut observation).reward)
            .to_vec();
        let most = 1.0 / 50.0;
        assert_eq!(rewards, [0.0, most, most, -most]);
    }

    #[test]
    fn k_must_leave_something_to_pay_for() {
        let arguments = arguments::<RepeatPrevious>(json!({"k": 52}));
        let error = RepeatPrevious::new(&arguments).unwrap_err();
        assert_eq!(
            error.to_string(),
            "k: 52 is not less than the number of cards, 52"
        );
    }
}
