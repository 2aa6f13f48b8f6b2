//! POPGym's HigherLower: will the next card be higher or lower?
//!
//! Observation: the rank on screen, 0 (ace) to 12 (king). Action 0 says higher, 1 lower. An equal
//! next rank pays 0, a right guess 1/N and a wrong one −1/N, N = 52·`num_decks`; there are N − 1
//! steps, and the episode terminates with the last card.
//!
//! Returns: random 0, oracle 12/13 (equal ranks pay nothing), memoryless 84/169 (higher iff the
//! rank is at most 6), for any number of decks. Best, a counter of cards, is measured at the three
//! levels. To remember: how many cards of each rank are gone.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/higher_lower.py`. Left
//! out: suit and rank of the first card in `info`.

use std::cmp::Ordering;

use env_protocol::{Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::recording::parse;
use crate::render::{Cell, Grid, Picture, Seen, Tone};
use crate::tasks::popgym::cards::{self, Deck, DeckOrder, DeckType, MAX_DECKS};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// `HigherLower-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HigherLower {
    deck: Deck,
}

impl HigherLower {
    fn most(&self) -> f64 {
        1.0 / self.deck.len() as f64
    }
}

impl Catalogued for HigherLower {
    fn profile() -> Profile {
        Profile {
            id: "HigherLower-v0",
            description: "Guess whether the next card is higher or lower than the one on screen.",
            parameters: vec![levels::parameter(), cards::num_decks(MAX_DECKS)],
            remember: "how many cards of each rank are gone; 1, 2, 3 decks at easy, medium, hard",
            source: "POPGym 1.0.7, HigherLower (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        let decks = self.deck.num_decks();
        Returns {
            random: Some(0.0),
            memoryless: Some(84.0 / 169.0),
            best: at_level(&decks, &[1, 2, 3], [0.528, 0.516, 0.512]),
            oracle: Some(12.0 / 13.0),
            note:
                "Best, a counter of cards, is measured at the three levels; the others are exact."
                    .to_owned(),
        }
    }
}

impl Environment for HigherLower {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let num_decks = Levels::from_arguments(arguments).natural("num_decks", [1, 2, 3])?;
        Ok(HigherLower {
            deck: Deck::new(num_decks, DeckType::Ranks),
        })
    }

    fn observation_space(&self) -> Space {
        Space::Discrete { n: 13, start: 0 }
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 2, start: 0 }
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
        let last = self.deck.card(self.deck.dealt());
        let next = self.deck.deal();
        observation[0] = i64::from(next);
        let reward = if next == last {
            0.0
        } else if (next > last) == (action[0] == 0) {
            self.most()
        } else {
            -self.most()
        };
        Transition::new(reward, self.deck.left() == 0, false)
    }

    fn oracle(&self) -> Vec<i64> {
        let dealt = self.deck.dealt();
        vec![i64::from(self.deck.card(dealt + 1) < self.deck.card(dealt))]
    }

    fn validate(&self) -> Result<(), String> {
        self.deck.validate(DeckType::Ranks)?;
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

impl Pictured for HigherLower {
    /// Shows the cards as they are dealt, and the number of cards left of each rank.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let (deck, dealt) = (&self.deck, self.deck.dealt());
        let mut left = [0_u32; 13];
        for place in dealt + 1..=deck.len() {
            left[usize::from(deck.card(place)) % 13] += 1;
        }
        let left = left.map(|count| Cell::number(f64::from(count)).tone(Tone::Hidden));
        let names = (0..13).map(|rank| DeckType::Ranks.name(rank));
        let picture = Picture::new()
            .grid("cards dealt", deck.dealt_rows(DeckType::Ranks))
            .grid("to come of each rank", Grid::row(left).column_labels(names))
            .grid("observation", seen.grid())
            .bars("", [deck.bar()])
            .key(Cell::default().tone(Tone::Hidden), "not dealt yet");
        let Some(&[action]) = seen.action else {
            return picture;
        };
        let said = if action == 0 {
            "said higher"
        } else {
            "said lower"
        };
        let before = deck.card(dealt.saturating_sub(1).max(1));
        match deck.card(dealt.max(1)).cmp(&before) {
            Ordering::Equal => picture.note(Tone::Neutral, &format!("{said}: neither")),
            order => picture.judged(said, (order == Ordering::Greater) == (action == 0)),
        }
    }
}

impl Recorded for HigherLower {
    const REFERENCE_NAME: &'static str = "popgym/HigherLower";

    /// `{"deck_order"}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        let DeckOrder { deck_order } = parse(latent)?;
        Ok(vec![self.deck.script(&deck_order, DeckType::Ranks)?])
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
        for kwargs in [json!({}), json!({"num_decks": 5})] {
            check_environment::<HigherLower>(kwargs);
        }
    }

    #[test]
    fn equal_ranks_pay_nothing() {
        let mut task = HigherLower::new(&arguments::<HigherLower>(json!({}))).unwrap();
        // Ranks 12, 12, 12, 12, 11, … down to the four aces, with a king at the very end.
        let mut order: Vec<usize> = (0..52).collect();
        order.swap(0, 51);
        let mut draws = Script::new(task.script(&json!({"deck_order": order})).unwrap());
        let mut observation = [9];
        task.reset(&mut draws, &mut observation);
        let mut step = |action| {
            let transition = task.step(&[action], &mut draws, &mut observation);
            (observation[0], transition)
        };
        // The ace on top, then three kings.
        let most = 1.0 / 52.0;
        assert_eq!(step(0), (12, Transition::running(most)));
        assert_eq!(step(0), (12, Transition::running(0.0)));
        assert_eq!(step(1), (12, Transition::running(0.0)));
        assert_eq!(step(0), (11, Transition::running(-most)));
        for _ in 0..46 {
            step(0);
        }
        assert_eq!(step(1), (12, Transition::terminal(-most)));
    }
}
