//! An image with a palette: pixels, letters, and the PNG file.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_15::{
    FONT_4X6, FONT_5X8, FONT_6X10, FONT_7X13, FONT_7X13_BOLD, FONT_9X15_BOLD, FONT_10X20,
};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};

use super::palette::{COLOURS, Ink};

/// Font of a title.
pub(super) const TITLE: &MonoFont = &FONT_9X15_BOLD;
/// Font of the heading of a part.
pub(super) const HEADING: &MonoFont = &FONT_7X13_BOLD;
/// Font of a line of text.
pub(super) const LINE: &MonoFont = &FONT_7X13;
/// Font of the labels of rows and columns.
pub(super) const SMALL: &MonoFont = &FONT_6X10;
/// Height of a line of text, in pixels.
pub(super) const LINE_HEIGHT: u32 = 16;
/// Width of an image between its margins, in pixels.
pub(super) const MAX_WIDTH: u32 = 608;

/// The part of a text that stands at its position.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Pixels of one palette entry each.
pub(super) struct Canvas {
    size: Size,
    pixels: Vec<u8>,
}

impl Canvas {
    /// An empty sheet.
    pub fn new(width: u32, height: u32) -> Self {
        let num_pixels = width as usize * height as usize;
        Canvas {
            size: Size::new(width, height),
            pixels: vec![Ink::Paper as u8; num_pixels],
        }
    }

    pub fn set(&mut self, x: i32, y: i32, ink: Ink) {
        if self.bounding_box().contains(Point::new(x, y)) {
            let index = y as usize * self.size.width as usize + x as usize;
            self.pixels[index] = ink as u8;
        }
    }

    pub fn fill(&mut self, area: Rectangle, ink: Ink) {
        let Ok(()) = self.fill_solid(&area, ink);
    }

    /// Fills an area with a pale colour and slanted lines. Lines of neighbouring areas meet.
    pub fn hatch(&mut self, area: Rectangle) {
        const PERIOD: i32 = 6;
        self.fill(area, Ink::Pale);
        for Point { x, y } in area.points() {
            if (x + y) % PERIOD == 0 {
                self.set(x, y, Ink::Hatch);
            }
        }
    }

    /// Draws a border inside an area.
    pub fn border(&mut self, area: Rectangle, thickness: u32, ink: Ink) {
        let Size { width, height } = area.size;
        let thickness = thickness.min(width).min(height);
        let right = Point::new((width - thickness) as i32, 0);
        let bottom = Point::new(0, (height - thickness) as i32);
        let (beam, post) = (Size::new(width, thickness), Size::new(thickness, height));
        for (offset, size) in [
            (Point::zero(), beam),
            (bottom, beam),
            (Point::zero(), post),
            (right, post),
        ] {
            self.fill(Rectangle::new(area.top_left + offset, size), ink);
        }
    }

    /// Draws a line of text; `y` is the middle of its height.
    pub fn text(&mut self, text: &str, at: Point, anchor: Anchor, font: &MonoFont, ink: Ink) {
        let alignment = match anchor {
            Anchor::Start => Alignment::Left,
            Anchor::Middle => Alignment::Center,
            Anchor::End => Alignment::Right,
        };
        let style = TextStyleBuilder::new()
            .alignment(alignment)
            .baseline(Baseline::Middle)
            .build();
        let ink = MonoTextStyle::new(font, ink);
        let Ok(_) = Text::with_text_style(text, at, ink, style).draw(self);
    }

    /// Copies another sheet onto this one.
    pub fn paste(&mut self, other: &Canvas, at: Point) {
        let area = Rectangle::new(at, other.size);
        let part = area.intersection(&self.bounding_box());
        for row in part.rows() {
            let width = part.size.width as usize;
            let to = row as usize * self.size.width as usize + part.top_left.x as usize;
            let from = (row - at.y) as usize * other.size.width as usize
                + (part.top_left.x - at.x) as usize;
            self.pixels[to..to + width].copy_from_slice(&other.pixels[from..from + width]);
        }
    }

