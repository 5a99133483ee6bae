//! Tasks released at the same moment.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// Runs `n` tasks, all waiting at one barrier first, and returns their results in the order of their number.
///
/// A panic in a task is a panic of the caller. Use a runtime with more than one worker for a real race.
pub async fn race<T, F, Fut>(n: usize, task: F) -> Vec<T>
where
    T: Send + 'static,
    F: Fn(usize) -> Fut,
    Fut: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(n));
    let mut tasks = JoinSet::new();
    for i in 0..n {
        let (barrier, future) = (barrier.clone(), task(i));
        tasks.spawn(async move {
            barrier.wait().await;
            (i, future.await)
        });
    }
    let mut results = tasks.join_all().await;
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}
