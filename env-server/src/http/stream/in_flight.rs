//! Operations of one socket in flight: many at a time, those of one environment in order.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use env_protocol::StreamKind;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};

/// The environment that an operation is about.
pub(super) type Target = (StreamKind, String);

/// An operation, up to its reply.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Operations in flight, and replies that wait for earlier ones of their environment.
pub(super) struct InFlight<T> {
    /// Operations that wait for something: the journal, or a long computation.
    waiting: FuturesUnordered<Work<(Option<Target>, u64, T)>>,
    /// The unanswered operations of each environment.
    queues: HashMap<Target, Queue<T>>,
    /// Replies that may be sent.
    ready: VecDeque<T>,
    next_number: u64,
    unanswered: usize,
    /// Set by an operation that continues aside.
    aside: Arc<AtomicBool>,
}

/// The unanswered operations of one environment.
struct Queue<T> {
    /// In order, with the replies available.
    replies: VecDeque<(u64, Option<T>)>,
    /// The operation that continues aside: until it is answered, it is unknown whether it has been
    /// applied.
    aside: Option<u64>,
    /// Operations that have not begun because of it.
    held: VecDeque<(u64, Work<T>)>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Queue {
            replies: VecDeque::new(),
            aside: None,
            held: VecDeque::new(),
        }
    }
}

impl<T: Send + 'static> InFlight<T> {
    /// Creates an empty set. An operation sets `aside` when its work continues elsewhere.
    pub(super) fn new(aside: Arc<AtomicBool>) -> Self {
        InFlight {
            waiting: FuturesUnordered::new(),
            queues: HashMap::new(),
            ready: VecDeque::new(),
            next_number: 0,
            unanswered: 0,
            aside,
        }
    }

    /// Returns the number of unanswered operations.
    pub(super) fn len(&self) -> usize {
        self.unanswered
    }

    /// Begins an operation. Its work up to its first wait is done now, in the order of these calls,
    /// unless an earlier operation on the same environment continues aside. Returns the reply if it
    /// may be sent at once.
    pub(super) async fn begin(&mut self, target: Option<Target>, mut work: Work<T>) -> Option<T> {
        let number = self.next_number;
        self.next_number += 1;
        let queue = target
            .as_ref()
            .and_then(|target| self.queues.get_mut(target));
        if let Some(queue) = queue
            && queue.aside.is_some()
        {
            queue.replies.push_back((number, None));
            queue.held.push_back((number, work));
            self.unanswered += 1;
            return None;
        }
        self.aside.store(false, Ordering::Relaxed);
        let polled = poll!(&mut work);
        let queue = target
            .as_ref()
            .and_then(|target| self.queues.get_mut(target));
        match (polled, queue) {
            (Poll::Ready(reply), None) => return Some(reply),
            (Poll::Ready(reply), Some(queue)) => queue.replies.push_back((number, Some(reply))),
            (Poll::Pending, _) => {
                if let Some(target) = &target {
                    let queue = self.queues.entry(target.clone()).or_default();
                    queue.replies.push_back((number, None));
                    queue.aside = self.aside.load(Ordering::Relaxed).then_some(number);
                }
                self.wait(target, number, work);
            }
        }
        self.unanswered += 1;
        None
    }

    fn wait(&mut self, target: Option<Target>, number: u64, work: Work<T>) {
        let waiting = async move { (target, number, work.await) };
        self.waiting.push(Box::pin(waiting));
    }

    /// Returns the next reply that may be sent; `None` when nothing is in flight. Cancelling it
    /// loses nothing.
    pub(super) async fn next(&mut self) -> Option<T> {
        while self.ready.is_empty() {
            let (target, number, reply) = self.waiting.next().await?;
            self.finished(target, number, reply).await;
        }
        self.unanswered -= 1;
        self.ready.pop_front()
    }

    /// Records a reply, and begins operations that waited for it. It never has to wait itself.
    async fn finished(&mut self, target: Option<Target>, number: u64, reply: T) {
        let Some(target) = target else {
            self.ready.push_back(reply);
            return;
        };
        let queue = self.queues.get_mut(&target);
        let queue = queue.expect("an operation is in the queue of its environment");
        queue.answer(number, reply);
        let mut begun = Vec::new();
        if queue.aside == Some(number) {
            queue.aside = None;
            while queue.aside.is_none()
                && let Some((number, mut work)) = queue.held.pop_front()
            {
                self.aside.store(false, Ordering::Relaxed);
                match poll!(&mut work) {
                    Poll::Ready(reply) => queue.answer(number, reply),
                    Poll::Pending => {
                        queue.aside = self.aside.load(Ordering::Relaxed).then_some(number);
                        begun.push((number, work));
                    }
                }
            }
        }
        while let Some((_, Some(_))) = queue.replies.front() {
            self.ready
                .extend(queue.replies.pop_front().and_then(|(_, reply)| reply));
        }
        if queue.replies.is_empty() {
            self.queues.remove(&target);
        }
        for (number, work) in begun {
            self.wait(Some(target.clone()), number, work);
        }
    }
}

