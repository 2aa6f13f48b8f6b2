//! The content of a picture: a title, a status line, parts one below the other, and a key.
//!
//! A picture is bounded when it is built: text is cut, letters that could be a command to a
//! terminal are replaced, and things beyond the limit of a part are counted but not kept.

use std::ops::Range;

use env_protocol::LanePhase;

use super::decimal::decimal;
use super::played::Played;
use super::shapes::{Shape, Suit};

/// Greatest number of columns of a [`Grid`].
pub const MAX_COLUMNS: usize = 40;
/// Greatest number of rows of a [`Grid`].
pub const MAX_ROWS: usize = 32;
/// Greatest number of bars of one part.
pub const MAX_BARS: usize = 40;
/// Greatest number of shapes of a [`Scene`].
pub const MAX_SHAPES: usize = 64;
/// Greatest number of parts of a [`Picture`].
pub const MAX_PARTS: usize = 12;
/// Greatest number of entries in the key of a [`Picture`].
pub const MAX_KEYS: usize = 8;

/// Greatest number of letters in a line of text.
const MAX_LINE: usize = 80;
/// Greatest number of letters in a cell.
const MAX_CELL: usize = 6;
/// Greatest number of letters in the label of a bar, a row or a column.
const MAX_LABEL: usize = 16;
/// Greatest number of letters in a bar's note: two numbers of nine digits fit.
const MAX_NOTE: usize = 24;

/// The meaning of a thing, shown by its colour. Colours only repeat the information of text,
/// position or marks: text without colour codes must be enough to follow an episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Nothing; not even a cell is drawn.
    Blank,
    /// No special meaning.
    #[default]
    Neutral,
    /// Hidden from the agent: pale and hatched in images, in round brackets in text.
    Hidden,
    /// Something to remember.
    Cue,
    /// The agent, or its action.
    Agent,
    /// The place to go to, or the answer to give.
    Goal,
    /// Right, won, found.
    Good,
    /// Wrong, lost.
    Bad,
    /// An obstacle.
    Wall,
}

/// An environment's description of its present state: see [the module](super).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    pub(super) title: String,
    pub(super) status: String,
    pub(super) parts: Vec<Part>,
    pub(super) keys: Vec<(Cell, String)>,
    /// Least height of the image, in pixels.
    pub(super) least_height: u32,
}

/// A part of a picture. Parts stand one below the other.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub heading: String,
    pub content: Content,
}

/// The content of a part.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Note(Tone, String),
    Grid(Grid),
    Bars(Bars),
    Scene(Scene),
}

impl Picture {
    /// Makes an empty picture.
    pub fn new() -> Self {
        Picture::default()
    }

    /// Sets the title and the status line. Vectors of lanes do this; environments do not.
    pub fn titled(mut self, title: &str, status: &str) -> Self {
        self.title = clean(title, MAX_LINE);
        self.status = clean(status, MAX_LINE);
        self
    }

    /// Sets the title and the status of a lane. `played` is `None` where it is not known.
    pub(crate) fn of_lane(
        self,
        spec_id: &str,
        lane: Option<usize>,
        phase: LanePhase,
        played: Option<Played>,
    ) -> Self {
        let title = match lane {
            Some(lane) => format!("{spec_id} · lane {lane}"),
            None => spec_id.to_owned(),
        };
        let counts = || played.map_or_else(|| "restored".to_owned(), |p| p.status());
        let status = match phase {
            LanePhase::New => "waits for its first reset".to_owned(),
            LanePhase::Running => counts(),
            LanePhase::Ended => format!("{} · ended", counts()),
        };
        self.titled(&title, &status)
    }

    /// Adds a line of text.
    pub fn note(self, tone: Tone, text: &str) -> Self {
        let text = clean(text, MAX_LINE);
        self.part("", Content::Note(tone, text))
    }

    /// Adds a line that names the last action and says whether it was right.
    pub fn judged(self, what: &str, is_right: bool) -> Self {
        let (tone, verdict) = match is_right {
            true => (Tone::Good, "right"),
            false => (Tone::Bad, "wrong"),
        };
        self.note(tone, &format!("{what}: {verdict}"))
    }

    /// Adds a grid, unless it is empty.
    pub fn grid(self, heading: &str, grid: Grid) -> Self {
        if grid.cells.is_empty() {
            return self;
        }
        self.part(heading, Content::Grid(grid))
    }

    /// Adds bars, if there are any.
    pub fn bars(self, heading: &str, bars: impl IntoIterator<Item = Bar>) -> Self {
        let mut bars = bars.into_iter();
        let shown: Vec<Bar> = bars.by_ref().take(MAX_BARS).collect();
        if shown.is_empty() {
            return self;
        }
        let left_out = bars.count();
        self.part(heading, Content::Bars(Bars { shown, left_out }))
    }

