//! Measurements of a training run, for people and files.
//!
//! The trainer reports once an update: where the run stands ([`Progress`]) and what it measured
//! ([`LogRecord`]). A [`Monitor`] shows or stores them: [`Console`] for the
//! terminal, [`MetricsFile`] for `metrics.jsonl`, [`EventsFile`] for TensorBoard, and [`Monitors`]
//! for several at once. A monitor never influences the run it watches.

mod console;
mod error;
mod events_file;
mod log_box;
mod metrics_file;
mod progress;
mod record;
mod tfrecord;

pub use console::{Console, ConsoleOptions};
pub use error::MonitorError;
pub use events_file::EventsFile;
pub use log_box::log_box;
pub use metrics_file::{MetricsFile, MetricsLine, read_metrics};
pub use progress::Progress;
pub use record::{LogEntry, LogRecord, LogSection, LogValue};

/// Something that watches a training run.
pub trait Monitor: Send {
    /// Records one update of the weights. `record` holds everything measured in it, including
    /// what [`Progress::to_record`] puts there.
    ///
    /// # Errors
    /// When what the monitor keeps cannot be written. Progress shown to a person never fails.
    fn update(&mut self, progress: &Progress, record: &LogRecord) -> Result<(), MonitorError>;

    /// A checkpoint of the run at so many environment steps is about to be written, as the latest and perhaps as the best,
    /// too. Called before a checkpoint is written; files that belong to it can be written now.
    ///
    /// # Errors
    /// As [`Monitor::update`]; the checkpoint is then not written.
    fn before_checkpoint(&mut self, _timesteps: u64, _is_best: bool) -> Result<(), MonitorError> {
        Ok(())
    }

    /// Shows a line to the person watching, without disturbing what else is on the screen.
    /// Monitors that only keep numbers ignore it.
    fn message(&mut self, _text: &str) {}

    /// The run has ended at `progress`: puts everything in its final state.
    ///
    /// # Errors
    /// As [`Monitor::update`].
    fn finish(&mut self, progress: &Progress) -> Result<(), MonitorError>;
}

impl<M: Monitor + ?Sized> Monitor for &mut M {
    fn update(&mut self, progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        (**self).update(progress, record)
    }

    fn before_checkpoint(&mut self, timesteps: u64, is_best: bool) -> Result<(), MonitorError> {
        (**self).before_checkpoint(timesteps, is_best)
    }

    fn message(&mut self, text: &str) {
        (**self).message(text);
    }

    fn finish(&mut self, progress: &Progress) -> Result<(), MonitorError> {
        (**self).finish(progress)
    }
}

/// Several monitors, told the same in their order.
#[derive(Default)]
pub struct Monitors<'a>(pub Vec<Box<dyn Monitor + 'a>>);

impl<'a> Monitors<'a> {
    /// Adds a monitor.
    pub fn push(&mut self, monitor: impl Monitor + 'a) {
        self.0.push(Box::new(monitor));
    }
}

impl Monitor for Monitors<'_> {
    /// Calls every monitor even if an earlier one fails, and returns the first error.
    fn update(&mut self, progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        self.tell(|monitor| monitor.update(progress, record))
    }

    fn before_checkpoint(&mut self, timesteps: u64, is_best: bool) -> Result<(), MonitorError> {
        self.tell(|monitor| monitor.before_checkpoint(timesteps, is_best))
    }

    fn message(&mut self, text: &str) {
        for monitor in &mut self.0 {
            monitor.message(text);
        }
    }

    fn finish(&mut self, progress: &Progress) -> Result<(), MonitorError> {
        self.tell(|monitor| monitor.finish(progress))
    }
}

impl Monitors<'_> {
    fn tell(
        &mut self,
        mut call: impl FnMut(&mut dyn Monitor) -> Result<(), MonitorError>,
    ) -> Result<(), MonitorError> {
        let mut outcome = Ok(());
        for monitor in &mut self.0 {
            outcome = outcome.and(call(monitor.as_mut()));
        }
        outcome
    }
}

/// A monitor that shows and keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn update(&mut self, _progress: &Progress, _record: &LogRecord) -> Result<(), MonitorError> {
        Ok(())
    }

    fn finish(&mut self, _progress: &Progress) -> Result<(), MonitorError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Notes its calls in a shared list; fails in `update` if told to.
    struct Scribe {
        name: &'static str,
        calls: Arc<Mutex<Vec<String>>>,
        fails: bool,
    }

    impl Scribe {
        fn note(&self, call: &str) {
            self.calls
                .lock()
                .unwrap()
                .push(format!("{} {call}", self.name));
        }
    }

    impl Monitor for Scribe {
        fn update(&mut self, progress: &Progress, _: &LogRecord) -> Result<(), MonitorError> {
            self.note(&format!("update {}", progress.timesteps));
            if self.fails {
                return Err(MonitorError::io(
                    "write",
                    std::path::Path::new(self.name),
                    std::io::Error::other("disk full"),
                ));
            }
            Ok(())
        }

        fn message(&mut self, text: &str) {
            self.note(text);
        }

        fn finish(&mut self, _: &Progress) -> Result<(), MonitorError> {
            self.note("finish");
            Ok(())
        }
    }

    #[test]
    fn all_monitors_are_told_in_order_and_the_first_error_is_returned() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let mut monitors = Monitors::default();
        for (name, fails) in [("a", false), ("b", true), ("c", true)] {
            let calls = Arc::clone(&calls);
            monitors.push(Scribe { name, calls, fails });
        }
        let progress = Progress {
            timesteps: 7,
            ..Progress::default()
        };

        let error = monitors
            .update(&progress, &LogRecord::default())
            .unwrap_err();
        monitors.message("hello");
        monitors.finish(&progress).unwrap();

        assert_eq!(error.to_string(), "cannot write b: disk full");
        assert_eq!(
            *calls.lock().unwrap(),
            [
                "a update 7",
                "b update 7",
                "c update 7",
                "a hello",
                "b hello",
                "c hello",
                "a finish",
                "b finish",
                "c finish"
            ]
        );
    }
}
