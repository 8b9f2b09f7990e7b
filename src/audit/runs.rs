//! Sets of offsets, kept as runs: a dense log of any length takes one pair.

/// Offsets that were pushed in growing order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    /// First and last of each run. Invariant: they grow, and do not touch.
    runs: Vec<(u64, u64)>,
}

impl Runs {
    /// # Panics
    /// If `offset` is not above all before it.
    pub(super) fn push(&mut self, offset: u64) {
        match self.runs.last_mut() {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            Some((_, last)) => {
                assert!(*last < offset, "offset {offset} comes after {last}");
                self.runs.push((offset, offset));
            }
            None => self.runs.push((offset, offset)),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.runs.iter().map(|(first, last)| last - first + 1).sum()
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.runs.first().map(|(first, _)| *first)
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.runs.last().map(|(_, last)| *last)
    }

    /// Those at or above `from`.
    pub(super) fn starting(&self, from: u64) -> Self {
        let runs = self.runs.iter().filter(|(_, last)| *last >= from);
        let runs = runs.map(|(first, last)| ((*first).max(from), *last));
        Self {
            runs: runs.collect(),
        }
    }

    /// How many are not in `other`, and the first of them.
    pub(super) fn beyond(&self, other: &Self) -> (u64, Option<u64>) {
        let mut others = other.runs.iter().copied().peekable();
        let (mut count, mut earliest) = (0, None);
        for (first, last) in &self.runs {
            let mut next = *first;
            while next <= *last {
                while others.next_if(|(_, end)| *end < next).is_some() {}
                let gap_end = match others.peek() {
                    Some((start, end)) if *start <= next => {
                        next = end + 1;
                        continue;
                    }
                    Some((start, _)) => (*last).min(start - 1),
                    None => *last,
                };
                earliest.get_or_insert(next);
                count += gap_end - next + 1;
                next = gap_end + 1;
            }
        }
        (count, earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(offsets: impl IntoIterator<Item = u64>) -> Runs {
        let mut runs = Runs::default();
        offsets.into_iter().for_each(|offset| runs.push(offset));
        runs
    }

    #[test]
    fn what_one_set_has_beyond_another() {
        type Case = (&'static [u64], &'static [u64], u64, Option<u64>);
        let table: [Case; 7] = [
            (&[], &[], 0, None),
            (&[0, 1, 2], &[], 3, Some(0)),
            (&[0, 1, 2], &[0, 1, 2], 0, None),
            (&[0, 1, 2, 3], &[1, 3], 2, Some(0)),
            (&[4, 5, 9], &[0, 1, 4, 5, 6, 7], 1, Some(9)),
            (&[2, 3, 8, 9, 10], &[1, 2, 3, 4, 9, 12], 2, Some(8)),
            (&[5], &[6, 7], 1, Some(5)),
        ];
        for (one, other, count, first) in table {
            let (one, other) = (runs(one.iter().copied()), runs(other.iter().copied()));
            assert_eq!(one.beyond(&other), (count, first), "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_dense_log_is_one_run() {
        let dense = runs(0..1000);
        assert_eq!((dense.runs.len(), dense.count()), (1, 1000));
        assert_eq!(dense.starting(990).count(), 10);
    }
}
