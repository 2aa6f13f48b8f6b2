//! Colours that stand for values.

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    /// The colour as in `0x1f9e89`.
    pub const fn hex(rgb: u32) -> Self {
        Self((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
    }
}

/// Where there is nothing: an empty slot.
pub(super) const EMPTY: Colour = Colour::hex(0xe4e7eb);
/// Colour of everything about a cue.
pub(super) const CUE: Colour = Colour::hex(0xff7f0e);

/// Colours are rounded to so many levels, so that neighbours often share one.
const LEVELS: f32 = 100.0;

/// A map from `0..=1` to colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    /// From early to late, dark violet to yellow: matplotlib's viridis.
    Viridis,
    /// From none to much, black to light yellow: matplotlib's magma.
    Magma,
    /// From negative through zero to positive, blue to red: ColorBrewer's RdBu, reversed.
    BlueRed,
}

/// Equidistant points of each map, between which is interpolated.
const VIRIDIS: [u32; 10] = [
    0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b,
    0xfde725,
];
const MAGMA: [u32; 10] = [
    0x000004, 0x180f3d, 0x440f76, 0x721f81, 0x9e2f7f, 0xcd4071, 0xf1605d, 0xfd9668, 0xfeca8d,
    0xfcfdbf,
];
const BLUE_RED: [u32; 9] = [
    0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b,
];

impl Palette {
    /// The colour of `fraction`, which is clamped to `0..=1`.
    pub fn colour(self, fraction: f32) -> Colour {
        let points: &[u32] = match self {
            Self::Viridis => &VIRIDIS,
            Self::Magma => &MAGMA,
            Self::BlueRed => &BLUE_RED,
        };
        let rounded = (fraction.clamp(0.0, 1.0) * LEVELS).round() / LEVELS;
        let position = rounded * (points.len() - 1) as f32;
        let index = (position as usize).min(points.len() - 2);
        let (from, to) = (Colour::hex(points[index]), Colour::hex(points[index + 1]));
        let share = position - index as f32;
        let mix = |from: u8, to: u8| {
            (f32::from(from) + share * (f32::from(to) - f32::from(from))).round() as u8
        };
        Colour(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_middles_and_beyond() {
        assert_eq!(Palette::Viridis.colour(0.0), Colour(0x44, 0x01, 0x54));
        assert_eq!(Palette::Viridis.colour(1.0), Colour(0xfd, 0xe7, 0x25));
        assert_eq!(Palette::Magma.colour(7.0), Palette::Magma.colour(1.0));
        assert_eq!(Palette::BlueRed.colour(0.5), Colour(0xf7, 0xf7, 0xf7));
        // Halfway between f7f7f7 and fddbc7: (247 + 253) / 2, (247 + 219) / 2, (247 + 199) / 2,
        // at a sixteenth above the middle, which rounds to the level 0.56 = 0.48 of the interval.
        assert_eq!(Palette::BlueRed.colour(0.5625), Colour(250, 234, 224));
    }
}
