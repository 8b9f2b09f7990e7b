//! The automaton of two records: an operation that goes PENDING → PROCESSING → PROCESSED beside a
//! balance with its set of unfinished operations, and nothing but compare-and-set.
//!
//! | operation | not in the set | in the set |
//! |---|---|---|
//! | PENDING | add: the set gains it | start: PROCESSING |
//! | PROCESSING | finish: PROCESSED | apply: the amount counts, the set loses it |
//! | PROCESSED | stop | stop |
//!
//! Steelyard does not work this way. The model says why, and what would have to be added: no one
//! order of the two reads serves both adding (which needs the balance first) and finishing (which
//! needs it last).

use crate::explore::{Model, Steps, breaks, sound};

const OPERATIONS_MAX: usize = 2;
const WORKERS_MAX: usize = 3;
const LATE_MAX: usize = 2;

const ONCE: &str = "an amount counts once";
const NOT_LOST: &str = "what is processed counts";

/// How a worker reads, and what it holds against its write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    BalanceFirst,
    OperationFirst,
    /// Balance, operation, balance again: both of one version.
    DoubleCollect,
    /// Only before finishing the balance is read again: unchanged.
    RecheckUnchanged,
    /// Only before finishing the balance is read again: still not in the set.
    RecheckOutside,
    /// Starting notes the balance's version; finishing needs a greater one.
    Fence,
    /// One write applies the amount and marks it as done; the mark goes after PROCESSED.
    Mark,
    MarkOperationFirst,
}

use Variant::{
    BalanceFirst, DoubleCollect, Fence, Mark, MarkOperationFirst, OperationFirst, RecheckOutside,
    RecheckUnchanged,
};

const REPAIRED: [Variant; 5] = [DoubleCollect, RecheckUnchanged, RecheckOutside, Fence, Mark];

impl Variant {
    fn operation_first(self) -> bool {
        matches!(self, OperationFirst | MarkOperationFirst)
    }

    fn marks(self) -> bool {
        matches!(self, Mark | MarkOperationFirst)
    }

