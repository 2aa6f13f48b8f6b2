//! Colours: those of Okabe and Ito (2008), which colour-blind people can tell apart, on light grey.

use embedded_graphics::pixelcolor::PixelColor;

use super::picture::Tone;

/// An entry of the palette of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Ink {
    /// Background of the image.
    Paper,
    /// A plain cell.
    White,
    /// Thin borders.
    Border,
    /// Text, and frames around things that the agent sees.
    Text,
    /// Less important text.
    Muted,
    /// Background of hidden things.
    Pale,
    /// Hatching over hidden things.
    Hatch,
    Orange,
    Blue,
    Yellow,
    Green,
    Vermillion,
    Slate,
    /// Hearts and diamonds.
    Red,
}

impl PixelColor for Ink {
    type Raw = ();
}

/// The colours of the inks, in their order.
pub(super) const COLOURS: [[u8; 3]; 14] = [
    [0xf7, 0xf8, 0xfa],
    [0xff, 0xff, 0xff],
    [0xb8, 0xc0, 0xc9],
    [0x1f, 0x29, 0x33],
    [0x5f, 0x6b, 0x78],
    [0xe9, 0xec, 0xef],
    [0xd3, 0xd9, 0xdf],
    [0xe6, 0x9f, 0x00],
    [0x00, 0x72, 0xb2],
    [0xf0, 0xe4, 0x42],
    [0x00, 0x9e, 0x73],
    [0xd5, 0x5e, 0x00],
    [0x3e, 0x4c, 0x59],
    [0xc6, 0x28, 0x28],
];

impl Tone {
    /// Returns the colour that fills a cell of this tone.
    pub(super) const fn fill(self) -> Ink {
        match self {
            Tone::Blank => Ink::Paper,
            Tone::Neutral => Ink::White,
            Tone::Hidden => Ink::Pale,
            Tone::Cue => Ink::Orange,
            Tone::Agent => Ink::Blue,
            Tone::Goal => Ink::Yellow,
            Tone::Good => Ink::Green,
            Tone::Bad => Ink::Vermillion,
            Tone::Wall => Ink::Slate,
        }
    }

    /// Returns the colour of text in a cell of this tone.
    pub(super) const fn ink(self) -> Ink {
        match self {
            Tone::Agent | Tone::Wall => Ink::White,
            Tone::Hidden => Ink::Muted,
            _ => Ink::Text,
        }
    }

    /// Returns the colour that fills a shape or a bar of this tone. It stands out from white.
    pub(super) const fn solid(self) -> Ink {
        match self {
            Tone::Neutral => Ink::Muted,
            Tone::Hidden => Ink::Border,
            Tone::Blank => Ink::White,
            tone => tone.fill(),
        }
    }

    /// Returns foreground and background of a cell among a terminal's 256 colours, if it has any:
    /// the colours closest to those of images.
    pub(super) const fn terminal(self) -> Option<(u8, u8)> {
        match self {
            Tone::Blank | Tone::Neutral => None,
            Tone::Hidden => Some((240, 254)),
            Tone::Cue => Some((16, 178)),
            Tone::Agent => Some((231, 25)),
            Tone::Goal => Some((16, 227)),
            Tone::Good => Some((16, 36)),
            Tone::Bad => Some((16, 166)),
            Tone::Wall => Some((231, 239)),
        }
    }
}
