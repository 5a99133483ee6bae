//! Hash slots: at most as many hashes at a time as there are slots, each with its own kept memory.
//!
//! The one thing this file must get right: a request that goes away, at whatever moment, must not take
//! a slot or a buffer with it. So nothing of a slot is ever in a request's future. Work goes into a
//! queue of the pool's own; a worker on Tokio's blocking threads owns the slot and its buffer, takes one
//! piece of work after the other and gives both back when the queue is empty. All that a request holds is
//! the receiving end of a channel, and dropping that is how a queued piece of work becomes abandoned.
//!
//! Between waiting and hashing a sign-in writes its reservation down. A slot that waited for that write would
//! stand idle, so what a request waits for is an [`Admission`]: one of as many again as there are slots, good for
//! any number of hashes, none of which is shed or waits for more than those admitted before it. It is a
//! number and no memory; dropped at whatever moment, it goes to the next in line.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Block;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// A pool of hash slots. Clones share it.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    slots: usize,
    capacity: usize,
    state: Mutex<State>,
    shed: AtomicU64,
}

#[derive(Default)]
struct State {
    /// Who waits for an admission.
    line: VecDeque<oneshot::Sender<Admission>>,
    /// Admissions given out.
    admitted: usize,
    /// Admitted work that waits. Not empty only while every slot is busy, or after a worker died.
    queue: VecDeque<Box<dyn Work>>,
    /// Buffers of free slots; the last one used is the first one taken, so that a quiet process
    /// touches one buffer only.
    idle: Vec<Memory>,
    busy: usize,
}

/// The working memory of one slot. Empty until the slot's first hash.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// At least `count` blocks of 1 KiB, grown once and kept from then on.
    pub(super) fn blocks(&mut self, count: usize) -> Result<&mut [Block]> {
        if let Some(missing) = count.checked_sub(self.0.len()).filter(|&missing| missing > 0) {
            self.0
                .try_reserve_exact(missing)
                .map_err(|e| Error::unavailable("not enough memory for a password hash").with_source(e))?;
            self.0.resize(count, Block::new());
        }
        self.0.get_mut(..count).ok_or_else(|| Error::internal("a hash buffer is too short"))
    }
}

/// How the slots are doing at this moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolStats {
    pub(super) slots: usize,
    pub(super) busy: usize,
    pub(super) queued: usize,
    pub(super) shed: u64,
}

impl Pool {
    /// A pool of `slots`, with room for `capacity` requests that wait.
    pub(super) fn new(slots: NonZeroUsize, capacity: usize) -> Self {
        let state = Mutex::new(State::default());
        Self(Arc::new(Shared { slots: slots.get(), capacity, state, shed: AtomicU64::new(0) }))
    }

    pub(super) fn stats(&self) -> PoolStats {
        let state = self.0.lock();
        PoolStats {
            slots: self.0.slots,
            busy: state.busy,
            queued: state.queue.iter().filter(|work| !work.abandoned()).count()
                + state.line.iter().filter(|waiter| !waiter.is_closed()).count(),
            shed: self.0.shed.load(Ordering::Relaxed),
        }
    }

    /// Runs `work` in a slot, after what was submitted earlier.
    ///
    /// The future may be dropped at any time: work that still waits is then skipped, work that runs is
    /// finished for nobody.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) at once when the queue is full, or when the runtime
    /// shuts down; [`Internal`](crate::ErrorKind::Internal) when `work` panics or outside of Tokio.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Memory) -> Result<T> + Send + 'static,
    {
        let admission = self.admit().await?;
        // The admission stays with the work: it is taken up as long as that runs, whoever is gone.
        self.start(work, Some(admission)).await
    }

    /// As [`Self::run`], for whoever was admitted before: never shed.
    ///
    /// # Errors
    /// As there, but for a full queue.
    pub(super) async fn run_admitted<T, F>(&self, _admission: &Admission, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Memory) -> Result<T> + Send + 'static,
    {
        self.start(work, None).await
    }

    /// Waits for its turn. Dropping the future gives the place in line back.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) at once when the line is full.
    pub(super) async fn admit(&self) -> Result<Admission> {
        let (turn, called) = oneshot::channel();
        // What requesters left behind holds places; it is dropped outside of the lock, which its admissions take.
        let abandoned = {
            let mut state = self.0.lock();
            if self.0.is_full(&state) { state.take_abandoned() } else { Vec::new() }
        };
        drop(abandoned);
        {
            let mut state = self.0.lock();
            if self.0.is_full(&state) {
                drop(state);
                self.0.shed.fetch_add(1, Ordering::Relaxed);
                return Err(Error::unavailable("all hash slots are busy and their queue is full"));
            }
            if state.admitted < self.0.admissions() && state.line.is_empty() {
                state.admitted += 1;
                drop(state);
                return Ok(Admission(Arc::clone(&self.0)));
            }
            state.line.push_back(turn);
        }
        called.await.map_err(|_| Error::unavailable("nobody was admitted any more: shutting down"))
    }

