//! What was found out before, within bounds: two generations in each shard, so that what is asked for again lives on and
//! what is not goes with the older one.
//!
//! Entries lie under a keyed hash and are compared whole, so nobody can have another one's.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use parking_lot::Mutex;

/// So that threads seldom wait for one another.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(super) struct Cache<K, V> {
    hasher: RandomState,
    shards: [Mutex<Shard<K, V>>; SHARDS],
    /// Entries of a shard's younger generation.
    generation: usize,
}

#[derive(Debug)]
struct Shard<K, V> {
    young: HashMap<u64, (K, V)>,
    old: HashMap<u64, (K, V)>,
}

impl<K, V> Default for Shard<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K, V: Clone> Cache<K, V> {
    /// A cache of at most so many entries, or a few more.
    pub(super) fn new(most: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            generation: most.div_ceil(2 * SHARDS),
        }
    }

    /// The place of something, by which it is found and kept. `asked` must be the same for the same key.
    pub(super) fn place(&self, asked: impl Hash) -> u64 {
        self.hasher.hash_one(asked)
    }

    pub(super) fn find(&self, place: u64, is_it: impl Fn(&K) -> bool) -> Option<V> {
        let mut shard = self.shard(place)?.lock();
        if let Some((key, value)) = shard.young.get(&place) {
            return is_it(key).then(|| value.clone());
        }
        let (key, value) = shard.old.remove(&place)?;
        let found = is_it(&key).then(|| value.clone());
        shard.put(place, (key, value), self.generation);
        found
    }

    pub(super) fn keep(&self, place: u64, key: K, value: V) {
        if let Some(shard) = self.shard(place) {
            shard.lock().put(place, (key, value), self.generation);
        }
    }

    fn shard(&self, place: u64) -> Option<&Mutex<Shard<K, V>>> {
        // Other bits than those by which the map of the shard is ordered.
        self.shards.get(usize::try_from(place >> 60).ok()?)
    }
}

impl<K, V> Shard<K, V> {
    fn put(&mut self, place: u64, entry: (K, V), most: usize) {
        if self.young.len() >= most && !self.young.contains_key(&place) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_again_stays_and_the_rest_goes() {
        let cache = Cache::new(64);
        let find = |key: u32| cache.find(cache.place(key), |kept| *kept == key);
        cache.keep(cache.place(0), 0, 0);
        for key in 1..10_000 {
            assert_eq!(find(0), Some(0), "after {key}");
            cache.keep(cache.place(key), key, key);
        }
        let kept = (0..10_000).filter(|key| find(*key).is_some()).count();
        assert!((1..=96).contains(&kept), "{kept}");
    }

    #[test]
    fn another_one_under_the_same_hash_is_not_taken() {
        let cache = Cache::new(64);
        cache.keep(7, "mine", 1);
        assert_eq!(cache.find(7, |key| *key == "yours"), None);
        assert_eq!(cache.find(7, |key| *key == "mine"), Some(1));
    }
}
