//! The bookkeeping of a memory that is written row by row: which rows are taken, how much each is used, and by which
//! weights what follows is added to it. Plain numbers, without a gradient.

use crate::memory::Array;

/// The rows of every lane.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    /// Rows of a lane, N.
    count: usize,
    /// γ of the retroactive weights.
    decay: f32,
    /// Usage of a new entry: as if every read of a step had been of it.
    usage_of_new: f32,
    /// Entries that were written, `[batch]`.
    pub written: Vec<f32>,
    /// How much each row has been read, `[batch, N]`.
    pub usage: Vec<f32>,
    /// The share of the next entry that is added to the second half of each row, `[batch, N]`.
    pub later: Vec<f32>,
}

impl Rows {
    /// Continues from arrays of a state, as [`Rows::arrays`] returns them.
    pub fn new((decay, reads): (f32, usize), [written, usage, later]: [&Array; 3]) -> Self {
        Self {
            count: usage.width,
            decay,
            usage_of_new: reads as f32,
            written: written.data.clone(),
            usage: usage.data.clone(),
            later: later.data.clone(),
        }
    }

    /// Returns the arrays of `batch` lanes of `count` free rows.
    pub fn arrays(batch: usize, count: usize) -> [Array; 3] {
        [1, count, count].map(|width| Array::filled(batch, width, 0.0))
    }

    fn of_lane(&self, lane: usize) -> std::ops::Range<usize> {
        lane * self.count..(lane + 1) * self.count
    }

    /// Returns whether each row holds an entry, `[batch, N]`. Rows are filled in order.
    pub fn filled(&self) -> Vec<bool> {
        let taken = self.written.iter().map(|&written| written as usize);
        taken
            .flat_map(|taken| (0..self.count).map(move |row| row < taken))
            .collect()
    }

    /// Returns the row of each lane that the next entry takes: the first that is free, else the one that is used least.
    pub fn choose(&self) -> Vec<i32> {
        let lanes = self.written.iter().zip(self.usage.chunks_exact(self.count));
        let rows = lanes.map(|(&written, usage)| {
            let free = written as usize;
            let least = || (0..self.count).min_by(|&a, &b| usage[a].total_cmp(&usage[b]));
            let row = if free < self.count {
                Some(free)
            } else {
                least()
            };
            row.map_or(-1, |row| row as i32)
        });
        rows.collect()
    }

    /// Adds the weights of reads to the usage of the rows: `[batch, reads * N]`.
    pub fn mark_read(&mut self, weights: &[f32]) {
        let reads = weights.len() / self.usage.len().max(1);
        for (read, weights) in weights.chunks_exact(self.count).enumerate() {
            let usage = &mut self.usage[read / reads * self.count..][..self.count];
            usage.iter_mut().zip(weights).for_each(|(u, w)| *u += w);
        }
    }

    /// Returns the retroactive weights of a write to these rows, `[batch, N]`. What an overwritten row had gathered is
    /// not continued: its weight is 0.
    pub fn weights_of_write(&mut self, rows: &[i32]) -> Vec<f32> {
        for (lane, &row) in rows.iter().enumerate() {
            if let Ok(row) = usize::try_from(row) {
                self.later[lane * self.count + row] = 0.0;
            }
        }
        self.later.clone()
    }

    /// Moves on after a write: `r ← γ r + (1 − γ) v` with the written row v. Usage decays by 1 − 1/N, so that an entry
    /// that is read no more than others is used less than a new one in the end, and rows take turns.
    pub fn wrote(&mut self, rows: &[i32]) {
        let kept = 1.0 - 1.0 / self.count as f32;
        for (lane, &row) in rows.iter().enumerate() {
            let Ok(row) = usize::try_from(row) else {
                continue;
            };
            let range = self.of_lane(lane);
            let (usage, later) = (&mut self.usage[range.clone()], &mut self.later[range]);
            usage.iter_mut().for_each(|u| *u *= kept);
            later.iter_mut().for_each(|weight| *weight *= self.decay);
            usage[row] = self.usage_of_new;
            later[row] = 1.0 - self.decay;
            self.written[lane] += 1.0;
        }
    }