    async fn start<T, F>(&self, work: F, admission: Option<Admission>) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Memory) -> Result<T> + Send + 'static,
    {
        let runtime = Handle::try_current()
            .map_err(|e| Error::internal("hashing a password needs a Tokio runtime").with_source(e))?;
        let (answer, answered) = oneshot::channel();
        self.submit(&runtime, Box::new(Request { work, answer, _admission: admission }));
        answered.await.map_err(|_| Error::unavailable("the password hash was not started: shutting down"))?
    }

    fn submit(&self, runtime: &Handle, work: Box<dyn Work>) {
        let mut state = self.0.lock();
        if state.busy >= self.0.slots {
            state.queue.push_back(work);
            return;
        }
        state.busy += 1;
        let memory = state.idle.pop().unwrap_or_default();
        drop(state);
        let worker = Worker { shared: Arc::clone(&self.0), memory: Some(memory) };
        runtime.spawn_blocking(move || worker.work_off(work));
    }
}

/// The right to hash, soon and without being shed. Its drop lets the next one in.
pub(crate) struct Admission(Arc<Shared>);

impl Drop for Admission {
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            state.admitted -= 1;
            let next = loop {
                match state.line.pop_front() {
                    Some(waiter) if waiter.is_closed() => {}
                    other => break other,
                }
            };
            if next.is_some() {
                state.admitted += 1;
            }
            next
        };
        if let Some(waiter) = next {
            // Whoever left at this very moment drops what was sent, which calls the one behind him.
            drop(waiter.send(Self(Arc::clone(&self.0))));
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}

