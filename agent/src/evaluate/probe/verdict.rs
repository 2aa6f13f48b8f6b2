//! Which part fails: a conclusion from what a probe measured.

use serde::Serialize;

/// Score from which a return counts as that of an agent in which nothing fails, and share from which entries count as written,
/// seen and kept.
pub const GOOD: f64 = 0.95;
/// The share of the loss that an intervention must win back to name the part that fails.
pub const MOST: f64 = 0.5;

/// A part of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Putting what is needed into an entry.
    Writing,
    /// Holding the entry until it is needed.
    Keeping,
    /// Attending to it.
    Finding,
    /// Coming to where it is needed, and using it.
    Acting,
}

/// The measurements that a verdict rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Actions that needed an earlier step.
    pub needed: u64,
    /// Share of them that needed what the episode had not shown.
    pub unseen: f64,
    /// Share of needed entries from which a linear readout tells the answer.
    pub written: Option<f64>,
    /// Share of needed entries that were in the slots.
    pub kept: f64,
    /// The same where they are kept by force.
    pub kept_by_force: f64,
    /// Share of attention that the kept got of the head that attended to them most.
    pub best_head: f64,
    /// Share of the kept to which a head attended more than to other entries.
    pub found: f64,
    /// Mean return of the agent as it is.
    pub as_it_is: f64,
    /// With needed entries kept.
    pub keep: f64,
    /// With needed entries handed to the policy, where they were kept.
    pub read: f64,
    /// With both.
    pub keep_and_read: f64,
    /// Of the best player known.
    pub best: f64,
    /// Of the best player without memory.
    pub floor: f64,
}

/// The conclusion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Parts that fail.
    pub fails: Vec<Part>,
    /// The same in a line.
    pub verdict: String,
}

impl Measured {
    /// A return on the scale from the best player without memory, 0, to the best player known, 1.
    fn score(&self, mean_return: f64) -> f64 {
        (mean_return - self.floor) / (self.best - self.floor)
    }

    /// Returns the part that fails. At a score of [`GOOD`] nothing does. Where the best of the interventions wins back
    /// less than [`MOST`] of the loss, it is acting or writing; elsewhere an intervention that wins [`MOST`] of that names it.
    pub fn verdict(&self) -> Verdict {
        let lost = 1.0 - self.score(self.as_it_is);
        if lost <= 1.0 - GOOD {
            let text = format!("nothing fails: the return is {:.2}", self.as_it_is);
            return conclude(&[], text + &self.of_best());
        }
        if self.needed == 0 {
            let text = "acting fails: the agent never comes to a step that needs an earlier one";
            return conclude(&[Part::Acting], text.into());
        }
        let made_right = self.keep.max(self.read).max(self.keep_and_read);
        let won = |mean_return: f64| self.score(mean_return) - self.score(self.as_it_is);
        if won(made_right) < MOST * lost {
            return self.without_memory(made_right);
        }
        let wins_most = |mean_return: f64| won(mean_return) >= MOST * won(made_right);
        if self.kept_by_force < GOOD && !wins_most(self.keep) {
            let text = format!(
                "keeping fails: the slots do not hold all that is needed: even by force {} of it is gone",
                percent(1.0 - self.kept_by_force)
            );
            return conclude(&[Part::Keeping], text);
        }
        let [keep_wins, read_wins] = [self.keep, self.read].map(wins_most);
        if keep_wins && (!read_wins || self.keep >= self.read) {
            self.keeping()
        } else if read_wins {
            self.finding()
        } else {
            let text = format!(
                "keeping and finding fail: only with the needed entry kept and handed to the policy the return rises from \
                 {:.2} to {made_right:.2}",
                self.as_it_is
            );
            conclude(&[Part::Keeping, Part::Finding], text)
        }
    }