    /// Encodes the image as a PNG file.
    pub fn to_png(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.size.width, self.size.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(COLOURS.as_flattened().to_vec());
        encoder.set_compression(png::Compression::Balanced);
        // Filters predict a pixel from its neighbours, but palette entries are not quantities.
        encoder.set_filter(png::Filter::NoFilter);
        encoder
            .write_header()
            .and_then(|mut writer| {
                writer.write_image_data(&self.pixels)?;
                writer.finish()
            })
            .expect("a bounded image that is not empty can be encoded into memory");
        file
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = Ink;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Ink>>,
    {
        for Pixel(Point { x, y }, ink) in pixels {
            self.set(x, y, ink);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, ink: Ink) -> Result<(), Infallible> {
        let part = area.intersection(&self.bounding_box());
        for row in part.rows() {
            let start = row as usize * self.size.width as usize + part.top_left.x as usize;
            self.pixels[start..start + part.size.width as usize].fill(ink as u8);
        }
        Ok(())
    }
}

/// Returns the width of a text, in pixels.
pub(super) fn text_width(text: &str, font: &MonoFont) -> u32 {
    text.chars().count() as u32 * font.character_size.width
}

/// Returns the largest font in which this many letters fit, or the smallest font.
pub(super) fn font_for(num_letters: usize, width: u32, height: u32) -> &'static MonoFont<'static> {
    const FONTS: [&MonoFont; 5] = [
        &FONT_10X20,
        &FONT_9X15_BOLD,
        &FONT_7X13,
        &FONT_6X10,
        &FONT_5X8,
    ];
    let fits = |font: &&&MonoFont| {
        let size = font.character_size;
        size.width * num_letters as u32 <= width && size.height <= height
    };
    FONTS.iter().find(fits).copied().unwrap_or(&FONT_4X6)
}

/// Writes "... and N more" below the things shown, if any were left out.
pub(super) fn draw_left_out(canvas: &mut Canvas, left_out: usize, at: Point) {
    if left_out > 0 {
        let text = format!("... and {left_out} more");
        let middle = at + Point::new(0, LINE_HEIGHT as i32 / 2);
        canvas.text(&text, middle, Anchor::Start, LINE, Ink::Muted);
    }
}

/// Returns the height that [`draw_left_out`] needs.
pub(super) const fn left_out_height(left_out: usize) -> u32 {
    if left_out > 0 { LINE_HEIGHT } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(canvas: &Canvas) -> Vec<String> {
        let rows = canvas.pixels.chunks(canvas.size.width as usize);
        rows.map(|row| {
            row.iter()
                .map(|&ink| if ink == Ink::Text as u8 { '#' } else { '.' })
                .collect()
        })
        .collect()
    }

    #[test]
    fn borders_and_fills_are_where_they_were_put() {
        let mut canvas = Canvas::new(6, 4);
        let area = Rectangle::new(Point::new(1, 0), Size::new(4, 4));
        canvas.border(area, 1, Ink::Text);
        assert_eq!(draw(&canvas), [".####.", ".#..#.", ".#..#.", ".####."]);
        let beyond = Rectangle::new(Point::new(4, -3), Size::new(90, 5));
        canvas.fill(beyond, Ink::Text);
        assert_eq!(draw(&canvas), [".#####", ".#..##", ".#..#.", ".####."]);
    }

    #[test]
    fn a_sheet_is_cut_where_it_does_not_fit() {
        let mut stamp = Canvas::new(3, 3);
        stamp.fill(stamp.bounding_box(), Ink::Text);
        let mut canvas = Canvas::new(4, 3);
        canvas.paste(&stamp, Point::new(2, -1));
        assert_eq!(draw(&canvas), ["..##", "..##", "...."]);
        canvas.paste(&stamp, Point::new(-2, 2));
        canvas.paste(&stamp, Point::new(40, 40));
        assert_eq!(draw(&canvas), ["..##", "..##", "#..."]);
    }

    #[test]
    fn the_file_decodes_to_the_pixels() {
        let mut canvas = Canvas::new(40, 20);
        canvas.text("agé", Point::new(2, 10), Anchor::Start, LINE, Ink::Red);
        let file = canvas.to_png();
        let decoder = png::Decoder::new(std::io::Cursor::new(&file));
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (40, 20));
        assert_eq!(pixels, canvas.pixels);
        assert_eq!(
            reader.info().palette.as_deref(),
            Some(COLOURS.as_flattened())
        );
        assert!(pixels.contains(&(Ink::Red as u8)));
    }

    #[test]
    fn fonts_shrink_with_the_room() {
        assert_eq!(font_for(1, 40, 40).character_size, Size::new(10, 20));
        assert_eq!(font_for(3, 20, 40).character_size, Size::new(6, 10));
        assert_eq!(font_for(9, 2, 2).character_size, Size::new(4, 6));
    }
}
