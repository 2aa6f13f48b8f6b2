//! POPGym's Concentration: turn two cards at a time, pairs stay up.
//!
//! n = 52·`num_decks` cards lie on the table. The action is the position to turn; the observation
//! has a number for each position: the face of a card that is up or just turned, else the number of
//! kinds, which is the face-down code. E = 2n steps at most.
//!
//! The turned card joins the card in play, if there is one, and the observation shows both and all
//! matched cards. Then:
//! - if the turned card is one already matched: −1/E for each card in play, and both are turned
//!   back, also a first card that was not matched;
//! - else with two in play: equal faces at different positions pay 1/(n/2) and stay up; anything
//!   else, including the same position twice, pays −2/E and is turned back;
//! - else 0.
//!
//! The episode terminates when all cards are up, and is truncated at step E in any case: both can
//! be true. Any two cards of a kind match.
//!
//! Returns: oracle 1. The others are measured at the three levels. Memoryless is a player that
//! turns any card that is face down. Best has a perfect memory of all cards seen and leaves known
//! pairs for the end, so that cards of their kind that turn up later have a match. Neither is
//! proven to be the best. To remember: where each kind lies, over the whole episode.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/concentration.py`. The
//! deck type `suits` is new.

use env_protocol::{Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::parse;
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Picture, Seen, Tone};
use crate::tasks::popgym::cards::{self, Deck, DeckOrder, DeckType};
use crate::tasks::popgym::levels::{self, Levels, at_level};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Most decks on the table.
const MAX_DECKS: u32 = 8;
/// Decks and types at the levels.
const LEVELS: [(usize, DeckType); 3] = [
    (1, DeckType::Colors),
    (2, DeckType::Colors),
    (1, DeckType::Ranks),
];

/// `Concentration-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concentration {
    deck_type: DeckType,
    /// Position i holds card i; none is dealt.
    table: Deck,
    is_matched: Vec<bool>,
    num_matched: u32,
    /// The card in play.
    first: Option<u32>,
    /// Actions until the time limit.
    remaining: u32,
    has_ended: bool,
}

impl Concentration {
    /// Number of cards.
    fn n(&self) -> usize {
        self.table.len()
    }

    /// Most steps: `ceil(2n − n/(2n − 1))`.
    fn limit(&self) -> u32 {
        2 * self.n() as u32
    }

    fn observe(&self, in_play: &[Option<u32>], observation: &mut [i64]) {
        let hidden = i64::from(self.deck_type.num_kinds());
        let cards = self.table.cards().iter().zip(&self.is_matched);
        for (slot, (&card, &is_matched)) in observation.iter_mut().zip(cards) {
            *slot = if is_matched { i64::from(card) } else { hidden };
        }
        for position in in_play.iter().flatten() {
            let position = *position as usize;
            observation[position] = i64::from(self.table.cards()[position]);
        }
    }
}

impl Catalogued for Concentration {
    fn profile() -> Profile {
        Profile {
            id: "Concentration-v0",
            description: "Turn two cards at a time and find the pairs.",
            parameters: vec![
                levels::parameter(),
                cards::num_decks(MAX_DECKS),
                cards::deck_type(),
            ],
            remember: "where each kind of card lies, over up to 104 `num_decks` observations; 1 \
                       deck of colors, 2 of colors, 1 of ranks at easy, medium, hard",
            source: "POPGym 1.0.7, Concentration (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-2.0 / f64::from(self.limit()), 2.0 / self.n() as f64]
    }

    fn returns(&self) -> Returns {
        let here = (self.table.num_decks(), self.deck_type);
        let measured = |values| at_level(&here, &LEVELS, values);
        Returns {
            random: measured([-0.1897, -0.1879, -0.8349]),
            memoryless: measured([0.451, 0.471, -0.820]),
            best: measured([0.8301, 0.8322, 0.7326]),
            oracle: Some(1.0),
            note: "All but the oracle are measured, at the three levels. Memoryless turns any \
                   card that is face down; best, the best known, remembers all cards and leaves \
                   known pairs for the end."
                .to_owned(),
        }
    }
}

impl Environment for Concentration {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        let num_decks = levels.natural("num_decks", [1, 2, 1])?;
        let deck_type = levels.choice("deck_type", ["colors", "colors", "ranks"])?;
        let deck_type = required("deck_type", DeckType::named(&deck_type))?;
        let table = Deck::new(num_decks, deck_type);
        Ok(Concentration {
            deck_type,
            is_matched: vec![false; table.len()],
            table,
            num_matched: 0,
            first: None,
            remaining: 0,
            has_ended: true,
        })
    }

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete {
            nvec: vec![i64::from(self.deck_type.num_kinds()) + 1; self.n()],
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete {
            n: self.n() as i64,
            start: 0,
        }
    }

    /// Draws the order of the cards.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.table.shuffle(draws);
        self.is_matched.fill(false);
        self.num_matched = 0;
        self.first = None;
        self.remaining = self.limit();
        self.has_ended = false;
        self.observe(&[], observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let turned = action[0] as usize;
        let first = self.first.take();
        self.observe(&[first, Some(turned as u32)], observation);
        let least = -1.0 / f64::from(self.limit());
        let reward = match first.map(|first| first as usize) {
            None if self.is_matched[turned] => least,
            None => {
                self.first = Some(turned as u32);
                0.0
            }
            Some(_) if self.is_matched[turned] => 2.0 * least,
            Some(first)
                if first != turned && self.table.cards()[first] == self.table.cards()[turned] =>
            {
                self.is_matched[first] = true;
                self.is_matched[turned] = true;
                self.num_matched += 2;
                1.0 / (self.n() as f64 / 2.0)
            }
            Some(_) => 2.0 * least,
        };
        self.remaining -= 1;
        let terminated = self.num_matched as usize == self.n();
        let truncated = self.remaining == 0;
        self.has_ended = terminated || truncated;
        Transition::new(reward, terminated, truncated)
    }

