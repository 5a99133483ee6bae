//! A cluster of three masters.

use std::time::Instant;

use super::{DEADLINE, PAUSE, RedisServer};
use crate::postgres::free_port;

/// Slots of a cluster.
const SLOTS: u32 = 16_384;

/// Three servers that share the slots of a Redis Cluster.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Three nodes, joined and ready.
    pub fn start() -> Self {
        let bus: Vec<String> = (0..3).map(|_| free_port().to_string()).collect();
        let node = |bus: &String| {
            let on = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", bus];
            RedisServer::start_with(&on)
        };
        let nodes: Vec<RedisServer> = bus.iter().map(node).collect();
        for (n, node) in nodes.iter().enumerate() {
            let count = u32::try_from(nodes.len()).expect("few");
            let n = u32::try_from(n).expect("few");
            let (first, end) = (SLOTS * n / count, SLOTS * (n + 1) / count - 1);
            node.run(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &end.to_string()]);
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for (node, bus) in nodes.iter().zip(&bus).skip(1) {
            nodes[0].run(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]);
        }
        let cluster = Self { nodes };
        let end = Instant::now() + DEADLINE;
        while !cluster.nodes.iter().all(joined) {
            assert!(Instant::now() < end, "the cluster did not form:\n{}", cluster.nodes[0].log());
            std::thread::sleep(PAUSE);
        }
        cluster
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// What `REDIS_URL` takes: all nodes.
    pub fn urls(&self) -> String {
        self.nodes.iter().map(RedisServer::url).collect::<Vec<_>>().join(",")
    }
}

fn joined(node: &RedisServer) -> bool {
    let info: String = redis::from_redis_value(node.run(&["CLUSTER", "INFO"])).expect("text");
    ["cluster_state:ok", "cluster_known_nodes:3", "cluster_size:3"].iter().all(|fact| info.contains(fact))
}
