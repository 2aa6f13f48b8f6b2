//! A picture as an image.
//!
//! Parts are stacked from the top, and each computes its height before it is drawn. Lengths are in
//! pixels.
//!
//! All images of an environment have the same size, because videos need that. The width is
//! constant. The height includes room for [`NOTES`] notes and for the whole key, also when they are
//! absent; the size of all other parts must depend on the environment's arguments alone.

use embedded_graphics::mono_font::MonoFont;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::canvas::{
    Anchor, Canvas, HEADING, LINE, LINE_HEIGHT, MAX_WIDTH, SMALL, TITLE, draw_left_out, font_for,
    left_out_height, text_width,
};
use super::grid::GridFrame;
use super::palette::Ink;
use super::picture::{Bar, Bars, Cell, Content, Part, Picture, Scene, Tone};

/// Margin around the image.
const MARGIN: u32 = 16;
/// Gap between parts.
const GAP: u32 = 12;
/// Greatest height of an image; the rest is cut off.
const MAX_HEIGHT: u32 = 960;
/// Height of title and status.
const HEAD: u32 = LINE_HEIGHT * 2 + 4;
/// Heights are multiples of this number, because video encoders need that.
const BLOCK: u32 = 16;
/// Number of notes that the image has room for.
const NOTES: u32 = 3;
/// Height of a note with its background, and the gap below it.
const NOTE_HEIGHT: u32 = LINE_HEIGHT + 4;
const NOTE_GAP: u32 = 4;
/// Space left and right of the text of a note, within its background.
const NOTE_PAD: u32 = 5;
/// Width of the bar itself.
const BAR_WIDTH: u32 = 260;
/// Gap between a bar and the text on both sides.
const LABEL_GAP: u32 = 10;
/// Greatest size of a scene.
const SCENE_SIZE: Size = Size::new(520, 260);
/// Side of an example in the key.
const SWATCH: u32 = 14;

/// Draws the picture as a PNG file, 640 pixels wide and at most 960 high.
pub fn to_png(picture: &Picture) -> Vec<u8> {
    draw(picture).to_png()
}

/// Draws several pictures as one PNG file, row by row, in about as many rows as columns.
pub fn tiles_to_png<'a>(pictures: impl IntoIterator<Item = &'a Picture>) -> Vec<u8> {
    let tiles: Vec<Canvas> = pictures.into_iter().map(draw).collect();
    if let [tile] = tiles.as_slice() {
        return tile.to_png();
    }
    let sizes = tiles.iter().map(|tile| tile.size());
    let size = sizes.fold(Size::new_equal(1), Size::component_max);
    let columns = (1..).find(|n| n * n >= tiles.len()).unwrap_or(1).max(1);
    let rows = tiles.len().div_ceil(columns).max(1);
    let mut sheet = Canvas::new(columns as u32 * size.width, rows as u32 * size.height);
    for (i, tile) in tiles.iter().enumerate() {
        let (column, row) = ((i % columns) as i32, (i / columns) as i32);
        let at = Point::new(column * size.width as i32, row * size.height as i32);
        sheet.paste(tile, at);
        sheet.border(Rectangle::new(at, size), 1, Ink::Border);
    }
    sheet.to_png()
}

/// Positions and sizes in an image.
struct Layout {
    key: Key,
    /// Height of all parts, with room for absent notes.
    parts: u32,
    size: Size,
}

impl Layout {
    fn of(picture: &Picture) -> Self {
        let key = Key::of(picture);
        let parts: u32 = picture.parts.iter().map(height_of).sum();
        let is_note = |part: &&Part| matches!(part.content, Content::Note(..));
        let num_notes = picture.parts.iter().filter(is_note).count() as u32;
        let parts = parts + NOTES.saturating_sub(num_notes) * (NOTE_HEIGHT + NOTE_GAP);
        let height = 2 * MARGIN + HEAD + GAP + parts + GAP + key.height;
        let height = height.max(picture.least_height);
        let height = height.next_multiple_of(BLOCK).min(MAX_HEIGHT);
        let size = Size::new(MAX_WIDTH + 2 * MARGIN, height);
        Layout { key, parts, size }
    }
}

impl Picture {
    /// Makes the image at least as high as that of another picture.
    pub(crate) fn raised_to(mut self, other: &Picture) -> Self {
        self.least_height = Layout::of(other).size.height;
        self
    }
}

/// Returns width and height of the image of [`to_png`].
#[cfg(test)]
pub(crate) fn png_size(picture: &Picture) -> (u32, u32) {
    let size = Layout::of(picture).size;
    (size.width, size.height)
}

