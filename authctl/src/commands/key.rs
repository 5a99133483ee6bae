//! `authctl key`.

use authkit::KeyPurpose;
use serde::Serialize;

use crate::app::App;
use crate::cli::{Format, KeyCommand};
use crate::errors::{CliError, Code, Result, Subject, about};
use crate::exit::Exit;
use crate::output::views::{KEY, REENCRYPTED};

pub(crate) async fn run(app: &mut App, command: &KeyCommand) -> Result<Exit> {
    match command {
        KeyCommand::List => {
            let kit = app.kit(false).await?;
            let mut keys = kit.keys();
            keys.sort_by_key(|key| (key.purpose.name(), key.created_at));
            app.list(&keys, None, &KEY)
        }
        KeyCommand::Rotate { purpose } => rotate(app, *purpose).await,
        KeyCommand::Reencrypt { batch } => reencrypt(app, *batch).await,
        KeyCommand::Jwks => {
            let kit = app.kit(false).await?;
            app.global.output.get_or_insert(Format::Json);
            app.one(&kit.jwks(), &KEY)
        }
    }
}

async fn rotate(app: &mut App, purpose: KeyPurpose) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let made = app.admin(&kit).rotate_key(purpose).await.map_err(about(Subject::Key))?;
    app.change(true, &made, Vec::new(), &KEY)
}

/// How much there was, over all batches.
#[derive(Debug, Default, Serialize)]
struct Reencrypted {
    looked_at: u64,
    resealed: u64,
    unreadable: u64,
}

/// A batch a transaction: whoever cuts it off loses nothing, and whoever runs it again skips what is done.
async fn reencrypt(app: &mut App, batch: u32) -> Result<Exit> {
    let kit = app.kit(true).await?;
    let admin = app.admin(&kit);
    let bar = app.spinner("Sealing anew");
    let (mut sum, mut next) = (Reencrypted::default(), None);
    let end = loop {
        match admin.reencrypt(next, batch).await {
            Err(error) => break Err(error),
            Ok(done) => {
                sum.looked_at += done.looked_at;
                sum.resealed += done.resealed;
                sum.unreadable += done.unreadable;
                bar.set_message(format!("Sealing anew: {} of {} looked at", sum.resealed, sum.looked_at));
                next = done.next;
                if next.is_none() {
                    break Ok(());
                }
            }
        }
    };
    bar.finish_and_clear();
    match end {
        Err(error) if sum.resealed > 0 && !app.global.dry_run => {
            let what = format!("the store failed after {} seal(s) were made anew: {error}", sum.resealed);
            return Err(CliError::new(Code::ReencryptPartly, what).into());
        }
        out => out.map_err(about(Subject::Key))?,
    }
    app.change(sum.resealed > 0, &sum, Vec::new(), &REENCRYPTED)?;
    if sum.unreadable > 0 {
        let what = format!("{} of {} seal(s) open with none of the keys", sum.unreadable, sum.looked_at);
        return Err(CliError::new(Code::ReencryptUnreadable, what).into());
    }
    Ok(Exit::Done)
}
