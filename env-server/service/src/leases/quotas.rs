//! Counts of sessions and their lanes, in all and by principal, and the limits on them.

use std::collections::HashMap;
use std::sync::Arc;

use env_protocol::{ErrorCode, Problem};

use crate::access::Owner;

/// Counts of current sessions and lanes.
#[derive(Debug)]
pub struct Quotas {
    /// The holder of everything, in problems: `the server`.
    holder: &'static str,
    /// The counted things, in problems: `environments`.
    things: &'static str,
    held: Usage,
    by_owner: HashMap<Arc<str>, Usage>,
}

/// Sessions and their lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of sessions.
    pub sessions: usize,
    /// Number of lanes of all of them.
    pub lanes: usize,
}

impl Quotas {
    /// Creates counts at zero. `holder` and `things` are words for problems, as in "the server holds 3
    /// environments".
    pub fn new(holder: &'static str, things: &'static str) -> Self {
        Quotas {
            holder,
            things,
            held: Usage::default(),
            by_owner: HashMap::new(),
        }
    }

    /// Checks that one more session with so many lanes is within `max`, and within the quotas of
    /// its owner.
    ///
    /// # Errors
    /// `quota-exceeded`.
    pub fn admit(&self, lanes: usize, max: Usage, owner: Option<&Owner>) -> Result<(), Problem> {
        self.check(self.holder, self.held, lanes, max)?;
        let Some(owner) = owner else {
            return Ok(());
        };
        let held = self.by_owner.get(&owner.name).copied();
        let max = Usage {
            sessions: owner.max_envs.unwrap_or(usize::MAX),
            lanes: owner.max_lanes.unwrap_or(usize::MAX),
        };
        self.check(&owner.name, held.unwrap_or_default(), lanes, max)
    }

    fn check(&self, who: &str, held: Usage, lanes: usize, max: Usage) -> Result<(), Problem> {
        let refused = |detail| Err(Problem::new(ErrorCode::QuotaExceeded, detail));
        if held.sessions >= max.sessions {
            let (count, things) = (held.sessions, self.things);
            return refused(format!("{who} holds {count} {things}, the limit"));
        }
        if lanes > max.lanes.saturating_sub(held.lanes) {
            let (held, max) = (held.lanes, max.lanes);
            return refused(format!(
                "{lanes} lanes beside {held} of {who} are over the limit, {max}"
            ));
        }
        Ok(())
    }

    /// Counts a session that has begun.
    pub fn add(&mut self, owner: Option<&Arc<str>>, lanes: usize) {
        for usage in self.usages(owner) {
            usage.sessions += 1;
            usage.lanes += lanes;
        }
    }

    /// Uncounts a session that has ended.
    pub fn remove(&mut self, owner: Option<&Arc<str>>, lanes: usize) {
        for usage in self.usages(owner) {
            usage.sessions -= 1;
            usage.lanes -= lanes;
        }
        if let Some(owner) = owner
            && self.by_owner.get(owner).is_some_and(|u| u.sessions == 0)
        {
            self.by_owner.remove(owner);
        }
    }

    fn usages(&mut self, owner: Option<&Arc<str>>) -> impl Iterator<Item = &mut Usage> {
        let of_owner = owner.map(|name| self.by_owner.entry(Arc::clone(name)).or_default());
        [Some(&mut self.held), of_owner].into_iter().flatten()
    }

    /// Returns the total.
    pub fn held(&self) -> Usage {
        self.held
    }

    /// Returns the principals with sessions, and their counts.
    pub fn by_owner(&self) -> impl Iterator<Item = (&Arc<str>, Usage)> {
        self.by_owner.iter().map(|(name, usage)| (name, *usage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Usage = Usage {
        sessions: 3,
        lanes: 10,
    };

    fn owner(max_envs: Option<usize>, max_lanes: Option<usize>) -> Owner {
        Owner {
            name: "ann".into(),
            max_envs,
            max_lanes,
        }
    }

    #[test]
    fn limits_hold_in_all_and_for_each_principal() {
        let mut quotas = Quotas::new("the server", "sessions");
        let ann = owner(Some(1), Some(4));
        let refusal = |quotas: &Quotas, lanes, owner| {
            let refused: Result<(), Problem> = quotas.admit(lanes, MAX, owner);
            refused.unwrap_err().detail
        };
        assert_eq!(
            refusal(&quotas, 5, Some(&ann)),
            "5 lanes beside 0 of ann are over the limit, 4"
        );
        quotas.admit(4, MAX, Some(&ann)).unwrap();
        quotas.add(Some(&ann.name), 4);
        assert_eq!(
            refusal(&quotas, 1, Some(&ann)),
            "ann holds 1 sessions, the limit"
        );
        quotas.admit(6, MAX, None).unwrap();
        assert_eq!(
            refusal(&quotas, 7, None),
            "7 lanes beside 4 of the server are over the limit, 10"
        );
        quotas.add(None, 1);
        quotas.add(None, 1);
        assert_eq!(
            refusal(&quotas, 1, None),
            "the server holds 3 sessions, the limit"
        );
        let all = Usage {
            sessions: 3,
            lanes: 6,
        };
        assert_eq!(quotas.held(), all);
        assert_eq!(quotas.by_owner().count(), 1);
        quotas.remove(Some(&ann.name), 4);
        quotas.remove(None, 1);
        quotas.remove(None, 1);
        assert_eq!(quotas.held(), Usage::default());
        assert_eq!(quotas.by_owner().count(), 0);
    }
}
