//! The connection: made when it is first wanted, in a task of its own, so that nobody waits for a Redis that is slow
//! to connect; made anew after it failed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, join_all};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisResult, Value, cmd};

use crate::error::{Error, Result};

/// How long connecting may take. Requests do not wait for it longer than for an answer.
const CONNECT: Duration = Duration::from_secs(2);
/// Hops after a key that has moved to another node.
const HOPS: u32 = 3;

/// A connection that all requests share: what they send at the same time travels together.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends commands in one round trip: one pipeline to a server, or side by side to the nodes of a cluster.
    pub(super) async fn send(&mut self, commands: Vec<Cmd>) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Single(connection) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.ignore_errors();
                pipeline.query_async(connection).await
            }
            Self::Cluster(connection) => {
                let one = |command: Cmd| {
                    let mut connection = connection.clone();
                    async move { command.query_async(&mut connection).await }
                };
                Ok(join_all(commands.into_iter().map(one)).await)
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single(_) => "Single",
            Self::Cluster(_) => "Cluster",
        })
    }
}

/// The connection that is there or under way; a failure is told to all who wait for it.
type Pending = Shared<BoxFuture<'static, std::result::Result<Connection, Arc<str>>>>;

/// Where to connect, and what came of it.
pub(super) struct Connector {
    target: Target,
    pending: Mutex<Option<Pending>>,
}

#[derive(Clone)]
enum Target {
    /// A server, or any node of a cluster: it says which.
    One(Box<(Client, ClusterClient)>),
    /// Nodes of a cluster.
    Nodes(Box<ClusterClient>),
}

impl Connector {
    /// Looks at the addresses; connects to nothing.
    pub(super) fn new(urls: &[String], timeout: Duration) -> Result<Self> {
        // The text of the error may repeat the address, which may hold a password.
        let bad = |_| Error::config("REDIS_URL holds what is no address of a Redis server");
        let cluster = ClusterClient::builder(urls.to_vec())
            .connection_timeout(CONNECT)
            .response_timeout(timeout)
            .retries(HOPS)
            .min_retry_wait(1)
            .max_retry_wait(20)
            .build()
            .map_err(bad)?;
        let target = match urls {
            [url] => Target::One(Box::new((Client::open(url.as_str()).map_err(bad)?, cluster))),
            _ => Target::Nodes(Box::new(cluster)),
        };
        Ok(Self { target, pending: Mutex::new(None) })
    }

    /// The connection, made when there is none.
    pub(super) async fn get(&self) -> std::result::Result<Connection, Arc<str>> {
        let pending = {
            let mut held = self.lock();
            held.get_or_insert_with(|| start(self.target.clone())).clone()
        };
        pending.await
    }

    /// Forgets a connection that failed, or that could not be made. One under way goes on.
    pub(super) fn forget(&self) {
        let mut held = self.lock();
        if held.as_ref().is_some_and(|pending| pending.peek().is_some()) {
            *held = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

fn start(target: Target) -> Pending {
    let task = tokio::spawn(tokio::time::timeout(CONNECT, connect(target)));
    async move {
        match task.await {
            Ok(Ok(connected)) => connected.map_err(|error| error.to_string().into()),
            Ok(Err(_)) => Err("no connection within 2 s".into()),
            Err(error) => Err(error.to_string().into()),
        }
    }
    .boxed()
    .shared()
}

async fn connect(target: Target) -> RedisResult<Connection> {
    let cluster = match target {
        Target::Nodes(cluster) => *cluster,
        Target::One(clients) => {
            let (client, cluster) = *clients;
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(CONNECT));
            let mut one = client.get_multiplexed_async_connection_with_config(&config).await?;
            // A server that may not be asked counts as single.
            let info: RedisResult<String> = cmd("INFO").arg("cluster").query_async(&mut one).await;
            if !info.is_ok_and(|info| info.contains("cluster_enabled:1")) {
                return Ok(Connection::Single(one));
            }
            cluster
        }
    };
    Ok(Connection::Cluster(cluster.get_async_connection().await?))
}
