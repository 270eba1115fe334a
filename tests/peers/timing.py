"""Time on the write path (`schemas/README.md` §9, §10): `cut_at`, late labels, the trim rule. A writer's rules, that a reader checks."""

from folds import merged

DAY = 24 * 3600
LATE = 300
JITTER = 5
AHEAD = 60
TRIM_MARGIN = 10 * 60
BOUND_MARGIN = 20 * 60
GAP_LABEL = 15 * 60


def cut_at(changed_at, now, cut, floor):
    """The archive's second for a change: `changed_at` in µs, the others in seconds."""
    return max(min(changed_at // 10**6, now), cut, floor + 1)


def lifted(changed_at, at, epoch_floor):
    """By how many seconds a row was lifted past its stamp; rows at the epoch's first second do not count."""
    return 0 if at <= epoch_floor + 1 else max(0, at - changed_at // 10**6)


def late(rows, epoch_floor):
    """The late intervals of rows [(changed_at in µs, cut_at)]."""
    return merged((changed // 10**6 - JITTER, at) for changed, at in rows if lifted(changed, at, epoch_floor) > LATE)


def complete(sure, now):
    """Whether a read that started at TRIM_HORIZON missed nothing."""
    return sure is not None and sure >= now - DAY + TRIM_MARGIN


def trim(now, cut, floor, sure, first, not_found=False):
    """The gap that the trim rule commits, or None. `first` is the `cut_at` of the page's first row, None for an empty page."""
    if not not_found and complete(sure, now):
        return None
    bound = max(cut, floor + 1, now - DAY + BOUND_MARGIN)
    start = floor + 1
    label = (start - GAP_LABEL, start)
    if first is not None and first < bound and not not_found:
        return dict(from_cut=start, to_cut=max(start, min(first + 10, bound)), cut=cut, floor=floor, late=label)
    return dict(from_cut=start, to_cut=bound, cut=bound, floor=bound - 1, late=label)


def barred(now, floor, sure, epoch_floor):
    """(from_cut, to_cut, late) of the gap of a barred shard."""
    start = floor + 1
    low = epoch_floor if sure is None else sure
    return start, max(start, now), (min(start, low) - GAP_LABEL, start)
