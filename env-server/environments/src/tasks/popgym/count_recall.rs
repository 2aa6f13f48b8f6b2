//! POPGym's CountRecall: how often has the queried kind of card been dealt so far?
//!
//! Observation `[value, query]`, one card each of two independently shuffled decks, by colour, suit
//! or rank. Let N = 52·`num_decks`. Step t asks how often the queried kind is among the values 1 …
//! t, including the one on screen, and pays 1/(N − 1) for the right answer, else −1/(N − 1).
//! Answers range from 0 to the number of cards of a kind. There are N − 1 steps; the episode
//! terminates when the decks are dealt out, and the last pair shown is never asked.
//!
//! Returns: random 2/(answers) − 1 (−0.926 at easy and medium, −0.882 at hard), best and oracle 1.
//! Memoryless is computed: the most likely count, one for value = query and one for other queries.
//! To remember: a count of each kind.
//!
//! Source: Morad et al. 2023, POPGym, arXiv:2303.01859; POPGym 1.0.7, `envs/count_recall.py`. Left
//! out: the live counts in `info`, which are the answer. `error_clamp` does nothing, as there.

use env_protocol::{Parameter, Returns, Space};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kit::arguments::required;
use crate::kit::recording::parse;
use crate::kit::vec_bytes;
use crate::render::{Bar, Grid, Picture, Seen, Tone};
use crate::tasks::popgym::cards::{self, Deck, DeckType, MAX_DECKS};
use crate::tasks::popgym::levels::{self, Levels};
use crate::{
    Arguments, Catalogued, Draw, Draws, Environment, KwargsError, Pictured, Profile, Recorded,
    Transition,
};

/// Greatest number of cards for which the memoryless return is computed.
const MAX_COMPUTED: usize = 208;

/// `CountRecall-v0`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountRecall {
    deck_type: DeckType,
    values: Deck,
    queries: Deck,
    /// Number of cards of each kind among the values dealt.
    counts: Vec<u32>,
    /// The kind asked for.
    query: u8,
}

impl CountRecall {
    fn most(&self) -> f64 {
        1.0 / (self.values.len() as f64 - 1.0)
    }

    /// Cards of a kind.
    fn each(&self) -> u32 {
        self.values.len() as u32 / self.deck_type.num_kinds()
    }

    fn show(&mut self, observation: &mut [i64]) {
        let value = self.values.deal();
        self.query = self.queries.deal();
        self.counts[usize::from(value)] += 1;
        observation.copy_from_slice(&[i64::from(value), i64::from(self.query)]);
    }

    /// Computes the best return of a player that sees value and query and does not know the time.
    fn memoryless_return(&self) -> f64 {
        let n = self.values.len();
        let kinds = f64::from(self.deck_type.num_kinds());
        let each = self.each() as usize;
        // The probability of each count, over all steps: among the t − 1 values before the one on
        // screen, from the N − 1 other cards.
        let likeliest = |of_kind: usize| {
            let mut total = vec![0.0; of_kind + 1];
            let mut now = vec![0.0; of_kind + 1];
            now[0] = 1.0;
            for before in 0..n - 1 {
                for (sum, p) in total.iter_mut().zip(&now) {
                    *sum += p / (n as f64 - 1.0);
                }
                let left = (n - 1 - before) as f64;
                for count in (0..=of_kind).rev() {
                    let leaves = now[count] * (of_kind - count) as f64 / left;
                    now[count] -= leaves;
                    if count < of_kind {
                        now[count + 1] += leaves;
                    }
                }
            }
            total.into_iter().fold(0.0, f64::max)
        };
        let right = likeliest(each - 1) / kinds + likeliest(each) * (1.0 - 1.0 / kinds);
        2.0 * right - 1.0
    }
}

impl Catalogued for CountRecall {
    fn profile() -> Profile {
        Profile {
            id: "CountRecall-v0",
            description: "Answer how often the kind of card asked for has been dealt so far.",
            parameters: vec![
                levels::parameter(),
                cards::num_decks(MAX_DECKS),
                cards::deck_type(),
                Parameter::number(
                    "error_clamp",
                    "Does nothing, as in the original.",
                    -1e6,
                    1e6,
                    None,
                ),
            ],
            remember: "a count for each kind of card (2 colors, 4 suits, 13 ranks) over 52 \
                       `num_decks` - 1 observations; 1 deck of colors, 2 of suits, 4 of ranks at \
                       easy, medium, hard",
            source: "POPGym 1.0.7, CountRecall (Morad et al. 2023, arXiv:2303.01859)",
        }
    }

