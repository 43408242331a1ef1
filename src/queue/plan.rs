//! Who is due, and in whose hands: the runner's memory, bounded whatever waits in the store.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{ids::QueueId, store::Due};

/// How many recipients are held at most; the others wait in the store.
pub(super) const HELD_MAX: usize = 20_000;

/// Where mail goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Destination {
    /// The smarthost, which takes everything.
    Relay,
    /// A domain, in A-labels.
    Domain(String),
    /// This very house, for who had no room at first.
    Here,
}

/// Recipients of one message that go the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) queue: QueueId,
    pub(super) numbers: Vec<u32>,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    pub(super) per_destination: usize,
    pub(super) in_all: usize,
}

/// Recipients in somebody's hands, whichever plan they stand in.
type Held = Arc<Mutex<HashSet<(QueueId, u32)>>>;

/// Who is due, and in whose hands.
#[derive(Debug, Default)]
pub(super) struct Plan {
    held: Held,
    waiting: HashMap<Destination, VecDeque<Job>>,
    /// Destinations with jobs, those that were served longest ago first.
    turns: VecDeque<Destination>,
    turning: HashSet<Destination>,
    workers: HashMap<Destination, usize>,
    /// Another plan takes over who is due.
    retired: bool,
}

impl Plan {
    /// A plan of its own that takes nobody who is in a worker's hands here. Who only waits here is put
    /// back, and nobody is taken over any more: a look may be under way.
    pub(super) fn renewed(&mut self) -> Self {
        self.put_back();
        self.retired = true;
        Self { held: Arc::clone(&self.held), ..Self::default() }
    }

    /// How many recipients are held.
    pub(super) fn held(&self) -> usize {
        self.hands().len()
    }

    fn hands(&self) -> MutexGuard<'_, HashSet<(QueueId, u32)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over recipients that are due, with their destinations; those held already are passed over.
    pub(super) fn take(&mut self, due: &[(Due, Destination)]) {
        if self.retired {
            return;
        }
        for (Due { queue, number, .. }, to) in due {
            {
                let mut hands = self.hands();
                if hands.len() >= HELD_MAX || !hands.insert((*queue, *number)) {
                    continue;
                }
            }
            let jobs = self.waiting.entry(to.clone()).or_default();
            match jobs.back_mut() {
                Some(job) if job.queue == *queue => job.numbers.push(*number),
                _ => jobs.push_back(Job { queue: *queue, numbers: vec![*number] }),
            }
            if self.turning.insert(to.clone()) {
                self.turns.push_back(to.clone());
            }
        }
    }

    /// A destination that may have one more worker, which this counts, and its first job.
    pub(super) fn next_worker(&mut self, connections: Connections) -> Option<(Destination, Job)> {
        let away = self.workers.iter().filter(|(to, _)| **to != Destination::Here);
        let full = away.map(|(_, count)| count).sum::<usize>() >= connections.in_all;
        for _ in 0..self.turns.len() {
            let to = self.turns.pop_front()?;
            let at_work = self.workers.get(&to).copied().unwrap_or(0);
            let busy = match to {
                // It needs no connection, and the store does one thing after the other.
                Destination::Here => at_work > 0,
                _ => full || at_work >= connections.per_destination,
            };
            if busy {
                self.turns.push_back(to);
            } else if let Some(job) = self.next_job(&to) {
                *self.workers.entry(to.clone()).or_default() += 1;
                self.turns.push_back(to.clone());
                return Some((to, job));
            } else {
                self.turning.remove(&to);
            }
        }
        None
    }

