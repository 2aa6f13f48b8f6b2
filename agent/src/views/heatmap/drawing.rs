//! A drawing made of a few kinds of shapes, that says nothing about how it is put on paper.

use super::palette::Colour;

/// A sheet with shapes on it, later ones over earlier ones. Lengths are in pixels, `y` downwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawing {
    pub width: u32,
    pub height: u32,
    pub shapes: Vec<Shape>,
}

#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A filled rectangle.
    Fill {
        area: Area,
        colour: Colour,
    },
    /// Filled rectangles that do not overlap, so that their order is of no matter.
    Cells(Vec<Cell>),
    /// The border of a rectangle, one pixel wide, inside it.
    Border {
        area: Area,
        colour: Colour,
    },
    Text(Text),
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// One of many filled rectangles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub area: Area,
    pub colour: Colour,
}

/// One line of text.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub text: String,
    /// Where the anchor is.
    pub x: u32,
    /// The middle of the line's height.
    pub y: u32,
    pub anchor: Anchor,
    pub style: TextStyle,
    pub colour: Colour,
}

/// Which end of a text is at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How large and how heavy a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextStyle {
    Title,
    Heading,
    Label,
}