impl State {
    /// Takes out what nobody waits for any more; to be dropped outside of the lock.
    fn take_abandoned(&mut self) -> Vec<Box<dyn Work>> {
        self.line.retain(|waiter| !waiter.is_closed());
        let (gone, kept) = self.queue.drain(..).partition(|work| work.abandoned());
        self.queue = kept;
        Vec::from(gone)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

impl Shared {
    /// As many again as there are slots: while one request of a slot hashes, the next writes its reservation down.
    fn admissions(&self) -> usize {
        self.slots.saturating_mul(2).min(self.slots.saturating_add(self.capacity))
    }

    fn is_full(&self, state: &State) -> bool {
        state.admitted.saturating_add(state.line.len()) >= self.slots.saturating_add(self.capacity)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock; should it do so all the same, the counts are whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A busy slot. Its end, however it comes about, frees the slot.
struct Worker {
    shared: Arc<Shared>,
    /// `None` once the slot is given back.
    memory: Option<Memory>,
}

impl Worker {
    fn work_off(mut self, first: Box<dyn Work>) {
        let mut next = Some(first);
        while let Some(work) = next {
            if let Some(memory) = &mut self.memory
                && !work.abandoned()
            {
                work.run(memory);
            }
            next = self.next();
        }
    }

    /// The next piece of work; when there is none, the slot is given back under the same lock, so that
    /// nothing can be queued in between and stay behind.
    fn next(&mut self) -> Option<Box<dyn Work>> {
        let mut state = self.shared.lock();
        let work = state.queue.pop_front();
        if work.is_none()
            && let Some(memory) = self.memory.take()
        {
            state.idle.push(memory);
            state.busy -= 1;
        }
        work
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Only for a worker that its runtime never started: the other ways out went through `next`.
        let Some(memory) = self.memory.take() else { return };
        let mut state = self.shared.lock();
        state.idle.push(memory);
        state.busy -= 1;
        // Nobody would come for what waits; its requesters get an error instead of waiting for ever.
        let stranded = if state.busy == 0 { std::mem::take(&mut state.queue) } else { VecDeque::new() };
        drop(state);
        drop(stranded);
    }
}

trait Work: Send {
    /// Whether nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
    fn run(self: Box<Self>, memory: &mut Memory);
}

struct Request<T, F> {
    work: F,
    answer: oneshot::Sender<Result<T>>,
    _admission: Option<Admission>,
}

impl<T, F> Work for Request<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Memory) -> Result<T> + Send + 'static,
{
    fn abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(self: Box<Self>, memory: &mut Memory) {
        let Self { work, answer, _admission } = *self;
        // A buffer that a panic left half written is as good as any: every hash overwrites what it reads.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(memory)))
            .unwrap_or_else(|_| Err(Error::internal("a password hash panicked")));
        // Nobody there: the requester left while this ran.
        drop(answer.send(outcome));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, join_all};

    use super::*;
    use crate::error::ErrorKind;

    fn pool(slots: usize, capacity: usize) -> Pool {
        Pool::new(NonZeroUsize::new(slots).unwrap(), capacity)
    }

    async fn until(pool: &Pool, condition: impl Fn(PoolStats) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !condition(pool.stats()) {
                tokio::task::yield_now().await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never came true: {:?}", pool.stats()));
    }

    /// Work that sits in every slot until this is dropped.
    pub(in super::super) struct Occupied {
        _gate: mpsc::Sender<()>,
        // Work of requesters that left might be skipped.
        _requests: Vec<BoxFuture<'static, Result<()>>>,
    }

    /// Fills all the slots of an idle pool.
    pub(in super::super) fn occupy(pool: &Pool) -> Occupied {
        assert_eq!(pool.stats().busy, 0);
        let (gate, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let hold = || {
            let (pool, blocked) = (pool.clone(), Arc::clone(&blocked));
            let mut request = async move {
                let wait = move |_: &mut Memory| {
                    let _ = blocked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    Ok(())
                };
                pool.run(wait).await
            }
            .boxed();
            assert!((&mut request).now_or_never().is_none());
            request
        };
        Occupied { _requests: (0..pool.stats().slots).map(|_| hold()).collect(), _gate: gate }
    }

    #[tokio::test]
    async fn queued_work_of_requesters_that_left_is_skipped_and_no_slot_is_lost() {
        let pool = pool(2, 128);
        let gate = occupy(&pool);
        let ran = Arc::new(AtomicU64::new(0));
        let mut requests: Vec<_> = (0..62)
            .map(|_| {
                let (pool, ran) = (pool.clone(), Arc::clone(&ran));
                Box::pin(async move { pool.run(move |_| Ok(ran.fetch_add(1, Ordering::SeqCst))).await })
            })
            .collect();
        for request in &mut requests {
            assert!(request.now_or_never().is_none());
        }
        assert_eq!((pool.stats().busy, pool.stats().queued), (2, 62));
        drop(requests);
        assert_eq!(pool.stats().queued, 0, "the places are free at once");
        drop(gate);
        until(&pool, |stats| stats.busy == 0).await;
        assert_eq!(ran.load(Ordering::SeqCst), 0, "work without a requester was run");
        assert_eq!(pool.run(|_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn running_work_ends_although_its_requester_left() {
        let pool = pool(1, 0);
        let (begun, started) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let (gate, blocked) = mpsc::channel::<()>();
        let mut request = Box::pin(pool.run(move |_| {
            let _ = begun.send(());
            let _ = blocked.recv();
            let _ = done.send("ended");
            Ok(())
        }));
        assert!((&mut request).now_or_never().is_none());
        started.await.unwrap();
        drop(request);
        assert_eq!(pool.stats().busy, 1, "the slot belongs to the work, not to the requester");
        drop(gate);
        assert_eq!(ended.await, Ok("ended"));
        until(&pool, |stats| stats.busy == 0).await;
    }

    #[tokio::test]
    async fn a_full_queue_sheds_at_once_and_counts() {
        let pool = pool(2, 3);
        let gate = occupy(&pool);
        let mut waiting: Vec<_> = (0..3).map(|n| Box::pin(pool.run(move |_| Ok(n)))).collect();
        for request in &mut waiting {
            assert!(request.now_or_never().is_none());
        }
        let refused = pool.run(|_| Ok(9)).now_or_never().expect("refused without waiting").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
        assert_eq!((pool.stats().shed, pool.stats().queued), (1, 3));
        // A requester that leaves makes room for the next.
        drop(waiting.pop());
        let mut late = Box::pin(pool.run(|_| Ok(3)));
        assert!((&mut late).now_or_never().is_none());
        drop(gate);
        assert_eq!(late.await.unwrap(), 3);
        for (n, answer) in join_all(waiting).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), n);
        }
        assert_eq!(pool.stats().shed, 1);
    }

    #[tokio::test]
    async fn a_panic_keeps_the_slot() {
        let pool = pool(1, 8);
        for _ in 0..3 {
            let error = pool.run(|_| -> Result<()> { panic!("on purpose") }).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
        }
        assert_eq!(pool.run(|_| Ok(1)).await.unwrap(), 1);
        until(&pool, |stats| stats.busy == 0).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn never_more_work_at_a_time_than_slots() {
        let pool = pool(2, 1000);
        let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let runs = (0..200).map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            pool.run(move |_| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        });
        assert!(join_all(runs).await.into_iter().all(|run| run.is_ok()));
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn buffers_are_kept_and_never_outnumber_the_slots() {
        let pool = pool(2, 100);
        for _ in 0..5 {
            let runs = (0..20).map(|_| pool.run(|memory| Ok(memory.blocks(64)?.len())));
            assert!(join_all(runs).await.into_iter().all(|len| len.unwrap() == 64));
            until(&pool, |stats| stats.busy == 0).await;
            let state = pool.0.lock();
            assert!(state.idle.len() <= 2);
            assert!(state.idle.iter().all(|memory| memory.0.len() <= 64 && memory.0.capacity() <= 64));
            assert!(state.idle.iter().any(|memory| memory.0.len() == 64), "the buffer was not kept");
        }
    }

    #[test]
    fn a_runtime_that_never_starts_the_work_loses_no_slot() {
        let pool = pool(1, 8);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let error = pool.run(|_| Ok(())).now_or_never().expect("answered at once").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(pool.stats().busy, 0);
    }
}
