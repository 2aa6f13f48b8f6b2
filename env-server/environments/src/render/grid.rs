//! A grid in an image: cells, cards, marks, suits.

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::canvas::{
    Anchor, Canvas, LINE, MAX_WIDTH, SMALL, draw_left_out, font_for, left_out_height, text_width,
};
use super::palette::Ink;
use super::picture::{Cell, Grid, Tone};
use super::shapes::Suit;

/// Greatest height of all cells, if they fit.
const MAX_HEIGHT: u32 = 300;
/// Least and greatest width of a cell.
const MIN_SIDE: u32 = 14;
const MAX_SIDE: u32 = 36;
/// Gap between cells.
const GAP: u32 = 2;
/// Height of the column labels.
const HEADER: u32 = 14;

/// Lengths that all cells of a grid share.
pub(super) struct GridFrame {
    /// Size of a cell, including the gap after it.
    pitch: Size,
    font: &'static MonoFont<'static>,
    /// Width of the row labels.
    gutter: u32,
    /// Height of the column labels.
    header: u32,
}

impl GridFrame {
    pub fn of(grid: &Grid) -> Self {
        let labels = grid.row_labels.iter();
        let gutter = labels.map(|label| text_width(label, SMALL) + 6).max();
        let gutter = gutter.unwrap_or(0);
        let (columns, rows) = (grid.columns as u32, grid.rows().max(1) as u32);
        // Cards are 7 high where they are 5 wide.
        let (wide, high) = if grid.are_cards { (5, 7) } else { (1, 1) };
        let most = MAX_WIDTH.saturating_sub(gutter) / columns;
        let side = most
            .min(MAX_HEIGHT * wide / (rows * high))
            .clamp(MIN_SIDE, MAX_SIDE);
        let letters = grid.cells.iter().map(|cell| cell.text.chars().count());
        let letters = letters.max().unwrap_or(0);
        let around = GAP + 2 * frame_thickness(side - GAP);
        // Long numbers get wider cells, if there is room for them.
        let wanted = text_width("0", LINE) * letters as u32 + around + 4;
        let width = wanted.min(most).max(side);
        let pitch = Size::new(width, side * high / wide);
        let room = width - around;
        let has_suits = grid.cells.iter().any(|cell| cell.suit.is_some());
        let font = match (has_suits, grid.are_cards) {
            (true, true) => font_for(letters, room, pitch.height / 2),
            (true, false) => font_for(letters, room / 2, pitch.height),
            (false, _) => font_for(letters, room, pitch.height - GAP),
        };
        GridFrame {
            pitch,
            font,
            gutter,
            header: if grid.column_labels.is_empty() {
                0
            } else {
                HEADER
            },
        }
    }

    /// Returns the height of the whole grid, which does not depend on the texts in the cells.
    pub fn height(&self, grid: &Grid) -> u32 {
        self.header + self.pitch.height * grid.rows() as u32 + left_out_height(grid.left_out)
    }

    pub fn draw(&self, grid: &Grid, canvas: &mut Canvas, at: Point) {
        self.draw_column_labels(grid, canvas, at);
        let rows = grid.cells.chunks(grid.columns).enumerate();
        for (r, row) in rows {
            let y = self.header + r as u32 * self.pitch.height;
            if let Some(label) = grid.row_labels.get(r) {
                let x = self.gutter.saturating_sub(6);
                let end = at + Size::new(x, y + (self.pitch.height - GAP) / 2);
                canvas.text(label, end, Anchor::End, SMALL, Ink::Muted);
            }
            for (c, cell) in row.iter().enumerate() {
                let x = self.gutter + c as u32 * self.pitch.width;
                let size = self.pitch - Size::new_equal(GAP);
                let area = Rectangle::new(at + Size::new(x, y), size);
                draw_cell(canvas, cell, area, self.font);
            }
        }
        let below = self.header + self.pitch.height * grid.rows() as u32;
        draw_left_out(canvas, grid.left_out, at + Size::new(0, below));
    }

