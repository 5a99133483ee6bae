//! Feeds that other processes poll are numbered after commit.
//!
//! Neither ids nor times follow the order of commits on PostgreSQL, so a reader that remembers "the last one
//! seen" would miss a row. Rows therefore go in without a number; whoever polls and sees such rows numbers
//! them in a short transaction that takes the feed's head first, and readers ask for numbers above their last.

use super::{Conn, on_db};
use crate::error::Result;

const HEADS: &str = "SELECT name, head FROM authkit_feeds";
const NEXT: &str = "UPDATE authkit_feeds SET head = head + 1 WHERE name = $1 RETURNING head";

/// Heads of all feeds, by name.
pub(crate) async fn heads(conn: &mut Conn<'_>) -> Result<Vec<(String, i64)>> {
    Ok(on_db!(conn, |c| sqlx::query_as(HEADS).fetch_all(c).await)?)
}

/// Moves the head of `feed` on and returns it; the row stays locked until the transaction ends.
pub(crate) async fn advance(conn: &mut Conn<'_>, feed: &str) -> Result<i64> {
    Ok(on_db!(conn, |c| sqlx::query_scalar(NEXT).bind(feed).fetch_one(c).await)?)
}
