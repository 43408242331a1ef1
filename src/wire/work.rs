//! How many octets the parsers have looked at, so that a test can show that twice the input costs
//! about twice the work. Outside of tests nothing is counted and nothing is paid.

#[cfg(test)]
thread_local! {
    static LOOKED_AT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A parser has looked at so many octets, or compared so many things.
#[inline]
pub(crate) fn looked_at(octets: usize) {
    #[cfg(test)]
    LOOKED_AT.set(LOOKED_AT.get().saturating_add(octets as u64));
    #[cfg(not(test))]
    let _ = octets;
}

/// How much this thread looks at while it does something.
#[cfg(test)]
pub(crate) fn of(something: impl FnOnce()) -> u64 {
    let before = LOOKED_AT.get();
    something();
    LOOKED_AT.get() - before
}
