//! Numbers that look random, and are the same for the same seed.

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and good enough to choose calls by.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Numbers of their own for the thing that has this number.
    pub fn fork(seed: u64, number: u64) -> Self {
        Self(Self(seed ^ number.wrapping_mul(0xD134_2543_DE82_EF95)).next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("no larger than 64 bits");
        usize::try_from(self.next() % limit).expect("below a usize")
    }

    /// Whether something happens that happens so many times of a hundred.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these, which are some.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// One of these; each comes as often as its number says.
    pub fn weighted<T: Copy>(&mut self, things: &[(usize, T)]) -> T {
        let total: usize = things.iter().map(|(weight, _)| weight).sum();
        let mut at = self.below(total);
        let found = things.iter().find(|(weight, _)| {
            let here = at < *weight;
            at = at.saturating_sub(*weight);
            here
        });
        found.expect("the weights add up").1
    }
}
