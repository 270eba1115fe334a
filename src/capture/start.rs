//! How an epoch begins: the floor below which nothing of it is known, and whether the table was empty then.

use super::trim::{AFTER_LOSS, KEPT};
use crate::change::{Micros, Second};
use crate::manifest::action::EmptyCheck;
use crate::manifest::{BaseCommitted, BaseKind, Manifest};

/// Everything since a stream's creation is still there while the creation is not older than this, in seconds.
const EMPTY_WITHIN: i64 = 23 * 3600 + 40 * 60;

/// What is known of the table when its stream is first read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// The service's time.
    pub at: Second,
    /// The table's creation, floored.
    pub table_created: Second,
    /// The stream's creation.
    pub stream_created: Micros,
    /// The table came out of a backup, an import or another table.
    pub restored: bool,
    /// The table has replicas, whose items came without this stream.
    pub replicated: bool,
}

/// The floor of the next epoch, with the empty base if the table was empty when its stream began.
#[must_use]
pub fn floor(birth: Birth, manifest: &Manifest) -> (Second, Option<BaseCommitted>) {
    if manifest.epochs.is_empty()
        && let Some(check) = empty(birth)
    {
        let floor = check.stream_created.plus(-1);
        return (floor, Some(empty_base(floor, check)));
    }
    let floored = birth.stream_created.second();
    let created = if floored.micros() < birth.stream_created { floored.plus(1) } else { floored };
    let known = birth.at.plus(AFTER_LOSS - KEPT).max(created);
    (manifest.closed_through.map_or(known, |closed| closed.max(known)), None)
}

/// Whether nothing can have been in the table before its stream recorded it.
fn empty(birth: Birth) -> Option<EmptyCheck> {
    let stream_created = birth.stream_created.second();
    let together = birth.table_created.0.abs_diff(stream_created.0) <= 1;
    let young = birth.at <= stream_created.plus(EMPTY_WITHIN);
    (together && young && !birth.restored && !birth.replicated).then_some(EmptyCheck {
        table_created: birth.table_created,
        stream_created,
        at: birth.at,
        not_restored: true,
        no_replicas: true,
    })
}

const fn empty_base(floor: Second, check: EmptyCheck) -> BaseCommitted {
    BaseCommitted {
        intent: None,
        kind: BaseKind::Empty,
        fence: floor,
        complete_at: floor,
        name: None,
        checked: Some(check),
        segments: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATED: Second = Second(1_000_000);

    fn birth(age: i64) -> Birth {
        Birth {
            at: CREATED.plus(age),
            table_created: CREATED,
            stream_created: CREATED.micros(),
            restored: false,
            replicated: false,
        }
    }

    #[test]
    fn a_young_stream_born_with_its_table_begins_with_the_empty_base() {
        let (floor, base) = floor(birth(EMPTY_WITHIN), &Manifest::default());
        assert_eq!(floor, CREATED.plus(-1));
        let base = base.unwrap();
        assert_eq!((base.fence, base.complete_at, base.kind), (floor, floor, BaseKind::Empty));
    }

    #[test]
    fn each_doubt_forbids_the_empty_base() {
        let doubts: [fn(&mut Birth); 4] = [
            |birth| birth.at = CREATED.plus(EMPTY_WITHIN + 1),
            |birth| birth.table_created = CREATED.plus(-2),
            |birth| birth.restored = true,
            |birth| birth.replicated = true,
        ];
        for doubt in doubts {
            let mut birth = birth(100);
            doubt(&mut birth);
            let (floor, base) = floor(birth, &Manifest::default());
            assert!(base.is_none());
            assert!(floor >= CREATED, "{floor}");
        }
    }

    #[test]
    fn an_old_stream_begins_where_nothing_can_be_trimmed_yet() {
        let (at, _) = floor(birth(10 * KEPT), &Manifest::default());
        assert_eq!(at, CREATED.plus(9 * KEPT + AFTER_LOSS));
    }

    #[test]
    fn a_creation_within_a_second_is_rounded_up() {
        let mut birth = Birth { restored: true, ..birth(100) };
        assert_eq!(floor(birth, &Manifest::default()).0, CREATED);
        birth.stream_created = Micros(CREATED.micros().0 + 1);
        assert_eq!(floor(birth, &Manifest::default()).0, CREATED.plus(1));
    }

    #[test]
    fn a_later_epoch_never_begins_below_what_was_final() {
        let closed = CREATED.plus(50_000);
        let mut manifest = Manifest { closed_through: Some(closed), ..Manifest::default() };
        manifest.epochs.insert(1, crate::capture::fixture::epoch(CREATED));
        let (at, base) = floor(birth(60_000), &manifest);
        assert_eq!((at, base), (closed, None));
    }
}
