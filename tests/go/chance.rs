//! Chance that can be repeated.

/// Random numbers from a seed (splitmix64).
pub struct Chance(u64);

impl Chance {
    /// The numbers of one case.
    pub fn of(seed: u64, case: usize) -> Self {
        let mut chance = Self(seed);
        let seed = chance.next();
        Self(seed ^ u64::try_from(case).unwrap().wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// Whether it happens, once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Other bytes in place of some, more of them, or fewer.
    pub fn damage(&mut self, text: &mut Vec<u8>) {
        const BYTES: &[u8] = b"\"\\{}[],:&;=%#?/.+- 0aAkKsS\0\n\x7f\x80\xc2\xe2\xed\xef\xf4\xff";
        for _ in 0..=self.below(3) {
            let at = self.below(text.len() + 1);
            let byte = self.pick(BYTES);
            match self.below(4) {
                0 => text.insert(at, byte),
                1 if at < text.len() => text[at] = byte,
                2 if at < text.len() => drop(text.remove(at)),
                _ => {
                    let end = (at + self.below(8)).min(text.len());
                    let again = text[at..end].to_vec();
                    text.splice(at..at, again);
                }
            }
        }
    }
}
