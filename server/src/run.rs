//! The process: settings, logs, store, kit, requests, and the end.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use authkit::admin::SeedPlan;
use authkit::config::{self, Config, Environment, Secrets};
use authkit::random::SystemRandom;
use authkit::time::SystemClock;
use authkit::{AuthKit, Db, Error, ErrorKind, HttpRangeLookup, RequestMeta, Result, mail};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::Options;
use crate::settings::Settings;
use crate::{app, serve, shutdown, telemetry};

/// How long writes under way may take at the end.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the server until it is asked to end.
///
/// # Errors
/// Whatever keeps it from starting; see [`exit_code`].
pub async fn run(options: &Options) -> Result<()> {
    // Before anything that takes time, so that an early signal ends the process in good order too.
    let ending = shutdown::requested();
    // No mailer but the one that the settings name.
    let settings = config::load(options.config.as_deref(), std::env::vars_os(), false, &SystemRandom::new())?;
    telemetry::install_logs(&settings.config.server.log_level)?;
    for warning in &settings.warnings {
        tracing::warn!(event_type = "config", "{warning}");
    }
    let metrics = telemetry::install_metrics()?;
    let (config, secrets) = (settings.config, settings.secrets);

    let db = open_store(&config).await?;
    let kit = build(db, secrets, config).await?;
    let config = kit.config();
    seed(&kit).await?;
    let listener = bind(config.server.bind_addr).await?;
    announce(config, listener.local_addr().unwrap_or(config.server.bind_addr));

    let (stop, stopped) = watch::channel(false);
    let delivery = {
        let (kit, mut stopped) = (kit.clone(), stopped.clone());
        tokio::spawn(async move {
            kit.deliver(async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            })
            .await;
        })
    };
    let maintenance = {
        let (kit, mut stopped) = (kit.clone(), stopped);
        tokio::spawn(async move {
            kit.maintain(async move {
                // Ends as well when the sender is gone.
                let _ = stopped.wait_for(|stop| *stop).await;
            })
            .await;
        })
    };
    let cleanup = {
        let (kit, mut stopped) = (kit.clone(), stop.subscribe());
        tokio::spawn(async move {
            kit.clean_up(async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            })
            .await;
        })
    };
    let upkeep = tokio::spawn(telemetry::upkeep(metrics.clone()));
    let app = app(kit.clone(), Settings::new(config).with_metrics(metrics));
    serve(listener, app, ending).await;

    upkeep.abort();
    let _ = stop.send(true);
    // A batch under way is waited for by the drain; what is left is for the next run.
    cleanup.abort();
    let _ = maintenance.await;
    let _ = delivery.await;
    if tokio::time::timeout(DRAIN, kit.db().drain()).await.is_err() {
        tracing::warn!(event_type = "shutdown", "writes were still under way at the end");
    }
    kit.db().close().await;
    tracing::info!(event_type = "shutdown", "the server has ended");
    Ok(())
}

async fn open_store(config: &Config) -> Result<Db> {
    let url = &config.server.database_url;
    let db = Db::connect(url).await.map_err(|error| {
        let text = format!("DATABASE_URL {} cannot be opened: {error}", config::redact_url(url));
        Error::new(error.kind(), text).with_source(error)
    })?;
    if config.migrate_on_start() {
        let applied = db.migrate(&SystemClock::new()).await?;
        if applied > 0 {
            tracing::info!(event_type = "migration", applied, "the schema was brought up to date");
        }
    }
    // Otherwise the kit refuses a schema that is not current, and says what to do.
    Ok(db)
}

async fn build(db: Db, secrets: Secrets, config: Config) -> Result<AuthKit> {
    let lookup = config.passwords.breach_url.as_deref().map(HttpRangeLookup::new).transpose()?;
    let mailer = mail::mailer_of(&config, &secrets)?;
    let mut builder = AuthKit::builder(db, secrets).config(config);
    if let Some(mailer) = mailer {
        builder = builder.mailer(mailer);
    }
    if let Some(lookup) = lookup {
        builder = builder.breach_lookup(lookup);
    }
    builder.build().await
}

/// Makes the demo accounts that are missing. The settings allow that in development only.
async fn seed(kit: &AuthKit) -> Result<()> {
    if !kit.config().accounts.seed_demo_accounts {
        return Ok(());
    }
    let meta = RequestMeta::new().with_operator("server", Some("SEED_DEMO_ACCOUNTS".to_owned()));
    let report = kit.admin(meta).seed(&SeedPlan::demo()).await?;
    tracing::info!(event_type = "seed", "demo accounts: {} changes", report.changes);
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        Error::internal(format!("BIND_ADDR {address} cannot be listened on: {error}")).with_source(error)
    })
}

/// A log line for machines; in development, beside the log, what people may do next.
fn announce(config: &Config, address: SocketAddr) {
    let (url, prefix) = (format!("http://{address}"), &config.server.api_prefix);
    tracing::info!(event_type = "start", "listening on {url}");
    if config.env != Environment::Dev {
        return;
    }
    let json = r#"{"name": "Ada", "email": "ada@example.com", "password": "a rather long sentence"}"#;
    // Nobody reads it when stderr is gone.
    let _ = writeln!(
        std::io::stderr(),
        "authkit is listening on {url}\n  try   curl -s {url}{prefix}/auth/signup -H 'content-type: application/json' \
         -d '{json}'\n  docs  {url}/docs"
    );
}

/// The exit status that tells why it did not start (contract section 5).
pub fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Config | ErrorKind::Schema => 78,
        ErrorKind::Unavailable => 69,
        _ => 1,
    }
}
