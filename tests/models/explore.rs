//! Every state of a model, breadth first: so the first violation found has a shortest trace.
//!
//! Three questions are asked: is a rule broken in some state; is there a state from which the end
//! cannot be reached any more; and is there a way to go on for ever. Memory is the states, each
//! once, and 8 bytes for every step.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use foldhash::fast::FixedState;

/// Most states of one model: beyond, its scope is a mistake.
const STATES_MAX: usize = 8_000_000;

/// A protocol with so few actors, records and faults that all of it can be seen.
pub(crate) trait Model {
    type State: Clone + Eq + Hash + fmt::Debug;

    fn initial(&self) -> Self::State;

    /// Everything that can happen in `state`.
    fn steps(&self, state: &Self::State, steps: &mut Steps<Self::State>);

    /// The rule that `state` breaks.
    fn broken(&self, state: &Self::State) -> Option<&'static str>;

    /// Whether everything is as it should be in the end.
    fn done(&self, state: &Self::State) -> bool;

    /// One of all states that differ in the names of their actors only.
    fn canonical(&self, state: Self::State) -> Self::State {
        state
    }
}

/// What can happen in a state: who, what, and the state after it.
pub(crate) struct Steps<S>(Vec<(Label, S)>);

type Label = (&'static str, usize, &'static str);

impl<S> Steps<S> {
    pub(crate) fn add(&mut self, who: (&'static str, usize), what: &'static str, after: S) {
        self.0.push(((who.0, who.1, what), after));
    }

    /// Notes something in every state that was added.
    pub(crate) fn update(&mut self, note: impl Fn(&mut S)) {
        self.0.iter_mut().for_each(|(_, after)| note(after));
    }
}

/// What came of an exploration.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Every state was seen, and each is sound.
    Sound(Space),
    /// A rule is broken, and how.
    Broken(&'static str, Trace),
    /// From the last state of the trace the end cannot be reached.
    Stuck(Trace),
}

/// The size of what was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// The steps to the farthest state.
    pub(crate) depth: usize,
    /// Whether no way goes on for ever.
    pub(crate) ends: bool,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Space {
            states,
            steps,
            depth,
            ends,
        } = self;
        let ends = if *ends {
            "every way ends"
        } else {
            "ways may go round"
        };
        write!(
            f,
            "{states} states, {steps} steps, the farthest {depth} deep; {ends}"
        )
    }
}

/// The steps that lead to a state, in words.
pub(crate) struct Trace(pub(crate) Vec<String>);

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} steps", self.0.len())?;
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(at, step)| writeln!(f, "{:>4}. {step}", at + 1))
    }
}

/// Sees every state of `model`, or those up to the first one that breaks a rule: `only` this one,
/// if it is named.
fn explore<M: Model>(model: &M, only: Option<&str>) -> Verdict {
    let mut seen = Seen {
        numbers: HashMap::default(),
        parents: Vec::new(),
        steps: Vec::new(),
    };
    let (mut level, mut depth, mut found) = (Vec::new(), 0, Steps(Vec::new()));
    let mut done = Vec::new();
    let first = model.canonical(model.initial());
    seen.insert(&first, 0);
    level.push((0, first));
    while !level.is_empty() {
        let mut next = Vec::new();
        for (number, state) in level {
            let broken = model.broken(&state);
            if let Some(rule) = broken.filter(|rule| only.is_none_or(|only| only == *rule)) {
                return Verdict::Broken(rule, seen.trace(model, number));
            }
            if model.done(&state) {
                done.push(number);
            }
            model.steps(&state, &mut found);
            for (_, after) in found.0.drain(..) {
                let after = model.canonical(after);
                if after == state {
                    continue;
                }
                let (known, new) = seen.insert(&after, number);
                seen.steps.push((number, known));
                if new {
                    next.push((known, after));
                }
            }
        }
        level = next;
        depth += usize::from(!level.is_empty());
    }
    if let Some(lost) = seen.cannot_reach(&done) {
        return Verdict::Stuck(seen.trace(model, lost));
    }
    let (states, steps) = (seen.parents.len(), seen.steps.len());
    Verdict::Sound(Space {
        states,
        steps,
        depth,
        ends: seen.always_ends(),
    })
}

struct Seen<S> {
    numbers: HashMap<S, u32, FixedState>,
    /// By number, where the shortest way to it comes from.
    parents: Vec<u32>,
    steps: Vec<(u32, u32)>,
}

