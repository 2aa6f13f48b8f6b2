//! Example pictures of all kinds of tasks: tests that the parts suffice for them.

use super::*;

/// Returns every example with its name.
fn all() -> Vec<(&'static str, Picture)> {
    vec![
        ("memory", memory()),
        ("corridor", corridor()),
        ("concentration", concentration(52)),
        ("concentration_104", concentration(104)),
        ("battleship", battleship()),
        ("minesweeper", minesweeper()),
        ("bandit", bandit()),
        ("cart_pole", cart_pole()),
        ("cards", cards()),
        ("counts", counts()),
        ("context_bits", context_bits()),
        ("umbrella", umbrella()),
        ("oversized", oversized()),
    ]
}

fn numbers(numbers: &[f64]) -> Grid {
    Grid::observation(numbers.iter().copied())
}

/// Returns a card of a deck in which an id is four times the rank plus the suit.
fn card(id: usize) -> Cell {
    const RANKS: [&str; 13] = [
        "A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K",
    ];
    const SUITS: [Suit; 4] = [Suit::Spades, Suit::Diamonds, Suit::Clubs, Suit::Hearts];
    Cell::new(RANKS[id % 52 / 4]).suit(SUITS[id % 4])
}

fn memory() -> Picture {
    Picture::new()
        .titled("MemoryTask-v0", "step 3 · reward 0 · return 0")
        .grid(
            "cue, and the right answer",
            Grid::row([Cell::new("1").tone(Tone::Cue)]),
        )
        .grid("observation", numbers(&[0.0, 1.0, 0.0]))
        .bars("", [Bar::remaining("actions left", 1, 4).tone(Tone::Goal)])
        .note(Tone::Goal, "the next action is the answer")
}

/// Draws the end of a T-maze's corridor, far from the oracle.
fn corridor() -> Picture {
    let (length, agent) = (200, 188);
    let shown = window(length, agent, 24);
    let end = length - 1;
    let goal = |cell: Cell, x| if x == end { cell } else { Cell::blank() };
    let upper = shown
        .clone()
        .map(|x| goal(Cell::new("G").tone(Tone::Goal), x));
    let lower = shown
        .clone()
        .map(|x| goal(Cell::new("x").tone(Tone::Bad), x));
    let corridor = shown.clone().map(|x| match x {
        0 => Cell::new("O").tone(Tone::Cue),
        x if x == agent => Cell::new("A").tone(Tone::Agent),
        _ => Cell::default(),
    });
    let cells: Vec<Cell> = upper.chain(corridor).chain(lower).collect();
    Picture::new()
        .titled("TMazeActive-v0", "step 190 · reward -0.005 · return -0.01")
        .grid("", Grid::new(shown.len(), cells).column_labels(shown))
        .grid("observation", numbers(&[0.0, 0.0]))
        .key(Cell::new("A").tone(Tone::Agent), "agent")
        .key(Cell::new("O").tone(Tone::Cue), "oracle")
        .key(Cell::new("G").tone(Tone::Goal), "goal")
        .key(Cell::new("x").tone(Tone::Bad), "wrong side")
}

fn concentration(num_cards: usize) -> Picture {
    let cells = (0..num_cards).map(|i| {
        let cell = card(i * 19 % num_cards);
        match i {
            3 | 20 | 21 | 40 => cell.tone(Tone::Good).seen(true),
            17 => cell.seen(true),
            30 => cell.seen(true).chosen(true),
            _ => cell.tone(Tone::Hidden),
        }
    });
    let rows = (0..num_cards).step_by(13);
    Picture::new()
        .titled(
            "ConcentrationHard-v0",
            "step 41 · reward -0.0192 · return -0.25",
        )
        .grid(
            "table",
            Grid::cards(13, cells).row_labels(rows).column_labels(0..13),
        )
        .key(Cell::default().tone(Tone::Hidden), "face down")
        .key(Cell::default().tone(Tone::Good), "matched")
}

