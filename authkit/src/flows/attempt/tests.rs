use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::events::Action;
use crate::ids::DeviceId;
use crate::testing::TestKit;

fn second_factor(ctx: &Arc<Ctx>, user: UserId) -> Target {
    let email = Email::parse("ada@example.com", "").unwrap();
    let device = Presented::of_session(DeviceId::from_uuid(uuid::Uuid::nil()));
    ctx.target(Factor::SecondFactor(user), &email, Some(device), &RequestMeta::new()).unwrap()
}

async fn try_one(ctx: &Arc<Ctx>, user: UserId) -> Result<Reservation> {
    let meta = RequestMeta::new();
    let target = second_factor(ctx, user);
    let (target, ()) = ctx.unless_locked(target, &meta, |_| Box::pin(async { Ok(()) })).await?;
    ctx.reserve(target, &meta).await
}

/// A factor of its own: other doors' failures do not count, and its own do not lock the password.
#[tokio::test]
async fn ten_wrong_second_factors_lock_the_second_factor_and_nothing_else() {
    let test = TestKit::in_memory().await.unwrap();
    let user = test.sign_up("ada@example.com").await.unwrap().id;
    let (ctx, meta) = (&test.kit.ctx, RequestMeta::new());
    for n in 0..10 {
        let reservation = try_one(ctx, user).await.unwrap_or_else(|e| panic!("{n}: {e:?}"));
        assert!(reservation.target().device().is_none(), "a device has no second factor of its own");
        // A right one that is not the end of the sign-in moves nothing.
        ctx.give_back(&reservation, None, &meta).await.unwrap();
        let reservation = try_one(ctx, user).await.unwrap();
        let entry = Entry::failure(Action::StepUp, Some(user), "wrong_code");
        ctx.fail(&reservation, entry, &meta).await.unwrap();
        // A sign-in by password in between resets its own counter only.
        test.sign_in("ada@example.com").await.unwrap();
    }
    let locked = try_one(ctx, user).await.unwrap_err();
    assert_eq!((locked.kind(), locked.retry_after()), (ErrorKind::Locked, Some(Duration::from_mins(15))));
    test.sign_in("ada@example.com").await.unwrap();
    test.clock.advance(Duration::from_mins(15));
    let reservation = try_one(ctx, user).await.unwrap();
    let (ctx_in, settled) = (Arc::clone(ctx), reservation.clone());
    let settle = move || {
        let (ctx, settled) = (Arc::clone(&ctx_in), settled.clone());
        async move {
            let db = ctx.db.clone();
            db.write(move |tx| {
                let (ctx, settled) = (Arc::clone(&ctx), settled.clone());
                Box::pin(async move { ctx.succeed_in(tx, &settled).await })
            })
            .await
        }
    };
    settle().await.unwrap();
    // Settled twice is settled once: whoever comes late undoes his transaction.
    assert_eq!(settle().await.unwrap_err().kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_success_that_comes_too_late_is_none() {
    let test = TestKit::in_memory().await.unwrap();
    let user = test.sign_up("ada@example.com").await.unwrap().id;
    let ctx = &test.kit.ctx;
    let slow = try_one(ctx, user).await.unwrap();
    test.clock.advance(Duration::from_secs(30));
    // Another looks at the row: the slow one is a failure now.
    drop(try_one(ctx, user).await.unwrap());
    let late = Arc::clone(ctx);
    let out = ctx
        .db
        .write(move |tx| {
            let (ctx, slow) = (Arc::clone(&late), slow.clone());
            Box::pin(async move { ctx.succeed_in(tx, &slow).await })
        })
        .await;
    assert_eq!(out.unwrap_err().kind(), ErrorKind::RateLimited);
}
