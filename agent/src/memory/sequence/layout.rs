//! Windows of steps as rows of tokens.

/// Tokens of a step: return-to-go, observation, action.
pub const KINDS: usize = 3;
/// Place of the observation's token among those of its step. The action is read from there.
const OBSERVATION: usize = 1;

/// Steps next to each other, and the windows that they belong to.
///
/// A row of a segment is answered from the window of its last K steps. Rows whose windows begin with the same step share
/// it: under a causal mask the window of an earlier row is a beginning of it.
#[derive(Default)]
pub struct Layout {
    /// First step and length of each window.
    windows: Vec<(usize, usize)>,
    /// Window of each row that is answered, and its place there.
    answered: Vec<(usize, usize)>,
    steps: usize,
}

impl Layout {
    /// Begins a window.
    pub fn begin(&mut self) {
        self.windows.push((self.steps, 0));
    }

    /// Adds a step to the current window.
    pub fn push(&mut self) {
        self.windows.last_mut().expect("a window").1 += 1;
        self.steps += 1;
    }

    /// Answers from the last step, for row `row` of so many.
    pub fn answer(&mut self, row: usize, rows: usize) {
        self.answered.resize(rows, (0, 0));
        let window = self.windows.len() - 1;
        self.answered[row] = (window, self.windows[window].1 - 1);
    }

    /// Returns the token that each row is answered from: that of its observation.
    pub fn asked(&self) -> Vec<u32> {
        let token = |&(window, place): &(usize, usize)| {
            (KINDS * (self.windows[window].0 + place) + OBSERVATION) as u32
        };
        self.answered.iter().map(token).collect()
    }

    /// Returns the tokens that every token attends to: itself and those before it in its window, `[tokens, S]`, -1 for
    /// none.
    pub fn index(&self) -> Vec<i32> {
        let longest = self.windows.iter().map(|window| window.1).max();
        let slots = KINDS * longest.unwrap_or(0);
        let mut index = Vec::with_capacity(KINDS * self.steps * slots);
        for &(first, steps) in &self.windows {
            (0..KINDS * steps).for_each(|place| attend(&mut index, KINDS * first, place, slots));
        }
        index
    }

    /// Returns [`Layout::index`] for the tokens that are [asked](Layout::asked) alone.
    pub fn asked_index(&self) -> Vec<i32> {
        let longest = self.answered.iter().map(|&(_, place)| place).max();
        let slots = KINDS * longest.unwrap_or(0) + OBSERVATION + 1;
        let mut index = Vec::with_capacity(self.answered.len() * slots);
        for &(window, place) in &self.answered {
            let first = KINDS * self.windows[window].0;
            attend(&mut index, first, KINDS * place + OBSERVATION, slots);
        }
        index
    }
}

/// Appends the tokens of a window up to `place`, filled up with -1.
fn attend(index: &mut Vec<i32>, first: usize, place: usize, slots: usize) {
    index.extend((0..slots).map(|slot| match slot <= place {
        true => (first + slot) as i32,
        false => -1,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of two steps that answers rows 0 and 2, and one of one step for row 1.
    #[test]
    fn tokens_attend_to_those_before_them_in_their_window() {
        let mut layout = Layout::default();
        layout.begin();
        layout.push();
        layout.answer(0, 3);
        layout.push();
        layout.answer(2, 3);
        layout.begin();
        layout.push();
        layout.answer(1, 3);
        assert_eq!(layout.asked(), [1, 7, 4]);
        let expected = [
            [0, -1, -1, -1, -1, -1],
            [0, 1, -1, -1, -1, -1],
            [0, 1, 2, -1, -1, -1],
            [0, 1, 2, 3, -1, -1],
            [0, 1, 2, 3, 4, -1],
            [0, 1, 2, 3, 4, 5],
            [6, -1, -1, -1, -1, -1],
            [6, 7, -1, -1, -1, -1],
            [6, 7, 8, -1, -1, -1],
        ];
        assert_eq!(layout.index(), expected.concat());
        let expected = [[0, 1, -1, -1, -1], [6, 7, -1, -1, -1], [0, 1, 2, 3, 4]];
        assert_eq!(layout.asked_index(), expected.concat());
    }
}
