//! Budgets of steps, counted where steps are applied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env_protocol::{ErrorCode, Problem};

/// A bit set in the number of steps once the budget is closed, whatever is left of it, so that one
/// atomic number decides both.
const CLOSED: u64 = 1 << 63;

/// A limit on steps. Clones share one count.
///
/// A step is one lane's action that was applied. Resets do not count, nor do lanes of a `NextStep`
/// vector that only start over, nor stored replies.
#[derive(Clone, Debug)]
pub struct StepBudget {
    max: u64,
    count: Arc<StepCount>,
}

/// Counts under one name. They outlive a change of the budget.
#[derive(Debug, Default)]
pub(super) struct StepCount {
    /// Steps taken; [`CLOSED`] is set above them.
    taken: AtomicU64,
    /// Operations refused because the budget was spent, and those refused because it was closed.
    refused: AtomicU64,
    refused_closed: AtomicU64,
}

impl StepBudget {
    /// Creates a budget of `max` steps, including those counted before.
    pub(super) fn new(max: u64, count: Arc<StepCount>) -> Self {
        StepBudget {
            max: max.min(CLOSED - 1),
            count,
        }
    }

    /// Returns the limit.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Returns the steps taken since the server started.
    pub fn taken(&self) -> u64 {
        self.count.taken.load(Ordering::Relaxed) & !CLOSED
    }

    /// Refuses all further steps, permanently. A step that is just being applied is counted.
    pub fn close(&self) {
        self.count.taken.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Returns the number of operations refused because too little was left.
    pub fn refused(&self) -> u64 {
        self.count.refused.load(Ordering::Relaxed)
    }

    /// Returns the number of operations refused because the budget was closed.
    pub fn refused_closed(&self) -> u64 {
        self.count.refused_closed.load(Ordering::Relaxed)
    }

    /// Counts steps that are about to be applied: all of them or none.
    ///
    /// # Errors
    /// `budget-exceeded`, if fewer are left, and `forbidden` once the budget is closed.
    pub fn take(&self, steps: u64) -> Result<(), Problem> {
        let within = |taken: u64| taken.checked_add(steps).filter(|&sum| sum <= self.max);
        let taken = &self.count.taken;
        match taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within) {
            Ok(_) => Ok(()),
            Err(taken) => Err(self.refuse(steps, taken)),
        }
    }

    /// Uncounts steps that could not be applied after all.
    pub fn give_back(&self, steps: u64) {
        self.count.taken.fetch_sub(steps, Ordering::Relaxed);
    }

    fn refuse(&self, steps: u64, taken: u64) -> Problem {
        let max = self.max;
        if taken & CLOSED != 0 {
            self.count.refused_closed.fetch_add(1, Ordering::Relaxed);
            let detail = format!(
                "this token may take no further steps ({} were taken)",
                taken & !CLOSED
            );
            return Problem::new(ErrorCode::Forbidden, detail);
        }
        self.count.refused.fetch_add(1, Ordering::Relaxed);
        let left = max.saturating_sub(taken);
        let detail = format!(
            "{taken} of the {max} steps of this token have been taken; {steps} more are requested, and {left} are left"
        );
        Problem::new(ErrorCode::BudgetExceeded, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max: u64) -> StepBudget {
        StepBudget::new(max, Arc::default())
    }

    #[test]
    fn steps_are_taken_whole_or_not_at_all() {
        let budget = budget(10);
        assert!(budget.take(8).is_ok());
        let problem = budget.take(3).unwrap_err();
        assert_eq!(
            (problem.code, problem.retryable),
            (ErrorCode::BudgetExceeded, false)
        );
        assert_eq!(
            problem.detail,
            "8 of the 10 steps of this token have been taken; 3 more are requested, and 2 are left"
        );
        assert_eq!((budget.taken(), budget.refused()), (8, 1));
        assert!(budget.take(2).is_ok());
        assert!(budget.take(0).is_ok(), "nothing is nothing");
        assert!(budget.take(1).is_err());
        budget.give_back(2);
        assert!(budget.take(1).is_ok());
        assert_eq!(budget.taken(), 9);
    }

    #[test]
    fn a_closed_budget_refuses_and_remembers() {
        let budget = budget(10);
        budget.take(4).unwrap();
        budget.clone().close();
        for steps in [0, 1, 4] {
            let problem = budget.take(steps).unwrap_err();
            assert_eq!(problem.code, ErrorCode::Forbidden);
            assert!(
                problem.detail.contains("(4 were taken)"),
                "{}",
                problem.detail
            );
        }
        assert_eq!((budget.taken(), budget.refused_closed()), (4, 3));
        assert_eq!(budget.refused(), 0);
    }

    #[test]
    fn a_changed_budget_goes_on_counting() {
        let count = Arc::default();
        StepBudget::new(4, Arc::clone(&count)).take(4).unwrap();
        let raised = StepBudget::new(6, Arc::clone(&count));
        assert!(raised.take(2).is_ok());
        let lowered = StepBudget::new(3, count);
        assert!(lowered.take(1).unwrap_err().detail.ends_with("0 are left"));
        assert!(lowered.take(u64::MAX).is_err());
        assert_eq!(lowered.taken(), 6);
        assert_eq!(StepBudget::new(u64::MAX, Arc::default()).max(), CLOSED - 1);
    }
}
