use super::*;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_000_000 * SECOND;

const EMAIL: Rules = Rules { threshold: 3, ttl: Duration::from_mins(15), grows_to: None };
const IP: Rules =
    Rules { threshold: 2, ttl: Duration::from_mins(15), grows_to: Some(Duration::from_hours(1)) };

/// A counter that counts nothing.
fn row() -> Row {
    Row {
        key: "key".into(),
        id: LockoutId::from_uuid(uuid::Uuid::nil()),
        kind: LockKind::Email,
        user: None,
        failures: 0,
        pending: 0,
        pending_before: 0,
        round: 0,
        round_at: START,
        reserved_at: START,
        first_failure_at: None,
        last_failure_at: None,
        locked_at: None,
        locked_until: None,
        lock_count: 0,
        tags: Tags::default(),
        touched_at: START,
        version: 0,
    }
}

fn at(seconds: i64) -> Moment {
    Moment::plain(START + seconds * SECOND)
}

/// Looks and fails, as a settlement does.
fn fail(row: &mut Row, seconds: i64, rules: &Rules) -> bool {
    row.look(&at(seconds), rules);
    let locks = row.fail(&at(seconds), rules);
    row.touched_at = at(seconds).micros();
    locks
}

#[test]
fn the_failure_with_the_number_of_the_threshold_locks_once() {
    let mut row = row();
    assert_eq!([0, 1, 2].map(|s| fail(&mut row, s, &EMAIL)), [false, false, true]);
    assert_eq!(row.locked_until, Some(at(2 + 900).micros()));
    assert!(!row.has_room(&EMAIL));
    assert!(!fail(&mut row, 3, &EMAIL), "nothing is counted while it is locked");
    assert_eq!((row.failures, row.lock_count), (3, 1));
}

#[test]
fn at_the_end_of_a_lock_the_count_is_zero_to_the_microsecond() {
    let mut row = row();
    for s in 0..3 {
        fail(&mut row, s, &EMAIL);
    }
    let end = row.locked_until.unwrap();
    row.look(&Moment::plain(end - 1), &EMAIL);
    assert!(row.locked_until.is_some());
    let change = row.look(&Moment::plain(end), &EMAIL);
    assert!(change.changed && !change.locked);
    assert_eq!((row.failures, row.locked_until, row.has_room(&EMAIL)), (0, None, true));
}

#[test]
fn failures_count_so_long_after_the_last_one() {
    let mut row = row();
    fail(&mut row, 0, &EMAIL);
    fail(&mut row, 899, &EMAIL);
    row.look(&at(899 + 899), &EMAIL);
    assert_eq!(row.failures, 2);
    row.look(&at(899 + 900), &EMAIL);
    assert_eq!((row.failures, row.first_failure_at, row.last_failure_at), (0, None, None));
}

#[test]
fn locks_double_up_to_the_longest_and_a_long_rest_begins_anew() {
    let mut row = row();
    let mut now = 0;
    let mut lengths = Vec::new();
    for _ in 0..4 {
        fail(&mut row, now, &IP);
        assert!(fail(&mut row, now, &IP));
        let length = (row.locked_until.unwrap() - at(now).micros()) / SECOND;
        lengths.push(length);
        now += length;
    }
    assert_eq!(lengths, [900, 1800, 3600, 3600]);
    row.look(&at(now + 3599), &IP);
    assert_eq!(row.lock_count, 4, "an hour after the end of the last lock it is forgotten, not before");
    row.look(&at(now + 3600), &IP);
    assert_eq!((row.lock_count, row.locked_at), (0, None));
    // Without growth each is as long as the first.
    let fixed = Rules { grows_to: None, ..IP };
    let mut row = self::row();
    for now in [0, 900, 1800] {
        fail(&mut row, now, &fixed);
        assert!(fail(&mut row, now, &fixed));
        assert_eq!(row.locked_until, Some(at(now + 900).micros()));
    }
}