fn draw(picture: &Picture) -> Canvas {
    let Layout { key, parts, size } = Layout::of(picture);
    let mut canvas = Canvas::new(size.width, size.height);

    let mut at = Point::new_equal(MARGIN as i32);
    let title = at + Point::new(0, 8);
    canvas.text(
        &picture.title,
        title,
        Anchor::Start,
        title_font(&picture.title),
        Ink::Text,
    );
    let status = at + Point::new(0, 28);
    canvas.text(&picture.status, status, Anchor::Start, LINE, Ink::Muted);
    at.y += (HEAD + GAP) as i32;
    let below = at + Point::new(0, (parts + GAP) as i32);
    for part in &picture.parts {
        draw_part(&mut canvas, part, at);
        at.y += height_of(part) as i32;
    }
    key.draw(&mut canvas, below);
    canvas
}

fn title_font(title: &str) -> &'static MonoFont<'static> {
    if text_width(title, TITLE) <= MAX_WIDTH {
        TITLE
    } else {
        HEADING
    }
}

fn heading_height(part: &Part) -> u32 {
    if part.heading.is_empty() {
        0
    } else {
        LINE_HEIGHT + 4
    }
}

/// Returns the height of a part, including the gap after it.
fn height_of(part: &Part) -> u32 {
    let (content, gap) = match &part.content {
        Content::Note(..) => (NOTE_HEIGHT, NOTE_GAP),
        Content::Grid(grid) => (GridFrame::of(grid).height(grid), GAP),
        Content::Bars(bars) => (BarFrame::of(bars).height(bars), GAP),
        Content::Scene(scene) => (scene_size(scene).height, GAP),
    };
    heading_height(part) + content + gap
}

fn draw_part(canvas: &mut Canvas, part: &Part, at: Point) {
    let heading = at + Point::new(0, LINE_HEIGHT as i32 / 2);
    canvas.text(&part.heading, heading, Anchor::Start, HEADING, Ink::Text);
    let at = at + Point::new(0, heading_height(part) as i32);
    match &part.content {
        Content::Note(tone, text) => draw_note(canvas, *tone, text, at),
        Content::Grid(grid) => GridFrame::of(grid).draw(grid, canvas, at),
        Content::Bars(bars) => BarFrame::of(bars).draw(bars, canvas, at),
        Content::Scene(scene) => draw_scene(canvas, scene, at),
    }
}

/// Draws a note on a background of its tone, if the tone has one.
fn draw_note(canvas: &mut Canvas, tone: Tone, text: &str, at: Point) {
    let mut text_at = at + Point::new(0, LINE_HEIGHT as i32 / 2 + 1);
    if !matches!(tone, Tone::Blank | Tone::Neutral) {
        let size = Size::new(text_width(text, LINE) + 2 * NOTE_PAD, LINE_HEIGHT + 2);
        canvas.fill(Rectangle::new(at, size), tone.fill());
        text_at.x += NOTE_PAD as i32;
    }
    canvas.text(text, text_at, Anchor::Start, LINE, tone.ink());
}

/// Lengths that the bars of a part share.
struct BarFrame {
    font: &'static MonoFont<'static>,
    row: u32,
    label: u32,
}

impl BarFrame {
    fn of(bars: &Bars) -> Self {
        let row = (340 / bars.shown.len().max(1) as u32).clamp(11, 22);
        let font = if row < 14 { SMALL } else { LINE };
        let labels = bars.shown.iter().map(|bar| text_width(&bar.label, font));
        BarFrame {
            font,
            row,
            label: labels.max().unwrap_or(0) + LABEL_GAP,
        }
    }

    fn height(&self, bars: &Bars) -> u32 {
        self.row * bars.shown.len() as u32 + left_out_height(bars.left_out)
    }

    fn draw(&self, bars: &Bars, canvas: &mut Canvas, at: Point) {
        let mut at = at;
        for bar in &bars.shown {
            self.draw_bar(bar, canvas, at);
            at.y += self.row as i32;
        }
        draw_left_out(canvas, bars.left_out, at);
    }