    /// Adds a scene.
    pub fn scene(self, heading: &str, scene: Scene) -> Self {
        self.part(heading, Content::Scene(scene))
    }

    /// Adds an entry to the key at the bottom: the meaning of a cell like this one. Marks are
    /// explained in any case.
    pub fn key(mut self, cell: Cell, meaning: &str) -> Self {
        if self.keys.len() < MAX_KEYS {
            self.keys.push((cell, clean(meaning, MAX_LABEL * 2)));
        }
        self
    }

    /// Returns the picture for a person who plays in the agent's place. It keeps the last
    /// observation, the place and the last action of the agent, the information of rewards, and the
    /// time left. Things that were shown earlier are hidden again, because they must be remembered.
    pub fn as_the_agent_sees(mut self) -> Self {
        self.parts
            .retain(|part| !matches!(part.content, Content::Note(Tone::Hidden, _)));
        for part in &mut self.parts {
            match &mut part.content {
                Content::Grid(grid) => grid.cells.iter_mut().for_each(Cell::hide_unless_seen),
                // Bars under a heading are quantities of the task; bars without one show progress.
                Content::Bars(bars) if !part.heading.is_empty() => {
                    bars.shown.iter_mut().for_each(Bar::hide_unless_seen);
                }
                Content::Scene(scene) if scene.is_hidden => scene.shapes.clear(),
                Content::Bars(_) | Content::Note(..) | Content::Scene(_) => {}
            }
        }
        self.keys.retain(|(cell, _)| cell.tone == Tone::Agent);
        self
    }

    fn part(mut self, heading: &str, content: Content) -> Self {
        if self.parts.len() < MAX_PARTS {
            let heading = clean(heading, MAX_LINE);
            self.parts.push(Part { heading, content });
        }
        self
    }

    /// Returns which marks occur in the picture.
    pub(super) fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for part in &self.parts {
            match &part.content {
                Content::Grid(grid) => grid.cells.iter().for_each(|cell| marks.add(cell.marks)),
                Content::Bars(bars) => bars.shown.iter().for_each(|bar| marks.add(bar.marks)),
                Content::Note(..) | Content::Scene(_) => {}
            }
        }
        marks
    }
}

/// Relations of the agent to a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// It is in the last observation.
    pub seen: bool,
    /// The last action chose it.
    pub chosen: bool,
}

impl Marks {
    fn add(&mut self, other: Marks) {
        self.seen |= other.seen;
        self.chosen |= other.chosen;
    }
}

/// A cell of a grid, with up to six letters. In a grid of [`MAX_COLUMNS`], three stay readable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
    pub(super) suit: Option<Suit>,
    pub(super) marks: Marks,
}

impl Cell {
    /// Makes a cell with text.
    pub fn new(text: &str) -> Self {
        Cell {
            text: clean(text, MAX_CELL),
            ..Cell::default()
        }
    }

    /// Makes a cell with a number, with two decimals if it is not whole.
    pub fn number(number: f64) -> Self {
        Cell::new(&decimal(number, 2))
    }

    /// Makes a cell with a bit, as 0 or 1.
    pub fn bit(bit: bool) -> Self {
        Cell::new(if bit { "1" } else { "0" })
    }

    /// Makes a gap: a place of the grid without a cell.
    pub fn blank() -> Self {
        Cell::default().tone(Tone::Blank)
    }

    /// Sets the tone.
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Sets the suit of a card.
    pub fn suit(mut self, suit: Suit) -> Self {
        self.suit = Some(suit);
        self
    }

    /// Sets whether it is in the last observation.
    pub fn seen(mut self, is_seen: bool) -> Self {
        self.marks.seen = is_seen;
        self
    }

    /// Sets whether the last action chose it.
    pub fn chosen(mut self, is_chosen: bool) -> Self {
        self.marks.chosen = is_chosen;
        self
    }

    /// Hides the content of a cell that the agent does not see. Of a cell that it sees, removes the
    /// colour, which may tell more than the text, such as the bit that will be asked for.
    fn hide_unless_seen(&mut self) {
        let is_shape = matches!(self.tone, Tone::Blank | Tone::Agent | Tone::Wall);
        if self.marks.seen && !is_shape {
            self.tone = Tone::Neutral;
        }
        if !self.marks.seen && !is_shape && self.text != "·" {
            *self = Cell::new("?").tone(Tone::Hidden).chosen(self.marks.chosen);
        }
    }
}

/// Cells in rows, all of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Number of columns, in `1..=MAX_COLUMNS`.
    pub(super) columns: usize,
    pub(super) cells: Vec<Cell>,
    /// Number of cells that did not fit.
    pub(super) left_out: usize,
    pub(super) are_cards: bool,
    pub(super) column_labels: Vec<String>,
    pub(super) row_labels: Vec<String>,
}

