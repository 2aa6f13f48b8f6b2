//! Memory of ended sessions, so that a late repetition does not start a new one.
//!
//! Each principal has its own share: a principal with many short sessions forgets its own, not
//! those of others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

/// The owner's name; `None` where there are no tokens.
type Name = Option<Arc<str>>;

/// All ended sessions that are remembered, by owner and by key `K`, each with `T`: how it ended.
pub struct Tombstones<K, T> {
    shares: HashMap<Name, Share<K, T>>,
    /// Entries of all queues.
    count: usize,
    /// Number of entries ever added.
    added: u64,
    max_of_one: usize,
    max_of_all: usize,
}

/// How a session ended, and how long that is remembered.
#[derive(Clone, Debug)]
pub struct Tombstone<T> {
    /// How it ended.
    pub end: T,
    /// Time until which it is remembered, of a [`Clock`](super::Clock).
    pub until_ms: u64,
}

/// The ended sessions of one owner.
struct Share<K, T> {
    tombstones: HashMap<K, (u64, Tombstone<T>)>,
    /// In order of ending, including entries that have been replaced since.
    order: VecDeque<(K, u64)>,
}

impl<K: Clone + Eq + Hash, T> Share<K, T> {
    fn new() -> Self {
        Share {
            tombstones: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Forgets the oldest entry.
    fn forget_one(&mut self) {
        if let Some((key, number)) = self.order.pop_front()
            && self.tombstones.get(&key).is_some_and(|(n, _)| *n == number)
        {
            self.tombstones.remove(&key);
        }
    }

    /// Whether the oldest entry is no longer needed at this time.
    fn is_oldest_over(&self, now_ms: u64) -> bool {
        self.order.front().is_some_and(|(key, number)| {
            let found = self.tombstones.get(key).filter(|(n, _)| n == number);
            found.is_none_or(|(_, tombstone)| tombstone.until_ms <= now_ms)
        })
    }
}

impl<K: Clone + Eq + Hash, T> Tombstones<K, T> {
    /// Remembers at most `max_of_one` sessions of a principal and `max_of_all` in all. Beyond the
    /// latter, the principal with the most forgets its oldest.
    pub fn new(max_of_one: usize, max_of_all: usize) -> Self {
        Tombstones {
            shares: HashMap::new(),
            count: 0,
            added: 0,
            max_of_one,
            max_of_all,
        }
    }

    /// Remembers an ended session.
    pub fn add(&mut self, owner: Name, key: K, tombstone: Tombstone<T>) {
        let share = self.shares.entry(owner).or_insert_with(Share::new);
        share
            .tombstones
            .insert(key.clone(), (self.added, tombstone));
        share.order.push_back((key, self.added));
        self.added += 1;
        self.count += 1;
        if share.order.len() > self.max_of_one {
            share.forget_one();
            self.count -= 1;
        } else if self.count > self.max_of_all {
            let shares = self.shares.values_mut();
            if let Some(largest) = shares.max_by_key(|share| share.order.len()) {
                largest.forget_one();
                self.count -= 1;
            }
        }
    }

    /// Returns how a session of this owner ended, if it is remembered at this time.
    pub fn find(&self, owner: Option<&Arc<str>>, key: &K, now_ms: u64) -> Option<&T> {
        let share = self.shares.get(&owner.cloned())?;
        let (_, tombstone) = share.tombstones.get(key)?;
        (tombstone.until_ms > now_ms).then_some(&tombstone.end)
    }

    /// Forgets entries whose time is over.
    pub fn forget(&mut self, now_ms: u64) {
        for share in self.shares.values_mut() {
            while share.is_oldest_over(now_ms) {
                share.forget_one();
                self.count -= 1;
            }
        }
        self.shares.retain(|_, share| !share.order.is_empty());
    }

    /// Returns the principals with entries.
    pub fn owners(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shares.keys().flatten()
    }

    /// Iterates over all entries and their owners.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &K, &Tombstone<T>)> {
        self.shares.iter().flat_map(|(owner, share)| {
            let tombstones = share.tombstones.iter();
            tombstones.map(move |(key, (_, tombstone))| (owner, key, tombstone))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_OF_ONE: usize = 1_000;
    const MAX_OF_ALL: usize = 16 * MAX_OF_ONE;

    fn new() -> Tombstones<String, ()> {
        Tombstones::new(MAX_OF_ONE, MAX_OF_ALL)
    }

    fn until(until_ms: u64) -> Tombstone<()> {
        Tombstone { end: (), until_ms }
    }

    fn is_known(tombstones: &Tombstones<String, ()>, owner: &Name, id: &str) -> bool {
        tombstones.find(owner.as_ref(), &id.to_owned(), 0).is_some()
    }

    #[test]
    fn a_principal_with_many_ended_sessions_forgets_only_its_own() {
        let mut tombstones = new();
        let owner = |name: &str| Some(Arc::from(name));
        let (alice, bob) = (owner("alice"), owner("bob"));
        tombstones.add(alice.clone(), "mine".to_owned(), until(9));
        for i in 0..=MAX_OF_ONE {
            tombstones.add(bob.clone(), i.to_string(), until(9));
        }
        assert!(is_known(&tombstones, &alice, "mine"));
        assert!(!is_known(&tombstones, &bob, "0"));
        assert!(is_known(&tombstones, &bob, "1"));
        assert!(!is_known(&tombstones, &bob, "mine") && !is_known(&tombstones, &None, "mine"));
        // The total is bounded, too.
        for other in 0..16 {
            let other = owner(&other.to_string());
            for i in 0..MAX_OF_ONE {
                tombstones.add(other.clone(), i.to_string(), until(9));
            }
        }
        assert_eq!(tombstones.iter().count(), MAX_OF_ALL);
        assert!(is_known(&tombstones, &alice, "mine"));
        tombstones.forget(9);
        assert_eq!((tombstones.iter().count(), tombstones.count), (0, 0));
        assert_eq!(tombstones.owners().count(), 0);
    }

    #[test]
    fn an_id_that_ended_twice_is_remembered_from_its_second_end_on() {
        let mut tombstones = new();
        tombstones.add(None, "e".to_owned(), until(5));
        tombstones.add(None, "e".to_owned(), until(20));
        tombstones.forget(10);
        assert!(is_known(&tombstones, &None, "e"));
        tombstones.forget(20);
        assert!(!is_known(&tombstones, &None, "e"));
    }
}