    fn draw_bar(&self, bar: &Bar, canvas: &mut Canvas, at: Point) {
        let middle = self.row as i32 / 2;
        let label = at + Point::new(self.label.saturating_sub(LABEL_GAP) as i32, middle);
        canvas.text(&bar.label, label, Anchor::End, self.font, Ink::Text);
        let corner = at + Point::new(self.label as i32, 1);
        let area = Rectangle::new(corner, Size::new(BAR_WIDTH, self.row - 2));
        let across = |fraction: f64| (fraction * f64::from(BAR_WIDTH)).round() as u32;
        canvas.fill(area, Ink::White);
        let filled = Size::new(across(bar.fraction), area.size.height);
        canvas.fill(Rectangle::new(corner, filled), bar.tone.solid());
        let thickness = if bar.marks.seen { 2 } else { 1 };
        let frame = if bar.marks.seen {
            Ink::Text
        } else {
            Ink::Border
        };
        canvas.border(area, thickness, frame);
        if let Some(tick) = bar.tick {
            let x = across(tick).clamp(1, BAR_WIDTH - 2) as i32 - 1;
            let tick = Rectangle::new(corner + Point::new(x, 0), Size::new(3, area.size.height));
            canvas.fill(tick, Ink::Text);
        }
        let end = corner + Point::new((BAR_WIDTH + LABEL_GAP) as i32, middle - 1);
        canvas.text(&bar.note, end, Anchor::Start, self.font, Ink::Text);
        if bar.marks.chosen {
            draw_pointer(canvas, corner + Point::new(-3, middle - 1));
        }
    }
}

/// Draws a small triangle that points right, with its tip at a point.
fn draw_pointer(canvas: &mut Canvas, tip: Point) {
    for back in 0..5 {
        for dy in -back..=back {
            canvas.set(tip.x - back, tip.y + dy, Ink::Text);
        }
    }
}

fn scene_size(scene: &Scene) -> Size {
    let width = (f64::from(SCENE_SIZE.height) / scene.height) as u32;
    let width = width.min(SCENE_SIZE.width);
    Size::new(width, (f64::from(width) * scene.height).round() as u32)
}

fn draw_scene(canvas: &mut Canvas, scene: &Scene, at: Point) {
    let size = scene_size(scene);
    let area = Rectangle::new(at, size);
    canvas.fill(area, Ink::White);
    let dot = 1.0 / f64::from(size.width);
    // The pixels between two positions on the sheet. The cast saturates positions outside.
    let pixels = |from: f64, to: f64, most: u32| {
        let first = (from / dot).floor() as u32;
        first..((to / dot).ceil() as u32).min(most)
    };
    for (shape, tone) in &scene.shapes {
        let (low, high) = shape.bounds(dot);
        for y in pixels(scene.height - high.1, scene.height - low.1, size.height) {
            for x in pixels(low.0, high.0, size.width) {
                let (px, py) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                if shape.covers((px * dot, scene.height - py * dot), dot) {
                    let pixel = at + Point::new(x as i32, y as i32);
                    canvas.set(pixel.x, pixel.y, tone.solid());
                }
            }
        }
    }
    canvas.border(area, 1, Ink::Border);
}

/// Meanings of marks and cells, as many on a line as fit.
struct Key {
    /// An example, its meaning, and its position.
    entries: Vec<(Cell, String, Point)>,
    /// Height of the whole key, with room for absent marks.
    height: u32,
}

impl Key {
    fn of(picture: &Picture) -> Self {
        let marks = picture.marks();
        let seen = (Cell::default().seen(true), "the agent sees now".to_owned());
        let chosen = (Cell::default().chosen(true), "its last action".to_owned());
        let keys = picture.keys.iter().cloned();
        // Marks come last, so that a missing mark leaves no gap between other entries.
        let all = keys.map(|key| (true, key));
        let all = all.chain([(marks.seen, seen), (marks.chosen, chosen)]);
        let mut entries = Vec::new();
        let (mut x, mut line) = (0, 0);
        for (is_there, (cell, meaning)) in all {
            let entry = SWATCH + 6 + text_width(&meaning, LINE);
            if x > 0 && x + entry > MAX_WIDTH {
                (x, line) = (0, line + 1);
            }
            let at = Point::new(x as i32, line as i32 * (LINE_HEIGHT as i32 + 4));
            if is_there {
                entries.push((cell, meaning, at));
            }
            x += entry + 16;
        }
        let height = (line + 1) * (LINE_HEIGHT + 4);
        Key { entries, height }
    }

    fn draw(&self, canvas: &mut Canvas, at: Point) {
        for (cell, meaning, offset) in &self.entries {
            let corner = at + *offset;
            let area = Rectangle::new(corner, Size::new_equal(SWATCH));
            let font = font_for(cell.text.chars().count(), SWATCH - 2, SWATCH - 2);
            super::grid::draw_cell(canvas, cell, area, font);
            let text = corner + Point::new(SWATCH as i32 + 6, SWATCH as i32 / 2);
            canvas.text(meaning, text, Anchor::Start, LINE, Ink::Muted);
        }
    }
}