    /// The next job of a worker.
    pub(super) fn next_job(&mut self, to: &Destination) -> Option<Job> {
        let jobs = self.waiting.get_mut(to)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.waiting.remove(to);
        }
        job
    }

    /// A worker has gone.
    pub(super) fn worker_ended(&mut self, to: &Destination) {
        if let Some(count) = self.workers.get_mut(to) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.workers.remove(to);
            }
        }
    }

    /// Forgets whoever waits for a worker; the store still knows them.
    pub(super) fn put_back(&mut self) {
        for job in std::mem::take(&mut self.waiting).into_values().flatten() {
            self.settled(&job);
        }
        self.turns.clear();
        self.turning.clear();
    }

    /// What became of these is on the disk.
    pub(super) fn settled(&mut self, job: &Job) {
        let mut hands = self.hands();
        for number in &job.numbers {
            hands.remove(&(job.queue, *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Connections = Connections { per_destination: 2, in_all: 3 };

    fn due(queue: i64, number: u32, to: Destination) -> (Due, Destination) {
        let address = "somebody@somewhere.example".to_owned();
        (Due { at: 0, queue: QueueId(queue), number, address }, to)
    }

    fn domain(name: &str) -> Destination {
        Destination::Domain(name.to_owned())
    }

    #[test]
    fn recipients_of_a_message_in_one_domain_are_one_job() {
        let mut plan = Plan::default();
        let all = [("x", 1, 0), ("y", 1, 1), ("x", 1, 2), ("x", 2, 0)];
        let all = all.map(|(name, queue, number)| due(queue, number, domain(name)));
        plan.take(&all);
        plan.take(&all);
        assert_eq!(plan.held(), 4);
        let job = Job { queue: QueueId(1), numbers: vec![0, 2] };
        assert_eq!(plan.next_job(&domain("x")), Some(job.clone()));
        assert_eq!(plan.next_job(&domain("x")).unwrap().queue, QueueId(2));
        assert_eq!(plan.next_job(&domain("x")), None);
        plan.settled(&job);
        assert_eq!(plan.held(), 2);
    }

    #[test]
    fn connections_are_limited_for_each_destination_and_in_all() {
        let mut plan = Plan::default();
        let all: Vec<_> =
            (1..=5).flat_map(|at| [due(at, 0, domain("x")), due(at, 1, domain("y"))]).collect();
        plan.take(&all);
        let mut workers: Vec<_> =
            std::iter::from_fn(|| plan.next_worker(FEW)).map(|(to, _)| to).collect();
        assert_eq!(workers.len(), 3);
        workers.sort_by_key(|to| format!("{to:?}"));
        assert_eq!(workers, [domain("x"), domain("x"), domain("y")]);
        plan.worker_ended(&domain("x"));
        assert_eq!(plan.next_worker(FEW).map(|(to, _)| to), Some(domain("y")));
    }

    #[test]
    fn another_plan_takes_who_waits_and_nobody_who_is_in_hand() {
        let mut old = Plan::default();
        let all = [1, 2, 3].map(|queue| due(queue, 0, Destination::Relay));
        old.take(&all);
        let one = Connections { per_destination: 1, in_all: 1 };
        let (relay, at_work) = old.next_worker(one).unwrap();
        let mut new = old.renewed();
        // A look was under way.
        old.take(&all);
        new.take(&all);
        assert_eq!((at_work.queue, new.held()), (QueueId(1), 3));
        assert_eq!(new.next_worker(one).map(|(_, job)| job.queue), Some(QueueId(2)));
        assert_eq!((old.next_job(&relay), new.next_worker(one)), (None, None));
        old.worker_ended(&relay);
        old.settled(&at_work);
        assert_eq!((new.held(), new.next_worker(one)), (2, None));
    }

    #[test]
    fn a_worker_is_only_made_for_a_job() {
        let mut plan = Plan::default();
        plan.take(&[due(1, 0, Destination::Relay)]);
        let job = Job { queue: QueueId(1), numbers: vec![0] };
        assert_eq!(plan.next_worker(FEW), Some((Destination::Relay, job)));
        assert_eq!(plan.next_worker(FEW), None);
        plan.worker_ended(&Destination::Relay);
        assert_eq!(plan.next_worker(FEW), None);
    }

    #[test]
    fn one_worker_serves_the_house_itself_however_many_connections_there_are() {
        let mut plan = Plan::default();
        let all = [("x", 1), ("x", 2), ("", 3), ("", 4)];
        let to = |name: &str| if name.is_empty() { Destination::Here } else { domain(name) };
        plan.take(&all.map(|(name, queue)| due(queue, 0, to(name))));
        let one = Connections { per_destination: 1, in_all: 1 };
        let workers: Vec<_> =
            std::iter::from_fn(|| plan.next_worker(one)).map(|(to, _)| to).collect();
        assert_eq!(workers, [domain("x"), Destination::Here]);
        plan.worker_ended(&Destination::Here);
        assert_eq!(plan.next_worker(one).map(|(_, job)| job.queue), Some(QueueId(4)));
    }
}