    /// The verdict where a memory that is right wins little back.
    fn without_memory(&self, made_right: f64) -> Verdict {
        if self.unseen > 1.0 - GOOD {
            let text = format!(
                "acting fails: in {} of cases the agent had not looked at what it needed",
                percent(self.unseen)
            );
            return conclude(&[Part::Acting], text);
        }
        let still = format!("{made_right:.2}{}", self.of_best());
        match self.written {
            Some(written) if written < GOOD => {
                let text = format!(
                    "writing fails: a linear readout of the needed entry tells the answer in {} of cases, and with the entry \
                     kept and read the return is {still}",
                    percent(written)
                );
                conclude(&[Part::Writing], text)
            }
            _ => self.acting(&still),
        }
    }

    /// The verdict where a right memory does not help. An agent that seldom has what it needs cannot learn to use it: then that
    /// part fails, too.
    fn acting(&self, still: &str) -> Verdict {
        let gone = 1.0 - self.kept;
        let missed = 1.0 - self.found;
        let (parts, reason) = if gone > MOST {
            let reason = format!("the needed entry is gone in {} of cases", percent(gone));
            (vec![Part::Keeping, Part::Acting], reason)
        } else if missed > MOST {
            let percent = percent(missed);
            let reason = format!(
                "where the needed entry is kept, others get more attention in {percent} of cases"
            );
            (vec![Part::Finding, Part::Acting], reason)
        } else {
            let text = format!(
                "acting fails: with the needed entry kept and read the return is still {still}"
            );
            return conclude(&[Part::Acting], text);
        };
        let first = if parts[0] == Part::Keeping {
            "keeping"
        } else {
            "finding"
        };
        let text = format!(
            "{first} and acting fail: {reason}, and with it kept and read the return is still {still}"
        );
        conclude(&parts, text)
    }

    fn keeping(&self) -> Verdict {
        let text = format!(
            "keeping fails: the needed entry is gone in {} of cases; with it kept the return rises from {:.2} to {:.2}",
            percent(1.0 - self.kept),
            self.as_it_is,
            self.keep
        );
        conclude(&[Part::Keeping], text)
    }

    fn finding(&self) -> Verdict {
        let text = format!(
            "finding fails: the needed entry, where it is kept, gets {} of a head's attention; with it handed to the policy the \
             return rises from {:.2} to {:.2}",
            percent(self.best_head),
            self.as_it_is,
            self.read
        );
        conclude(&[Part::Finding], text)
    }

    fn of_best(&self) -> String {
        format!(", the best known {:.2}", self.best)
    }
}