    /// Draws the column labels, only every second, third, … where they are too long.
    fn draw_column_labels(&self, grid: &Grid, canvas: &mut Canvas, at: Point) {
        let labels = &grid.column_labels;
        let longest = labels.iter().map(|label| text_width(label, SMALL)).max();
        let every = (longest.unwrap_or(0) + 2).div_ceil(self.pitch.width).max(1) as usize;
        for (c, label) in labels.iter().enumerate().step_by(every) {
            let x = self.gutter + c as u32 * self.pitch.width + (self.pitch.width - GAP) / 2;
            let middle = at + Size::new(x, HEADER / 2 - 2);
            canvas.text(label, middle, Anchor::Middle, SMALL, Ink::Muted);
        }
    }
}

/// Draws a cell with its content and marks.
pub(super) fn draw_cell(canvas: &mut Canvas, cell: &Cell, area: Rectangle, font: &MonoFont) {
    if cell.tone == Tone::Blank {
        return;
    }
    if cell.tone == Tone::Hidden {
        canvas.hatch(area);
    } else {
        canvas.fill(area, cell.tone.fill());
    }
    canvas.border(area, 1, Ink::Border);
    let (text, symbol) = split(cell, area);
    canvas.text(&cell.text, text, Anchor::Middle, font, cell.tone.ink());
    if let Some(suit) = cell.suit {
        draw_suit(canvas, suit, symbol, suit_ink(suit, cell.tone));
    }
    if cell.marks.seen {
        canvas.border(area, frame_thickness(area.size.width), Ink::Text);
    }
    if cell.marks.chosen {
        draw_corner(canvas, area);
    }
}

/// Returns the thickness of the frame around a seen cell.
const fn frame_thickness(width: u32) -> u32 {
    match width {
        20.. => 3,
        14.. => 2,
        _ => 1,
    }
}

/// Returns the positions of text and suit: the text goes above the suit in a high cell and before
/// it in another, and each goes in the middle if it is alone.
fn split(cell: &Cell, area: Rectangle) -> (Point, Rectangle) {
    let Size { width, height } = area.size;
    let middle = Point::new(width as i32 / 2, height as i32 / 2);
    let at = |x: u32, y: u32| area.top_left + Size::new(x, y);
    let square = |centre: Point, side: u32| {
        let half = Size::new_equal(side / 2);
        Rectangle::new(centre - half, Size::new_equal(side))
    };
    if cell.text.is_empty() || cell.suit.is_none() {
        let side = width.min(height) * 5 / 8;
        return (area.top_left + middle, square(area.top_left + middle, side));
    }
    if height > width {
        let side = (width / 2).min(height / 2);
        return (
            at(width / 2, height * 3 / 10),
            square(at(width / 2, height * 7 / 10), side),
        );
    }
    (
        at(width * 3 / 10, height / 2),
        square(at(width * 7 / 10, height / 2), width * 2 / 5),
    )
}

fn suit_ink(suit: Suit, tone: Tone) -> Ink {
    match tone {
        Tone::Blank | Tone::Neutral if suit.is_red() => Ink::Red,
        tone => tone.ink(),
    }
}

fn draw_suit(canvas: &mut Canvas, suit: Suit, area: Rectangle, ink: Ink) {
    let half = f64::from(area.size.width) / 2.0;
    for point in area.points() {
        let offset = point - area.top_left;
        let x = (f64::from(offset.x) + 0.5) / half - 1.0;
        let y = 1.0 - (f64::from(offset.y) + 0.5) / half;
        if suit.covers((x, y)) {
            canvas.set(point.x, point.y, ink);
        }
    }
}

/// Fills the corner at the top right.
fn draw_corner(canvas: &mut Canvas, area: Rectangle) {
    let side = (area.size.width * 2 / 5) as i32;
    let corner = area.top_left + Size::new(area.size.width - 1, 0);
    for dy in 0..side {
        for dx in 0..side - dy {
            canvas.set(corner.x - dx, corner.y + dy, Ink::Text);
        }
    }
}