    fn reads_again(self, write: Write) -> bool {
        match self {
            DoubleCollect => true,
            RecheckUnchanged | RecheckOutside => write == Write::Finish,
            BalanceFirst | OperationFirst | Fence | Mark | MarkOperationFirst => false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Balance {
    version: u8,
    amount: i8,
    /// Bits of operations: unfinished, or marked as done.
    set: u8,
    /// How often each operation counts in the amount: what the rules speak of, unknown to workers.
    counted: [u8; OPERATIONS_MAX],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Status {
    #[default]
    Pending,
    Processing,
    Processed,
}

use Status::{Pending, Processed, Processing};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Operation {
    status: Status,
    /// The balance's version that starting saw.
    fence: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Add,
    Start,
    Apply,
    Finish,
    ApplyAndMark,
    DropMark,
    Stop,
}

/// What a worker knows, and how far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Worker {
    /// Reads so far; none when idle.
    reads: u8,
    on: u8,
    balance: Balance,
    operation: Operation,
    /// Operations it knows to need nothing any more.
    finished: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    balance: Balance,
    operations: [Operation; OPERATIONS_MAX],
    workers: [Worker; WORKERS_MAX],
    /// Writes that outlive their workers.
    late: [Option<Worker>; LATE_MAX],
    crashes: u8,
    stale: u8,
    dump: Option<Balance>,
    dumps: u8,
}

#[derive(Clone, Copy, Debug)]
struct Automaton {
    variant: Variant,
    workers: usize,
    amounts: &'static [i8],
    crashes: u8,
    /// Writes of crashed workers that arrive later.
    late: usize,
    /// Reads of the operation that show an earlier state.
    stale: u8,
    /// How often the balance goes back to what it was.
    dumps: u8,
    /// Whether compare-and-set compares the contents instead of a version.
    by_value: bool,
}

impl Automaton {
    fn new(variant: Variant, workers: usize, amounts: &'static [i8]) -> Self {
        let (crashes, late, stale, dumps, by_value) = (0, 0, 0, 0, false);
        Self {
            variant,
            workers,
            amounts,
            crashes,
            late,
            stale,
            dumps,
            by_value,
        }
    }

    /// What a worker does about what it has read.
    fn decide(&self, worker: &Worker) -> Write {
        let inside = worker.balance.set >> worker.on & 1 == 1;
        match (worker.operation.status, inside) {
            (Pending, false) if self.variant.marks() => Write::ApplyAndMark,
            (Pending, true) if self.variant.marks() => Write::Finish,
            (Processed, true) if self.variant.marks() => Write::DropMark,
            (Pending, false) => Write::Add,
            (Pending, true) => Write::Start,
            (Processing, true) => Write::Apply,
            (Processing, false) => Write::Finish,
            (Processed, _) => Write::Stop,
        }
    }

    fn reads(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let worker = state.workers[at];
        let second = u8::from(self.variant.operation_first());
        for on in 0..self.amounts.len() {
            let chosen = if worker.reads == 0 {
                on
            } else {
                worker.on.into()
            };
            if chosen != on || worker.finished >> on & 1 == 1 {
                continue;
            }
            let mut next = worker;
            (next.reads, next.on) = (worker.reads + 1, u8::try_from(on).unwrap());
            if worker.reads == second {
                next.balance = state.balance;
                steps.add(("worker", at), "reads the balance", with(state, at, next));
                continue;
            }
            next.operation = state.operations[on];
            steps.add(("worker", at), "reads the operation", with(state, at, next));
            for status in [Pending, Processing] {
                if state.stale > 0 && status < state.operations[on].status {
                    next.operation.status = status;
                    let mut after = with(state, at, next);
                    after.stale -= 1;
                    steps.add(("worker", at), "reads the operation as it was", after);
                }
            }
        }
    }

    fn reads_again(&self, at: usize, state: &State, write: Write, steps: &mut Steps<State>) {
        let mut next = state.workers[at];
        let inside = state.balance.set >> next.on & 1 == 1;
        let holds = match self.variant == RecheckOutside {
            true => write != Write::Finish || !inside,
            false => state.balance == next.balance,
        };
        next.reads = if holds { 3 } else { 0 };
        steps.add(
            ("worker", at),
            "reads the balance again",
            with(state, at, forget(next)),
        );
    }

    /// A write arrives: it counts if what it pins is still what its worker read.
    fn write(&self, state: &mut State, worker: &Worker, write: Write) {
        let (on, bit) = (usize::from(worker.on), 1 << worker.on);
        let pinned = match write {
            Write::Add | Write::Apply | Write::ApplyAndMark | Write::DropMark => {
                match self.by_value {
                    true => {
                        let (ours, theirs) = (&worker.balance, &state.balance);
                        (ours.amount, ours.set) == (theirs.amount, theirs.set)
                    }
                    false => worker.balance.version == state.balance.version,
                }
            }
            Write::Start | Write::Finish | Write::Stop => {
                worker.operation.status == state.operations[on].status
            }
        };
        if !pinned {
            return;
        }
        let balance = &mut state.balance;
        match write {
            Write::Add => balance.set |= bit,
            Write::Apply | Write::ApplyAndMark => {
                balance.set ^= bit;
                balance.amount += self.amounts[on];
                balance.counted[on] += 1;
            }
            Write::DropMark => balance.set &= !bit,
            Write::Start => {
                let fence = if self.variant == Fence {
                    worker.balance.version
                } else {
                    0
                };
                state.operations[on] = Operation {
                    status: Processing,
                    fence,
                };
                return;
            }
            Write::Finish => {
                state.operations[on].status = Processed;
                return;
            }
            Write::Stop => return,
        }
        balance.version += 1;
    }

    fn acts(&self, at: usize, state: &State, steps: &mut Steps<State>) {
        let worker = state.workers[at];
        let write = self.decide(&worker);
        let fenced = self.variant == Fence
            && write == Write::Finish
            && worker.balance.version <= worker.operation.fence;
        let mut idle = Worker {
            finished: worker.finished,
            ..Worker::default()
        };
        if fenced {
            steps.add(
                ("worker", at),
                "finds the balance too old",
                with(state, at, idle),
            );
            return;
        }
        idle.finished |= u8::from(write == Write::Stop) << worker.on;
        let mut after = with(state, at, idle);
        self.write(&mut after, &worker, write);
        steps.add(("worker", at), name(write), after);
        let free = state.late[..self.late].iter().position(Option::is_none);
        if let Some(free) = free.filter(|_| state.crashes > 0 && write != Write::Stop) {
            let mut after = with(state, at, Worker::default());
            after.late[free] = Some(worker);
            after.crashes -= 1;
            steps.add(("worker", at), "sends its write and crashes", after);
        }
    }

    fn faults(&self, state: &State, steps: &mut Steps<State>) {
        for (at, worker) in state.workers[..self.workers].iter().enumerate() {
            if state.crashes > 0 && worker.reads > 0 {
                let mut after = with(state, at, Worker::default());
                after.crashes -= 1;
                steps.add(("worker", at), "crashes", after);
            }
        }
        for (at, late) in state.late.iter().enumerate() {
            if let Some(worker) = late {
                let mut after = state.clone();
                after.late[at] = None;
                steps.add(("write", at), "is lost", after.clone());
                let write = self.decide(worker);
                self.write(&mut after, worker, write);
                steps.add(("write", at), "arrives late", after);
            }
        }
        if state.dumps > 0 {
            let mut after = state.clone();
            match state.dump {
                None => after.dump = Some(state.balance),
                Some(dump) => (after.balance, after.dump, after.dumps) = (dump, None, 0),
            }
            let what = state.dump.map_or("is copied", |_| "goes back to the copy");
            steps.add(("balance", 0), what, after);
        }
    }
}

fn with(state: &State, at: usize, worker: Worker) -> State {
    let mut after = state.clone();
    after.workers[at] = worker;
    after
}

/// An idle worker knows nothing but what is finished.
fn forget(worker: Worker) -> Worker {
    match worker.reads {
        0 => Worker {
            finished: worker.finished,
            ..Worker::default()
        },
        _ => worker,
    }
}

fn name(write: Write) -> &'static str {
    match write {
        Write::Add => "adds to the set",
        Write::Start => "starts",
        Write::Apply => "applies",
        Write::Finish => "finishes",
        Write::ApplyAndMark => "applies and marks",
        Write::DropMark => "drops the mark",
        Write::Stop => "stops",
    }
}

impl Model for Automaton {
    type State = State;

    fn initial(&self) -> State {
        State {
            balance: Balance::default(),
            operations: Default::default(),
            workers: Default::default(),
            late: Default::default(),
            crashes: self.crashes,
            stale: self.stale,
            dump: None,
            dumps: self.dumps,
        }
    }

    fn steps(&self, state: &State, steps: &mut Steps<State>) {
        for at in 0..self.workers {
            let worker = &state.workers[at];
            let write = self.decide(worker);
            match worker.reads {
                0 | 1 => self.reads(at, state, steps),
                2 if self.variant.reads_again(write) => self.reads_again(at, state, write, steps),
                _ => self.acts(at, state, steps),
            }
        }
        self.faults(state, steps);
    }

    fn broken(&self, state: &State) -> Option<&'static str> {
        let counted = &state.balance.counted;
        let processed = |at: &usize| state.operations[*at].status == Processed;
        let lost = |at: usize| {
            counted[at] == 0 || !self.variant.marks() && state.balance.set >> at & 1 == 1
        };
        if counted.iter().any(|counted| *counted > 1) {
            Some(ONCE)
        } else {
            (0..self.amounts.len())
                .filter(processed)
                .any(lost)
                .then_some(NOT_LOST)
        }
    }

    fn done(&self, state: &State) -> bool {
        let operations = &state.operations[..self.amounts.len()];
        operations
            .iter()
            .all(|operation| operation.status == Processed)
            && state.balance.set == 0
    }

    fn canonical(&self, mut state: State) -> State {
        state.workers[..self.workers].sort_unstable();
        state.late.sort_unstable();
        state
    }
}

#[test]
fn as_commonly_written_it_loses_an_operation_with_two_workers_and_no_crash() {
    let model = Automaton::new(BalanceFirst, 2, &[1]);
    assert_eq!(
        breaks("automaton, balance first, 2 workers", NOT_LOST, &model),
        9
    );
}

#[test]
fn with_its_reads_swapped_it_applies_twice() {
    let model = Automaton::new(OperationFirst, 2, &[1]);
    assert_eq!(
        breaks("automaton, operation first, 2 workers", ONCE, &model),
        15
    );
}

#[test]
fn apply_and_mark_applies_twice_with_its_reads_swapped() {
    let model = Automaton::new(MarkOperationFirst, 2, &[1]);
    assert_eq!(
        breaks("apply-and-mark, operation first, 2 workers", ONCE, &model),
        12
    );
}

#[test]
fn one_worker_is_safe_in_every_order() {
    let broken = [BalanceFirst, OperationFirst, MarkOperationFirst];
    for variant in broken.into_iter().chain(REPAIRED) {
        let model = Automaton {
            crashes: 2,
            late: 2,
            ..Automaton::new(variant, 1, &[1, 1])
        };
        if variant.operation_first() {
            // A late write makes a second worker of the one that crashed.
            let model = Automaton { late: 0, ..model };
            sound(
                &format!("{variant:?}, 1 worker, 2 operations, 2 crashes"),
                &model,
            );
        } else {
            sound(
                &format!("{variant:?}, 1 worker, 2 operations, 2 crashes, late writes"),
                &model,
            );
        }
    }
}

#[test]
fn every_repair_is_safe_and_lock_free() {
    for variant in REPAIRED {
        let three = Automaton {
            crashes: 2,
            late: 2,
            ..Automaton::new(variant, 3, &[1])
        };
        let scope = "3 workers, 1 operation, 2 crashes, late writes";
        assert!(
            sound(&format!("{variant:?}, {scope}"), &three).ends,
            "{variant:?}"
        );
        let two = Automaton {
            crashes: 1,
            late: 1,
            ..Automaton::new(variant, 2, &[1, -1])
        };
        let scope = "2 workers, 2 operations, 1 crash, late writes";
        assert!(
            sound(&format!("{variant:?}, {scope}"), &two).ends,
            "{variant:?}"
        );
    }
}

#[test]
fn comparing_contents_instead_of_versions_applies_twice() {
    for variant in [DoubleCollect, RecheckUnchanged, RecheckOutside] {
        let zero = Automaton {
            by_value: true,
            ..Automaton::new(variant, 2, &[0])
        };
        breaks(
            &format!("{variant:?} by contents, an amount of zero"),
            ONCE,
            &zero,
        );
        let two = Automaton {
            by_value: true,
            ..Automaton::new(variant, 2, &[1, -1])
        };
        breaks(&format!("{variant:?} by contents, +1 and -1"), ONCE, &two);
    }
}

#[test]
fn one_stale_read_of_an_operation_applies_twice() {
    for variant in REPAIRED {
        let model = Automaton {
            stale: 1,
            crashes: 1,
            ..Automaton::new(variant, 1, &[1])
        };
        breaks(
            &format!("{variant:?}, one stale read, 1 worker"),
            ONCE,
            &model,
        );
    }
}

#[test]
fn a_balance_that_goes_back_loses_an_operation() {
    for variant in REPAIRED {
        let model = Automaton {
            dumps: 1,
            ..Automaton::new(variant, 1, &[1])
        };
        breaks(
            &format!("{variant:?}, the balance goes back, 1 worker"),
            NOT_LOST,
            &model,
        );
    }
}