impl<T> Queue<T> {
    fn answer(&mut self, number: u64, reply: T) {
        let place = self.replies.iter_mut().find(|(n, _)| *n == number);
        place.expect("until it is answered").1 = Some(reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn target(id: &str) -> Option<Target> {
        Some((StreamKind::Env, id.to_owned()))
    }

    fn work(reply: oneshot::Receiver<u32>) -> Work<u32> {
        Box::pin(async move { reply.await.unwrap() })
    }

    #[tokio::test]
    async fn one_environment_keeps_its_order_and_others_overtake() {
        let mut in_flight = InFlight::new(Arc::default());
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        assert_eq!(in_flight.begin(target("a"), work(first_reply)).await, None);
        assert_eq!(in_flight.begin(target("a"), work(second_reply)).await, None);
        // It is done at once, but its reply waits for the earlier ones.
        let third = Box::pin(std::future::ready(3));
        assert_eq!(in_flight.begin(target("a"), third).await, None);
        let other = Box::pin(std::future::ready(10));
        assert_eq!(in_flight.begin(target("b"), other).await, Some(10));
        assert_eq!(in_flight.len(), 3);

        second.send(2).unwrap();
        let early = tokio::time::timeout(std::time::Duration::ZERO, in_flight.next()).await;
        assert!(early.is_err(), "{early:?}");
        first.send(1).unwrap();
        for expected in 1..=3 {
            assert_eq!(in_flight.next().await, Some(expected));
        }
        assert_eq!((in_flight.next().await, in_flight.len()), (None, 0));
        let next = Box::pin(std::future::ready(4));
        assert_eq!(in_flight.begin(target("a"), next).await, Some(4));
    }

    /// An operation that continues aside, as far as can be seen here.
    fn aside(note: &Arc<AtomicBool>, reply: oneshot::Receiver<u32>) -> Work<u32> {
        let note = Arc::clone(note);
        Box::pin(async move {
            note.store(true, Ordering::Relaxed);
            reply.await.unwrap()
        })
    }

    #[tokio::test]
    async fn what_follows_something_aside_begins_after_it() {
        let note = Arc::default();
        let mut in_flight = InFlight::new(Arc::clone(&note));
        let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
        let noting = |name: u32| -> Work<u32> {
            let begun = Arc::clone(&begun);
            Box::pin(async move {
                begun.lock().unwrap().push(name);
                name
            })
        };
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        assert_eq!(
            in_flight
                .begin(target("a"), aside(&note, first_reply))
                .await,
            None
        );
        assert_eq!(in_flight.begin(target("a"), noting(2)).await, None);
        assert_eq!(
            in_flight
                .begin(target("a"), aside(&note, second_reply))
                .await,
            None
        );
        assert_eq!(in_flight.begin(target("a"), noting(4)).await, None);
        assert_eq!(in_flight.begin(target("b"), noting(10)).await, Some(10));
        assert_eq!(
            (in_flight.len(), begun.lock().unwrap().clone()),
            (4, vec![10])
        );
        first.send(1).unwrap();
        assert_eq!(in_flight.next().await, Some(1));
        assert_eq!(in_flight.next().await, Some(2));
        assert_eq!(*begun.lock().unwrap(), [10, 2]);
        second.send(3).unwrap();
        assert_eq!(in_flight.next().await, Some(3));
        assert_eq!(in_flight.next().await, Some(4));
        assert_eq!((in_flight.next().await, in_flight.len()), (None, 0));
        assert_eq!(in_flight.begin(target("a"), noting(5)).await, Some(5));
    }
}
