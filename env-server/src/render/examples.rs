//! Pictures of the shapes that tasks have, to see that the parts are enough for all of them.

use super::*;

/// Every example with its name.
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

/// A card of a deck in which ids are four times the rank plus the suit.
fn card(id: usize) -> Cell {
    const RANKS: [&str; 13] = [
        "A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K",
    ];
    const SUITS: [Suit; 4] = [Suit::Spades, Suit::Diamonds, Suit::Clubs, Suit::Hearts];
    Cell::new(RANKS[id % 52 / 4]).suit(SUITS[id % 4])
}

fn memory() -> Picture {
    Picture::new()
        .entitled("MemoryTask-v0", "step 3 · reward 0 · return 0")
        .grid(
            "cue, and the right answer",
            Grid::row([Cell::new("1").tone(Tone::Cue)]),
        )
        .grid("observation", numbers(&[0.0, 1.0, 0.0]))
        .bars("", [Bar::remaining("actions left", 1, 4).tone(Tone::Goal)])
        .note(Tone::Goal, "the next action is the answer")
}

/// The end of a T-maze's corridor, far from the oracle.
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
        .entitled("TMazeActive-v0", "step 190 · reward -0.005 · return -0.01")
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
        .entitled(
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
        .entitled("BattleshipHard-v0", "step 31 · reward 0.0833 · return 0.02")
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
        .entitled(
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
        .entitled(
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
        .entitled(
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

/// Repeat the suit of four cards ago.
fn cards() -> Picture {
    let cells = (0..9).map(|i| match i {
        5 => card(i * 15 % 52).tone(Tone::Cue),
        8 => card(i * 15 % 52).seen(true),
        _ => card(i * 15 % 52).tone(Tone::Hidden),
    });
    Picture::new()
        .entitled(
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
        .entitled(
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
        .entitled("MemorySize-v0 · lane 7", "step 2 · reward 0 · return 0")
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
        .entitled("UmbrellaChain-v0", "step 7 · reward -1 · return 3")
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

/// As much of everything as there may be, and more.
fn oversized() -> Picture {
    let cells = (0..5000).map(|i| Cell::number(f64::from(i % 1000)).seen(i % 2 == 0));
    let mut picture = Picture::new()
        .entitled(&"wide ".repeat(40), &"status ".repeat(40))
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

/// A PNG file's size and its pixels as red, green and blue.
fn decode(file: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
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
    let texts: Vec<String> = all()
        .iter()
        .filter(|(name, _)| *name != "oversized")
        .map(|(name, picture)| format!("== {name}\n\n{}", to_ansi(picture, false)))
        .collect();
    insta::assert_snapshot!(texts.join("\n"));
}

/// For a look at them.
#[test]
fn write_all() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pictures");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, picture) in all() {
        std::fs::write(dir.join(format!("{name}.png")), to_png(&picture)).unwrap();
    }
    let some: Vec<Picture> = all()
        .into_iter()
        .map(|(_, picture)| picture)
        .take(9)
        .collect();
    std::fs::write(dir.join("tiles.png"), tiles_to_png(&some)).unwrap();
}