fn conclude(fails: &[Part], verdict: String) -> Verdict {
    Verdict {
        fails: fails.to_vec(),
        verdict,
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that earns nothing, whatever is done for it, though everything is written, seen and kept by force.
    const POOR: Measured = Measured {
        needed: 100,
        unseen: 0.0,
        written: Some(1.0),
        kept: 0.75,
        kept_by_force: 1.0,
        best_head: 0.5,
        found: 1.0,
        as_it_is: 0.0,
        keep: 0.0,
        read: 0.0,
        keep_and_read: 0.0,
        best: 1.0,
        floor: 0.0,
    };

    fn fails(measured: Measured) -> Vec<Part> {
        measured.verdict().fails
    }

    #[test]
    fn a_good_return_has_no_fault() {
        let good = Measured {
            as_it_is: 0.95,
            kept: 0.0,
            ..POOR
        };
        assert_eq!(fails(good), []);
        let scaled = Measured {
            as_it_is: 8.0,
            floor: 4.0,
            best: 8.0,
            ..POOR
        };
        let Verdict { verdict, .. } = scaled.verdict();
        assert_eq!(
            verdict,
            "nothing fails: the return is 8.00, the best known 8.00"
        );
    }

    #[test]
    fn an_intervention_that_wins_most_back_names_the_part() {
        let kept = Measured {
            keep: 0.9,
            read: 0.1,
            keep_and_read: 1.0,
            ..POOR
        };
        let Verdict {
            fails: parts,
            verdict,
        } = kept.verdict();
        assert_eq!(parts, [Part::Keeping]);
        assert_eq!(
            verdict,
            "keeping fails: the needed entry is gone in 25 % of cases; with it kept the return rises from 0.00 to 0.90"
        );
        let read = Measured {
            keep: 0.0,
            read: 0.9,
            keep_and_read: 1.0,
            ..POOR
        };
        let Verdict {
            fails: parts,
            verdict,
        } = read.verdict();
        assert_eq!(parts, [Part::Finding]);
        assert!(
            verdict.contains("gets 50 % of a head's attention"),
            "{verdict}"
        );
        let both = Measured {
            keep: 0.1,
            read: 0.1,
            keep_and_read: 1.0,
            ..POOR
        };
        assert_eq!(fails(both), [Part::Keeping, Part::Finding]);
        // Where either wins most, the better return decides.
        let either = Measured {
            keep: 0.6,
            read: 0.9,
            keep_and_read: 1.0,
            ..POOR
        };
        assert_eq!(fails(either), [Part::Finding]);
    }

    #[test]
    fn too_few_slots_are_a_fault_of_keeping() {
        let crowded = Measured {
            kept_by_force: 0.5,
            keep: 0.2,
            read: 0.1,
            keep_and_read: 1.0,
            ..POOR
        };
        let Verdict { fails, verdict } = crowded.verdict();
        assert_eq!(fails, [Part::Keeping]);
        assert!(verdict.contains("even by force 50 %"), "{verdict}");
    }

    #[test]
    fn what_a_right_memory_does_not_win_back_is_lost_elsewhere() {
        let Verdict {
            fails: parts,
            verdict,
        } = POOR.verdict();
        assert_eq!(parts, [Part::Acting]);
        assert!(verdict.contains("the return is still 0.00"), "{verdict}");
        let blank = Measured {
            written: Some(0.5),
            ..POOR
        };
        assert_eq!(fails(blank), [Part::Writing]);
        // One episode leaves none to judge the readout by.
        let unknown = Measured {
            written: None,
            ..POOR
        };
        assert_eq!(fails(unknown), [Part::Acting]);
        let blind = Measured {
            unseen: 0.5,
            written: Some(0.5),
            ..POOR
        };
        let Verdict {
            fails: parts,
            verdict,
        } = blind.verdict();
        assert_eq!(parts, [Part::Acting]);
        assert!(verdict.contains("had not looked"), "{verdict}");
        let lost = Measured { kept: 0.1, ..POOR };
        let Verdict {
            fails: parts,
            verdict,
        } = lost.verdict();
        assert_eq!(parts, [Part::Keeping, Part::Acting]);
        assert!(
            verdict.contains("is gone in 90 % of cases, and"),
            "{verdict}"
        );
        let missed = Measured { found: 0.2, ..POOR };
        let Verdict {
            fails: parts,
            verdict,
        } = missed.verdict();
        assert_eq!(parts, [Part::Finding, Part::Acting]);
        assert!(
            verdict.contains("more attention in 80 % of cases, and"),
            "{verdict}"
        );
        let nowhere = Measured { needed: 0, ..POOR };
        let Verdict {
            fails: parts,
            verdict,
        } = nowhere.verdict();
        assert_eq!(parts, [Part::Acting]);
        assert!(verdict.contains("never comes"), "{verdict}");
    }

    /// Where less than half of the loss is won back, acting fails.
    #[test]
    fn half_of_the_loss_decides() {
        let little = Measured {
            as_it_is: 0.2,
            keep: 0.55,
            ..POOR
        };
        assert_eq!(fails(little), [Part::Acting]);
        let most = Measured {
            as_it_is: 0.2,
            keep: 0.65,
            ..POOR
        };
        assert_eq!(fails(most), [Part::Keeping]);
    }
}