    fn reward_range(&self) -> [f64; 2] {
        [-self.most(), self.most()]
    }

    fn returns(&self) -> Returns {
        let is_small = self.values.len() <= MAX_COMPUTED;
        Returns {
            random: Some(2.0 / (f64::from(self.each()) + 1.0) - 1.0),
            memoryless: is_small.then(|| self.memoryless_return()),
            best: Some(1.0),
            oracle: Some(1.0),
            note: format!("Memoryless is exact, for up to {MAX_COMPUTED} cards."),
        }
    }
}

impl Environment for CountRecall {
    type Element = i64;
    type Action = i64;

    fn new(arguments: &Arguments) -> Result<Self, KwargsError> {
        let levels = Levels::from_arguments(arguments);
        let num_decks = levels.natural("num_decks", [1, 2, 4])?;
        let deck_type = levels.choice("deck_type", ["colors", "suits", "ranks"])?;
        let deck_type = required("deck_type", DeckType::named(&deck_type))?;
        let deck = Deck::new(num_decks, deck_type);
        Ok(CountRecall {
            deck_type,
            values: deck.clone(),
            queries: deck,
            counts: vec![0; deck_type.num_kinds() as usize],
            query: 0,
        })
    }

    fn observation_space(&self) -> Space {
        Space::MultiDiscrete {
            nvec: vec![i64::from(self.deck_type.num_kinds()); 2],
        }
    }

    fn action_space(&self) -> Space {
        Space::Discrete {
            n: i64::from(self.each()) + 1,
            start: 0,
        }
    }

    /// Draws the order of the values, then that of the queries.
    fn reset(&mut self, draws: &mut impl Draws, observation: &mut [i64]) {
        self.values.shuffle(draws);
        self.queries.shuffle(draws);
        self.counts.fill(0);
        self.show(observation);
    }

    #[inline]
    fn step(
        &mut self,
        action: &[i64],
        _draws: &mut impl Draws,
        observation: &mut [i64],
    ) -> Transition {
        let is_right = action[0] == i64::from(self.counts[usize::from(self.query)]);
        self.show(observation);
        let reward = if is_right { self.most() } else { -self.most() };
        Transition::new(reward, self.values.left() == 0, false)
    }

    fn oracle(&self) -> Vec<i64> {
        vec![i64::from(self.counts[usize::from(self.query)])]
    }

    fn validate(&self) -> Result<(), String> {
        self.values.validate(self.deck_type)?;
        self.queries.validate(self.deck_type)?;
        let (values, queries) = (&self.values, &self.queries);
        if values.len() != queries.len() || values.left() != queries.left() || values.dealt() == 0 {
            return Err("the decks are dealt together".to_owned());
        }
        let mut counts = vec![0; self.deck_type.num_kinds() as usize];
        for place in 1..=values.dealt() {
            counts[usize::from(values.card(place))] += 1;
        }
        let was_reset = self.counts.iter().any(|&count| count > 0);
        let is_counted = match was_reset || self.is_running() {
            true => self.counts == counts && self.query == queries.card(queries.dealt()),
            false => self.counts.len() == counts.len() && self.query == 0,
        };
        match is_counted {
            true => Ok(()),
            false => Err("the counts are not those of the cards dealt".to_owned()),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.values.heap_bytes() + self.queries.heap_bytes() + vec_bytes(&self.counts)
    }

    fn is_running(&self) -> bool {
        self.values.left() > 0
    }
}

impl Pictured for CountRecall {
    /// Shows the pair on screen, and the number of cards dealt of each kind.
    fn picture(&self, seen: &Seen<'_, i64>) -> Picture {
        let dealt = self.values.dealt().max(1);
        let kind = |deck: &Deck, place| deck.card(place);
        let (value, query) = (kind(&self.values, dealt), kind(&self.queries, dealt));
        let pair = [
            self.deck_type.cell(value).seen(true),
            self.deck_type.cell(query).tone(Tone::Goal).seen(true),
        ];
        let each = self.each();
        let counts = self.counts.iter().zip(0_u8..).map(|(&count, kind)| {
            let is_asked = kind == query;
            Bar::new(
                self.deck_type.name(kind),
                f64::from(count) / f64::from(each),
            )
            .note(&format!("{count} of {each}"))
            .tone(if is_asked { Tone::Goal } else { Tone::Hidden })
        });
        let picture = Picture::new()
            .grid(
                "on screen",
                Grid::cards(2, pair).column_labels(["dealt", "asked"]),
            )
            .grid("observation", seen.grid())
            .bars("how often each kind has been dealt so far", counts)
            .bars("", [self.values.bar()]);
        let picture = self.deck_type.explained(picture);
        let picture = match seen.action {
            Some(&[answer]) if dealt > 1 => {
                let asked = kind(&self.queries, dealt - 1);
                let counts = self.counts.get(usize::from(asked)).copied().unwrap_or(0);
                // The count before the value on screen.
                let count = i64::from(counts) - i64::from(value == asked);
                let name = self.deck_type.name(asked);
                picture.judged(&format!("counted {answer} {name}"), answer == count)
            }
            _ => picture,
        };
        match self.is_running() {
            true => cards::asked(picture, &format!("count {}", self.deck_type.name(query))),
            false => picture.note(Tone::Neutral, "the last pair is never asked"),
        }
    }
}

impl Recorded for CountRecall {
    const REFERENCE_NAME: &'static str = "popgym/CountRecall";

