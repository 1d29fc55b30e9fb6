//! Which message begins, repeats and ends an episode.

use super::*;

/// A message in seconds: firing or resolved, its start, its end if told, when it was received; and what it is.
type Said = (&'static str, i64, Option<i64>, i64, AcceptedKind);

const NEW: AcceptedKind = AcceptedKind::New;
const AGAIN: AcceptedKind = AcceptedKind::Duplicate;
const OVER: AcceptedKind = AcceptedKind::Resolved;
const UNKNOWN: AcceptedKind = AcceptedKind::ResolvedUnknown;
const REFIRED: AcceptedKind = AcceptedKind::Refired;

const CASES: &[(&str, &[Said], &[u64])] = &[
    (
        "high availability: T, T-7s of a peer and T+3s after a restart are one firing",
        &[
            ("firing", 0, None, 10, NEW),
            ("firing", -7, None, 12, AGAIN),
            ("firing", 3, None, 40, AGAIN),
            ("firing", 0, None, 50, AGAIN),
            ("resolved", 0, Some(60), 65, OVER),
        ],
        &[4],
    ),
    (
        "a late firing of what is over stays a duplicate and does not stretch it",
        &[
            ("firing", 0, None, 10, NEW),
            ("resolved", 0, Some(60), 65, OVER),
            ("firing", 0, None, 70, AGAIN),
            ("firing", 68, None, 80, REFIRED),
        ],
        &[2, 1],
    ),
    (
        "a sender whose clock is behind: a start after the told end is a new firing",
        &[
            ("firing", -300, None, 10, NEW),
            ("resolved", -300, Some(-200), 100, OVER),
            ("firing", -150, None, 160, REFIRED),
        ],
        &[1, 1],
    ),
    (
        "a sender whose clock is ahead: its own start repeated is the same firing",
        &[("firing", 120, None, 10, NEW), ("firing", 120, None, 20, AGAIN), ("firing", 121, None, 125, REFIRED)],
        &[2, 1],
    ),
    (
        "a new firing whose resolution was missed takes the place of the old one",
        &[
            ("firing", 0, None, 10, NEW),
            ("firing", 3600, None, 3610, REFIRED),
            ("resolved", 3600, Some(3700), 3710, OVER),
        ],
        &[1, 1],
    ),
    (
        "resolutions heard again are duplicates, of what was never heard unknown",
        &[
            ("resolved", 0, Some(5), 10, UNKNOWN),
            ("resolved", 0, Some(5), 11, AGAIN),
            ("firing", 2, None, 12, AGAIN),
            ("firing", 20, None, 30, REFIRED),
            ("resolved", 20, Some(40), 45, OVER),
            ("resolved", 20, Some(40), 46, AGAIN),
        ],
        &[1, 1],
    ),
    (
        "the end of an earlier firing delivered late does not end the open one",
        &[
            ("firing", 0, None, 10, NEW),
            ("resolved", 0, Some(60), 65, OVER),
            ("firing", 100, None, 110, REFIRED),
            ("resolved", 0, Some(60), 120, AGAIN),
            ("resolved", 100, Some(130), 135, OVER),
        ],
        &[1, 1],
    ),
];

fn ms(seconds: i64) -> u64 {
    T.saturating_add_signed(seconds * 1000)
}

fn message(said: &Said) -> Incoming {
    let status = if said.0 == "firing" { Status::Firing } else { Status::Resolved };
    let mut incoming = incoming(status, "f1", ms(said.1), ms(said.3));
    incoming.alert.ends_at = said.2.map(|end| at(ms(end)));
    incoming
}

/// Every case with a restart of the store between any two messages.
#[tokio::test]
async fn episodes_follow_the_table_also_across_restarts() {
    for (name, messages, counts) in CASES {
        let dir = tempfile::tempdir().expect("a directory");
        for said in *messages {
            let store = open(&dir);
            let accepted = store.accept(vec![message(said)]).await.expect("accepted").remove(0);
            assert_eq!(accepted.kind, said.4, "{name}: {said:?}");
            let starts = matches!(accepted.kind, AcceptedKind::New | AcceptedKind::Refired);
            assert_eq!(accepted.runs.len(), usize::from(starts), "{name}: {said:?}");
        }
        let store = open(&dir);
        let (mut episodes, _) = store.episodes(EpisodeFilter::default()).await.expect("listed");
        episodes.reverse();
        let heard: Vec<u64> = episodes.iter().map(|episode| episode.count).collect();
        assert_eq!(heard, *counts, "{name}");
        let open = episodes.iter().filter(|episode| episode.resolved_at.is_none()).count();
        assert!(open <= 1, "{name}: {open} open");
    }
}

#[tokio::test]
async fn one_message_is_taken_whole_or_not_at_all() {
    let store = memory();
    let mut twice = incoming(Status::Firing, "b", T, T);
    twice.runs.push(twice.runs[0].clone());
    let batch = vec![incoming(Status::Firing, "a", T, T), twice];
    assert!(store.accept(batch).await.is_err());
    assert!(store.episodes(EpisodeFilter::default()).await.expect("listed").0.is_empty());
    assert!(store.queued(10).await.expect("listed").is_empty());
}

#[tokio::test]
async fn episodes_are_listed_in_pages_and_found_by_the_beginning_of_their_id() {
    let store = memory();
    for n in 0..25u64 {
        let kind = if n % 5 == 0 { Status::Resolved } else { Status::Firing };
        store.accept(vec![incoming(kind, &format!("f{n}"), T, T + n / 3)]).await.expect("accepted");
    }
    let mut filter = EpisodeFilter { open: true, limit: 7, ..EpisodeFilter::default() };
    let mut found = Vec::new();
    loop {
        let (page, next) = store.episodes(filter.clone()).await.expect("listed");
        found.extend(page);
        filter.cursor = next;
        if filter.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 20);
    assert!(found.windows(2).all(|pair| (pair[0].first_heard, &pair[0].id) > (pair[1].first_heard, &pair[1].id)));
    assert_eq!((found[0].runs.len(), found[0].name.as_str()), (1, "Down"));

    let one = &found[3].id;
    assert!(store.set_episode_outcome(one, "fixed").await.expect("set"));
    assert_eq!(store.episode(one).await.expect("found").expect("there").outcome.as_deref(), Some("fixed"));
    assert_eq!(store.episode("e_").await, Err(Error::Ambiguous("e_".to_owned())));
    assert_eq!(store.episode("e_zzz").await, Ok(None));
    let broken = EpisodeFilter { cursor: Some("x'; DROP TABLE runs".to_owned()), ..EpisodeFilter::default() };
    assert!(matches!(store.episodes(broken).await, Err(Error::Invalid(_))));
}
