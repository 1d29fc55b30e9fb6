//! Answers that are lost: how often a change is tried, and until when a permit is good.

use super::*;
use crate::gate::ATTEMPTS_MAX;

/// Goes from the effect's first step to its drive; the intent is written `late` milliseconds after it was made.
fn to_drive(session: &mut Session, mut next: Next, late: u64) -> Box<Permit> {
    loop {
        next = match next.step {
            Step::Resolve(_) => session.resolved(Ok(web()), NOW),
            Step::Authorize(_) => session.authorized(verdict(Decision::Allow), NOW),
            Step::Intend(_) => {
                let record = session.intent(NOW).expect("an effect is in hand");
                let later = Now { unix_ms: NOW.unix_ms + late, boot_ms: NOW.boot_ms + late };
                session.intended(Ok(record), later)
            }
            Step::Drive(permit) => return permit,
            other => panic!("{other:?}"),
        };
    }
}

#[test]
fn a_change_that_never_comes_to_be_is_left_to_a_person() {
    let mut live = session(&["docker.restart-container"]);
    let next = live.begin(restart(), NOW);
    drop(to_drive(&mut live, next, 0));
    for attempt in 1..ATTEMPTS_MAX {
        live = Session::new(live.journal().clone());
        let next = live.begin(restart(), NOW);
        assert!(matches!(next.step, Step::Recover(..)), "{:?}", next.step);
        let next = live.recovered(Recovered::NotDone, NOW);
        let permit = to_drive(&mut live, next, 0);
        assert_eq!(permit.attempt(), attempt + 1);
    }
    live = Session::new(live.journal().clone());
    live.begin(restart(), NOW);
    let next = live.recovered(Recovered::NotDone, NOW);
    assert!(matches!(next.step, Step::End(Fault::NeedsAttention { slot: 0, .. })), "{:?}", next.step);
}

/// However long the disk took: what is begun with the permit ends before the intent's horizon.
#[test]
fn a_permit_counts_from_its_intent() {
    let mut session = session(&["docker.restart-container"]);
    let next = session.begin(restart(), NOW);
    let permit = to_drive(&mut session, next, 60_000);
    let deadline_ms = permit.deadline_ms();
    assert_eq!(permit.not_after_boot_ms(), NOW.boot_ms + deadline_ms + HORIZON_MARGIN_MS);
    let horizon_at = session.journal().slots[0].horizon_at.expect("intended");
    assert!(horizon_at >= NOW.unix_ms + deadline_ms + HORIZON_MARGIN_MS);
}
