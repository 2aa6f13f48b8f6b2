//! A heat map as text: coloured half blocks, or plain characters where colours are unwelcome.

use std::fmt::Write as _;

use super::grid::{Grid, share};
use super::layout::ticks;
use super::map::HeatMap;
use super::palette::{CUE, Colour};
use super::panels::Panel;

/// Width of the rows' labels with the blank after them.
const GUTTER: usize = 9;
/// Widest drawing of one step, in characters.
const MAX_STEP_WIDTH: usize = 4;
/// A panel has at most so many rows; more are shrunk.
const MAX_ROWS: usize = 32;
/// Narrower terminals get this width all the same, and wrap.
const MIN_WIDTH: usize = 40;
/// So many rows get a line of text each even in colours; more share lines in pairs.
const MAX_FULL_ROWS: usize = 8;
/// Ends all colours.
const RESET: &str = "\x1b[0m";
/// Characters for values from low to high.
const RAMP: [char; 9] = ['.', ':', '-', '=', '+', '*', 'o', '#', '@'];

/// How to draw on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalStyle {
    /// Characters a line.
    pub width: usize,
    /// Whether to use 24-bit colours and block characters.
    pub colour: bool,
}

impl TerminalStyle {
    /// The style for standard output: its width, and colours if it is a terminal and the
    /// environment variable `NO_COLOR` is not set.
    #[must_use]
    pub fn of_stdout() -> Self {
        let terminal = console::Term::stdout();
        let is_no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            width: terminal.size().1.into(),
            colour: terminal.is_term() && !is_no_color,
        }
    }
}

/// Draws a heat map; no line of its panels is wider than the style says.
pub(super) fn render(map: &HeatMap, style: TerminalStyle) -> String {
    let width = style.width.max(MIN_WIDTH) - GUTTER;
    let num_columns = map.num_steps.min(width);
    let step_width = (width / num_columns).clamp(1, MAX_STEP_WIDTH);
    let mut page = Page {
        text: String::new(),
        colour: style.colour,
        step_width,
        num_columns,
    };
    page.line(&map.title);
    for note in &map.notes {
        page.line(note);
    }
    for panel in &map.panels {
        page.line("");
        page.heading(panel);
        page.cue_marks(map);
        let grid = panel.grid.fit(MAX_ROWS, num_columns, panel.shrink);
        if style.colour {
            page.coloured_cells(panel, &grid);
        } else {
            page.plain_cells(panel, &grid);
        }
    }
    page.axis(map.num_steps);
    page.text
}

struct Page {
    text: String,
    colour: bool,
    /// Characters a column.
    step_width: usize,
    num_columns: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn push(&mut self, text: std::fmt::Arguments) {
        self.text
            .write_fmt(text)
            .expect("a String takes all writes");
    }

    /// The panel's title, and under it what its colours or characters mean.
    fn heading(&mut self, panel: &Panel) {
        self.line(&panel.title);
        self.push(format_args!("{:GUTTER$}{} ", "", panel.scale.low_label));
        if self.colour {
            self.blocks((0..RAMP.len()).map(|index| {
                let fraction = index as f32 / (RAMP.len() - 1) as f32;
                let colour = Some(panel.palette.colour(fraction));
                Block {
                    upper: colour,
                    lower: colour,
                }
            }));
        } else {
            self.text.extend(RAMP);
        }
        self.push(format_args!(" {}\n", panel.scale.high_label));
    }

    /// A line with a mark over each step that shows a cue; none if there is no cue.
    fn cue_marks(&mut self, map: &HeatMap) {
        if map.cue_steps.is_empty() {
            return;
        }
        let mut marks = String::new();
        for column in 0..self.num_columns {
            let steps = share(column, self.num_columns, map.num_steps);
            let is_cue = map
                .cue_steps
                .iter()
                .any(|&cue| steps.contains(&(cue as usize)));
            marks.push(match (is_cue, self.colour) {
                (true, true) => '▼',
                (true, false) => 'v',
                (false, _) => ' ',
            });
            marks.extend(std::iter::repeat_n(' ', self.step_width - 1));
        }
        let Colour(red, green, blue) = CUE;
        let (start, end) = if self.colour {
            (format!("\x1b[38;2;{red};{green};{blue}m"), "\x1b[0m")
        } else {
            (String::new(), "")
        };
        let gutter = format!("{:>width$} ", "cue", width = GUTTER - 1);
        self.push(format_args!("{gutter}{start}{}{end}\n", marks.trim_end()));
    }

    /// A line a row where there are few; else two, in the halves of block characters.
    fn coloured_cells(&mut self, panel: &Panel, grid: &Grid) {
        let rows_a_line = if grid.num_rows <= MAX_FULL_ROWS { 1 } else { 2 };
        let colour = |row: usize, column: usize| {
            let value = grid.at(row, column)?;
            Some(panel.palette.colour(panel.scale.fraction(value)))
        };
        for upper in (0..grid.num_rows).step_by(rows_a_line) {
            self.row_label(panel, grid, upper);
            let lower = upper + rows_a_line - 1;
            let cells = (0..grid.num_columns).map(|column| Block {
                upper: colour(upper, column),
                lower: (lower < grid.num_rows)
                    .then(|| colour(lower, column))
                    .flatten(),
            });
            let width = self.step_width;
            self.blocks(cells.flat_map(|block| std::iter::repeat_n(block, width)));
            self.text.push('\n');
        }
    }

