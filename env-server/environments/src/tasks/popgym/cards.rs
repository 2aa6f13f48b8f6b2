//! Decks of cards, the same as in POPGym.
//!
//! A deck of `num_decks` D holds the cards 0 … 52·D − 1. A card's rank is (card mod 52) div 4, its
//! suit card mod 4, its colour card mod 2. Tasks see one of the three, the card's kind, so that
//! decks hold kinds. Cards are dealt from the end.

use env_protocol::Parameter;
use serde::{Deserialize, Serialize};

use crate::kit::recording::ensure;
use crate::kit::vec_bytes;
use crate::render::{Bar, Cell, Grid, Picture, Suit, Tone, window};
use crate::{Draw, Draws};

/// Greatest number of decks.
pub(crate) const MAX_DECKS: u32 = 32;
/// Cards in a deck.
pub(crate) const CARDS: usize = 52;
/// Cards in a row of a picture.
const COLUMNS: usize = 13;
/// Names of the ranks.
const RANKS: [&str; 13] = [
    "A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K",
];

/// The property of a card that a task sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeckType {
    Colors,
    Suits,
    Ranks,
}

impl DeckType {
    /// Names, the choices of `deck_type`.
    pub(crate) const NAMES: [&'static str; 3] = ["colors", "suits", "ranks"];

    /// Returns the type of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "colors" => Some(DeckType::Colors),
            "suits" => Some(DeckType::Suits),
            "ranks" => Some(DeckType::Ranks),
            _ => None,
        }
    }

    /// Number of kinds of cards.
    pub(crate) const fn num_kinds(self) -> u32 {
        match self {
            DeckType::Colors => 2,
            DeckType::Suits => 4,
            DeckType::Ranks => 13,
        }
    }

    /// Returns the name of a kind.
    pub(crate) fn name(self, kind: u8) -> &'static str {
        let names: &[&str] = match self {
            DeckType::Colors => &["black", "red"],
            DeckType::Suits => &["spades", "diamonds", "clubs", "hearts"],
            DeckType::Ranks => &RANKS,
        };
        names.get(usize::from(kind)).copied().unwrap_or("none")
    }

    /// Returns a kind as a card of a picture.
    pub(crate) fn cell(self, kind: u8) -> Cell {
        const SUITS: [Suit; 4] = [Suit::Spades, Suit::Diamonds, Suit::Clubs, Suit::Hearts];
        match self {
            DeckType::Colors => Cell::new(if kind == 0 { "B" } else { "R" }),
            DeckType::Suits => Cell::default().suit(SUITS[usize::from(kind) % SUITS.len()]),
            DeckType::Ranks => Cell::new(self.name(kind)),
        }
    }

    /// Adds a key for kinds that do not explain themselves.
    pub(crate) fn explained(self, picture: Picture) -> Picture {
        match self {
            DeckType::Colors => picture
                .key(self.cell(0), self.name(0))
                .key(self.cell(1), self.name(1)),
            DeckType::Suits | DeckType::Ranks => picture,
        }
    }

    /// Returns the kind of a card.
    const fn kind(self, card: usize) -> u8 {
        let kind = match self {
            DeckType::Colors => card % 2,
            DeckType::Suits => card % 4,
            DeckType::Ranks => card % CARDS / 4,
        };
        kind as u8
    }
}

/// Adds the suit that was named.
pub(crate) fn answered(picture: Picture, answer: i64, is_right: bool) -> Picture {
    let suit = u8::try_from(answer).map_or("none", |suit| DeckType::Suits.name(suit));
    picture.judged(&format!("named {suit}"), is_right)
}

/// Adds the task of the next action.
pub(crate) fn asked(picture: Picture, what: &str) -> Picture {
    picture.note(Tone::Goal, &format!("the next action is to {what}"))
}

/// Returns the parameter `num_decks`.
pub(crate) fn num_decks(maximum: u32) -> Parameter {
    let description = "Decks of 52 cards that are shuffled into one.";
    Parameter::integer("num_decks", description, 1, i64::from(maximum), None)
}

