//! Shapes, defined by the points that they cover. They are drawn in pixels or in dots of text.

/// A point: distance to the right, distance upwards.
pub type Point = (f64, f64);

/// A shape in a [`Scene`](super::Scene), whose sheet is 1 wide. A shape thinner than a dot of the
/// output is drawn one dot thick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A line with round ends.
    Line {
        /// One end.
        from: Point,
        /// The other end.
        to: Point,
        /// Thickness.
        thickness: f64,
    },
    /// A filled circle.
    Disc {
        /// Its centre.
        centre: Point,
        /// Its radius.
        radius: f64,
    },
    /// A filled rectangle.
    Block {
        /// Its bottom left corner.
        from: Point,
        /// Its top right corner.
        to: Point,
    },
}

impl Shape {
    /// Makes a line.
    pub const fn line(from: Point, to: Point, thickness: f64) -> Self {
        Shape::Line {
            from,
            to,
            thickness,
        }
    }

    /// Makes a filled circle.
    pub const fn disc(centre: Point, radius: f64) -> Self {
        Shape::Disc { centre, radius }
    }

    /// Makes a filled rectangle from its bottom left to its top right corner.
    pub const fn block(from: Point, to: Point) -> Self {
        Shape::Block { from, to }
    }

    pub(super) fn is_finite(&self) -> bool {
        let numbers = match *self {
            Shape::Line {
                from,
                to,
                thickness,
            } => [from.0, from.1, to.0, to.1, thickness],
            Shape::Disc { centre, radius } => [centre.0, centre.1, radius, 0.0, 0.0],
            Shape::Block { from, to } => [from.0, from.1, to.0, to.1, 0.0],
        };
        numbers.iter().all(|number| number.is_finite())
    }

    /// Returns the bottom left and the top right corner of a box that contains the shape.
    pub(super) fn bounds(&self, dot: f64) -> (Point, Point) {
        let (from, to, reach) = match *self {
            Shape::Line {
                from,
                to,
                thickness,
            } => (from, to, thickness),
            Shape::Disc { centre, radius } => (centre, centre, 2.0 * radius),
            Shape::Block { from, to } => (from, to, 0.0),
        };
        let reach = 0.5 * reach.max(dot);
        (
            (from.0.min(to.0) - reach, from.1.min(to.1) - reach),
            (from.0.max(to.0) + reach, from.1.max(to.1) + reach),
        )
    }

    /// Whether a dot of diameter `dot` with its centre at a point belongs to the shape.
    pub(super) fn covers(&self, (x, y): Point, dot: f64) -> bool {
        match *self {
            Shape::Line {
                from,
                to,
                thickness,
            } => {
                let reach = 0.5 * thickness.max(dot);
                let (dx, dy) = (to.0 - from.0, to.1 - from.1);
                let (px, py) = (x - from.0, y - from.1);
                let length = dx * dx + dy * dy;
                let along = if length > 0.0 {
                    ((px * dx + py * dy) / length).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let (ex, ey) = (px - along * dx, py - along * dy);
                ex * ex + ey * ey <= reach * reach
            }
            Shape::Disc { centre, radius } => {
                let (dx, dy) = (x - centre.0, y - centre.1);
                let radius = radius.max(0.5 * dot);
                dx * dx + dy * dy <= radius * radius
            }
            Shape::Block { from, to } => {
                let is_within = |at: f64, low: f64, high: f64| {
                    (at - 0.5 * (low + high)).abs() <= 0.5 * (high - low).max(dot)
                };
                is_within(x, from.0, to.0) && is_within(y, from.1, to.1)
            }
        }
    }
}

/// The suit of a playing card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suit {
    /// ♠
    Spades,
    /// ♦
    Diamonds,
    /// ♣
    Clubs,
    /// ♥
    Hearts,
}

impl Suit {
    /// Returns the suit as a letter.
    pub const fn symbol(self) -> char {
        match self {
            Suit::Spades => '♠',
            Suit::Diamonds => '♦',
            Suit::Clubs => '♣',
            Suit::Hearts => '♥',
        }
    }

    /// Whether the suit is red.
    pub const fn is_red(self) -> bool {
        matches!(self, Suit::Diamonds | Suit::Hearts)
    }

    /// Whether its symbol, in a square from −1 to 1, covers a point.
    pub(super) fn covers(self, (x, y): Point) -> bool {
        let disc = |cx: f64, cy: f64, r: f64| (x - cx).powi(2) + (y - cy).powi(2) <= r * r;
        // A foot that gets wider towards the bottom.
        let foot = || (-1.0..=-0.1).contains(&y) && x.abs() <= 0.09 + 0.35 * (-0.45 - y).max(0.0);
        match self {
            Suit::Diamonds => x.abs() / 0.75 + y.abs() <= 1.0,
            Suit::Hearts => heart(x, y),
            Suit::Spades => heart(x, (0.15 - y) * 1.13) || foot(),
            Suit::Clubs => {
                disc(0.0, 0.52, 0.44) || disc(-0.5, -0.22, 0.44) || disc(0.5, -0.22, 0.44) || foot()
            }
        }
    }
}

/// A heart: two discs, and a point below them.
fn heart(x: f64, y: f64) -> bool {
    const RADIUS: f64 = 0.47;
    let lobe = |cx: f64| (x - cx).powi(2) + (y - 0.4).powi(2) <= RADIUS * RADIUS;
    let half_width = 0.87 * (y + 0.95) / 1.15;
    lobe(-0.44)
        || lobe(0.44)
        || (-0.95..=0.2).contains(&y) && x.abs() <= half_width
        || (0.2..=0.4).contains(&y) && x.abs() <= 0.87
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_in_or_out() {
        let line = Shape::line((0.0, 0.0), (1.0, 1.0), 0.2);
        assert!(line.covers((0.5, 0.5), 0.0) && line.covers((0.5, 0.6), 0.0));
        assert!(!line.covers((0.5, 0.7), 0.0) && !line.covers((1.2, 1.2), 0.0));
        let speck = Shape::line((0.5, 0.5), (0.5, 0.5), 0.0);
        assert!(speck.covers((0.52, 0.5), 0.1) && !speck.covers((0.6, 0.5), 0.1));
        let disc = Shape::disc((0.5, 0.5), 0.1);
        assert!(disc.covers((0.59, 0.5), 0.0) && !disc.covers((0.58, 0.58), 0.0));
        let block = Shape::block((0.1, 0.2), (0.3, 0.4));
        assert!(block.covers((0.11, 0.39), 0.0) && !block.covers((0.31, 0.3), 0.0));
        let thin = Shape::block((0.0, 0.5), (1.0, 0.5));
        assert!(thin.covers((0.3, 0.54), 0.1) && !thin.covers((0.3, 0.56), 0.1));
    }

    #[test]
    fn suits_look_like_themselves() {
        let draw = |suit: Suit| -> String {
            let centre = |i: usize| 2.0 * (i as f64 + 0.5) / 9.0 - 1.0;
            let row = |r: usize| -> String {
                let dot = |c: usize| suit.covers((centre(c), -centre(r)));
                (0..9).map(|c| if dot(c) { '#' } else { '.' }).collect()
            };
            (0..9).map(|r| row(r) + "\n").collect()
        };
        let suits = [Suit::Spades, Suit::Diamonds, Suit::Clubs, Suit::Hearts];
        insta::assert_snapshot!(suits.map(draw).join("\n"));
    }
}
