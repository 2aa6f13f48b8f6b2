//! Measurements of one update: named values in named sections, in the order of insertion.

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LogValue {
    /// Something counted.
    Count(u64),
    /// Something measured; may be NaN or infinite when training goes wrong.
    Real(f64),
}

impl LogValue {
    /// The value as a number on a curve; counts above 2⁵³ are rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Real(real) => real,
        }
    }
}

impl From<u64> for LogValue {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for LogValue {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

/// Everything measured in one update.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    sections: Vec<LogSection>,
}

/// A named group of values, such as `rollout` or `train`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSection {
    name: String,
    values: Vec<(String, Measured)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Measured {
    value: LogValue,
    wall_clock: bool,
}

/// One value of a record together with its names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogEntry<'a> {
    /// The section's name.
    pub section: &'a str,
    /// The value's name within its section.
    pub key: &'a str,
    /// The value.
    pub value: LogValue,
    /// Whether it depends on the clock, and so differs between two runs that are otherwise equal.
    pub wall_clock: bool,
}

impl LogEntry<'_> {
    /// The name under which files keep the value: `section/key`.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{}/{}", self.section, self.key)
    }
}

impl LogRecord {
    /// The section of that name, appended empty if there is none.
    pub fn section(&mut self, name: &str) -> &mut LogSection {
        let index = self
            .sections
            .iter()
            .position(|section| section.name == name)
            .unwrap_or_else(|| {
                self.sections.push(LogSection {
                    name: name.to_owned(),
                    values: Vec::new(),
                });
                self.sections.len() - 1
            });
        &mut self.sections[index]
    }

    /// The sections in their order, empty ones included.
    pub fn sections(&self) -> impl Iterator<Item = &LogSection> {
        self.sections.iter()
    }

    /// All values, section by section.
    pub fn entries(&self) -> impl Iterator<Item = LogEntry<'_>> {
        self.sections.iter().flat_map(LogSection::entries)
    }

    /// All values as `("section/key", number)`.
    pub fn scalars(&self) -> impl Iterator<Item = (String, f64)> {
        self.entries()
            .map(|entry| (entry.tag(), entry.value.as_f64()))
    }
}

impl LogSection {
    /// The section's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts a value, in place of an earlier one of that name.
    pub fn put(&mut self, key: &str, value: impl Into<LogValue>) -> &mut Self {
        self.insert(key, value.into(), false)
    }

    /// Puts a value if it is known.
    pub fn put_known(&mut self, key: &str, value: Option<impl Into<LogValue>>) -> &mut Self {
        match value {
            Some(value) => self.put(key, value),
            None => self,
        }
    }

    /// Puts a value that depends on the clock, such as a speed.
    pub fn put_wall_clock(&mut self, key: &str, value: impl Into<LogValue>) -> &mut Self {
        self.insert(key, value.into(), true)
    }

    /// The section's values in their order.
    pub fn entries(&self) -> impl Iterator<Item = LogEntry<'_>> {
        self.values.iter().map(|(key, measured)| LogEntry {
            section: &self.name,
            key,
            value: measured.value,
            wall_clock: measured.wall_clock,
        })
    }

    fn insert(&mut self, key: &str, value: LogValue, wall_clock: bool) -> &mut Self {
        let measured = Measured { value, wall_clock };
        match self.values.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = measured,
            None => self.values.push((key.to_owned(), measured)),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_and_the_latest_wins() {
        let mut record = LogRecord::default();
        record
            .section("rollout")
            .put("ep_rew_mean", 0.5)
            .put("ep_len_mean", 4.0);
        record.section("train").put("n_updates", 3_u64);
        record
            .section("rollout")
            .put("ep_rew_mean", 0.75)
            .put_known("ep_rew_std", None::<f64>);

        let scalars: Vec<_> = record.scalars().collect();
        assert_eq!(
            scalars,
            [
                ("rollout/ep_rew_mean".to_owned(), 0.75),
                ("rollout/ep_len_mean".to_owned(), 4.0),
                ("train/n_updates".to_owned(), 3.0),
            ]
        );
    }
}
