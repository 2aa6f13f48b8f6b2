//! A picture as text for a terminal.

use std::fmt::{self, Write};

use super::picture::{Bar, Bars, Cell, Content, Grid, Marks, Picture, Scene, Tone};
use super::shapes::Suit;

/// Width of a bar, in letters.
const BAR_WIDTH: usize = 30;
/// Width of a scene, in letters. Each letter holds two by four dots.
const SCENE_WIDTH: usize = 60;

/// Draws the picture as lines of text, each with its line end. Square brackets enclose what the
/// agent sees now, and round brackets what is hidden from it; a star follows what its last action
/// chose. `has_colour` adds escape codes for 256 colours, and no other escape codes.
pub fn to_ansi(picture: &Picture, has_colour: bool) -> String {
    let mut text = Page {
        text: String::new(),
        has_colour,
    };
    text.picture(picture)
        .expect("writing into a string cannot fail");
    text.text
}

struct Page {
    text: String,
    has_colour: bool,
}

impl Page {
    fn picture(&mut self, picture: &Picture) -> fmt::Result {
        for line in [&picture.title, &picture.status] {
            if !line.is_empty() {
                self.line(line);
            }
        }
        let mut follows_note = false;
        for part in &picture.parts {
            let is_note = matches!(part.content, Content::Note(..));
            if !(self.text.is_empty() || follows_note && is_note) {
                self.line("");
            }
            follows_note = is_note;
            if !part.heading.is_empty() {
                self.line(&part.heading);
            }
            match &part.content {
                Content::Note(tone, text) => {
                    let text = self.toned(*tone, text);
                    self.line(&text);
                }
                Content::Grid(grid) => self.grid(grid)?,
                Content::Bars(bars) => self.bars(bars)?,
                Content::Scene(scene) => self.scene(scene),
            }
        }
        self.key(picture)
    }

    /// Writes a line without the spaces at its end.
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        match tone.terminal() {
            Some((ink, ground)) if self.has_colour => {
                format!("\x1b[38;5;{ink};48;5;{ground}m{text}\x1b[0m")
            }
            _ => text.to_owned(),
        }
    }

    fn grid(&mut self, grid: &Grid) -> fmt::Result {
        let frame = Frame::of(grid);
        if !grid.column_labels.is_empty() {
            let mut line = " ".repeat(2 + frame.gutter);
            for label in &grid.column_labels {
                write!(
                    line,
                    " {label:^w$} {gap}",
                    w = frame.cell,
                    gap = frame.gap()
                )?;
            }
            self.line(&line);
        }
        for (i, row) in grid.cells.chunks(grid.columns).enumerate() {
            let label = grid.row_labels.get(i).map_or("", String::as_str);
            let label = format!("{label:>w$}", w = frame.gutter.saturating_sub(1));
            let mut line = format!("  {label:<w$}", w = frame.gutter);
            for cell in row {
                line.push_str(&self.cell(cell, frame));
            }
            self.line(&line);
        }
        if grid.left_out > 0 {
            self.line(&format!("  … and {} more", grid.left_out));
        }
        Ok(())
    }

    fn cell(&self, cell: &Cell, frame: Frame) -> String {
        let (open, close) = brackets(cell.marks, cell.tone, ' ');
        let text = format!("{open}{:^w$}{close}", cell_text(cell), w = frame.cell);
        let mut text = self.toned(cell.tone, &text);
        if frame.has_gap {
            text.push(star(cell.marks));
        }
        text
    }

    fn bars(&mut self, bars: &Bars) -> fmt::Result {
        let lengths = bars.shown.iter().map(|bar| bar.label.chars().count());
        let width = lengths.max().unwrap_or(0);
        for bar in &bars.shown {
            let (open, close) = brackets(bar.marks, bar.tone, '|');
            let mark = star(bar.marks);
            let label = format!("  {:>width$} {open}", bar.label);
            let filled = self.filled(bar);
            self.line(&format!("{label}{filled}{close}{mark}{}", bar.note));
        }
        if bars.left_out > 0 {
            self.line(&format!("  … and {} more", bars.left_out));
        }
        Ok(())
    }

    fn filled(&self, bar: &Bar) -> String {
        let place = |fraction: f64| (fraction * BAR_WIDTH as f64).round() as usize;
        let filled = place(bar.fraction);
        let tick = bar.tick.map(|tick| place(tick).min(BAR_WIDTH - 1));
        let letter = |i| match i {
            i if tick == Some(i) => '┃',
            i if i < filled => '█',
            _ => '·',
        };
        let text: String = (0..BAR_WIDTH).map(letter).collect();
        self.inked(bar.tone, &text)
    }

    /// Returns text whose letters, not their background, have the tone.
    fn inked(&self, tone: Tone, text: &str) -> String {
        match tone.terminal() {
            Some((_, ground)) if self.has_colour => {
                // The pale background colour of hidden things is too light for letters.
                let ink = if tone == Tone::Hidden { 245 } else { ground };
                format!("\x1b[38;5;{ink}m{text}\x1b[0m")
            }
            _ => text.to_owned(),
        }
    }

    fn scene(&mut self, scene: &Scene) {
        let dot = 0.5 / SCENE_WIDTH as f64;
        let rows = (scene.height / (4.0 * dot)).ceil() as usize;
        for row in 0..rows {
            let mut line = "  ".to_owned();
            for column in 0..SCENE_WIDTH {
                line.push_str(&self.dots(scene, column, row, dot));
            }
            self.line(&line);
        }
    }

    /// Returns a Braille letter: bits 0 to 2 are its left column, 3 to 5 its right, 6 and 7 the
    /// bottom row.
    fn dots(&self, scene: &Scene, column: usize, row: usize, dot: f64) -> String {
        const BITS: [[u32; 2]; 4] = [[0, 3], [1, 4], [2, 5], [6, 7]];
        let mut bits = 0;
        let mut tone = Tone::Blank;
        for (dy, pair) in BITS.iter().enumerate() {
            for (dx, bit) in pair.iter().enumerate() {
                let x = ((2 * column + dx) as f64 + 0.5) * dot;
                let y = scene.height - ((4 * row + dy) as f64 + 0.5) * dot;
                let mut above = scene.shapes.iter().rev();
                match above.find(|(shape, _)| shape.covers((x, y), dot)) {
                    Some((_, Tone::Blank)) | None => {}
                    Some(&(_, found)) => {
                        bits |= 1 << bit;
                        tone = found;
                    }
                }
            }
        }
        match bits {
            0 => " ".to_owned(),
            bits => {
                let letter = char::from_u32(0x2800 + bits).expect("all 256 are letters");
                self.inked(tone, letter.encode_utf8(&mut [0; 4]))
            }
        }
    }

    fn key(&mut self, picture: &Picture) -> fmt::Result {
        let marks = picture.marks();
        let mut entries = Vec::new();
        if marks.seen {
            entries.push("[ ] the agent sees now".to_owned());
        }
        if marks.chosen {
            entries.push("* its last action".to_owned());
        }
        for (cell, meaning) in &picture.keys {
            let (text, has_ground) = (cell_text(cell), cell.tone.terminal().is_some());
            let (open, close) = brackets(cell.marks, cell.tone, ' ');
            let example = format!("{open}{text}{close}");
            let example = self.toned(cell.tone, &example);
            // Without colours, nothing distinguishes an empty cell of a tone.
            if self.has_colour && has_ground || !example.trim().is_empty() {
                entries.push(format!("{} {meaning}", example.trim()));
            }
        }
        if !entries.is_empty() {
            self.line("");
            self.line(&entries.join(" · "));
        }
        Ok(())
    }
}

