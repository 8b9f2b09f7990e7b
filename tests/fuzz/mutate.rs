//! Cases out of seeds: a few changes each, by bytes and by what JSON is made of. The same number
//! gives the same cases.

/// What decoders stumble over.
const TOKENS: [&str; 24] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "0",
    "-0",
    "1e3",
    "1.0",
    "-1",
    "18446744073709551615",
    "18446744073709551616",
    "9999999999999999999999999999",
    "99999999999999999999999999999",
    "0.000000000000000001",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "00000000-0000-0000-0000-000000000000",
    "\"a\":",
];

pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A seed with one to four changes.
    pub(crate) fn next(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut case = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..=self.below(4) {
            let other = seeds[self.below(seeds.len())];
            self.change(&mut case, other);
        }
        case
    }

    fn change(&mut self, case: &mut Vec<u8>, other: &[u8]) {
        let (from, to) = (self.below(case.len() + 1), self.below(case.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        match self.below(9) {
            0 => case.truncate(to),
            1 if from < case.len() => case[from] ^= 1 << self.below(8),
            2 if from < case.len() => case[from] = self.digit(),
            3 => case.insert(from, self.digit()),
            4 => drop(case.drain(from..to.min(from + 8))),
            5 => {
                let token = TOKENS[self.below(TOKENS.len())];
                drop(case.splice(from..from, token.bytes()));
            }
            6 => self.replace(case),
            7 => {
                // The middle of another seed, which has words of its own.
                let start = self.below(other.len() + 1);
                let end = (start + self.below(64)).min(other.len());
                drop(case.splice(from..from, other[start..end].iter().copied()));
            }
            _ => {
                let twice = case[from..to.min(from + 64)].to_vec();
                drop(case.splice(from..from, twice));
            }
        }
    }

    /// Puts a token in the place of a value.
    fn replace(&mut self, case: &mut Vec<u8>) {
        let colons: Vec<usize> = (0..case.len()).filter(|at| case[*at] == b':').collect();
        if colons.is_empty() {
            return;
        }
        let start = colons[self.below(colons.len())] + 1;
        let rest = case[start..].iter();
        let length = rest.take_while(|byte| !b",}]".contains(byte)).count();
        let token = TOKENS[self.below(TOKENS.len())];
        drop(case.splice(start..start + length, token.bytes()));
    }

    fn digit(&mut self) -> u8 {
        b'0' + u8::try_from(self.below(10)).unwrap()
    }

    /// Xorshift: a number below `bound`, or zero.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }
}
