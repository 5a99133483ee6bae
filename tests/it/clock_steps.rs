//! A wall clock that is set back or ahead under live sessions (R18).

use authkit::ErrorKind;
use authkit_tests::{Store, on_both};

use crate::refresh::{ANN, DAY, end_reason, invalid, refresh, seconds};
use crate::support::{Raw, Texts as _, kind, kit, meta, second_node};

on_both! {
    async fn a_clock_that_is_set_back_revives_no_token(store: Store) {
        let t = kit(&store).await;
        let first = t.signed_in(ANN).await.unwrap();
        let second = refresh(&t, first.refresh()).await.unwrap();
        t.clock.advance(seconds(60));
        // The grace of the first token was over; it stays over.
        t.clock.step_wall(-3_600);
        invalid(refresh(&t, first.refresh()).await);

        // A clock set back never moves a session's last use back (it would end too soon).
        let other = Store::new(store.backend()).await;
        let t = kit(&other).await;
        let _ = second;
        let ann = t.signed_in(ANN).await.unwrap();
        let used = t.kit.sessions().of(ann.user.id).await.unwrap()[0].last_used_at;
        t.clock.step_wall(-86_400);
        let next = refresh(&t, ann.refresh()).await.unwrap();
        assert!(t.kit.sessions().of(ann.user.id).await.unwrap()[0].last_used_at >= used);
        t.clock.step_wall(86_400);
        refresh(&t, next.refresh()).await.unwrap();
    }

    async fn a_session_refused_as_expired_stays_dead_when_the_clock_is_set_back(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.clock.advance(DAY * 15);
        invalid(refresh(&t, ann.refresh()).await);
        t.clock.step_wall(-86_400 * 3);
        invalid(refresh(&t, ann.refresh()).await);
        let mut raw = Raw::open(&store).await;
        assert_eq!(end_reason(&mut raw, ann.tokens.session_id).await, "expired");
    }

    async fn a_clock_that_is_set_back_revives_no_revoked_token(store: Store) {
        let t = kit(&store).await;
        let node = second_node(&store, &t).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.kit.logout(ann.refresh(), &meta()).await.unwrap();
        for t in [&t, &node] {
            t.kit.refresh_views().await.unwrap();
            assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        }
        // Set ahead so far that the revocation looks like an old one, and back again.
        t.clock.step_wall(7_200);
        for t in [&t, &node] {
            t.kit.refresh_views().await.unwrap();
        }
        t.clock.step_wall(-7_200);
        for t in [&t, &node] {
            t.kit.refresh_views().await.unwrap();
            assert_eq!(kind(t.kit.authenticate(ann.access(), &meta()).await), ErrorKind::Unauthenticated);
        }
    }

    async fn the_freshness_of_a_sign_in_does_not_come_back_with_the_clock(store: Store) {
        let t = kit(&store).await;
        let ann = t.signed_in(ANN).await.unwrap();
        t.clock.advance(seconds(3_600));
        let late = refresh(&t, ann.refresh()).await.unwrap();
        let auth = t.kit.authenticate(late.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::StepUpRequired);
        t.clock.step_wall(-7_200);
        let back = refresh(&t, late.refresh()).await.unwrap();
        let auth = t.kit.authenticate(back.access(), &meta()).await.unwrap();
        assert_eq!(kind(t.kit.delete_account(&auth, &meta()).await), ErrorKind::StepUpRequired);
    }
}