    /// Block characters; colours are switched only where they change.
    fn blocks(&mut self, blocks: impl Iterator<Item = Block>) {
        let mut current = None;
        for block in blocks {
            let (symbol, ink, ground) = block.print();
            if current != Some((ink, ground)) {
                current = Some((ink, ground));
                self.text.push_str(RESET);
                if let Some(Colour(red, green, blue)) = ink {
                    self.push(format_args!("\x1b[38;2;{red};{green};{blue}m"));
                }
                if let Some(Colour(red, green, blue)) = ground {
                    self.push(format_args!("\x1b[48;2;{red};{green};{blue}m"));
                }
            }
            self.text.push(symbol);
        }
        self.text.push_str(RESET);
    }

    fn plain_cells(&mut self, panel: &Panel, grid: &Grid) {
        for row in 0..grid.num_rows {
            self.row_label(panel, grid, row);
            let mut cells = String::new();
            for column in 0..grid.num_columns {
                let symbol = grid
                    .at(row, column)
                    .map_or(' ', |value| symbol(panel.scale.fraction(value)));
                cells.extend(std::iter::repeat_n(symbol, self.step_width));
            }
            self.line(cells.trim_end());
        }
    }

    fn row_label(&mut self, panel: &Panel, grid: &Grid, row: usize) {
        let label = &panel.row_labels[share(row, grid.num_rows, panel.grid.num_rows).start];
        self.push(format_args!("{label:>width$} ", width = GUTTER - 1));
    }

    /// Step numbers under the columns they belong to, as many as fit.
    fn axis(&mut self, num_steps: usize) {
        let mut labels = String::new();
        for step in ticks(num_steps) {
            let column = step * self.num_columns / num_steps;
            let position = column * self.step_width;
            let label = step.to_string();
            let fits = position + label.len() <= self.num_columns * self.step_width;
            let is_free = labels.is_empty() || position > labels.len();
            if fits && is_free {
                labels.push_str(&" ".repeat(position - labels.len()));
                labels.push_str(&label);
            }
        }
        let gutter = format!("{:>width$} ", "step", width = GUTTER - 1);
        self.line(&format!("{gutter}{labels}"));
    }
}

/// Contents of the two halves of a character; `None` is the terminal's own ground.
#[derive(Clone, Copy)]
struct Block {
    upper: Option<Colour>,
    lower: Option<Colour>,
}

impl Block {
    /// The character and the colours of ink and ground that show it.
    fn print(self) -> (char, Option<Colour>, Option<Colour>) {
        match (self.upper, self.lower) {
            (None, None) => (' ', None, None),
            (None, lower) => ('▄', lower, None),
            (upper, lower) if upper == lower => ('█', upper, None),
            (upper, lower) => ('▀', upper, lower),
        }
    }
}

fn symbol(fraction: f32) -> char {
    let index = (fraction.clamp(0.0, 1.0) * (RAMP.len() - 1) as f32).round();
    RAMP[index as usize]
}

#[cfg(test)]
mod tests {
    use super::super::palette::Palette;
    use super::super::view::examples;
    use super::*;

    fn text(style: TerminalStyle) -> String {
        render(&HeatMap::new(&examples::slots()).unwrap(), style)
    }

    #[test]
    fn plain_characters() {
        let style = TerminalStyle {
            width: 60,
            colour: false,
        };
        insta::assert_snapshot!(text(style), @r"
        example
        The cue of step 0 was kept to the end; at the last step it got 88 % of the attention.

        Episode, each row relative to its largest magnitude
                 -max .:-=+*o#@ +max
             cue v
           obs 0 @@@@++++++++
           obs 1 ++++++++@@@@
          action ++++@@@@@@@@
          reward ++++++++@@@@

        Kept: the step at which each slot's entry was written
                 step 0 .:-=+*o#@ step 2
             cue v
          slot 0 ............
          slot 1     ++++@@@@

        Usefulness of each slot's entry
                 -2.00 .:-=+*o#@ 2.00
             cue v
          slot 0 ****oooo@@@@
          slot 1     ----++++

        Attention to each slot's entry
                 0.00 .:-=+*o#@ 0.88
             cue v
          slot 0 ####****@@@@
          slot 1     ----::::
            step 0   1   2
        ");
    }

    #[test]
    fn colours_are_those_of_the_image() {
        let style = TerminalStyle {
            width: 60,
            colour: true,
        };
        let text = text(style);
        let lines: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with("Attention"))
            .filter(|line| line.starts_with("  slot"))
            .collect();
        // First step: slot 0 has 0.75 of the largest 0.875; slot 1 is empty, so it has no colour.
        let Colour(red, green, blue) = Palette::Magma.colour(6.0 / 7.0);
        let first = format!("  slot 0 \x1b[0m\x1b[38;2;{red};{green};{blue}m████\x1b[0m");
        assert!(lines[0].starts_with(&first), "{:?}", lines[0]);
        assert!(
            lines[1].starts_with("  slot 1 \x1b[0m    \x1b[0m"),
            "{:?}",
            lines[1]
        );
    }

    #[test]
    fn halves_of_a_block() {
        let (a, b) = (Some(Colour(1, 1, 1)), Some(Colour(2, 2, 2)));
        let print = |upper, lower| Block { upper, lower }.print();
        assert_eq!(print(a, b), ('▀', a, b));
        assert_eq!(print(a, a), ('█', a, None));
        assert_eq!(print(None, b), ('▄', b, None));
        assert_eq!(print(a, None), ('▀', a, None));
        assert_eq!(print(None, None), (' ', None, None));
    }

    #[test]
    fn a_long_episode_fits_the_width() {
        let mut view = examples::slots();
        view.memory = super::super::MemoryView::None;
        view.observations = vec![vec![0.5]; 1_000];
        view.actions = vec![vec![1.0]; 1_000];
        view.rewards = vec![0.0; 1_000];
        let style = TerminalStyle {
            width: 80,
            colour: false,
        };
        let text = render(&HeatMap::new(&view).unwrap(), style);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert_eq!(longest, Some(80));
    }
}