fn battleship() -> Picture {
    let is_ship = |r: usize, c: usize| (r == 2 && (3..7).contains(&c)) || (c == 9 && r > 8);
    let cells = (0..144).map(|i| {
        let (r, c) = (i / 12, i % 12);
        let is_shot = (i * 7) % 5 == 0 || i == 28;
        match (is_ship(r, c), is_shot) {
            (true, true) => Cell::new("x").tone(Tone::Good).chosen(i == 28),
            (true, false) => Cell::new("S").tone(Tone::Hidden),
            (false, true) => Cell::new("o").tone(Tone::Agent),
            (false, false) => Cell::default(),
        }
    });
    Picture::new()
        .titled("BattleshipHard-v0", "step 31 · reward 0.0833 · return 0.02")
        .grid(
            "",
            Grid::new(12, cells).column_labels(0..12).row_labels(0..12),
        )
        .grid("observation", numbers(&[1.0]))
        .key(Cell::new("S").tone(Tone::Hidden), "ship")
        .key(Cell::new("x").tone(Tone::Good), "hit")
        .key(Cell::new("o").tone(Tone::Agent), "miss")
}

fn minesweeper() -> Picture {
    let cells = (0..64).map(|i| match i {
        9 | 18 | 37 | 50 | 60 => Cell::new("*").tone(Tone::Hidden),
        10 => Cell::new("2"),
        11 | 26 => Cell::new("1"),
        36 => Cell::new("1").chosen(true),
        0 => Cell::new("*").tone(Tone::Bad),
        _ => Cell::default().tone(Tone::Hidden),
    });
    Picture::new()
        .titled(
            "MineSweeperHard-v0",
            "step 5 · reward 0.0185 · return 0.0926",
        )
        .grid("", Grid::new(8, cells).column_labels(0..8).row_labels(0..8))
        .grid("observation", numbers(&[1.0]))
        .key(Cell::new("*").tone(Tone::Hidden), "mine")
        .key(Cell::default().tone(Tone::Hidden), "not opened")
}

fn bandit() -> Picture {
    let bars = (0..30).map(|arm: u32| {
        let payout = f64::from(arm * 37 % 30) / 30.0;
        let tries = arm * 11 % 9;
        Bar::new(&arm.to_string(), payout)
            .tone(if arm == 21 { Tone::Goal } else { Tone::Hidden })
            .tick(if tries > 0 { 0.5 } else { 0.0 })
            .note(&format!("{} of {tries}", tries / 2))
            .chosen(arm == 12)
    });
    Picture::new()
        .titled(
            "MultiarmedBanditHard-v0",
            "step 127 · reward 0.0017 · return 0.1",
        )
        .bars("how often each arm pays, and paid (tick)", bars)
        .grid("observation", numbers(&[1.0]))
}

fn cart_pole() -> Picture {
    let (x, angle) = (0.62, 0.16_f64);
    let hinge = (x, 0.145);
    let tip = (x + 0.3 * angle.sin(), 0.145 + 0.3 * angle.cos());
    let scene = Scene::new(0.5)
        .shape(
            Shape::line((0.04, 0.08), (0.96, 0.08), 0.004),
            Tone::Neutral,
        )
        .shape(Shape::block((0.04, 0.05), (0.05, 0.11)), Tone::Wall)
        .shape(Shape::block((0.95, 0.05), (0.96, 0.11)), Tone::Wall)
        .shape(
            Shape::block((x - 0.055, 0.1), (x + 0.055, 0.155)),
            Tone::Wall,
        )
        .shape(Shape::disc((x - 0.032, 0.098), 0.017), Tone::Neutral)
        .shape(Shape::disc((x + 0.032, 0.098), 0.017), Tone::Neutral)
        .shape(Shape::line(hinge, tip, 0.02), Tone::Cue)
        .shape(Shape::disc(hinge, 0.012), Tone::Agent);
    Picture::new()
        .titled(
            "PositionOnlyCartPoleHard-v0",
            "step 61 · reward 0.0017 · return 0.1017",
        )
        .scene("", scene)
        .grid("position, angle", numbers(&[0.576, 0.16]))
        .grid(
            "velocity, angular velocity",
            Grid::row([0.51, -0.88].map(|x| Cell::number(x).tone(Tone::Hidden))),
        )
        .key(Cell::default().tone(Tone::Hidden), "not seen")
}

