//! A player of MineSweeper: it computes how likely a mine is in each cell, exactly, and opens the
//! safest.

use std::collections::HashMap;

/// Computes the probability of a mine in every cell, given all counts so far.
pub(super) struct Careful {
    side: usize,
    mines: usize,
    /// Number of mines around each open cell.
    counts: Vec<Option<usize>>,
    is_safe: Vec<bool>,
    last: Option<usize>,
}

/// Number of mines that each open cell at the edge still needs around it, four bits each. The
/// lowest four bits count the mines placed so far.
type Lacking = u128;

/// A closed cell next to open cells. [`Careful::risks`] visits them in order.
struct Step {
    cell: usize,
    /// Mines needed by the open cells that this closed cell is the first to touch.
    added: Lacking,
    /// One mine for each open cell around, and one in the number of mines.
    mine: Lacking,
    /// Bit positions of the open cells around.
    around: Vec<u32>,
    /// Bits of the open cells that must need no more mines after this cell.
    done: Lacking,
}

impl Step {
    /// Returns the mines needed after this cell gets a mine or stays empty; `None` if that
    /// contradicts the counts.
    fn next(&self, lacking: Lacking, is_mine: bool) -> Option<Lacking> {
        let mut next = lacking + self.added;
        if is_mine {
            if self.around.iter().any(|place| next >> place & 15 == 0) {
                return None;
            }
            // The open cells need one less, and there is one mine more.
            next = next + 2 * (self.mine & 15) - self.mine;
        }
        (next & self.done == 0).then_some(next)
    }
}

impl Careful {
    pub(super) fn new(side: usize, mines: usize) -> Self {
        Careful {
            side,
            mines,
            counts: vec![None; side * side],
            is_safe: vec![false; side * side],
            last: None,
        }
    }

    /// Returns the cell to open, given the count of the last one.
    pub(super) fn open(&mut self, count: usize) -> usize {
        if let Some(last) = self.last {
            self.counts[last] = Some(count);
        }
        let mut closed: Vec<usize> = (0..self.counts.len()).collect();
        closed.retain(|&cell| self.counts[cell].is_none());
        // A safe cell stays safe: new counts only add knowledge of other cells.
        let mut next = closed.iter().copied().find(|&cell| self.is_safe[cell]);
        if next.is_none() {
            let risks = self.risks();
            next = closed.into_iter().min_by(|&a, &b| {
                let tie = self.around(a).len().cmp(&self.around(b).len());
                risks[a].total_cmp(&risks[b]).then(tie)
            });
            self.is_safe = risks.iter().map(|&risk| risk == 0.0).collect();
        }
        self.last = next;
        next.unwrap_or(0)
    }

    /// Returns the cells around a cell.
    fn around(&self, cell: usize) -> Vec<usize> {
        let near = |x: usize| x.saturating_sub(1)..(x + 2).min(self.side);
        let rows = near(cell / self.side);
        let cells =
            rows.flat_map(|row| near(cell % self.side).map(move |col| row * self.side + col));
        cells.filter(|&other| other != cell).collect()
    }

    /// Returns the probability of a mine in each cell: all fields that agree with the counts are
    /// equally likely. Visits the closed cells at the edge forwards and backwards, and counts the
    /// fields that lead to each combination of needed mines.
    fn risks(&self) -> Vec<f64> {
        let steps = self.steps();
        let closed = self.counts.iter().filter(|count| count.is_none()).count();
        let far = closed - steps.len();
        let mut layers = vec![HashMap::from([(0, 1.0)])];
        for step in &steps {
            let mut layer = HashMap::new();
            for (&lacking, &fields) in &layers[layers.len() - 1] {
                for next in [false, true]
                    .into_iter()
                    .filter_map(|mine| step.next(lacking, mine))
                {
                    if next & 15 <= self.mines as u128 {
                        *layer.entry(next).or_insert(0.0) += fields;
                    }
                }
            }
            layers.push(layer);
        }
        let left = |lacking: Lacking| self.mines - (lacking & 15) as usize;
        let last = &layers[steps.len()];
        let total: f64 = last
            .iter()
            .map(|(&x, fields)| fields * choose(far, left(x)))
            .sum();
        let beside = |(&x, fields): (&Lacking, &f64)| match left(x) {
            0 => 0.0,
            left => fields * choose(far - 1, left - 1),
        };
        let far_risk = match far {
            0 => 0.0,
            _ => last.iter().map(beside).sum::<f64>() / total,
        };
        let mut risks = vec![far_risk; self.counts.len()];
        let mut after: HashMap<Lacking, f64> =
            last.keys().map(|&x| (x, choose(far, left(x)))).collect();
        for (step, layer) in steps.iter().zip(&layers).rev() {
            let mut before = HashMap::new();
            let mut mined = 0.0;
            for (&lacking, &fields) in layer {
                let fields_after = |is_mine| {
                    let next = step.next(lacking, is_mine);
                    next.and_then(|next| after.get(&next))
                        .copied()
                        .unwrap_or(0.0)
                };
                let [clear, mine] = [false, true].map(fields_after);
                mined += fields * mine;
                before.insert(lacking, clear + mine);
            }
            risks[step.cell] = mined / total;
            after = before;
        }
        risks
    }

    /// Returns the closed cells next to open cells.
    fn steps(&self) -> Vec<Step> {
        let is_open = |&cell: &usize| self.counts[cell].is_some();
        let cells = (0..self.counts.len()).filter(|cell| !is_open(cell));
        let cells = cells.map(|cell| (cell, self.around(cell)));
        let mut steps: Vec<(usize, Vec<usize>)> = cells
            .map(|(cell, around)| (cell, around.into_iter().filter(is_open).collect()))
            .collect();
        steps.retain(|(_, around)| !around.is_empty());
        // An open cell keeps its bit position from the first closed cell that touches it to the
        // last.
        let mut places: Vec<Option<usize>> = vec![None; 31];
        let mut found = Vec::with_capacity(steps.len());
        for (i, (cell, around)) in steps.iter().enumerate() {
            let (mut added, mut mine, mut done, mut at) = (0, 1, 0, Vec::new());
            let mut over = Vec::new();
            for &open in around {
                let held = places.iter().position(|&place| place == Some(open));
                let place = held.unwrap_or_else(|| {
                    let free = places.iter().position(Option::is_none);
                    let free = free.expect("an open cell is near for two rows and a bit");
                    places[free] = Some(open);
                    added |= (self.counts[open].unwrap_or(0) as u128) << (4 * (free + 1));
                    free
                });
                let bits = 4 * (place as u32 + 1);
                mine |= 1 << bits;
                at.push(bits);
                if steps[i + 1..]
                    .iter()
                    .all(|(_, later)| !later.contains(&open))
                {
                    done |= 15 << bits;
                    over.push(place);
                }
            }
            over.into_iter().for_each(|place| places[place] = None);
            found.push(Step {
                cell: *cell,
                added,
                mine,
                around: at,
                done,
            });
        }
        found
    }
}

/// Binomial coefficient: the number of ways to choose `some` of `many`.
fn choose(many: usize, some: usize) -> f64 {
    match many.checked_sub(some) {
        None => 0.0,
        Some(_) => (0..some).fold(1.0, |ways, i| ways * (many - i) as f64 / (i + 1) as f64),
    }
}
