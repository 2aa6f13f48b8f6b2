//! Limits repeated warnings and errors: each kind is logged once per interval, and the rest are
//! counted.
//!
//! A full disk fails every request. The log about it must not fill the remaining disk or hide
//! everything else.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How often warnings and errors of one kind are logged.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);
/// Most kinds distinguished at a time; beyond that, events of one place in the program share a
/// kind.
const MAX_KINDS: usize = 1_024;
/// Fields that do not distinguish kinds, because they differ each time.
const PASSING: [&str; 6] = ["request_id", "duration_us", "path", "detail", "id", "took"];

/// Writes events as `inner` does, except warnings and errors of a kind already logged within the
/// interval. Two events are of one kind if they come from the same place and have the same fields,
/// apart from those in [`PASSING`].
pub(super) struct Limited<F> {
    inner: F,
    is_json: bool,
    interval: Duration,
    kinds: Mutex<Kinds>,
}

#[derive(Default)]
struct Kinds {
    kinds: HashMap<u64, Kind>,
    swept: Option<Instant>,
}

struct Kind {
    logged: Instant,
    left_out: u64,
    target: &'static str,
    level: Level,
    message: String,
}

impl<F> Limited<F> {
    pub(super) fn new(inner: F, is_json: bool, interval: Duration) -> Self {
        Limited {
            inner,
            is_json,
            interval,
            kinds: Mutex::default(),
        }
    }

    /// Returns whether to log an event, and the kinds with suppressed events whose interval is
    /// over.
    fn admit(&self, event: &Event<'_>) -> (bool, Vec<Kind>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN {
            return (true, Vec::new());
        }
        let now = Instant::now();
        let mut said = Said::default();
        metadata.callsite().hash(&mut said.hasher);
        let of_place = said.hasher.finish();
        event.record(&mut said);
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let over = kinds.sweep(now, self.interval);
        let key = match kinds.kinds.len() < MAX_KINDS {
            true => said.hasher.finish(),
            false => of_place,
        };
        if let Some(kind) = kinds.kinds.get_mut(&key) {
            if now - kind.logged < self.interval {
                kind.left_out += 1;
                return (false, over);
            }
            kind.logged = now;
            return (true, over);
        }
        let kind = Kind {
            logged: now,
            left_out: 0,
            target: metadata.target(),
            level: *metadata.level(),
            message: said.message,
        };
        kinds.kinds.insert(key, kind);
        (true, over)
    }

    /// Writes how many events were left out.
    fn tell(&self, writer: &mut Writer<'_>, kind: &Kind) -> fmt::Result {
        let Kind {
            left_out,
            target,
            level,
            message,
            ..
        } = kind;
        if self.is_json {
            let mut timestamp = String::new();
            SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
            let line = serde_json::json!({
                "timestamp": timestamp,
                "level": level.as_str(),
                "target": target,
                "message": "similar messages were left out",
                "left_out": left_out,
                "of": message,
            });
            return writeln!(writer, "{line}");
        }
        SystemTime.format_time(writer)?;
        writeln!(
            writer,
            " {level:>5} {target}: {left_out} similar messages were left out: {message}"
        )
    }
}

impl Kinds {
    /// Removes kinds whose interval is over, and returns those with events left out.
    fn sweep(&mut self, now: Instant, interval: Duration) -> Vec<Kind> {
        if self.swept.is_some_and(|swept| now - swept < interval / 8) {
            return Vec::new();
        }
        self.swept = Some(now);
        let over = self
            .kinds
            .extract_if(|_, kind| now - kind.logged >= interval);
        over.map(|(_, kind)| kind)
            .filter(|kind| kind.left_out > 0)
            .collect()
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (is_admitted, over) = self.admit(event);
        for kind in &over {
            self.tell(&mut writer, kind)?;
        }
        match is_admitted {
            true => self.inner.format_event(context, writer, event),
            false => Ok(()),
        }
    }
}

/// The hash and the message of an event.
#[derive(Default)]
struct Said {
    hasher: DefaultHasher,
    message: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if PASSING.contains(&field.name()) {
            return;
        }
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        (field.name(), &text).hash(&mut self.hasher);
        let separator = if self.message.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.message, "{separator}{text}"),
            name => write!(self.message, "{separator}{name}={text}"),
        };
    }
}
