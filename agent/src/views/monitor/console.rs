//! Output for a person at the terminal: a progress bar, the log box, messages. All on standard
//! error, so that standard output stays free for results.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{LogRecord, Monitor, MonitorError, Progress, log_box};

/// How often a line of progress is written where there is no terminal to draw a bar on.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Options of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleOptions {
    /// Show a progress bar, or now and then a line where there is no terminal.
    pub progress: bool,
    /// Show the log box each time that many more episodes have ended; `None`: never.
    pub log_interval_episodes: Option<u64>,
}

/// Shows a run in the terminal.
pub struct Console {
    display: Display,
    log_interval_episodes: Option<u64>,
    /// The number of episodes at which the next box is due.
    next_box_at: u64,
}

/// Where and how progress is shown.
enum Display {
    Bar(ProgressBar),
    Lines {
        sink: Box<dyn Write + Send>,
        /// `None`: no lines of progress, only boxes and messages.
        interval: Option<Duration>,
        last: Instant,
    },
}

impl Console {
    /// A console on standard error.
    #[must_use]
    pub fn new(options: ConsoleOptions) -> Self {
        let stderr = std::io::stderr();
        let display = if options.progress && stderr.is_terminal() {
            Display::Bar(bar(ProgressDrawTarget::stderr()))
        } else {
            Display::lines(Box::new(stderr), options.progress.then_some(LINE_INTERVAL))
        };
        Self::on(display, options.log_interval_episodes)
    }

    fn on(display: Display, log_interval_episodes: Option<u64>) -> Self {
        Self {
            display,
            log_interval_episodes,
            next_box_at: log_interval_episodes.unwrap_or(0),
        }
    }

    /// Whether a box is due after so many episodes; then the next is an interval later.
    fn box_is_due(&mut self, episodes: u64) -> bool {
        let Some(interval) = self.log_interval_episodes else {
            return false;
        };
        let is_due = episodes >= self.next_box_at;
        if is_due {
            self.next_box_at = (episodes / interval.max(1) + 1) * interval.max(1);
        }
        is_due
    }
}

impl Monitor for Console {
    fn update(&mut self, progress: &Progress, record: &LogRecord) -> Result<(), MonitorError> {
        self.display.progress(progress);
        if self.box_is_due(progress.episodes) {
            self.display.print(&log_box(record));
        }
        Ok(())
    }

    fn message(&mut self, text: &str) {
        self.display.print(text);
    }

    fn finish(&mut self, progress: &Progress) -> Result<(), MonitorError> {
        self.display.finish(progress);
        Ok(())
    }
}

impl Display {
    fn lines(sink: Box<dyn Write + Send>, interval: Option<Duration>) -> Self {
        Self::Lines {
            sink,
            interval,
            last: Instant::now(),
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match self {
            Self::Bar(bar) => show(bar, progress),
            Self::Lines {
                sink,
                interval: Some(interval),
                last,
            } if last.elapsed() >= *interval => {
                *last = Instant::now();
                write_line(sink, &progress_line(progress));
            }
            Self::Lines { .. } => {}
        }
    }

    fn finish(&mut self, progress: &Progress) {
        match self {
            Self::Bar(bar) => {
                show(bar, progress);
                bar.abandon();
            }
            Self::Lines { sink, interval, .. } if interval.is_some() => {
                write_line(sink, &progress_line(progress));
            }
            Self::Lines { .. } => {}
        }
    }

    fn print(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.println(text),
            Self::Lines { sink, .. } => write_line(sink, text),
        }
    }
}

/// A reader who has gone away must not end the training: a line that cannot be written is lost.
fn write_line(sink: &mut dyn Write, line: &str) {
    let _ = writeln!(sink, "{line}");
}

fn bar(target: ProgressDrawTarget) -> ProgressBar {
    let style = ProgressStyle::with_template("{percent:>3}% {wide_bar:.cyan/dim} {msg}")
        .expect("the template is well-formed")
        .progress_chars("━╸━");
    ProgressBar::with_draw_target(Some(0), target).with_style(style)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_message(summary(progress));
    bar.set_length(progress.total_timesteps);
    bar.set_position(progress.timesteps);
}

/// A line of progress for a log.
fn progress_line(progress: &Progress) -> String {
    let percent = (100.0 * progress.fraction()) as u32;
    format!("{percent:>3}% {}", summary(progress))
}

