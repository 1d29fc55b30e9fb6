//! Every prefix: a run's journal is cut after every record, the world put back to what it was then, and a new engine
//! comes to the same end.
//!
//! Deliberately not here: cuts in the middle of a record; the store's own tests have those.