/// Draws the task of repeating the suit of four cards ago.
fn cards() -> Picture {
    let cells = (0..9).map(|i| match i {
        5 => card(i * 15 % 52).tone(Tone::Cue),
        8 => card(i * 15 % 52).seen(true),
        _ => card(i * 15 % 52).tone(Tone::Hidden),
    });
    Picture::new()
        .titled(
            "RepeatPreviousEasy-v0",
            "step 8 · reward 0.0208 · return 0.1042",
        )
        .grid("cards dealt", Grid::cards(9, cells).column_labels(1..10))
        .grid("observation", numbers(&[0.0]))
        .note(Tone::Good, "answered 2: right")
        .bars("", [Bar::remaining("cards left", 43, 52)])
        .key(Cell::default().tone(Tone::Cue), "asked for")
}

fn counts() -> Picture {
    let suits = [Suit::Spades, Suit::Diamonds, Suit::Clubs, Suit::Hearts];
    let row = suits.map(|suit| Cell::default().suit(suit).seen(suit == Suit::Hearts));
    let bars = ["spades", "diamonds", "clubs", "hearts"]
        .iter()
        .zip(0_u32..)
        .map(|(suit, i)| {
            let count = 7 + i * 5 % 4;
            Bar::new(suit, f64::from(count) / 26.0)
                .note(&count.to_string())
                .tone(if i == 2 { Tone::Cue } else { Tone::Hidden })
        });
    Picture::new()
        .titled(
            "CountRecallMedium-v0",
            "step 33 · reward -0.0097 · return -0.31",
        )
        .grid("on screen", Grid::row(row))
        .bars("how many there were; the next action is to say clubs", bars)
}

fn context_bits() -> Picture {
    let cells = (0..40).map(|i| {
        let cell = Cell::new(if i * i % 7 < 3 { "1" } else { "0" });
        cell.tone(if i == 23 { Tone::Cue } else { Tone::Hidden })
    });
    let mut observation = vec![0.333_333, 23.0];
    observation.resize(42, 0.0);
    Picture::new()
        .titled("MemorySize-v0 · lane 7", "step 2 · reward 0 · return 0")
        .grid(
            "context",
            Grid::new(10, cells)
                .column_labels(0..10)
                .row_labels((0..40).step_by(10)),
        )
        .grid("observation", numbers(&observation))
        .key(Cell::default().tone(Tone::Cue), "asked for")
}

fn umbrella() -> Picture {
    let observation: Vec<f64> = [1.0, 0.0, 0.65]
        .into_iter()
        .chain((0..20).map(|i| f64::from(i * i % 3 % 2)))
        .collect();
    Picture::new()
        .titled("UmbrellaChain-v0", "step 7 · reward -1 · return 3")
        .grid(
            "",
            Grid::row([
                Cell::new("rain").tone(Tone::Cue),
                Cell::new("none").tone(Tone::Bad),
            ])
            .column_labels(["need", "have"]),
        )
        .grid("observation", numbers(&observation))
        .bars("", [Bar::remaining("steps left", 13, 20)])
}

/// Draws as much of everything as is allowed, and more.
fn oversized() -> Picture {
    let cells = (0..5000).map(|i| Cell::number(f64::from(i % 1000)).seen(i % 2 == 0));
    let mut picture = Picture::new()
        .titled(&"wide ".repeat(40), &"status ".repeat(40))
        .grid("a grid", Grid::new(40, cells).column_labels(1000..2000));
    for _ in 0..12 {
        picture = picture
            .bars(
                &"bars ".repeat(30),
                (0..50).map(|i| Bar::new(&"label".repeat(9), f64::from(i) / 50.0)),
            )
            .key(Cell::new("key"), &"meaning ".repeat(9));
    }
    picture
}

