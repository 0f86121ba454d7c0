//! What a motion's end takes from the query's memory pool.

use crate::MotionDef;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};

/// One end's memory on one QE; given back when it is freed or dropped.
///
/// A message for each route is granted before the first row moves, so that no motion waits for memory that another one has;
/// more is taken only as the pool has it.
pub(crate) struct MotionMemory {
    reservation: MemoryReservation,
    /// What stays until the end.
    reserve_bytes: usize,
}

impl MotionMemory {
    /// Takes `bytes` for the end of a motion, `receiver` or `sender`.
    ///
    /// # Errors
    /// The pool does not have them: the query fails before it moves a row.
    pub(crate) fn reserve(def: &MotionDef, end: &str, task: &TaskContext, bytes: usize) -> Result<Self> {
        let consumer = MemoryConsumer::new(format!("{} {} {end}", def.kind, def.id));
        let reservation = consumer.register(task.memory_pool());
        reservation.try_grow(bytes)?;
        Ok(MotionMemory { reservation, reserve_bytes: bytes })
    }

    /// Takes more for each of `routes`: `wanted_bytes`, or half, or a quarter, … Says what each got.
    pub(crate) fn grow_each(&mut self, routes: usize, wanted_bytes: usize) -> usize {
        let mut bytes = wanted_bytes;
        while routes > 0 && bytes > 0 {
            if self.reservation.try_grow(routes * bytes).is_ok() {
                self.reserve_bytes += routes * bytes;
                return bytes;
            }
            bytes /= 2;
        }
        0
    }

    /// Notes how much is held beyond the reserve now.
    ///
    /// # Errors
    /// It is more than before, and the pool does not have it.
    pub(crate) fn hold_more(&self, bytes: usize) -> Result<()> {
        self.reservation.try_resize(self.reserve_bytes + bytes)
    }

    /// Gives everything back.
    pub(crate) fn free(&self) {
        self.reservation.free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gang, MotionKind};
    use damson_cluster::{MapVersion, MotionId, SegmentSet};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use std::sync::Arc;

    fn def() -> MotionDef {
        let all = Gang::Segments(SegmentSet::first_of(4));
        let kind = MotionKind::RoundRobin { map: MapVersion(1) };
        MotionDef { id: MotionId(2), kind, senders: all.clone(), receivers: all }
    }

    fn task(pool_bytes: usize) -> (Arc<TaskContext>, Arc<dyn MemoryPool>) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(pool_bytes));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().unwrap();
        (Arc::new(TaskContext::default().with_runtime(runtime)), pool)
    }

    #[test]
    fn the_reserve_must_be_granted_and_more_may_be() {
        let (task, pool) = task(1000);
        let error = MotionMemory::reserve(&def(), "receiver", &task, 1001).err().unwrap().to_string();
        assert!(error.contains("Redistribute Motion m2 receiver"), "{error}");
        assert_eq!(pool.reserved(), 0);

        let mut memory = MotionMemory::reserve(&def(), "receiver", &task, 400).unwrap();
        assert_eq!(memory.grow_each(4, 300), 150, "4 x 300 is too much, 4 x 150 is not");
        assert_eq!(memory.grow_each(4, 300), 0);
        assert_eq!(pool.reserved(), 1000);
        memory.free();
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn more_than_the_reserve_is_held_as_long_as_it_is_there() {
        let (task, pool) = task(1000);
        let memory = MotionMemory::reserve(&def(), "sender", &task, 400).unwrap();
        memory.hold_more(500).unwrap();
        assert_eq!(pool.reserved(), 900);
        assert!(memory.hold_more(601).is_err());
        assert_eq!(pool.reserved(), 900);
        memory.hold_more(0).unwrap();
        assert_eq!(pool.reserved(), 400);
        drop(memory);
        assert_eq!(pool.reserved(), 0);
    }
}
