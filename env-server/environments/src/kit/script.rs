//! The script of a recorded episode: draws in the order in which an environment asks for them.

use crate::Draws;

/// One recorded draw.
#[derive(Clone, Debug, PartialEq)]
pub enum Draw {
    /// Answers [`Draws::bit`], or gives one bit of [`Draws::bits`].
    Bit(bool),
    /// Answers [`Draws::below`] and [`Draws::log_uniform`].
    Integer(u64),
    /// Answers [`Draws::uniform`] and [`Draws::unit_f32`], or gives one number of
    /// [`Draws::normal_pair`].
    Number(f64),
    /// Answers [`Draws::shuffle`]: the items in their final order.
    Order(Vec<u8>),
}

/// Draws scripted in advance. Remembers the first draw that the script could not answer.
#[derive(Debug)]
pub struct Script {
    draws: std::vec::IntoIter<Draw>,
    fault: Option<String>,
}

impl Script {
    /// Makes a script of these draws, in this order.
    pub fn new(draws: Vec<Draw>) -> Self {
        Script {
            draws: draws.into_iter(),
            fault: None,
        }
    }

    /// Checks that exactly the scripted draws were made.
    ///
    /// # Errors
    /// Names the draw that the script could not answer, or the number of draws left over.
    pub fn finish(self) -> Result<(), String> {
        match (self.fault, self.draws.len()) {
            (Some(fault), _) => Err(fault),
            (None, 0) => Ok(()),
            (None, left) => Err(format!("{left} recorded draws were never asked for")),
        }
    }

    fn miss(&mut self, wanted: &str, found: Option<Draw>) {
        let found = match found {
            Some(draw) => format!("{draw:?}"),
            None => "none is left".to_owned(),
        };
        let fault = format!("the environment drew {wanted}, but of the recorded draws {found}");
        self.fault.get_or_insert(fault);
    }

    fn integer(&mut self, low: u64, high: u64) -> u64 {
        match self.draws.next() {
            Some(Draw::Integer(number)) if (low..=high).contains(&number) => number,
            other => {
                self.miss(&format!("an integer from {low} to {high}"), other);
                low
            }
        }
    }
}

impl Draws for Script {
    fn bit(&mut self) -> bool {
        match self.draws.next() {
            Some(Draw::Bit(bit)) => bit,
            other => {
                self.miss("a bit", other);
                false
            }
        }
    }

    fn bits(&mut self, n: u32) -> u64 {
        (0..n).fold(0, |bits, i| bits | u64::from(self.bit()) << i)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.integer(0, n - 1)
    }

    fn log_uniform(&mut self, low: u64, high: u64) -> u64 {
        self.integer(low, high)
    }

    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        match self.draws.next() {
            Some(Draw::Number(number)) if (low..high).contains(&number) => number,
            other => {
                self.miss(&format!("a number from {low} to {high}"), other);
                low
            }
        }
    }

    fn unit_f32(&mut self) -> f32 {
        match self.draws.next() {
            Some(Draw::Number(number))
                if (0.0..1.0).contains(&number) && f64::from(number as f32) == number =>
            {
                number as f32
            }
            other => {
                self.miss("a float32 from 0 to 1", other);
                0.0
            }
        }
    }

    /// The recorded numbers, whatever the deviation; none of them if it is 0 and they are not.
    fn normal_pair(&mut self, deviation: f64) -> [f64; 2] {
        [(); 2].map(|()| match self.draws.next() {
            Some(Draw::Number(number))
                if number.is_finite() && (deviation > 0.0 || number == 0.0) =>
            {
                number
            }
            other => {
                self.miss("a normal number", other);
                0.0
            }
        })
    }

    fn shuffle(&mut self, items: &mut [u8]) {
        let sorted = |items: &[u8]| {
            let mut items = items.to_vec();
            items.sort_unstable();
            items
        };
        match self.draws.next() {
            Some(Draw::Order(order)) if sorted(&order) == sorted(items) => {
                items.copy_from_slice(&order);
            }
            other => self.miss(&format!("an order of {} items", items.len()), other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_was_given() {
        let mut script = Script::new(vec![
            Draw::Bit(true),
            Draw::Bit(false),
            Draw::Bit(true),
            Draw::Bit(true),
            Draw::Integer(5),
            Draw::Integer(0),
            Draw::Number(0.25),
            Draw::Number(0.5),
            Draw::Number(-3.5),
            Draw::Number(0.1),
            Draw::Order(vec![2, 1, 2]),
        ]);
        assert!(script.bit());
        assert_eq!(script.bits(3), 0b110);
        assert_eq!(script.log_uniform(4, 6), 5);
        assert_eq!(script.below(1), 0);
        assert_eq!(script.uniform(0.0, 1.0), 0.25);
        assert_eq!(script.unit_f32(), 0.5);
        assert_eq!(script.normal_pair(2.0), [-3.5, 0.1]);
        let mut items = [1, 2, 2];
        script.shuffle(&mut items);
        assert_eq!(items, [2, 1, 2]);
        assert_eq!(script.finish(), Ok(()));
    }

    #[test]
    fn notices_what_does_not_match() {
        let left = Script::new(vec![Draw::Bit(true)]).finish().unwrap_err();
        assert_eq!(left, "1 recorded draws were never asked for");
        let fault = |draws: Vec<Draw>, ask: fn(&mut Script)| {
            let mut script = Script::new(draws);
            ask(&mut script);
            script.finish().unwrap_err()
        };
        let drew = "the environment drew";
        assert_eq!(
            fault(vec![], |s| {
                s.bit();
            }),
            format!("{drew} a bit, but of the recorded draws none is left")
        );
        assert_eq!(
            fault(vec![Draw::Integer(6)], |s| {
                s.below(6);
            }),
            format!("{drew} an integer from 0 to 5, but of the recorded draws Integer(6)")
        );
        assert_eq!(
            fault(vec![Draw::Number(1.0)], |s| {
                s.uniform(0.0, 1.0);
            }),
            format!("{drew} a number from 0 to 1, but of the recorded draws Number(1.0)")
        );
        assert_eq!(
            fault(vec![Draw::Number(0.1)], |s| {
                s.unit_f32();
            }),
            format!("{drew} a float32 from 0 to 1, but of the recorded draws Number(0.1)")
        );
        assert_eq!(
            fault(vec![Draw::Number(0.1)], |s| {
                s.normal_pair(0.0);
            }),
            format!("{drew} a normal number, but of the recorded draws Number(0.1)")
        );
        assert_eq!(
            fault(vec![Draw::Order(vec![0, 0])], |s| s.shuffle(&mut [0, 1])),
            format!("{drew} an order of 2 items, but of the recorded draws Order([0, 0])")
        );
    }
}
