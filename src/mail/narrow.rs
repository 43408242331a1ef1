//! Many numbers that nearly always need only half of their room.

/// Numbers by place: as long as all fit in 32 bits each takes four octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Narrow {
    Small(Vec<u32>),
    Large(Vec<i64>),
}

impl Default for Narrow {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Narrow {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self::Small(Vec::with_capacity(count))
    }

    pub(super) fn get(&self, place: usize) -> Option<i64> {
        match self {
            Self::Small(numbers) => numbers.get(place).copied().map(i64::from),
            Self::Large(numbers) => numbers.get(place).copied(),
        }
    }

    pub(super) fn push(&mut self, number: i64) {
        match (&mut *self, u32::try_from(number)) {
            (Self::Small(numbers), Ok(number)) => numbers.push(number),
            (Self::Large(numbers), _) => numbers.push(number),
            (Self::Small(numbers), Err(_)) => {
                let mut numbers: Vec<i64> = numbers.iter().copied().map(i64::from).collect();
                numbers.push(number);
                *self = Self::Large(numbers);
            }
        }
    }

    /// Keeps of the numbers from `start` on those whose `stays` is true.
    pub(super) fn retain(&mut self, start: usize, stays: &[bool]) {
        match self {
            Self::Small(numbers) => retain(numbers, start, stays),
            Self::Large(numbers) => retain(numbers, start, stays),
        }
    }

    /// Octets of memory.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Small(numbers) => numbers.capacity() * size_of::<u32>(),
            Self::Large(numbers) => numbers.capacity() * size_of::<i64>(),
        }
    }
}

/// Keeps of a vector's items from `start` on those whose `stays` is true.
pub(super) fn retain<T>(items: &mut Vec<T>, start: usize, stays: &[bool]) {
    let mut place = 0;
    items.retain(|_| {
        let stay = place < start || stays.get(place - start).copied().unwrap_or(true);
        place += 1;
        stay
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_out_as_they_went_in(
            numbers in proptest::collection::vec(
                prop_oneof![0..1_000_i64, -3..3_i64, Just(1 << 32), any::<i64>()], 0..20,
            ),
            stays in proptest::collection::vec(any::<bool>(), 0..20),
            start in 0_usize..10,
        ) {
            let (mut narrow, mut plain) = (Narrow::default(), Vec::new());
            for number in numbers {
                narrow.push(number);
                plain.push(number);
            }
            narrow.retain(start, &stays);
            retain(&mut plain, start, &stays);
            let all: Vec<i64> = (0..).map_while(|place| narrow.get(place)).collect();
            prop_assert_eq!(all, plain);
        }
    }
}
