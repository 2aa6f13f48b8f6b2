//! Operations of one socket that are under way: many at a time, those of one environment in order.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::Poll;

use env_protocol::StreamKind;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, poll};

/// The environment that an operation is about.
pub(super) type Target = (StreamKind, String);

/// An operation, up to its reply.
pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Operations under way, and replies that wait for earlier ones of their environment.
pub(super) struct InFlight<T> {
    /// Those that have to wait for something: the journal, or a long computation.
    waiting: FuturesUnordered<Work<(Option<Target>, u64, T)>>,
    /// By environment, its unanswered operations in order, with the replies that are there.
    queues: HashMap<Target, VecDeque<(u64, Option<T>)>>,
    /// Replies that may be given.
    ready: VecDeque<T>,
    next_number: u64,
    unanswered: usize,
}

impl<T: Send + 'static> InFlight<T> {
    pub(super) fn new() -> Self {
        InFlight {
            waiting: FuturesUnordered::new(),
            queues: HashMap::new(),
            ready: VecDeque::new(),
            next_number: 0,
            unanswered: 0,
        }
    }

    /// Operations that have not been answered.
    pub(super) fn len(&self) -> usize {
        self.unanswered
    }

    /// Begins an operation: whatever it does before it has to wait is done now, in the order of
    /// these calls. The reply is returned if it may be given at once.
    pub(super) async fn begin(&mut self, target: Option<Target>, mut work: Work<T>) -> Option<T> {
        let number = self.next_number;
        self.next_number += 1;
        let polled = poll!(&mut work);
        let queue = target
            .as_ref()
            .and_then(|target| self.queues.get_mut(target));
        match (polled, queue) {
            (Poll::Ready(reply), None) => return Some(reply),
            (Poll::Ready(reply), Some(queue)) => queue.push_back((number, Some(reply))),
            (Poll::Pending, queue) => {
                match (queue, &target) {
                    (Some(queue), _) => queue.push_back((number, None)),
                    (None, Some(target)) => {
                        let queue = VecDeque::from([(number, None)]);
                        self.queues.insert(target.clone(), queue);
                    }
                    (None, None) => {}
                }
                let waiting = async move { (target, number, work.await) };
                self.waiting.push(Box::pin(waiting));
            }
        }
        self.unanswered += 1;
        None
    }

    /// The next reply that may be given; `None` when nothing is under way. Cancelled, it loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Option<T> {
        while self.ready.is_empty() {
            let (target, number, reply) = self.waiting.next().await?;
            self.finished(target, number, reply);
        }
        self.unanswered -= 1;
        self.ready.pop_front()
    }

    fn finished(&mut self, target: Option<Target>, number: u64, reply: T) {
        let Some(target) = target else {
            self.ready.push_back(reply);
            return;
        };
        let queue = self.queues.get_mut(&target);
        let queue = queue.expect("an operation is in the queue of its environment");
        let slot = queue.iter_mut().find(|(n, _)| *n == number);
        slot.expect("until it is answered").1 = Some(reply);
        while let Some((_, Some(_))) = queue.front() {
            self.ready
                .extend(queue.pop_front().and_then(|(_, reply)| reply));
        }
        if queue.is_empty() {
            self.queues.remove(&target);
        }
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
        let mut in_flight = InFlight::new();
        let (first, first_reply) = oneshot::channel();
        let (second, second_reply) = oneshot::channel();
        assert_eq!(in_flight.begin(target("a"), work(first_reply)).await, None);
        assert_eq!(in_flight.begin(target("a"), work(second_reply)).await, None);
        // It is done at once, but waits for those before it.
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
}