impl Grid {
    /// Makes a grid of cells row by row, `columns` (clamped to `1..=`[`MAX_COLUMNS`]) in each. Rows
    /// after the first [`MAX_ROWS`] are left out; [`window`] chooses the part of a long thing to
    /// show.
    pub fn new(columns: usize, cells: impl IntoIterator<Item = Cell>) -> Self {
        let columns = columns.clamp(1, MAX_COLUMNS);
        let mut cells = cells.into_iter();
        let shown = cells.by_ref().take(columns * MAX_ROWS).collect();
        Grid {
            columns,
            cells: shown,
            left_out: cells.count(),
            are_cards: false,
            column_labels: Vec::new(),
            row_labels: Vec::new(),
        }
    }

    /// Makes a grid of one row, which wraps after [`MAX_COLUMNS`] cells.
    pub fn row(cells: impl IntoIterator<Item = Cell>) -> Self {
        let mut grid = Grid::new(MAX_COLUMNS, cells);
        grid.columns = grid.cells.len().clamp(1, MAX_COLUMNS);
        grid
    }

    /// Makes a grid of playing cards, `columns` in a row: cells are higher than wide.
    pub fn cards(columns: usize, cards: impl IntoIterator<Item = Cell>) -> Self {
        let mut grid = Grid::new(columns, cards);
        grid.are_cards = true;
        grid
    }

    /// Makes a grid of the numbers that the agent sees now: at most five rows of ten.
    pub fn observation(numbers: impl IntoIterator<Item = f64>) -> Self {
        const COLUMNS: usize = 10;
        const ROWS: usize = 5;
        let mut numbers = numbers.into_iter();
        let shown = numbers.by_ref().take(COLUMNS * ROWS);
        let mut grid = Grid::new(COLUMNS, shown.map(|x| Cell::number(x).seen(true)));
        grid.columns = grid.cells.len().clamp(1, COLUMNS);
        grid.left_out = numbers.count();
        grid
    }

    /// Sets a label above each column.
    pub fn column_labels<T: ToString>(mut self, labels: impl IntoIterator<Item = T>) -> Self {
        self.column_labels = labels_of(labels, self.columns);
        self
    }

    /// Sets a label before each row.
    pub fn row_labels<T: ToString>(mut self, labels: impl IntoIterator<Item = T>) -> Self {
        self.row_labels = labels_of(labels, MAX_ROWS);
        self
    }

    pub(super) fn rows(&self) -> usize {
        self.cells.len().div_ceil(self.columns)
    }
}

fn labels_of<T: ToString>(labels: impl IntoIterator<Item = T>, most: usize) -> Vec<String> {
    let labels = labels.into_iter().take(most);
    labels
        .map(|label| clean(&label.to_string(), MAX_LABEL))
        .collect()
}

/// Chooses the part of a long line to show: `most` of `0..length`, or all if there are fewer, with
/// `focus` in the middle where possible.
pub fn window(length: usize, focus: usize, most: usize) -> Range<usize> {
    let width = most.min(length);
    let start = focus.saturating_sub(width / 2).min(length - width);
    start..start + width
}

/// A labelled quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    pub(super) label: String,
    /// Filled part, in `0..=1`.
    pub(super) fraction: f64,
    /// Position of the tick, in `0..=1`.
    pub(super) tick: Option<f64>,
    pub(super) note: String,
    pub(super) tone: Tone,
    pub(super) marks: Marks,
}

impl Bar {
    /// Makes a bar filled up to `fraction`, which is clamped to `0..=1` (NaN counts as 0).
    pub fn new(label: &str, fraction: f64) -> Self {
        Bar {
            label: clean(label, MAX_LABEL),
            fraction: clamp_unit(fraction),
            tick: None,
            note: String::new(),
            tone: Tone::Neutral,
            marks: Marks::default(),
        }
    }

    /// Makes a bar for the rest of a whole, with a note such as `3 of 4`.
    pub fn remaining(label: &str, remaining: u64, whole: u64) -> Self {
        let fraction = remaining as f64 / whole.max(1) as f64;
        Bar::new(label, fraction).note(&format!("{remaining} of {whole}"))
    }

    /// Adds a second quantity: a tick at a fraction in `0..=1`.
    pub fn tick(mut self, fraction: f64) -> Self {
        self.tick = Some(clamp_unit(fraction));
        self
    }

    /// Adds text after the bar.
    pub fn note(mut self, text: &str) -> Self {
        self.note = clean(text, MAX_NOTE);
        self
    }

    /// Sets the tone.
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Sets whether it is in the last observation.
    pub fn seen(mut self, is_seen: bool) -> Self {
        self.marks.seen = is_seen;
        self
    }

    /// Sets whether the last action chose it.
    pub fn chosen(mut self, is_chosen: bool) -> Self {
        self.marks.chosen = is_chosen;
        self
    }

