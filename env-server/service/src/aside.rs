//! Runs long jobs away from the threads that answer requests.
//!
//! There are as many of those threads as cores, and each answers many connections in turn. A job
//! that occupies one for milliseconds delays the others, `/healthz` among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use env_protocol::{ErrorCode, Problem};
use tokio::sync::Semaphore;

/// Most jobs that wait for their turn. Further ones are refused.
const MAX_WAITING: usize = 1_024;

/// Threads for long jobs: as many jobs run at once as there are cores, and the others wait in order
/// of arrival.
#[derive(Debug)]
pub struct Aside {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Aside {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Aside {
            running: Arc::new(Semaphore::new(cores)),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }
}

/// A flag set when a job runs aside: later operations on the same environment must wait for it.
pub type Note = Option<Arc<AtomicBool>>;

impl Aside {
    /// Runs a job in its turn. Once begun, it is finished even if its caller stops waiting.
    ///
    /// # Errors
    /// `overloaded`, and those of the job.
    ///
    /// # Panics
    /// When the job panics, as if it had run here.
    pub async fn run<T: Send + 'static>(
        &self,
        note: &Note,
        job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if let Some(note) = note {
            note.store(true, Ordering::Relaxed);
        }
        let turn = {
            let _waiting = self.waiting.try_acquire().map_err(|_| {
                let detail = format!("{MAX_WAITING} long requests are already waiting");
                Problem::new(ErrorCode::Overloaded, detail)
            })?;
            let turn = Arc::clone(&self.running).acquire_owned().await;
            turn.expect("it is never closed")
        };
        blocking(move || {
            let _turn = turn;
            job()
        })
        .await
    }
}

/// Runs a job aside without waiting for a turn, for requests that must be answered however busy the
/// server is.
///
/// # Errors
/// Those of the job; `internal` when the runtime ends before it.
pub async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(job).await;
    done.unwrap_or_else(|error| match error.try_into_panic() {
        // Continue the panic as if it had happened here.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Err(Problem::new(ErrorCode::Internal, cancelled.to_string())),
    })
}

impl Aside {
    /// Takes every place to run, until the result is dropped; for tests of requests that must not wait.
    #[doc(hidden)]
    pub async fn occupy(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = self.running.available_permits() as u32;
        let places = Arc::clone(&self.running).acquire_many_owned(all).await;
        places.expect("it is never closed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[tokio::test(flavor = "multi_thread")]
    async fn only_so_many_run_at_once() {
        let aside = Arc::new(Aside::default());
        let most = aside.running.available_permits();
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let jobs = (0..4 * most).map(|i| {
            let (aside, running, peak) =
                (Arc::clone(&aside), Arc::clone(&running), Arc::clone(&peak));
            tokio::spawn(async move {
                let job = move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    peak.fetch_max(now, Ordering::SeqCst);
                    thread::sleep(std::time::Duration::from_millis(2));
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(i)
                };
                aside.run(&None, job).await
            })
        });
        let jobs: Vec<_> = jobs.collect();
        for (i, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await.unwrap(), Ok(i));
        }
        assert!((1..=most).contains(&peak.load(Ordering::SeqCst)));
        assert_eq!(aside.running.available_permits(), most);
    }

    #[tokio::test]
    async fn it_is_noted_and_errors_come_back() {
        let aside = Aside::default();
        let noted = Arc::default();
        let note: Note = Some(Arc::clone(&noted));
        let refused = aside.run(&note, || {
            Err::<(), _>(Problem::new(ErrorCode::Internal, "no"))
        });
        assert_eq!(refused.await.unwrap_err().detail, "no");
        assert!(noted.load(Ordering::Relaxed));
    }
}