/// Returns the parameter `deck_type`.
pub(crate) fn deck_type() -> Parameter {
    let description = "What is seen of a card.";
    Parameter::choice("deck_type", description, &DeckType::NAMES, None)
}

/// Cards in an order, some of them not yet dealt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deck {
    /// Kinds of the cards; the last one is dealt first.
    cards: Vec<u8>,
    /// Cards not yet dealt.
    left: u32,
}

impl Deck {
    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        vec_bytes(&self.cards)
    }

    /// Makes a deck in order, with all cards dealt.
    pub(crate) fn new(num_decks: u32, deck_type: DeckType) -> Self {
        let cards = 0..CARDS * num_decks as usize;
        Deck {
            cards: cards.map(|card| deck_type.kind(card)).collect(),
            left: 0,
        }
    }

    /// Number of cards, dealt or not.
    pub(crate) fn len(&self) -> usize {
        self.cards.len()
    }

    /// Number of decks of 52 cards.
    pub(crate) fn num_decks(&self) -> usize {
        self.cards.len() / CARDS
    }

    /// Cards not yet dealt.
    pub(crate) fn left(&self) -> usize {
        self.left as usize
    }

    /// Cards dealt since the shuffle.
    pub(crate) fn dealt(&self) -> usize {
        self.len() - self.left()
    }

    /// Shuffles all cards.
    pub(crate) fn shuffle(&mut self, draws: &mut impl Draws) {
        draws.shuffle(&mut self.cards);
        self.left = self.cards.len() as u32;
    }

    /// Deals the next card. There must be one.
    #[inline]
    pub(crate) fn deal(&mut self) -> u8 {
        self.left -= 1;
        self.cards[self.left as usize]
    }

    /// Returns the kind of the card that is dealt at this place, from 1.
    #[inline]
    pub(crate) fn card(&self, place: usize) -> u8 {
        self.cards[self.cards.len() - place]
    }

    /// Returns the cards in order. The last one is dealt first.
    pub(crate) fn cards(&self) -> &[u8] {
        &self.cards
    }

    /// Draws cards in the order of dealing as rows: about `most` cards around the place `focus`.
    /// The number of rows does not depend on `focus`. `look` changes the cell of a card, given its
    /// place from 1.
    pub(crate) fn rows(
        &self,
        deck_type: DeckType,
        focus: usize,
        most: usize,
        look: impl Fn(usize, Cell) -> Cell,
    ) -> Grid {
        let near = window(self.len(), focus.saturating_sub(1), most);
        // At any start, the cards can touch one row more than they fill.
        let num_rows = (most / COLUMNS + 1).min(self.len() / COLUMNS);
        let first_row = (near.start / COLUMNS).min(self.len() / COLUMNS - num_rows);
        let shown = first_row * COLUMNS..(first_row + num_rows) * COLUMNS;
        let cells = shown
            .clone()
            .map(|i| look(i + 1, deck_type.cell(self.card(i + 1))));
        Grid::cards(COLUMNS, cells).row_labels(shown.step_by(COLUMNS).map(|i| i + 1))
    }

    /// Draws cards like [`Self::rows`]: dealt cards are known, and the last one is on screen.
    pub(crate) fn dealt_rows(&self, deck_type: DeckType) -> Grid {
        let look = |place, card| self.as_dealt(place, card);
        self.rows(deck_type, self.dealt(), CARDS, look)
    }

    /// Returns a card that is hidden if it is not dealt yet, and framed if it is the last one
    /// dealt.
    pub(crate) fn as_dealt(&self, place: usize, card: Cell) -> Cell {
        let dealt = self.dealt();
        let tone = if place > dealt {
            Tone::Hidden
        } else {
            Tone::Neutral
        };
        card.tone(tone).seen(place == dealt)
    }

    /// Draws the number of cards still to be dealt.
    pub(crate) fn bar(&self) -> Bar {
        Bar::remaining("cards left", self.left() as u64, self.len() as u64)
    }

    /// Draws all cards on the table, in the order of their positions.
    pub(crate) fn table(&self, deck_type: DeckType, look: impl Fn(usize, Cell) -> Cell) -> Grid {
        let cards = self.cards.iter().enumerate();
        let cells = cards.map(|(i, &kind)| look(i, deck_type.cell(kind)));
        Grid::cards(COLUMNS, cells)
            .column_labels(0..COLUMNS)
            .row_labels((0..self.len()).step_by(COLUMNS))
    }

    /// Checks a deck that came from outside.
    ///
    /// # Errors
    /// When it is not a number of whole decks, or more cards are left than it has.
    pub(crate) fn validate(&self, deck_type: DeckType) -> Result<(), String> {
        let decks = self.num_decks();
        let mut counts = vec![0; deck_type.num_kinds() as usize];
        for &card in &self.cards {
            *counts
                .get_mut(usize::from(card))
                .ok_or_else(|| format!("there is no card {card}"))? += 1;
        }
        let each = CARDS * decks / counts.len();
        let is_whole = self.cards.len().is_multiple_of(CARDS)
            && (1..=MAX_DECKS as usize).contains(&decks)
            && counts.iter().all(|&count| count == each);
        match is_whole && self.left() <= self.len() {
            true => Ok(()),
            false => Err("the cards are not those of whole decks".to_owned()),
        }
    }

    /// Returns the draw that shuffles the deck into a recorded order.
    ///
    /// # Errors
    /// When the order does not hold each card once.
    pub(crate) fn script(&self, order: &[usize], deck_type: DeckType) -> Result<Draw, String> {
        let mut is_there = vec![false; self.len()];
        for &card in order {
            if let Some(is_there) = is_there.get_mut(card) {
                *is_there = true;
            }
        }
        let is_whole = order.len() == self.len() && is_there.iter().all(|&there| there);
        ensure(is_whole, || {
            format!("not each of {} cards once", self.len())
        })?;
        let kinds = order.iter().map(|&card| deck_type.kind(card));
        Ok(Draw::Order(kinds.collect()))
    }
}

