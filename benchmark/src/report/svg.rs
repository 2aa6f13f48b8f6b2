//! Small pieces of inline SVG. Colours are classes, which the page's style defines for light and
//! dark.

use std::fmt::Write as _;

use crate::format::{compact, fixed, thousands};

/// Width of a panel in its own units.
pub const WIDTH: f64 = 380.0;
/// Height of a panel in its own units.
pub const HEIGHT: f64 = 240.0;

const LEFT: f64 = 42.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;

/// A map from values to positions along an axis.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    domain: (f64, f64),
    range: (f64, f64),
    logarithmic: bool,
}

impl Scale {
    /// Maps `domain` linearly onto `range`.
    pub const fn linear(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self {
            domain,
            range,
            logarithmic: false,
        }
    }

    /// Maps the logarithm of `domain`, which must be positive, onto `range`.
    pub const fn logarithmic(domain: (f64, f64), range: (f64, f64)) -> Self {
        Self {
            domain,
            range,
            logarithmic: true,
        }
    }

    /// Returns the position of a value; beyond the domain, that of the nearer end.
    pub fn at(&self, value: f64) -> f64 {
        let place = |value: f64| if self.logarithmic { value.ln() } else { value };
        let (low, high) = (place(self.domain.0), place(self.domain.1));
        let share = if high > low {
            ((place(value) - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.5
        };
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    /// Returns round values to label: multiples of 1, 2 or 5 times a power of ten, or powers of two
    /// on a logarithmic axis.
    pub fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.domain;
        if self.logarithmic {
            let (first, last) = (low.log2().ceil() as i32, high.log2().floor() as i32);
            let stride = ((last - first) / 6 + 1) as usize;
            return (first..=last)
                .step_by(stride)
                .map(|exponent| 2f64.powi(exponent))
                .collect();
        }
        let rough = (high - low) / 4.0;
        let magnitude = 10f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * magnitude >= rough)
            .unwrap_or(10.0);
        let stride = factor * magnitude;
        let (first, last) = ((low / stride).ceil() as i64, (high / stride).floor() as i64);
        (first..=last).map(|index| index as f64 * stride).collect()
    }
}

/// Returns the range of returns to show: always 0 (chance) and 1 (perfect), more if the data need
/// it.
pub fn return_domain(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((0.0_f64, 1.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let low = if low < -0.25 {
        low.min(-1.0) * 1.05
    } else {
        -0.27
    };
    (low, high * 1.05)
}

/// An unfinished figure.
#[derive(Debug)]
pub struct Svg {
    body: String,
    width: f64,
    height: f64,
}

/// The part of a text that stands at its position.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    /// Its start.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

impl Svg {
    /// Starts an empty figure.
    pub const fn new(width: f64, height: f64) -> Self {
        Self {
            body: String::new(),
            width,
            height,
        }
    }

    /// Draws a rectangle; `title` is its tooltip.
    pub fn rect(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
    ) {
        let title = title_element(title);
        self.put(format_args!(
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}">{title}</rect>"#
        ));
    }

    /// Draws a rectangle of this opacity; `title` is its tooltip.
    pub fn cell(
        &mut self,
        class: &str,
        opacity: f64,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
    ) {
        let title = title_element(title);
        self.put(format_args!(
            r#"<rect class="{class}" fill-opacity="{opacity:.2}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}">{title}</rect>"#
        ));
    }

    /// Draws a straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.put(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    /// Draws a line through points; `title` is its tooltip.
    pub fn polyline(&mut self, class: &str, points: &[(f64, f64)], title: &str) {
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let title = title_element(title);
        self.put(format_args!(
            r#"<polyline class="{class}" points="{}">{title}</polyline>"#,
            path.join(" ")
        ));
    }

    /// Draws a dot; `title` is its tooltip.
    pub fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64, title: &str) {
        let title = title_element(title);
        self.put(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}">{title}</circle>"#
        ));
    }

    /// Fills a path given as SVG path data.
    pub fn path(&mut self, class: &str, opacity: f64, data: &str) {
        self.put(format_args!(
            r#"<path class="{class}" fill-opacity="{opacity:.2}" d="{data}"/>"#
        ));
    }

    /// Writes a text.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        self.put(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    /// Returns the finished element; `label` describes it to screen readers.
    pub fn finish(self, label: &str) -> String {
        let Self {
            body,
            width,
            height,
        } = self;
        let label = escape(label);
        format!(
            r#"<svg viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{label}">{body}</svg>"#
        )
    }

    /// Returns the finished figure as a file of its own, in the page's style and on a ground of its own.
    pub fn finish_file(self, label: &str) -> String {
        let (width, height) = (self.width, self.height);
        let style = [include_str!("colours.css"), include_str!("figures.css")].concat();
        let ground = r#"<rect class="ground" width="100%" height="100%"/>"#;
        let opening = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" font-family="system-ui, sans-serif" "#
        );
        let element = self.finish(label);
        let element = element.replacen("<svg ", &opening, 1);
        element.replacen('>', &format!("><style>{style}</style>{ground}"), 1)
    }

    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        self.body
            .write_fmt(element)
            .expect("a String takes all writes");
    }
}