/// Steps, speed, return and the time left, on one line.
fn summary(progress: &Progress) -> String {
    let mut parts = vec![format!(
        "{}/{}",
        HumanCount(progress.timesteps),
        HumanCount(progress.total_timesteps)
    )];
    // Most of a run's first second is spent on starting.
    if progress.elapsed >= Duration::from_secs(1) {
        parts.push(format!(
            "{} steps/s",
            HumanCount(progress.steps_per_s as u64)
        ));
    }
    if let Some(mean) = progress.return_mean {
        let spread = progress
            .return_std
            .map_or(String::new(), |std| format!(" ± {std:.2}"));
        parts.push(format!("return {mean:.2}{spread}"));
    }
    if let Some(remaining) = progress.remaining() {
        parts.push(format!("ETA {}", clock(remaining)));
    }
    parts.join(" · ")
}

/// Hours, minutes and seconds begun, as `1:02:03` or `2:03`.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil() as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A terminal's stand-in that can be read while a console writes to it.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn console(
        paper: &Paper,
        interval: Option<Duration>,
        log_interval_episodes: Option<u64>,
    ) -> Console {
        let display = Display::lines(Box::new(paper.clone()), interval);
        Console::on(display, log_interval_episodes)
    }

    fn progress() -> Progress {
        Progress {
            total_timesteps: 56_000,
            timesteps: 12_320,
            episodes: 770,
            updates: 12,
            elapsed: Duration::from_millis(1_200),
            steps_per_s: 61_234.7,
            return_mean: Some(0.934),
            return_std: Some(0.368),
            length_mean: Some(16.0),
        }
    }

    #[test]
    fn a_line_of_progress() {
        assert_eq!(
            progress_line(&progress()),
            " 22% 12,320/56,000 · 61,234 steps/s · return 0.93 ± 0.37 · ETA 0:01"
        );
        let at_start = Progress {
            total_timesteps: 10,
            ..Progress::default()
        };
        assert_eq!(progress_line(&at_start), "  0% 0/10");
        let short = Progress {
            elapsed: Duration::from_millis(999),
            ..progress()
        };
        assert_eq!(
            progress_line(&short),
            " 22% 12,320/56,000 · return 0.93 ± 0.37 · ETA 0:01"
        );
    }

    #[test]
    fn time_left_is_rounded_up() {
        assert_eq!(clock(Duration::from_millis(59_001)), "1:00");
        assert_eq!(clock(Duration::from_secs(3_723)), "1:02:03");
    }

    #[test]
    fn the_bar_is_at_the_run_s_step() {
        let mut console = Console::on(Display::Bar(bar(ProgressDrawTarget::hidden())), None);
        console.update(&progress(), &LogRecord::default()).unwrap();
        let Display::Bar(bar) = &console.display else {
            unreachable!("a console keeps its display");
        };
        assert_eq!((bar.position(), bar.length()), (12_320, Some(56_000)));
        assert_eq!(bar.message(), summary(&progress()));
    }

    #[test]
    fn without_a_terminal_lines_come_at_intervals_and_at_the_end() {
        let paper = Paper::default();
        let mut console = console(&paper, Some(Duration::from_secs(3_600)), None);
        console.update(&progress(), &LogRecord::default()).unwrap();
        assert_eq!(paper.text(), "");
        console.message("checkpoint written");
        console.finish(&progress()).unwrap();
        assert_eq!(
            paper.text(),
            format!("checkpoint written\n{}\n", progress_line(&progress()))
        );
    }

    #[test]
    fn without_progress_only_messages_are_shown() {
        let paper = Paper::default();
        let mut console = console(&paper, None, None);
        console.update(&progress(), &LogRecord::default()).unwrap();
        console.message("resumed");
        console.finish(&progress()).unwrap();
        assert_eq!(paper.text(), "resumed\n");
    }

    #[test]
    fn a_box_is_shown_each_time_an_interval_of_episodes_has_passed() {
        let paper = Paper::default();
        let mut console = console(&paper, None, Some(10));
        let mut boxes = Vec::new();
        for episodes in [4, 9, 10, 15, 32, 39, 40] {
            let before = paper.text().len();
            let progress = Progress {
                episodes,
                ..Progress::default()
            };
            console.update(&progress, &progress.to_record()).unwrap();
            if paper.text().len() > before {
                boxes.push(episodes);
            }
        }
        assert_eq!(boxes, [10, 32, 40]);
        assert!(paper.text().contains("| time/"), "{}", paper.text());
    }
}