/// The recorded order of a task's only deck.
#[derive(Deserialize)]
pub(crate) struct DeckOrder {
    /// The cards; the last one is dealt first.
    pub(crate) deck_order: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    #[test]
    fn kinds_follow_from_the_card() {
        // Card 51 is the king of hearts, card 52 the first card of the second deck.
        let kinds =
            |card| [DeckType::Colors, DeckType::Suits, DeckType::Ranks].map(|kind| kind.kind(card));
        assert_eq!(kinds(0), [0, 0, 0]);
        assert_eq!(kinds(6), [0, 2, 1]);
        assert_eq!(kinds(51), [1, 3, 12]);
        assert_eq!(kinds(53), [1, 1, 0]);
    }

    #[test]
    fn cards_are_dealt_from_the_end() {
        let mut deck = Deck::new(2, DeckType::Suits);
        deck.shuffle(&mut Rng::from_seed(1));
        deck.validate(DeckType::Suits).unwrap();
        let cards = deck.cards().to_vec();
        let dealt: Vec<u8> = (0..104).map(|_| deck.deal()).collect();
        let reversed: Vec<u8> = cards.iter().rev().copied().collect();
        assert_eq!(dealt, reversed);
        assert_eq!((deck.left(), deck.dealt()), (0, 104));
        assert_eq!([deck.card(1), deck.card(104)], [cards[103], cards[0]]);
    }

    #[test]
    fn a_recorded_order_must_hold_each_card_once() {
        let deck = Deck::new(1, DeckType::Colors);
        let mut order: Vec<usize> = (0..52).rev().collect();
        let draw = deck.script(&order, DeckType::Colors).unwrap();
        assert!(matches!(draw, Draw::Order(kinds) if kinds[..3] == [1, 0, 1]));
        order[3] = 2;
        assert!(deck.script(&order, DeckType::Colors).is_err());
        order[3] = 52;
        assert!(deck.script(&order, DeckType::Colors).is_err());
    }
}
