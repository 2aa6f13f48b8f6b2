//! Memory of ended sessions, so that a late repetition does not start a new one.
//!
//! Each principal has its own share: a principal with many short sessions forgets its own, not
//! those of others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::creation::Kind;
use super::keeper::Written;
use super::records::End;

/// Most ended sessions remembered per principal: as many as there may be environments by default.
/// Each takes about 200 bytes.
const MAX_OF_ONE: usize = 16_384;

/// Most ended sessions remembered in all. Beyond that, the principal with the most forgets its
/// oldest.
const MAX_OF_ALL: usize = 16 * MAX_OF_ONE;

/// The session's owner; `None` if the server had no tokens.
type Owner = Option<Arc<str>>;

type Key = (Kind, String);

/// How a session ended.
pub(super) struct Grave {
    pub(super) end: End,
    /// Time until which it is remembered.
    pub(super) until_ms: u64,
    /// Position of the end in the journal.
    pub(super) written: Written,
}

/// All ended sessions that are remembered.
#[derive(Default)]
pub(super) struct Graves {
    shares: HashMap<Owner, Share>,
    /// Entries of all queues.
    count: usize,
    /// Number of entries ever added.
    buried: u64,
}

/// The ended sessions of one owner.
#[derive(Default)]
struct Share {
    graves: HashMap<Key, (u64, Grave)>,
    /// In order of ending, including entries that have been replaced since.
    order: VecDeque<(Key, u64)>,
}

impl Share {
    /// Forgets the oldest entry.
    fn forget_one(&mut self) {
        if let Some((key, number)) = self.order.pop_front()
            && self.graves.get(&key).is_some_and(|(n, _)| *n == number)
        {
            self.graves.remove(&key);
        }
    }

    /// Whether the oldest entry is no longer needed at this time.
    fn is_oldest_over(&self, now_ms: u64) -> bool {
        self.order.front().is_some_and(|(key, number)| {
            let grave = self.graves.get(key).filter(|(n, _)| n == number);
            grave.is_none_or(|(_, grave)| grave.until_ms <= now_ms)
        })
    }
}

impl Graves {
    /// Remembers an ended session.
    pub(super) fn bury(&mut self, owner: Owner, kind: Kind, id: &str, grave: Grave) {
        let share = self.shares.entry(owner).or_default();
        let key = (kind, id.to_owned());
        share.graves.insert(key.clone(), (self.buried, grave));
        share.order.push_back((key, self.buried));
        self.buried += 1;
        self.count += 1;
        if share.order.len() > MAX_OF_ONE {
            share.forget_one();
            self.count -= 1;
        } else if self.count > MAX_OF_ALL {
            let shares = self.shares.values_mut();
            if let Some(largest) = shares.max_by_key(|share| share.order.len()) {
                largest.forget_one();
                self.count -= 1;
            }
        }
    }

    /// Returns how a session of this owner ended, if it is remembered.
    pub(super) fn find(
        &self,
        owner: Option<&Arc<str>>,
        kind: Kind,
        id: &str,
        now_ms: u64,
    ) -> Option<&Grave> {
        let share = self.shares.get(&owner.cloned())?;
        let (_, grave) = share.graves.get(&(kind, id.to_owned()))?;
        (grave.until_ms > now_ms).then_some(grave)
    }

    /// Forgets entries whose time is over.
    pub(super) fn forget(&mut self, now_ms: u64) {
        for share in self.shares.values_mut() {
            while share.is_oldest_over(now_ms) {
                share.forget_one();
                self.count -= 1;
            }
        }
        self.shares.retain(|_, share| !share.order.is_empty());
    }

    /// Returns the principals with entries.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shares.keys().flatten()
    }

    /// Iterates over all entries and their owners.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Owner, Kind, &str, &Grave)> {
        self.shares.iter().flat_map(|(owner, share)| {
            let graves = share.graves.iter();
            graves.map(move |((kind, id), (_, grave))| (owner, *kind, id.as_str(), grave))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grave(until_ms: u64) -> Grave {
        Grave {
            end: End::Closed,
            until_ms,
            written: Written::default(),
        }
    }

    fn is_known(graves: &Graves, owner: &Owner, id: &str) -> bool {
        graves.find(owner.as_ref(), Kind::Single, id, 0).is_some()
    }

    #[test]
    fn whoever_comes_and_goes_much_forgets_its_own_only() {
        let mut graves = Graves::default();
        let owner = |name: &str| Some(Arc::from(name));
        let (alice, bob) = (owner("alice"), owner("bob"));
        graves.bury(alice.clone(), Kind::Single, "mine", grave(9));
        for i in 0..=MAX_OF_ONE {
            graves.bury(bob.clone(), Kind::Single, &i.to_string(), grave(9));
        }
        assert!(is_known(&graves, &alice, "mine"));
        assert!(!is_known(&graves, &bob, "0"));
        assert!(is_known(&graves, &bob, "1"));
        assert!(!is_known(&graves, &bob, "mine") && !is_known(&graves, &None, "mine"));
        // The total is bounded, too.
        for other in 0..16 {
            let other = owner(&other.to_string());
            for i in 0..MAX_OF_ONE {
                graves.bury(other.clone(), Kind::Single, &i.to_string(), grave(9));
            }
        }
        assert_eq!(graves.iter().count(), MAX_OF_ALL);
        assert!(is_known(&graves, &alice, "mine"));
        graves.forget(9);
        assert_eq!((graves.iter().count(), graves.count), (0, 0));
        assert_eq!(graves.owners().count(), 0);
    }

    #[test]
    fn an_id_that_ended_twice_is_remembered_from_its_second_end_on() {
        let mut graves = Graves::default();
        graves.bury(None, Kind::Single, "e", grave(5));
        graves.bury(None, Kind::Single, "e", grave(20));
        graves.forget(10);
        assert!(is_known(&graves, &None, "e"));
        graves.forget(20);
        assert!(!is_known(&graves, &None, "e"));
    }
}
