//! A drawing as a PNG file. Letters are embedded-graphics' bitmap fonts.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_15::{FONT_7X13, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Alignment, Baseline, Text as Letters, TextStyleBuilder};

use super::drawing::{Anchor, Area, Drawing, Shape, Text, TextStyle};
use super::error::HeatMapError;
use super::palette::Colour;

/// Draws and encodes.
pub(super) fn render(drawing: &Drawing) -> Result<Vec<u8>, HeatMapError> {
    let canvas = Canvas::of(drawing);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, drawing.width, drawing.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&canvas.pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Pixels of three bytes each, row by row.
struct Canvas {
    size: Size,
    pixels: Vec<u8>,
}

impl Canvas {
    fn of(drawing: &Drawing) -> Self {
        let size = Size::new(drawing.width, drawing.height);
        let mut canvas = Self {
            size,
            pixels: vec![0xff; 3 * (size.width * size.height) as usize],
        };
        for shape in &drawing.shapes {
            let Ok(()) = match shape {
                Shape::Fill { area, colour } => canvas.fill_solid(&rectangle(*area), rgb(*colour)),
                Shape::Cells(cells) => cells.iter().try_for_each(|cell| {
                    canvas.fill_solid(&rectangle(cell.area), rgb(cell.colour))
                }),
                Shape::Border { area, colour } => canvas.border(*area, rgb(*colour)),
                Shape::Text(text) => canvas.letters(text),
            };
        }
        canvas
    }

    fn border(&mut self, area: Area, colour: Rgb888) -> Result<(), Infallible> {
        let horizontal = Area { height: 1, ..area };
        let vertical = Area { width: 1, ..area };
        let bottom = Area {
            y: area.y + area.height.saturating_sub(1),
            ..horizontal
        };
        let right = Area {
            x: area.x + area.width.saturating_sub(1),
            ..vertical
        };
        for side in [horizontal, bottom, vertical, right] {
            self.fill_solid(&rectangle(side), colour)?;
        }
        Ok(())
    }

    fn letters(&mut self, text: &Text) -> Result<(), Infallible> {
        let font: &MonoFont = match text.style {
            TextStyle::Title => &FONT_10X20,
            TextStyle::Heading => &FONT_9X15_BOLD,
            TextStyle::Label => &FONT_7X13,
        };
        let alignment = match text.anchor {
            Anchor::Start => Alignment::Left,
            Anchor::Middle => Alignment::Center,
            Anchor::End => Alignment::Right,
        };
        let style = TextStyleBuilder::new()
            .alignment(alignment)
            .baseline(Baseline::Middle)
            .build();
        let position = Point::new(text.x as i32, text.y as i32);
        let ink = MonoTextStyle::new(font, rgb(text.colour));
        Letters::with_text_style(&text.text, position, ink, style).draw(self)?;
        Ok(())
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let sheet = self.bounding_box();
        for Pixel(point, colour) in pixels {
            if sheet.contains(point) {
                let index = 3 * (point.y as usize * self.size.width as usize + point.x as usize);
                self.pixels[index..index + 3].copy_from_slice(&[
                    colour.r(),
                    colour.g(),
                    colour.b(),
                ]);
            }
        }
        Ok(())
    }
}

fn rectangle(area: Area) -> Rectangle {
    Rectangle::new(
        Point::new(area.x as i32, area.y as i32),
        Size::new(area.width, area.height),
    )
}

fn rgb(Colour(red, green, blue): Colour) -> Rgb888 {
    Rgb888::new(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::super::HeatMap;
    use super::super::layout::layout;
    use super::super::view::examples;
    use super::*;

    #[test]
    fn shapes_are_where_they_were_put() {
        let colour = Colour(1, 2, 3);
        let area = Area {
            x: 1,
            y: 0,
            width: 3,
            height: 3,
        };
        let drawing = Drawing {
            width: 5,
            height: 4,
            shapes: vec![Shape::Border { area, colour }],
        };
        let canvas = Canvas::of(&drawing);
        let inked: String = canvas
            .pixels
            .chunks(3)
            .map(|pixel| if pixel == [1, 2, 3] { '#' } else { '.' })
            .collect();
        assert_eq!(inked, [".###.", ".#.#.", ".###.", "....."].concat());
    }

    #[test]
    fn the_file_decodes_to_the_drawing() {
        let drawing = layout(&HeatMap::new(&examples::slots()).unwrap());
        let file = render(&drawing).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (drawing.width, drawing.height));
        assert_eq!(pixels, Canvas::of(&drawing).pixels);
    }
}