/// Decodes a PNG file into its size and its pixels as red, green and blue.
pub(crate) fn decode(file: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let pixels = pixels.as_chunks::<3>().0.to_vec();
    (info.width, info.height, pixels)
}

#[test]
fn text() {
    let pictures = all();
    let shown = pictures.iter().filter(|(name, _)| *name != "oversized");
    let texts: Vec<String> = shown
        .map(|(name, picture)| format!("== {name}\n\n{}", to_ansi(picture, false)))
        .collect();
    insta::assert_snapshot!(texts.join("\n"));
}

/// Returns a text without its colour codes, and the number of codes.
fn without_colours(text: &str) -> (String, usize) {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    let mut num_codes = 0;
    for part in parts {
        let (code, rest) = part.split_once('m').expect("a code that chooses a colour");
        assert!(
            code.bytes().all(|b| b.is_ascii_digit() || b == b';'),
            "{code}"
        );
        plain.push_str(rest);
        num_codes += 1;
    }
    (plain, num_codes)
}

#[test]
fn colours_only_repeat_what_text_says() {
    for (name, picture) in all() {
        let plain = to_ansi(&picture, false);
        let is_printable = |letter: char| letter == '\n' || !letter.is_control();
        assert!(plain.chars().all(is_printable), "{name}");
        let (uncoloured, num_codes) = without_colours(&to_ansi(&picture, true));
        let body = |text: &str| {
            let lines = text.lines().map(str::trim_end).map(str::to_owned);
            // The key, in the last line, explains more tones in colour.
            let mut lines: Vec<String> = lines.collect();
            lines.pop();
            lines
        };
        assert_eq!(body(&uncoloured), body(&plain), "{name}");
        assert_eq!(
            num_codes % 2,
            0,
            "{name}: each colour is switched off again"
        );
        assert!(num_codes > 0 || name == "oversized", "{name}");
    }
}

/// With `PICTURES_DIR` set, the images are also written to that folder.
#[test]
fn images_are_bounded_and_repeat_themselves() {
    let look = std::env::var_os("PICTURES_DIR").map(std::path::PathBuf::from);
    for (name, picture) in all() {
        let file = to_png(&picture);
        let (width, height, _) = decode(&file);
        assert!((320..=640).contains(&width), "{name} is {width} wide");
        let most = if name == "oversized" { 960 } else { 688 };
        assert!((160..=most).contains(&height), "{name} is {height} high");
        assert_eq!(file, to_png(&picture), "{name}");
        if let Some(dir) = &look {
            std::fs::write(dir.join(name).with_extension("png"), file).unwrap();
        }
    }
    if let Some(dir) = &look {
        let tiles = tiles_to_png(&vec![memory(); 6]);
        std::fs::write(dir.join("tiles.png"), tiles).unwrap();
    }
}

const PAPER: [u8; 3] = [0xf7, 0xf8, 0xfa];
const WHITE: [u8; 3] = [0xff, 0xff, 0xff];
const BORDER: [u8; 3] = [0xb8, 0xc0, 0xc9];
const DARK: [u8; 3] = [0x1f, 0x29, 0x33];
const ORANGE: [u8; 3] = [0xe6, 0x9f, 0x00];
const BLUE: [u8; 3] = [0x00, 0x72, 0xb2];
const YELLOW: [u8; 3] = [0xf0, 0xe4, 0x42];
const VERMILLION: [u8; 3] = [0xd5, 0x5e, 0x00];

/// Returns left, top, right and bottom of all pixels of a colour.
fn extent(file: &[u8], colour: [u8; 3]) -> [u32; 4] {
    let (width, _, pixels) = decode(file);
    let mut extent = [u32::MAX, u32::MAX, 0, 0];
    for (i, _) in pixels.iter().enumerate().filter(|(_, p)| **p == colour) {
        let (x, y) = (i as u32 % width, i as u32 / width);
        extent = [
            extent[0].min(x),
            extent[1].min(y),
            extent[2].max(x),
            extent[3].max(y),
        ];
    }
    extent
}

