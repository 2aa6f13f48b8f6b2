//! Turns: external programs run one after the other. Two programs of the same user could read each
//! other's tokens, kill each other, and write to each other's folders.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Interval at which a waiting job checks whether the run was stopped.
const LOOK: Duration = Duration::from_millis(50);

/// Admits the jobs of one program at a time.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    running: Mutex<Option<Running>>,
    is_over: Condvar,
}

#[derive(Debug)]
struct Running {
    program: String,
    jobs: usize,
}

/// A job's turn; ends when it is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits until no other program runs; `None` when the run is stopped first.
    pub(crate) fn wait(&self, program: &str, stop: &AtomicBool) -> Option<Turn<'_>> {
        let mut running = self.lock();
        while !stop.load(Ordering::Relaxed) {
            match &mut *running {
                Some(other) if other.program != program => {
                    let waited = self.is_over.wait_timeout(running, LOOK);
                    running = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(same) => {
                    same.jobs += 1;
                    return Some(Turn(self));
                }
                None => {
                    let program = program.to_owned();
                    *running = Some(Running { program, jobs: 1 });
                    return Some(Turn(self));
                }
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut running = self.0.lock();
        if let Some(program) = &mut *running {
            program.jobs -= 1;
            if program.jobs == 0 {
                *running = None;
                self.0.is_over.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_one_program_run_together_and_others_wait() {
        let (turns, stop) = (Turns::default(), AtomicBool::new(false));
        let (first, second) = (turns.wait("a", &stop), turns.wait("a", &stop));
        assert!(first.is_some() && second.is_some());
        let running = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let turn = turns.wait("b", &stop);
                assert!(!running.load(Ordering::Relaxed), "it did not wait");
                turn.is_some()
            });
            drop(first);
            std::thread::sleep(2 * LOOK);
            running.store(false, Ordering::Relaxed);
            drop(second);
            assert!(other.join().unwrap());
        });
        let _held = turns.wait("a", &stop);
        stop.store(true, Ordering::Relaxed);
        assert!(turns.wait("b", &stop).is_none());
    }
}
