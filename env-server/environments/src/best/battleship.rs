//! A player of Battleship: of the boards that agree with all shots, it counts those with a ship on
//! each cell, and shoots at the cell with the highest count.

/// Knowledge of a cell.
#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Unknown,
    Water,
    /// A hit of an unknown ship.
    Hit,
    /// A cell of a ship that is assumed to lie there.
    Supposed,
}

/// Counts, for every cell, the boards with a ship there. Hits are treated exactly: some of the
/// ships cover them all. Ships that cover no hit are counted as if they could overlap each other,
/// which is faster.
pub(super) struct Density {
    side: usize,
    ships: Vec<usize>,
    board: Vec<Cell>,
    /// Boards with a ship on the cell.
    boards: Vec<f64>,
    last: Option<usize>,
}

impl Density {
    pub(super) fn new(side: usize, ships: &[usize]) -> Self {
        Density {
            side,
            ships: ships.to_vec(),
            board: vec![Cell::Unknown; side * side],
            boards: vec![0.0; side * side],
            last: None,
        }
    }

    /// Returns the cell to shoot at, given whether the last shot was a hit.
    pub(super) fn shoot(&mut self, was_hit: bool) -> usize {
        if let Some(last) = self.last {
            self.board[last] = if was_hit { Cell::Hit } else { Cell::Water };
        }
        self.boards.fill(0.0);
        let mut ships = self.ships.clone();
        self.explain(&mut ships, 1.0);
        let cells = (0..self.board.len()).filter(|&cell| self.board[cell] == Cell::Unknown);
        let densest = cells.max_by(|&a, &b| self.boards[a].total_cmp(&self.boards[b]));
        self.last = densest;
        densest.unwrap_or(0)
    }

    /// Places ships on all hits in every possible way, counts the boards of each and returns the
    /// sum.
    fn explain(&mut self, ships: &mut Vec<usize>, ways: f64) -> f64 {
        let Some(hit) = self.board.iter().position(|&cell| cell == Cell::Hit) else {
            return self.place_anywhere(ships, ways);
        };
        let mut total = 0.0;
        for i in 0..ships.len() {
            let size = ships[i];
            if ships[..i].contains(&size) {
                continue;
            }
            let alike = ships.iter().filter(|&&other| other == size).count();
            ships.remove(i);
            for cells in self.covering(hit, size) {
                let before: Vec<Cell> = cells.iter().map(|&cell| self.board[cell]).collect();
                cells
                    .iter()
                    .for_each(|&cell| self.board[cell] = Cell::Supposed);
                let boards = self.explain(ships, ways * alike as f64);
                for (&cell, &before) in cells.iter().zip(&before) {
                    self.board[cell] = before;
                    self.boards[cell] += boards;
                }
                total += boards;
            }
            ships.insert(i, size);
        }
        total
    }

    /// Returns the placements of a ship that cover a hit, and neither water nor another ship.
    fn covering(&self, hit: usize, size: usize) -> Vec<Vec<usize>> {
        let placed = (0..size).flat_map(|back| [(1, back), (self.side, back)]);
        let placed = placed.filter_map(|(stride, back)| {
            let along = if stride == 1 {
                hit % self.side
            } else {
                hit / self.side
            };
            let is_on_board = back <= along && along - back + size <= self.side;
            let first = is_on_board.then(|| hit - back * stride)?;
            let cells: Vec<usize> = (0..size).map(|i| first + i * stride).collect();
            let is_possible = |&cell: &usize| matches!(self.board[cell], Cell::Unknown | Cell::Hit);
            cells.iter().all(is_possible).then_some(cells)
        });
        placed.collect()
    }

    /// Counts the placements of the ships that cover no hit, each independently of the others.
    fn place_anywhere(&mut self, ships: &[usize], ways: f64) -> f64 {
        let places: Vec<Vec<u32>> = ships.iter().map(|&size| self.places(size)).collect();
        let numbers = ships.iter().zip(&places);
        let numbers: Vec<f64> = numbers
            .map(|(&size, places)| f64::from(places.iter().sum::<u32>()) / size as f64)
            .collect();
        let boards = ways * numbers.iter().product::<f64>();
        if boards > 0.0 {
            for (places, number) in places.iter().zip(&numbers) {
                for (total, &places) in self.boards.iter_mut().zip(places) {
                    *total += boards * f64::from(places) / number;
                }
            }
        }
        boards
    }

    /// Returns, for every cell, the number of placements on unknown cells that cover it.
    fn places(&self, size: usize) -> Vec<u32> {
        let mut places = vec![0; self.board.len()];
        for (stride, across) in [(1, self.side), (self.side, 1)] {
            for line in 0..self.side {
                let mut free = 0;
                for along in 0..self.side {
                    let cell = line * across + along * stride;
                    free = if self.board[cell] == Cell::Unknown {
                        free + 1
                    } else {
                        0
                    };
                    if free >= size {
                        (0..size).for_each(|i| places[cell - i * stride] += 1);
                    }
                }
            }
        }
        places
    }
}