impl<S: Clone + Eq + Hash + fmt::Debug> Seen<S> {
    fn insert(&mut self, state: &S, from: u32) -> (u32, bool) {
        if let Some(known) = self.numbers.get(state) {
            return (*known, false);
        }
        let number = u32::try_from(self.parents.len()).unwrap();
        assert!(self.parents.len() < STATES_MAX, "the scope is too large");
        self.numbers.insert(state.clone(), number);
        self.parents.push(from);
        (number, true)
    }

    /// The first state from which none of `done` can be reached.
    fn cannot_reach(&self, done: &[u32]) -> Option<u32> {
        let before = grouped(
            self.parents.len(),
            self.steps.iter().map(|(from, to)| (*to, *from)),
        );
        let mut reaches = vec![false; self.parents.len()];
        let mut open = done.to_vec();
        while let Some(state) = open.pop() {
            if !std::mem::replace(&mut reaches[state as usize], true) {
                open.extend(
                    before
                        .of(state)
                        .iter()
                        .filter(|from| !reaches[**from as usize]),
                );
            }
        }
        let lost = reaches.iter().position(|reaches| !reaches);
        lost.map(|lost| u32::try_from(lost).unwrap())
    }

    /// Whether the steps make no circle: taking away what nothing leads to takes everything away.
    fn always_ends(&self) -> bool {
        let after = grouped(self.parents.len(), self.steps.iter().copied());
        let mut before = vec![0_u32; self.parents.len()];
        for (_, to) in &self.steps {
            before[*to as usize] += 1;
        }
        let all = 0..u32::try_from(before.len()).unwrap();
        let mut open: Vec<u32> = all.filter(|state| before[*state as usize] == 0).collect();
        let mut taken = 0;
        while let Some(state) = open.pop() {
            taken += 1;
            for to in after.of(state) {
                before[*to as usize] -= 1;
                if before[*to as usize] == 0 {
                    open.push(*to);
                }
            }
        }
        taken == before.len()
    }

    /// Tells the way to a state, with the same names for the same actors all along.
    fn trace<M: Model<State = S>>(&self, model: &M, number: u32) -> Trace {
        let mut way = vec![number];
        while way.last() != Some(&0) {
            way.push(self.parents[way[way.len() - 1] as usize]);
        }
        way.reverse();
        let (mut state, mut told, mut found) = (model.initial(), Vec::new(), Steps(Vec::new()));
        for next in &way[1..] {
            model.steps(&state, &mut found);
            let leads = |after: &S| self.numbers.get(&model.canonical(after.clone()));
            let step = found
                .0
                .drain(..)
                .find(|(_, after)| leads(after) == Some(next));
            let ((who, number, what), after) = step.unwrap();
            told.push(format!("{who} {number}: {what}"));
            state = after;
        }
        Trace(told)
    }
}

/// Numbers grouped by a number.
struct Groups {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Groups {
    fn of(&self, group: u32) -> &[u32] {
        let at = group as usize;
        &self.items[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

fn grouped(count: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Groups {
    let mut starts = vec![0_u32; count + 2];
    for (group, _) in pairs.clone() {
        starts[group as usize + 2] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut items = vec![0; starts[count + 1] as usize];
    for (group, item) in pairs {
        let at = &mut starts[group as usize + 1];
        items[*at as usize] = item;
        *at += 1;
    }
    Groups { starts, items }
}

/// Explores a sound model: all of it must be.
#[track_caller]
pub(crate) fn sound<M: Model>(name: &str, model: &M) -> Space {
    match explore(model, None) {
        Verdict::Sound(space) => {
            println!("{name}: sound in {space}");
            space
        }
        Verdict::Broken(rule, trace) => panic!("{name} breaks \"{rule}\" in {trace:?}"),
        Verdict::Stuck(trace) => panic!("{name} cannot reach its end after {trace:?}"),
    }
}

/// Explores a broken model: it must break `rule`. How many steps it takes.
#[track_caller]
pub(crate) fn breaks<M: Model>(name: &str, rule: &str, model: &M) -> usize {
    match explore(model, Some(rule)) {
        Verdict::Broken(found, trace) => {
            println!("{name}: breaks \"{found}\" in {trace:?}");
            trace.0.len()
        }
        Verdict::Stuck(trace) => {
            println!("{name}: cannot reach its end after {trace:?}");
            assert_eq!(STUCK, rule, "{name}");
            trace.0.len()
        }
        Verdict::Sound(space) => panic!("{name} should break \"{rule}\", but is sound in {space}"),
    }
}

/// The rule of a model that can reach its end from everywhere.
pub(crate) const STUCK: &str = "the end can be reached";

/// Whether somebody asks for the scopes that take minutes and gigabytes.
pub(crate) fn long() -> bool {
    std::env::var_os("STEELYARD_MODELS_LONG").is_some()
}