    /// Hides the length and the note of a bar that the agent does not see.
    fn hide_unless_seen(&mut self) {
        if !self.marks.seen {
            let hidden = Bar::new(&self.label, 0.0).note("?").tone(Tone::Hidden);
            *self = hidden.chosen(self.marks.chosen);
        }
    }
}

fn clamp_unit(fraction: f64) -> f64 {
    if fraction.is_nan() {
        return 0.0;
    }
    fraction.clamp(0.0, 1.0)
}

/// Bars of one part.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bars {
    pub shown: Vec<Bar>,
    /// Number of bars that did not fit.
    pub left_out: usize,
}

/// Shapes on a sheet that is 1 wide and `height` high, the origin at the bottom left; later shapes
/// cover earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Height relative to the width, in `0.1..=1`.
    pub(super) height: f64,
    pub(super) shapes: Vec<(Shape, Tone)>,
    /// Whether the agent sees nothing of it.
    is_hidden: bool,
}

impl Scene {
    /// Makes an empty sheet, `height` (clamped to `0.1..=1`) times as high as wide.
    pub fn new(height: f64) -> Self {
        Scene {
            height: clamp_unit(height).max(0.1),
            shapes: Vec::new(),
            is_hidden: false,
        }
    }

    /// Sets whether the agent sees nothing of it. By default it shows what the agent sees.
    pub fn hidden(mut self, is_hidden: bool) -> Self {
        self.is_hidden = is_hidden;
        self
    }

    /// Adds a shape. A shape with numbers that are not finite is left out, and so is a shape beyond
    /// [`MAX_SHAPES`].
    pub fn shape(mut self, shape: Shape, tone: Tone) -> Self {
        if self.shapes.len() < MAX_SHAPES && shape.is_finite() {
            self.shapes.push((shape, tone));
        }
        self
    }
}

/// Cuts a text to `most` letters and keeps printable Latin-1, which both outputs can show; other
/// letters become `?`.
fn clean(text: &str, most: usize) -> String {
    let is_printable =
        |letter| matches!(letter, ' '..='~' | '\u{a1}'..='\u{ff}' if letter != '\u{ad}');
    text.chars()
        .take(most)
        .map(|letter| if is_printable(letter) { letter } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_command_a_terminal() {
        let picture = Picture::new()
            .titled("a\u{1b}[2Jb\nc\u{9b}\u{202e}", &"x".repeat(1000))
            .note(Tone::Bad, "tab\there · fine é");
        assert_eq!(picture.title, "a?[2Jb?c??");
        assert_eq!(picture.status.len(), MAX_LINE);
        let Content::Note(_, text) = &picture.parts[0].content else {
            panic!("a note");
        };
        assert_eq!(text, "tab?here · fine é");
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let grid = Grid::new(1000, (0..2000).map(|i| Cell::number(f64::from(i))));
        assert_eq!((grid.columns, grid.rows()), (MAX_COLUMNS, MAX_ROWS));
        assert_eq!(grid.left_out, 2000 - MAX_COLUMNS * MAX_ROWS);
        let mut picture = Picture::new().bars("", (0..45).map(|_| Bar::new("", 0.5)));
        let Content::Bars(bars) = &picture.parts[0].content else {
            panic!("bars");
        };
        assert_eq!((bars.shown.len(), bars.left_out), (MAX_BARS, 5));
        for _ in 0..50 {
            picture = picture.note(Tone::Neutral, "more").key(Cell::new("k"), "k");
        }
        assert_eq!(picture.parts.len(), MAX_PARTS);
        assert_eq!(picture.keys.len(), MAX_KEYS);
    }

    #[test]
    fn nothing_is_left_out_of_the_picture() {
        let picture = Picture::new().grid("empty", Grid::row([])).bars("none", []);
        assert_eq!(picture, Picture::new());
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        assert_eq!(Bar::new("", f64::NAN).fraction, 0.0);
        assert_eq!(Bar::new("", f64::INFINITY).fraction, 1.0);
        assert_eq!(Bar::remaining("", 0, 0).fraction, 0.0);
        assert_eq!(Scene::new(f64::NAN).height, 0.1);
        let disc = Shape::disc((f64::NAN, 0.0), 0.1);
        assert!(Scene::new(1.0).shape(disc, Tone::Agent).shapes.is_empty());
    }

    #[test]
    fn a_window_keeps_its_focus() {
        assert_eq!(window(5, 2, 10), 0..5);
        assert_eq!(window(100, 0, 10), 0..10);
        assert_eq!(window(100, 50, 10), 45..55);
        assert_eq!(window(100, 99, 10), 90..100);
        assert_eq!(window(0, 0, 10), 0..0);
        assert_eq!(window(3, 900, 2), 1..3);
    }
}