    /// Turns the first card that is not up, then the first card that matches it.
    fn oracle(&self) -> Vec<i64> {
        let cards = self.table.cards();
        let mut hidden = (0..self.n()).filter(|&i| !self.is_matched[i]);
        let position = match self.first.map(|first| first as usize) {
            Some(first) => hidden.find(|&i| i != first && cards[i] == cards[first]),
            None => hidden.next(),
        };
        vec![position.unwrap_or(0) as i64]
    }

    fn validate(&self) -> Result<(), String> {
        self.table.validate(self.deck_type)?;
        let n = self.n();
        if n > 52 * MAX_DECKS as usize || self.is_matched.len() != n {
            return Err(format!("{} positions for {n} cards", self.is_matched.len()));
        }
        let mut matched = vec![0; self.deck_type.num_kinds() as usize];
        for (&card, _) in self
            .table
            .cards()
            .iter()
            .zip(&self.is_matched)
            .filter(|x| *x.1)
        {
            matched[usize::from(card)] += 1;
        }
        let num_matched = matched.iter().sum::<u32>();
        if matched.iter().any(|count| count % 2 == 1) || num_matched != self.num_matched {
            return Err("matched cards are not pairs".to_owned());
        }
        let first = self.first.map(|first| first as usize);
        if first.is_some_and(|first| self.is_matched.get(first) != Some(&false)) {
            return Err("the card in play cannot be turned".to_owned());
        }
        let is_over = self.remaining == 0 || num_matched as usize == n;
        if self.remaining > self.limit() || self.has_ended != is_over {
            return Err(format!("{} actions cannot remain", self.remaining));
        }
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.table.heap_bytes() + vec_bytes(&self.is_matched)
    }

    fn is_running(&self) -> bool {
        !self.has_ended
    }
}

impl Pictured for Concentration {
    /// Shows all cards on the table. Cards that are face up in the observation are framed.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let hidden = i64::from(self.deck_type.num_kinds());
        let turned = seen.action.map(|action| action[0] as usize);
        let table = self.table.table(self.deck_type, |i, card| {
            let is_up = seen.observation[i] != hidden;
            let tone = match self.is_matched[i] {
                true => Tone::Good,
                false if is_up => Tone::Neutral,
                false => Tone::Hidden,
            };
            card.tone(tone).seen(is_up).chosen(turned == Some(i))
        });
        let pairs = |cards: u64| cards / 2;
        let (found, all) = (u64::from(self.num_matched), self.n() as u64);
        let bars = [
            Bar::new("pairs found", found as f64 / all as f64)
                .note(&format!("{} of {}", pairs(found), pairs(all)))
                .tone(Tone::Good),
            Bar::remaining(
                "actions left",
                u64::from(self.remaining),
                u64::from(self.limit()),
            ),
        ];
        let picture = Picture::new()
            .grid("table", table)
            .bars("", bars)
            .key(Cell::default().tone(Tone::Hidden), "face down")
            .key(Cell::default().tone(Tone::Good), "matched");
        let picture = self.deck_type.explained(picture);
        let reward = seen.played.map_or(0.0, |played| played.reward);
        match self.first {
            Some(first) => {
                let text = format!("card {first} is in play: the next one should match it");
                picture.note(Tone::Goal, &text)
            }
            None if reward > 0.0 => picture.note(Tone::Good, "a pair"),
            None if reward < 0.0 => picture.note(Tone::Bad, "no pair, turned back"),
            None => picture,
        }
    }
}

impl Recorded for Concentration {
    const REFERENCE_NAME: &'static str = "popgym/Concentration";

    /// `{"deck_order"}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        let DeckOrder { deck_order } = parse(latent)?;
        Ok(vec![self.table.script(&deck_order, self.deck_type)?])
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
            json!({"level": "medium"}),
            json!({"deck_type": "suits"}),
        ] {
            check_environment::<Concentration>(kwargs);
        }
    }

    /// Positions 0, 1, 2, 3, … hold colours 0, 1, 0, 1, …
    #[test]
    fn pairs_stay_up_and_mistakes_cost() {
        let mut task = Concentration::new(&arguments::<Concentration>(json!({}))).unwrap();
        let order: Vec<usize> = (0..52).collect();
        let mut draws = Script::new(task.script(&json!({"deck_order": order})).unwrap());
        let mut observation = [9; 52];
        task.reset(&mut draws, &mut observation);
        assert_eq!(observation, [2; 52]);
        let (pair, one, two) = (1.0 / 26.0, -1.0 / 104.0, -2.0 / 104.0);
        for (action, reward, shown) in [
            (0, 0.0, [0, 2, 2, 2]),
            (1, two, [0, 1, 2, 2]),
            (0, 0.0, [0, 2, 2, 2]),
            (0, two, [0, 2, 2, 2]),
            (2, 0.0, [2, 2, 0, 2]),
            (0, pair, [0, 2, 0, 2]),
            (0, one, [0, 2, 0, 2]),
            (3, 0.0, [0, 2, 0, 1]),
            (2, two, [0, 2, 0, 1]),
            (1, 0.0, [0, 1, 0, 2]),
        ] {
            let transition = task.step(&[action], &mut draws, &mut observation);
            assert_eq!(transition, Transition::running(reward), "{action}");
            assert_eq!(observation[..4], shown, "{action}");
        }
    }
}