/// A panel with axes, the base of most figures.
#[derive(Debug)]
pub struct Panel {
    /// The drawing.
    pub svg: Svg,
    /// The horizontal axis.
    pub x: Scale,
    /// The vertical axis.
    pub y: Scale,
}

impl Panel {
    /// Makes a panel with returns on the vertical axis, and a line at 0 for chance.
    pub fn for_returns(x_domain: (f64, f64), logarithmic: bool, y_domain: (f64, f64)) -> Self {
        let x_range = (LEFT, WIDTH - RIGHT);
        let x = if logarithmic {
            Scale::logarithmic(x_domain, x_range)
        } else {
            Scale::linear(x_domain, x_range)
        };
        let y = Scale::linear(y_domain, (HEIGHT - BOTTOM, TOP));
        let mut panel = Self {
            svg: Svg::new(WIDTH, HEIGHT),
            x,
            y,
        };
        for tick in y.ticks() {
            let height = y.at(tick);
            let class = if tick == 0.0 { "chance" } else { "grid" };
            panel
                .svg
                .line(class, (LEFT, height), (WIDTH - RIGHT, height));
            panel.svg.text(
                "tick",
                (LEFT - 6.0, height + 3.5),
                Anchor::End,
                &fixed(tick, 1),
            );
        }
        panel
    }

    /// Labels the horizontal axis.
    pub fn label_x(&mut self, label: &str) {
        for tick in self.x.ticks() {
            let position = self.x.at(tick);
            let bottom = HEIGHT - BOTTOM;
            self.svg
                .line("axis", (position, bottom), (position, bottom + 4.0));
            let text = if self.x.logarithmic {
                // Delays are exact powers of two.
                thousands(tick as u64)
            } else {
                compact(tick)
            };
            self.svg
                .text("tick", (position, bottom + 16.0), Anchor::Middle, &text);
        }
        self.svg.text(
            "label",
            (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 5.0),
            Anchor::Middle,
            label,
        );
    }

    /// Returns the top and bottom of the plotted area.
    pub const fn vertical_extent() -> (f64, f64) {
        (TOP, HEIGHT - BOTTOM)
    }

    /// Returns the left and right of the plotted area.
    pub const fn horizontal_extent() -> (f64, f64) {
        (LEFT, WIDTH - RIGHT)
    }

    /// Returns the position of a point.
    pub fn point(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }
}

fn title_element(title: &str) -> String {
    if title.is_empty() {
        String::new()
    } else {
        format!("<title>{}</title>", escape(title))
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_hand() {
        let linear = Scale::linear((0.0, 10.0), (100.0, 200.0));
        assert_eq!(
            [0.0, 2.5, 10.0, 99.0].map(|x| linear.at(x)),
            [100.0, 125.0, 200.0, 200.0]
        );
        let logarithmic = Scale::logarithmic((1.0, 256.0), (0.0, 8.0));
        assert!((logarithmic.at(16.0) - 4.0).abs() < 1e-12);
        assert_eq!(
            Scale::linear((3.0, 3.0), (0.0, 8.0)).at(3.0),
            4.0,
            "an empty domain is drawn in the middle"
        );
    }

    #[test]
    fn ticks_by_hand() {
        assert_eq!(
            Scale::linear((0.0, 14_000.0), (0.0, 1.0)).ticks(),
            [0.0, 5_000.0, 10_000.0]
        );
        assert_eq!(
            Scale::linear((-0.27, 1.05), (0.0, 1.0)).ticks(),
            [0.0, 0.5, 1.0]
        );
        assert_eq!(
            Scale::logarithmic((2.0, 64.0), (0.0, 1.0)).ticks(),
            [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
        );
        assert_eq!(
            Scale::logarithmic((4.0, 65_536.0), (0.0, 1.0)).ticks(),
            [4.0, 32.0, 256.0, 2048.0, 16384.0]
        );
    }

    #[test]
    fn returns_always_show_chance_and_perfection() {
        assert_eq!(return_domain([0.5].into_iter()), (-0.27, 1.05));
        assert_eq!(return_domain([-0.5].into_iter()), (-1.05, 1.05));
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::new(1.0, 1.0);
        svg.text("t", (0.0, 0.0), Anchor::Start, "a<b>&\"");
        assert!(svg.finish("x").contains(">a&lt;b&gt;&amp;&quot;</text>"));
    }
}
