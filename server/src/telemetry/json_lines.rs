//! Log lines as JSON, one line an event, always with the same members.

use std::fmt;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use authkit::time::{Clock as _, SystemClock, Timestamp};
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Bytes of a message at the most.
const MAX_MESSAGE: usize = 4 * 1024;

/// A layer that writes one JSON object a line, with the members `timestamp level logger module function request_id
/// method path status_code latency_ms event_type message`.
///
/// What else an event has is appended to its message as `name=value`. Strings are escaped by a JSON writer: nothing
/// that a client sends can start a line of its own.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: Mutex<W>,
    clock: SystemClock,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`, a whole line at a time.
    pub fn new(out: W) -> Self {
        Self { out: Mutex::new(out), clock: SystemClock::new() }
    }

    fn write(&self, line: &Line<'_>) {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return };
        bytes.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that nobody takes must not stop the service.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
    }
}

#[derive(Clone, Copy, Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: &'a str,
    logger: &'a str,
    module: &'a str,
    function: &'a str,
    request_id: Option<&'a str>,
    method: Option<&'a str>,
    path: Option<&'a str>,
    status_code: Option<u64>,
    latency_ms: Option<f64>,
    event_type: &'a str,
    message: &'a str,
}

/// What the span of a request says.
#[derive(Debug, Default)]
struct RequestFields {
    request_id: Option<String>,
    method: Option<String>,
    path: Option<String>,
}

impl Visit for RequestFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let slot = match field.name() {
            "request_id" => &mut self.request_id,
            "method" => &mut self.method,
            "path" => &mut self.path,
            _ => return,
        };
        *slot = Some(value.to_owned());
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn fmt::Debug) {}
}

/// What an event says.
#[derive(Debug, Default)]
struct EventFields {
    message: String,
    rest: String,
    event_type: Option<String>,
    function: Option<String>,
    status_code: Option<u64>,
    latency_ms: Option<f64>,
}

impl EventFields {
    fn other(&mut self, field: &Field, value: &dyn fmt::Display) {
        if self.rest.len() < MAX_MESSAGE {
            // Writing to a string cannot fail.
            let _ = write!(self.rest, " {}={value}", field.name());
        }
    }

    fn message(mut self) -> (String, Self) {
        let mut text = std::mem::take(&mut self.message);
        text.push_str(&self.rest);
        text.truncate(text.floor_char_boundary(MAX_MESSAGE));
        (text.trim_start().to_owned(), self)
    }
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "event_type" => self.event_type = Some(value.to_owned()),
            "function" => self.function = Some(value.to_owned()),
            _ => self.other(field, &value),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "status_code" => self.status_code = Some(value),
            _ => self.other(field, &value),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match field.name() {
            // Microseconds are enough.
            "latency_ms" => self.latency_ms = Some((value * 1000.0).round() / 1000.0),
            _ => self.other(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => {
                let _ = write!(self.message, "{value:?}");
            }
            _ => self.other(field, &format_args!("{value:?}")),
        }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    W: Write + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().fields().field("request_id").is_none() {
            return;
        }
        let mut fields = RequestFields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = EventFields::default();
        event.record(&mut fields);
        let (message, fields) = fields.message();
        let metadata = event.metadata();
        let module = metadata.module_path().unwrap_or_else(|| metadata.target());
        // `tracing` knows no functions: the innermost span, which is often named like one, else the module.
        let span_name = context.event_span(event).map(|span| span.metadata().name());
        let place = span_name.unwrap_or_else(|| module.rsplit("::").next().unwrap_or(module));
        let line = Line {
            timestamp: self.clock.now(),
            level: metadata.level().as_str(),
            logger: metadata.target(),
            module,
            function: fields.function.as_deref().unwrap_or(place),
            request_id: None,
            method: None,
            path: None,
            status_code: fields.status_code,
            latency_ms: fields.latency_ms,
            event_type: fields.event_type.as_deref().unwrap_or("log"),
            message: &message,
        };
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(request) = span.extensions().get::<RequestFields>() {
                self.write(&Line {
                    request_id: request.request_id.as_deref(),
                    method: request.method.as_deref(),
                    path: request.path.as_deref(),
                    ..line
                });
                return;
            }
        }
        self.write(&line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let sink = Sink::default();
        let subscriber = Registry::default().with(JsonLines::new(sink.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_exactly_the_members_of_the_contract() {
        let lines = lines(|| {
            let span = tracing::error_span!("request", request_id = "abcdefgh", method = "GET", path = "/x");
            span.in_scope(|| {
                tracing::info!(
                    event_type = "request",
                    function = "/x",
                    status_code = 200_u16,
                    latency_ms = 1.5
                );
            });
        });
        let mut names: Vec<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [
            "timestamp",
            "level",
            "logger",
            "module",
            "function",
            "request_id",
            "method",
            "path",
            "status_code",
            "latency_ms",
            "event_type",
            "message",
        ];
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!((&lines[0]["request_id"], &lines[0]["path"]), (&"abcdefgh".into(), &"/x".into()));
        assert_eq!((&lines[0]["status_code"], &lines[0]["latency_ms"]), (&200.into(), &1.5.into()));
        assert_eq!((&lines[0]["function"], &lines[0]["event_type"]), (&"/x".into(), &"request".into()));
    }

    #[test]
    fn nothing_starts_a_line_of_its_own() {
        let lines = lines(|| tracing::warn!(name = "a\nb\r\u{2028}", "x\n{{\"level\":\"forged\"}}"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "WARN");
        assert_eq!(lines[0]["message"], "x\n{\"level\":\"forged\"} name=a\nb\r\u{2028}");
        assert!(lines[0]["request_id"].is_null());
    }

    #[test]
    fn inner_spans_keep_the_request() {
        let lines = lines(|| {
            let span = tracing::error_span!("request", request_id = "abcdefgh", method = "GET", path = "/x");
            span.in_scope(|| tracing::error_span!("inner").in_scope(|| tracing::error!("broken")));
        });
        assert_eq!((&lines[0]["request_id"], &lines[0]["function"]), (&"abcdefgh".into(), &"inner".into()));
    }

    #[test]
    fn messages_are_bounded() {
        let lines = lines(|| tracing::info!("{}", "\u{e9}".repeat(MAX_MESSAGE)));
        assert!(lines[0]["message"].as_str().unwrap().len() <= MAX_MESSAGE);
    }
}