    /// Frees all rows of the lanes that start an episode.
    pub fn clear(&mut self, starts: &[bool]) {
        for lane in (0..starts.len()).filter(|&lane| starts[lane]) {
            let range = self.of_lane(lane);
            self.usage[range.clone()].fill(0.0);
            self.later[range].fill(0.0);
            self.written[lane] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, decay: f32) -> Rows {
        let [written, usage, later] = Rows::arrays(1, count);
        Rows::new((decay, 2), [&written, &usage, &later])
    }

    fn write(rows: &mut Rows) -> (i32, Vec<f32>) {
        let at = rows.choose();
        let weights = rows.weights_of_write(&at);
        rows.wrote(&at);
        (at[0], weights)
    }

    #[test]
    fn after_n_writes_the_retroactive_weights_sum_to_one_less_a_power() {
        let mut rows = rows(8, 0.9);
        for n in 0..8 {
            let (at, weights) = write(&mut rows);
            assert_eq!(at, n);
            let sum: f32 = weights.iter().sum();
            assert!((sum - (1.0 - 0.9f32.powi(n))).abs() < 1e-6, "{sum}");
        }
    }

    /// With γ = 0 the whole of an entry is added to the row of the entry before it.
    #[test]
    fn without_a_decay_a_row_gets_what_came_next() {
        let mut rows = rows(4, 0.0);
        write(&mut rows);
        assert_eq!(write(&mut rows).1, [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(write(&mut rows).1, [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn free_rows_are_taken_first_and_then_the_one_that_is_used_least() {
        let mut rows = rows(3, 0.5);
        rows.mark_read(&[0.0; 6]);
        assert_eq!([write(&mut rows).0, write(&mut rows).0], [0, 1]);
        assert_eq!(rows.filled(), [true, true, false]);
        // Two reads: of row 0, and of rows 1 and 0.
        rows.mark_read(&[1.0, 0.0, 0.0, 0.5, 0.5, 0.0]);
        assert_eq!(write(&mut rows).0, 2);
        assert_eq!(rows.filled(), [true; 3]);
        assert!(rows.usage.iter().all(|&usage| usage >= 0.0));
        rows.usage = vec![0.9, 0.4, 0.7];
        let (row, weights) = write(&mut rows);
        assert_eq!(
            (row, weights[1]),
            (1, 0.0),
            "it gathers nothing of the old entry"
        );
        assert_eq!((rows.later[1], rows.usage[1]), (0.5, 2.0));
    }

    /// Two reads a step that do not distinguish. Entries from when there were few have been read more and stay longer.
    #[test]
    fn rows_that_are_read_alike_take_turns_in_the_end() {
        let mut rows = rows(4, 0.5);
        let mut written = Vec::new();
        for _ in 0..40 {
            let held = rows
                .filled()
                .iter()
                .filter(|&&filled| filled)
                .count()
                .max(1) as f32;
            let weights: Vec<f32> = rows
                .filled()
                .iter()
                .map(|&f| f32::from(u8::from(f)) / held)
                .collect();
            rows.mark_read(&[weights.clone(), weights].concat());
            written.push(write(&mut rows).0);
        }
        for turn in written[20..].chunks_exact(4) {
            assert!((0..4).all(|row| turn.contains(&row)), "{written:?}");
        }
    }

    #[test]
    fn lanes_that_start_are_free_again() {
        let [written, usage, later] = Rows::arrays(2, 2);
        let mut rows = Rows::new((0.5, 2), [&written, &usage, &later]);
        for _ in 0..2 {
            let at = rows.choose();
            rows.wrote(&at);
        }
        rows.clear(&[false, true]);
        assert_eq!(rows.filled(), [true, true, false, false]);
        assert_eq!((rows.choose()[1], &rows.later[2..]), (0, &[0.0, 0.0][..]));
    }
}
