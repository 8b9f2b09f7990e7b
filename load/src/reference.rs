//! References that carry their sequence number, so that an outcome finds its command by indexing
//! an array, and nothing has to be remembered by name.

/// What all references of one phase begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

/// Hex digits of a sequence number.
const DIGITS: usize = 8;

impl Tag {
    /// `name` is 1 to 64 of what a reference may have; no other phase of this ledger has it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Appends the reference of `sequence`: the tag, a dash and eight hex digits.
    pub fn write(&self, sequence: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
        out.push(b'-');
        for digit in (0..DIGITS).rev() {
            let nibble = (sequence >> (digit * 4)) & 0xf;
            out.push(b"0123456789abcdef"[nibble]);
        }
    }

    pub fn text(&self, sequence: usize) -> String {
        let mut out = Vec::with_capacity(self.0.len() + 1 + DIGITS);
        self.write(sequence, &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// The sequence number of a reference, if it is one of this tag.
    pub fn read(&self, reference: &str) -> Option<usize> {
        let digits = reference.strip_prefix(&self.0)?.strip_prefix('-')?;
        if digits.len() != DIGITS {
            return None;
        }
        digits.bytes().try_fold(0, |number, byte| {
            let nibble = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            Some(number << 4 | usize::from(nibble))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_gives_its_number_back() {
        let tag = Tag::new("3f9a1c2b.k1");
        assert_eq!(tag.text(0x1f), "3f9a1c2b.k1-0000001f");
        for sequence in [0, 1, 15, 16, 499, 1_000_000, 0xffff_ffff] {
            assert_eq!(tag.read(&tag.text(sequence)), Some(sequence));
        }
    }

    #[test]
    fn what_is_not_of_this_tag_has_no_number() {
        let tag = Tag::new("abc");
        let strangers = [
            "",
            "abc",
            "abc-",
            "abc-0000001",
            "abc-000000010",
            "abc-0000000G",
            "abc-0000000A",
            "abcd-00000001",
            "ab-00000001",
            "order-8412",
        ];
        for stranger in strangers {
            assert_eq!(tag.read(stranger), None, "{stranger}");
        }
        assert_eq!(Tag::new("abc-1").read(&tag.text(1)), None);
    }
}
