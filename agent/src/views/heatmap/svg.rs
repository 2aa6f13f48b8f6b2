//! A drawing as an SVG document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::drawing::{Anchor, Area, Cell, Drawing, Shape, Text, TextStyle};
use super::palette::Colour;

/// Writes the document.
pub(super) fn render(drawing: &Drawing) -> String {
    let mut svg = Document(String::new());
    let (width, height) = (drawing.width, drawing.height);
    svg.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="system-ui, sans-serif" shape-rendering="crispEdges">"#
    ));
    svg.line(format_args!(
        r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##
    ));
    for shape in &drawing.shapes {
        match shape {
            Shape::Fill { area, colour } => svg.line(format_args!(
                r#"<path fill="{}" d="{}"/>"#,
                hex(*colour),
                outline(*area)
            )),
            Shape::Cells(cells) => svg.cells(cells),
            // A line of one pixel runs along the middle of that pixel.
            Shape::Border { area, colour } => svg.line(format_args!(
                r#"<rect x="{}.5" y="{}.5" width="{}" height="{}" fill="none" stroke="{}"/>"#,
                area.x,
                area.y,
                area.width.saturating_sub(1),
                area.height.saturating_sub(1),
                hex(*colour)
            )),
            Shape::Text(text) => svg.text(text),
        }
    }
    svg.0.push_str("</svg>\n");
    svg.0
}

struct Document(String);

impl Document {
    fn line(&mut self, element: std::fmt::Arguments) {
        writeln!(self.0, "{element}").expect("a String takes all writes");
    }

    /// Cells of one colour share a path: a fraction of the size of an element each.
    fn cells(&mut self, cells: &[Cell]) {
        let mut paths: BTreeMap<Colour, String> = BTreeMap::new();
        for cell in cells {
            paths
                .entry(cell.colour)
                .or_default()
                .push_str(&outline(cell.area));
        }
        for (colour, path) in paths {
            self.line(format_args!(r#"<path fill="{}" d="{path}"/>"#, hex(colour)));
        }
    }

    fn text(&mut self, text: &Text) {
        let anchor = match text.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (size, weight) = match text.style {
            TextStyle::Title => (20, 600),
            TextStyle::Heading => (15, 600),
            TextStyle::Label => (13, 400),
        };
        // A capital is about 0.7 of the font's size high: half of that under the line's middle.
        let baseline = text.y as f32 + 0.35 * size as f32;
        self.line(format_args!(
            r#"<text x="{}" y="{baseline:.1}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{}">{}</text>"#,
            text.x,
            hex(text.colour),
            escape(&text.text)
        ));
    }
}

fn outline(area: Area) -> String {
    format!(
        "M{} {}h{}v{}h-{}z",
        area.x, area.y, area.width, area.height, area.width
    )
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_keep_their_order_and_cells_of_a_colour_share_a_path() {
        let area = |x| Area {
            x,
            y: 2,
            width: 3,
            height: 4,
        };
        let cell = |x, colour| Cell {
            area: area(x),
            colour,
        };
        let (dark, light) = (Colour(0, 0, 1), Colour(0xff, 0, 0));
        let drawing = Drawing {
            width: 20,
            height: 10,
            shapes: vec![
                Shape::Fill {
                    area: area(0),
                    colour: light,
                },
                Shape::Cells(vec![cell(0, light), cell(4, dark), cell(8, light)]),
                Shape::Border {
                    area: area(0),
                    colour: dark,
                },
                Shape::Text(Text {
                    text: "a<b & c".to_owned(),
                    x: 5,
                    y: 6,
                    anchor: Anchor::End,
                    style: TextStyle::Title,
                    colour: dark,
                }),
            ],
        };
        let svg = render(&drawing);
        let elements: Vec<&str> = svg.lines().skip(2).collect();
        assert_eq!(
            elements,
            [
                r##"<path fill="#ff0000" d="M0 2h3v4h-3z"/>"##,
                r##"<path fill="#000001" d="M4 2h3v4h-3z"/>"##,
                r##"<path fill="#ff0000" d="M0 2h3v4h-3zM8 2h3v4h-3z"/>"##,
                r##"<rect x="0.5" y="2.5" width="2" height="3" fill="none" stroke="#000001"/>"##,
                r##"<text x="5" y="13.0" text-anchor="end" font-size="20" font-weight="600" fill="#000001">a&lt;b &amp; c</text>"##,
                "</svg>",
            ]
        );
    }
}