/// Widths that all cells of a grid share.
#[derive(Clone, Copy)]
struct Frame {
    /// Width of a cell without brackets, in letters.
    cell: usize,
    /// Width of the row labels with the space after them, in letters.
    gutter: usize,
    /// Whether each cell is followed by a letter for the star.
    has_gap: bool,
}

impl Frame {
    fn of(grid: &Grid) -> Self {
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let cells = longest(&mut grid.cells.iter().map(|c| cell_text(c).chars().count()));
        let columns = longest(&mut grid.column_labels.iter().map(|l| l.chars().count()));
        let gutter = longest(&mut grid.row_labels.iter().map(|l| l.chars().count()));
        Frame {
            cell: cells.max(columns).max(1),
            gutter: if gutter > 0 { gutter + 1 } else { 0 },
            has_gap: grid.cells.iter().any(|cell| cell.marks.chosen),
        }
    }

    fn gap(self) -> &'static str {
        if self.has_gap { " " } else { "" }
    }
}

/// Returns the text and suit of a cell, or else a sign for an empty cell of its tone.
fn cell_text(cell: &Cell) -> String {
    let mut text = cell.text.clone();
    text.extend(cell.suit.map(Suit::symbol));
    if text.is_empty() {
        text.push_str(match cell.tone {
            Tone::Neutral => "·",
            Tone::Wall => "#",
            _ => " ",
        });
    }
    text
}

/// Returns the brackets around a thing: for seen, hidden, or neither.
fn brackets(marks: Marks, tone: Tone, otherwise: char) -> (char, char) {
    match (marks.seen, tone) {
        (true, _) => ('[', ']'),
        (false, Tone::Hidden) => ('(', ')'),
        (false, _) => (otherwise, otherwise),
    }
}

fn star(marks: Marks) -> char {
    if marks.chosen { '*' } else { ' ' }
}