    /// `{"value_deck_order", "query_deck_order"}`.
    fn script(&self, latent: &Value) -> Result<Vec<Draw>, String> {
        #[derive(Deserialize)]
        struct Latent {
            value_deck_order: Vec<usize>,
            query_deck_order: Vec<usize>,
        }
        let latent: Latent = parse(latent)?;
        Ok(vec![
            self.values
                .script(&latent.value_deck_order, self.deck_type)?,
            self.queries
                .script(&latent.query_deck_order, self.deck_type)?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Script;
    use crate::check::{arguments, check_environment};
    use serde_json::json;

    fn task(kwargs: Value) -> CountRecall {
        CountRecall::new(&arguments::<CountRecall>(kwargs)).unwrap()
    }

    #[test]
    fn keeps_the_contract() {
        for kwargs in [
            json!({}),
            json!({"level": "medium"}),
            json!({"num_decks": 2, "deck_type": "ranks", "error_clamp": 0.5}),
        ] {
            check_environment::<CountRecall>(kwargs);
        }
    }

    #[test]
    fn the_value_on_screen_counts() {
        let mut task = task(json!({}));
        let values: Vec<usize> = (0..52).collect();
        let queries: Vec<usize> = (0..52).rev().collect();
        let latent = json!({"value_deck_order": values, "query_deck_order": queries});
        let mut draws = Script::new(task.script(&latent).unwrap());
        let mut observation = [9; 2];
        task.reset(&mut draws, &mut observation);
        let mut seen = vec![observation];
        // Values 1, 0, 1, 0, …; queries 0, 1, 0, 1, …
        let mut rewards = Vec::new();
        for action in [0, 1, 1, 2, 3] {
            rewards.push(task.step(&[action], &mut draws, &mut observation).reward);
            seen.push(observation);
        }
        assert_eq!(seen[..4], [[1, 0], [0, 1], [1, 0], [0, 1]]);
        let most = 1.0 / 51.0;
        assert_eq!(rewards, [most, most, most, most, -most]);
    }

    /// Compares with a sum over every step and answer, by binomial coefficients.
    #[test]
    fn the_memoryless_return_is_that_of_the_likeliest_counts() {
        fn choose(n: u64, k: u64) -> f64 {
            (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
        }
        let likeliest = |of_kind: u64| {
            let likely = |count: u64| -> f64 {
                let chances =
                    (0..51).filter(|&before| before >= count && before - count <= 51 - of_kind);
                let sum: f64 = chances
                    .map(|before| {
                        choose(of_kind, count) * choose(51 - of_kind, before - count)
                            / choose(51, before)
                    })
                    .sum();
                sum / 51.0
            };
            (0..=of_kind).map(likely).fold(0.0, f64::max)
        };
        let expected = 2.0 * (likeliest(25) / 2.0 + likeliest(26) / 2.0) - 1.0;
        let computed = task(json!({})).returns().memoryless.unwrap();
        assert!((computed - expected).abs() < 1e-9, "{computed} {expected}");
    }
}
