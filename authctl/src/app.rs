//! What every command works with: the global flags, the streams, the store once it is open.

use std::io::Write as _;

use authkit::admin::{Admin, Changed};
use authkit::{AuthKit, Db, RequestMeta};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::{Color, Format, Global};
use crate::context;
use crate::errors::{CliError, Code, Result};
use crate::exit::Exit;
use crate::io::{Io, Prompt};
use crate::output::table::{Look, clean};
use crate::output::{Document, Node, View, node, render};

/// One run of the program.
pub(crate) struct App {
    pub(crate) io: Io,
    pub(crate) global: Global,
    pub(crate) db: Option<Db>,
}

impl App {
    pub(crate) fn new(io: Io, global: Global) -> Self {
        Self { io, global, db: None }
    }

    /// The kit, open. `writes` says whether roles of the settings may be defined on the way.
    pub(crate) async fn kit(&mut self, writes: bool) -> Result<AuthKit> {
        context::kit(self, writes && !self.global.dry_run).await
    }

    /// Operator operations in the name of whoever runs this; rolled back in a dry run.
    pub(crate) fn admin(&self, kit: &AuthKit) -> Admin {
        let meta = RequestMeta::new().with_operator(context::operator(&self.io), self.global.reason.clone());
        let admin = kit.admin(meta);
        if self.global.dry_run { admin.dry_run() } else { admin }
    }

    pub(crate) async fn close(&mut self) {
        if let Some(db) = self.db.take() {
            db.drain().await;
            db.close().await;
        }
    }

    /// Says something on stderr that is no result.
    pub(crate) fn note(&mut self, text: &str) {
        if !self.global.quiet {
            // A note that nobody can read is no fault.
            let _ = writeln!(self.io.stderr, "{}", clean(text));
        }
    }

    /// As [`Self::note`], with `-v` only.
    pub(crate) fn detail(&mut self, text: &str) {
        if self.global.verbose {
            self.note(text);
        }
    }

    pub(crate) fn report(&mut self, error: &CliError) {
        let text = error.render(self.global.verbose, self.colour(self.io.stderr_is_terminal));
        let lines: Vec<String> = if self.colour(self.io.stderr_is_terminal) {
            text.lines().map(str::to_owned).collect()
        } else {
            text.lines().map(clean).collect()
        };
        let _ = writeln!(self.io.stderr, "{}", lines.join("\n"));
    }

    /// Asks whether to go on.
    pub(crate) async fn confirm(&mut self, question: &str) -> Result<()> {
        if self.global.yes || self.global.dry_run {
            return Ok(());
        }
        let text = question.to_owned();
        match self.ask(move |prompt| prompt.confirm(&text)).await? {
            Some(true) => Ok(()),
            Some(false) => Err(CliError::new(Code::Declined, "the answer was no").into()),
            None => Err(CliError::new(Code::NotAsked, format!("this needs a yes: {question}")).into()),
        }
    }

    /// Asks at the terminal; `None` when nobody is there or may be asked.
    pub(crate) async fn ask<T: Send + 'static>(
        &mut self,
        question: impl FnOnce(&mut dyn Prompt) -> std::io::Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let Some(mut prompt) = self.io.prompt.take().filter(|_| !self.global.no_input) else {
            return Ok(None);
        };
        // A thread of its own: a signal must end the program while it waits.
        let asked = tokio::task::spawn_blocking(move || (question(&mut *prompt), prompt)).await;
        let unanswered = |why: String| {
            let what = format!("the question could not be asked: {why}");
            crate::errors::Failure::from(CliError::new(Code::NotAsked, what))
        };
        let (answer, prompt) = asked.map_err(|error| unanswered(error.to_string()))?;
        self.io.prompt = Some(prompt);
        answer.map(Some).map_err(|error| unanswered(error.to_string()))
    }

    pub(crate) fn format(&self) -> Format {
        self.global.output.unwrap_or(Format::Table)
    }

    pub(crate) fn print(&mut self, text: &str) -> Result<()> {
        self.io.stdout.write_all(text.as_bytes())?;
        self.io.stdout.flush()?;
        Ok(())
    }

    pub(crate) fn show(&mut self, document: Document, view: &View) -> Result<()> {
        let look = Look { width: self.io.width, colour: self.colour(self.io.stdout_is_terminal) };
        let text = render(document, view, self.format(), look)?;
        self.print(&text)
    }

    /// A list.
    pub(crate) fn list<T: Serialize>(
        &mut self,
        items: &[T],
        next_cursor: Option<String>,
        view: &View,
    ) -> Result<Exit> {
        let items = items.iter().map(node).collect::<Result<Vec<Node>>>()?;
        let empty = items.is_empty();
        self.show(Document::List { items, next_cursor: next_cursor.clone() }, view)?;
        let in_result = matches!(self.format(), Format::Json | Format::Yaml);
        match next_cursor {
            Some(cursor) if !in_result => self.note(&format!("There is more: --cursor {cursor}, or --all")),
            None if empty && self.format() == Format::Table => self.note("There is nothing to list."),
            _ => {}
        }
        Ok(Exit::Done)
    }

    /// One thing.
    pub(crate) fn one<T: Serialize>(&mut self, thing: &T, view: &View) -> Result<Exit> {
        self.show(Document::One(node(thing)?), view)?;
        Ok(Exit::Done)
    }

    /// A write.
    pub(crate) fn changed<T: Serialize>(&mut self, done: &Changed<T>, view: &View) -> Result<Exit> {
        self.change(done.changed, &done.resource, Vec::new(), view)
    }

    /// A write, with what is shown only once beside the resource.
    pub(crate) fn change<T: Serialize>(
        &mut self,
        changed: bool,
        resource: &T,
        extra: Vec<(&'static str, String)>,
        view: &View,
    ) -> Result<Exit> {
        let dry_run = self.global.dry_run;
        let resource = node(resource)?;
        self.show(Document::Change { changed, dry_run, resource, extra }, view)?;
        self.note(match (changed, dry_run) {
            (true, false) => "Done.",
            (false, false) => "Nothing to do: it was so already.",
            (true, true) => "Dry run: this would be so. Nothing was written.",
            (false, true) => "Dry run: there would be nothing to do.",
        });
        Ok(Exit::Done)
    }

    /// A sign of life while something takes long; on terminals only.
    pub(crate) fn spinner(&self, message: &str) -> ProgressBar {
        if self.global.quiet || !self.io.stderr_is_terminal {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::default_spinner());
        bar.set_message(message.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    }

    pub(crate) fn colour(&self, terminal: bool) -> bool {
        match self.global.color {
            Color::Always => true,
            Color::Never => false,
            // NO_COLOR counts when it is set and not empty (no-color.org).
            Color::Auto => terminal && self.io.variable("NO_COLOR").is_none(),
        }
    }
}