#[test]
fn cells_have_their_tone_and_what_is_seen_a_frame() {
    let cells = [Cell::default().tone(Tone::Cue), Cell::default().seen(true)];
    let file = to_png(&Picture::new().grid("", Grid::row(cells)));
    let (width, _, pixels) = decode(&file);
    let at = |x: u32, y: u32| pixels[(y * width + x) as usize];
    // Below the margin of 16, two lines and a gap: cells of 34 pixels, 2 between them.
    assert_eq!(at(15, 64), PAPER);
    assert_eq!(at(16, 64), BORDER);
    assert_eq!(extent(&file, ORANGE), [17, 65, 48, 96]);
    assert_eq!([at(50, 64), at(51, 64), at(52, 66)], [PAPER, PAPER, DARK]);
    assert_eq!(at(55, 67), WHITE);
}

#[test]
fn a_maze_is_where_it_should_be() {
    let (width, height, pixels) = decode(&to_png(&corridor()));
    // Excludes the key at the bottom, which has all colours again.
    let rows = pixels.chunks(width as usize).take(height as usize - 40);
    let places: Vec<(i64, i64, [u8; 3])> = rows
        .zip(0..)
        .flat_map(|(row, y)| row.iter().zip(0..).map(move |(&colour, x)| (x, y, colour)))
        .collect();
    let corner = |colour: [u8; 3]| {
        let mut of_colour = places.iter().filter(|place| place.2 == colour);
        let &(x, y, _) = of_colour.next().expect("the colour is there");
        (x, y)
    };
    let (agent, goal, wrong) = (corner(BLUE), corner(YELLOW), corner(VERMILLION));
    // A cell and the gap behind it are 25 pixels; 188 to 199 is eleven of them.
    assert_eq!(goal, (agent.0 + 11 * 25, agent.1 - 25));
    assert_eq!(wrong, (agent.0 + 11 * 25, agent.1 + 25));
}

#[test]
fn a_scene_stands_upright() {
    let scene = Scene::new(0.5)
        .shape(Shape::disc((0.25, 0.4), 0.05), Tone::Agent)
        .shape(Shape::block((0.5, 0.1), (0.6, 0.2)), Tone::Cue)
        .shape(Shape::line((-5.0, 0.0), (9.0, 0.0), 0.0), Tone::Goal);
    let picture = Picture::new().scene("", scene);
    let file = to_png(&picture);
    // The sheet is 520 by 260, its corner at (16, 64).
    assert_eq!(extent(&file, BLUE), [120, 90, 171, 141]);
    assert_eq!(extent(&file, ORANGE), [276, 220, 327, 271]);
    let text = to_ansi(&picture, false);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], format!("{}⣀⣤⣤⣀", " ".repeat(15)), "{text}");
    assert_eq!(lines[9].trim_start(), "⣿⣿⣿⣿⣿⣿", "{text}");
    assert!(lines.last().unwrap().contains("⣀⣀⣀"), "{text}");
}

#[test]
fn several_pictures_make_a_sheet() {
    let one = decode(&to_png(&memory()));
    for (count, columns, rows) in [(1, 1, 1), (2, 2, 1), (3, 2, 2), (5, 3, 2), (16, 4, 4)] {
        let pictures = vec![memory(); count];
        let (content_type, file) = render(&pictures, Format::Png);
        assert_eq!(content_type, "image/png");
        let (width, height, _) = decode(&file);
        assert_eq!((width, height), (columns * one.0, rows * one.1), "{count}");
    }
    let most = render(&vec![memory(); 16], Format::Png);
    assert_eq!(render(&vec![memory(); 99], Format::Png), most);
    let plain = Format::Ansi { has_colour: false };
    let (content_type, text) = render(&[memory(), bandit()], plain);
    assert_eq!(content_type, "text/plain; charset=utf-8");
    let text = String::from_utf8(text).unwrap();
    let both = [to_ansi(&memory(), false), to_ansi(&bandit(), false)];
    assert_eq!(text, both.join("\n\n"));
    let (_, nothing) = render(&[], Format::Png);
    assert_eq!(decode(&nothing).0, 1);
}
