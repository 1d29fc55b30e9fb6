//! What a session over recorded answers can say of itself: how far it is, and what time it is there.
//!
//! Deliberately not here: answering from the record, which is the first thing [`Session::begin`] does.

use super::Session;

impl Session {
    /// Time of the last answer that the guest has, in milliseconds since 1970: what WASI clocks show. Taken from the
    /// answers it has, not from those still to come, so that a run and every replay of it see the same time.
    pub fn time_ms(&self) -> u64 {
        let answered = self.journal.slots.iter().take(self.next_slot as usize);
        answered.map(|slot| slot.at).fold(self.journal.header.at, u64::max)
    }

    /// The slot of the next effect.
    pub fn next_slot(&self) -> u32 {
        self.next_slot
    }
}