#[test]
fn reservations_take_places_and_left_behind_become_failures() {
    let mut row = row();
    for _ in 0..3 {
        row.look(&at(0), &EMAIL);
        assert!(row.has_room(&EMAIL));
        row.reserve(at(0).micros());
    }
    assert!(!row.has_room(&EMAIL));
    row.look(&at(29), &EMAIL);
    assert_eq!((row.failures, row.pending), (0, 3));
    let change = row.look(&at(30), &EMAIL);
    assert!(change.locked, "three failures at once lock");
    assert_eq!((row.failures, row.pending, row.round), (3, 0, 2));
    assert_eq!(row.locked_until, Some(at(30 + 900).micros()));
}

#[test]
fn a_lock_by_reservations_found_late_began_when_they_failed() {
    let mut row = row();
    for _ in 0..3 {
        row.reserve(at(0).micros());
    }
    let mut late = row.clone();
    assert!(late.look(&at(500), &EMAIL).locked);
    assert_eq!(late.locked_until, Some(at(930).micros()));
    let change = row.look(&at(2000), &EMAIL);
    assert!(!change.locked, "it is over by now: nothing to tell");
    assert_eq!((row.failures, row.pending), (0, 0));
}

#[test]
fn one_left_behind_is_found_although_others_come_and_go() {
    let rules = Rules { threshold: 100, ..EMAIL };
    let mut row = row();
    row.reserve(at(0).micros());
    let left = row.round;
    for s in 1..70 {
        row.look(&at(s), &rules);
        row.reserve(at(s).micros());
        // The others settle at once.
        assert!(row.round - left <= 2);
        row.pending -= 1;
    }
    assert_eq!((row.failures, row.pending + row.pending_before), (1, 0));
}

#[test]
fn the_younger_of_two_rounds_is_not_taken_for_left_behind() {
    let rules = Rules { threshold: 100, ..EMAIL };
    let mut row = row();
    row.reserve(at(0).micros());
    row.look(&at(29), &rules);
    row.reserve(at(29).micros());
    row.look(&at(31), &rules);
    assert_eq!((row.pending, row.pending_before, row.failures, row.round), (0, 2, 0, 1));
    // The one of 29 s may still be settled: its round is the one before.
    row.look(&at(58), &rules);
    assert_eq!(row.failures, 0);
    row.look(&at(59), &rules);
    assert_eq!((row.failures, row.pending_before), (2, 0));
}

#[test]
fn times_ahead_of_the_clock_are_taken_to_be_now() {
    let mut row = row();
    for s in 0..3 {
        fail(&mut row, 3600 + s, &EMAIL);
    }
    let change = row.look(&at(0), &EMAIL);
    assert!(change.guessed);
    assert_eq!(row.locked_until, Some(at(900).micros()), "never longer than a lock from now");
    let mut row = self::row();
    fail(&mut row, 3600, &EMAIL);
    row.look(&at(0), &EMAIL);
    assert_eq!(row.failures, 1, "and not forgotten");
}

#[test]
fn distinct_e_mails_lock_a_network_and_equal_ones_do_not() {
    let rules = Rules { threshold: 3, ..IP };
    let mut row = row();
    for s in 0..20 {
        row.look(&at(s), &rules);
        assert!(!row.fail_tag(7, &at(s), &rules));
    }
    assert_eq!(row.failures, 1);
    assert!(!row.fail_tag(8, &at(21), &rules));
    // The first one is too old by now: two are left.
    assert!(!row.fail_tag(9, &at(19 + 900), &rules));
    assert_eq!(row.failures, 2);
    assert!(row.fail_tag(10, &at(20 + 900), &rules));
    assert_eq!(row.failures, 3);
}

#[test]
fn forgetting_leaves_what_is_being_judged() {
    let mut row = row();
    fail(&mut row, 0, &EMAIL);
    row.reserve(at(1).micros());
    assert!(row.forget());
    assert_eq!((row.failures, row.pending, row.lock_count), (0, 1, 0));
    assert!(!row.forget(), "nothing is left to forget");
}
