//! Two engines, one schema, one text of every statement.

use std::collections::{BTreeMap, BTreeSet};

use authkit::testing::ManualClock;
use authkit_tests::{Backend, Store};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, SqlSafeStr as _, SqliteConnection};

use crate::architecture::sources;
use crate::support::{Raw, connect};

/// Statements that are written for one engine alone: the look into its own catalogue.
const TWINS: &[(&str, &str)] = &[("db/migrate.rs", "sqlite_master"), ("db/migrate.rs", "to_regclass")];

async fn migrated(backend: Backend) -> (Store, Raw) {
    let store = Store::new(backend).await;
    connect(&store).await.migrate(&ManualClock::new()).await.unwrap();
    let raw = Raw::open(&store).await;
    (store, raw)
}

async fn both() -> [(Store, SqliteOrPg); 2] {
    let (s, sqlite) = migrated(Backend::Sqlite).await;
    let (p, postgres) = migrated(Backend::Postgres).await;
    let (Raw::Sqlite(sqlite), Raw::Postgres(postgres)) = (sqlite, postgres) else { panic!("mixed up") };
    [(s, SqliteOrPg::Sqlite(sqlite)), (p, SqliteOrPg::Postgres(postgres))]
}

enum SqliteOrPg {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

async fn sqlite_rows(conn: &mut SqliteConnection, sql: &str) -> BTreeSet<String> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

async fn postgres_rows(conn: &mut PgConnection, sql: &str) -> BTreeSet<String> {
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

/// The same fact on both engines, as sets of lines.
async fn compare(what: &str, least: usize, sqlite: &str, postgres: &str, same: impl Fn(String) -> String) {
    let mut found = Vec::new();
    for (_, conn) in &mut both().await {
        let rows = match conn {
            SqliteOrPg::Sqlite(conn) => sqlite_rows(conn, sqlite).await,
            SqliteOrPg::Postgres(conn) => postgres_rows(conn, postgres).await,
        };
        found.push(rows.into_iter().map(&same).collect::<BTreeSet<_>>());
    }
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    let (sqlite, postgres) = (&found[0], &found[1]);
    assert!(sqlite.len() >= least, "{what}: only {} were found", sqlite.len());
    assert_eq!(
        only(sqlite, postgres),
        only(postgres, sqlite),
        "{what} (left: SQLite only, right: PostgreSQL only)"
    );
}

const SQLITE_TABLES: &str =
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%authkit\\_%' ESCAPE '\\'";

#[tokio::test]
async fn both_schemas_have_the_same_tables_and_columns() {
    let postgres = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    compare("tables", 11, SQLITE_TABLES, postgres, |row| row).await;
    compare(
        "columns",
        70,
        "SELECT t.name || '.' || c.name || ' ' || c.type || CASE WHEN c.\"notnull\" OR t.name LIKE '\\_%' ESCAPE '\\'
            AND c.pk > 0 THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || c.dflt_value, '')
         FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name LIKE '%authkit\\_%' ESCAPE '\\'",
        "SELECT table_name || '.' || column_name || ' ' || upper(data_type)
            || CASE WHEN is_nullable = 'NO' THEN ' NOT NULL' ELSE '' END || coalesce(' DEFAULT ' || column_default, '')
         FROM information_schema.columns WHERE table_schema = 'public'",
        // Ids and bytes are one class: SQLite has no UUID.
        |row| row.replace(" UUID", " BLOB").replace(" BYTEA", " BLOB"),
    )
    .await;
}

#[tokio::test]
async fn both_schemas_have_the_same_keys_and_indexes() {
    compare(
        "primary keys",
        11,
        "SELECT t.name || '(' || (SELECT group_concat(name) FROM
            (SELECT c.name FROM pragma_table_info(t.name) c WHERE c.pk > 0 ORDER BY c.pk)) || ')'
         FROM sqlite_master t WHERE t.type = 'table' AND t.name LIKE '%authkit\\_%' ESCAPE '\\'",
        "SELECT r.relname || '(' || (SELECT string_agg(a.attname, ',' ORDER BY k.n)
            FROM unnest(i.indkey) WITH ORDINALITY k(attnum, n)
            JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum) || ')'
         FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace s ON s.oid = r.relnamespace
         WHERE i.indisprimary AND s.nspname = 'public'",
        |row| row,
    )
    .await;
    compare(
        "indexes",
        12,
        "SELECT i.name || CASE WHEN i.\"unique\" THEN ' UNIQUE ' ELSE ' ' END || t.name || '(' ||
            (SELECT group_concat(name) FROM (SELECT x.name FROM pragma_index_info(i.name) x ORDER BY x.seqno)) || ')' ||
            coalesce((SELECT ' WHERE ' || substr(m.sql, instr(m.sql, ' WHERE ') + 7) FROM sqlite_master m
                WHERE m.name = i.name AND i.partial), '')
         FROM sqlite_master t, pragma_index_list(t.name) i WHERE t.type = 'table' AND i.origin = 'c'",
        "SELECT x.relname || CASE WHEN i.indisunique THEN ' UNIQUE ' ELSE ' ' END || r.relname || '(' ||
            (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(i.indkey) WITH ORDINALITY k(attnum, n)
                JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.attnum) || ')' ||
            coalesce(' WHERE ' || btrim(pg_get_expr(i.indpred, i.indrelid), '()'), '')
         FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
         JOIN pg_namespace s ON s.oid = r.relnamespace
         WHERE NOT i.indisprimary AND s.nspname = 'public'",
        // PostgreSQL says `= ANY (ARRAY['a'::text])` for `IN ('a')`.
        |row| {
            let row = row.replace("::text", "").replace("= ANY (ARRAY[", "IN (").replace(']', ")");
            row.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(")
        },
    )
    .await;
}

#[tokio::test]
async fn both_schemas_have_the_same_foreign_keys_and_checks() {
    compare(
        "foreign keys",
        5,
        "SELECT t.name || '.' || f.\"from\" || ' -> ' || f.\"table\" || '.' || f.\"to\" || ' ' || f.on_delete || ' ' || f.on_update
         FROM sqlite_master t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'",
        "SELECT r.relname || '.' || a.attname || ' -> ' || o.relname || '.' || b.attname || ' '
            || CASE c.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'a' THEN 'NO ACTION' ELSE c.confdeltype::text END || ' '
            || CASE c.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'a' THEN 'NO ACTION' ELSE c.confupdtype::text END
         FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class o ON o.oid = c.confrelid
         JOIN unnest(c.conkey, c.confkey) AS k(here, there) ON TRUE
         JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.here
         JOIN pg_attribute b ON b.attrelid = o.oid AND b.attnum = k.there
         WHERE c.contype = 'f'",
        |row| row,
    )
    .await;
    // A check is compared by the column and the words that it allows.
    let words = |row: String| {
        let (table, rest) = row.split_once(' ').unwrap();
        let mut out = BTreeSet::new();
        for check in rest.split("CHECK").skip(1) {
            let column =
                check.split(|c: char| !c.is_alphanumeric() && c != '_').find(|w| !w.is_empty()).unwrap();
            let allowed: BTreeSet<&str> = check
                .split(')')
                .next()
                .unwrap()
                .split('\'')
                .skip(1)
                .step_by(2)
                .filter(|w| !w.is_empty())
                .collect();
            out.insert(format!("{table}.{column} {allowed:?}"));
        }
        format!("{out:?}")
    };
    let sqlite = "SELECT name || ' ' || replace(sql, char(10), ' ') FROM sqlite_master WHERE type = 'table'
        AND sql LIKE '%CHECK (%'";
    // SQLite has all checks of a table in one text.
    let postgres = "SELECT r.relname || ' ' || string_agg(replace(replace(pg_get_constraintdef(c.oid), '::text', ''),
            'ARRAY[', ''), ' ' ORDER BY c.oid)
        FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace s ON s.oid = r.relnamespace
        WHERE c.contype = 'c' AND s.nspname = 'public' GROUP BY r.relname";
    compare("checks", 2, sqlite, postgres, words).await;
}

#[tokio::test]
async fn text_that_is_a_key_or_ordered_compares_by_bytes_on_postgres() {
    let [_, (_, conn)] = &mut both().await;
    let SqliteOrPg::Postgres(conn) = conn else { panic!("mixed up") };
    let sql =
        "SELECT DISTINCT r.relname || '.' || a.attname FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid
        JOIN pg_namespace s ON s.oid = r.relnamespace
        JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = ANY (i.indkey)
        JOIN pg_collation l ON l.oid = a.attcollation
        WHERE s.nspname = 'public' AND l.collname <> 'C' AND i.indisunique AND r.relname LIKE 'authkit%'";
    assert_eq!(postgres_rows(conn, sql).await, BTreeSet::new());
}

/// Each `const NAME: &str` that holds a statement, with its macros put together. What creates tables is run by every
/// test here.
fn statements() -> Vec<(String, String, String)> {
    let mut out = Vec::new();
    let sources = sources("authkit/src");
    let shared: Macros = sources.iter().flat_map(|(_, text)| macros(text)).collect();
    for (file, text) in &sources {
        if file.ends_with("/tests.rs") {
            continue;
        }
        let mut known = shared.clone();
        known.extend(macros(text));
        for (at, mark) in text.match_indices("const ") {
            let rest = &text[at + mark.len()..];
            let Some((name, value)) = rest.split_once(": &str") else { continue };
            if name.len() > 40
                || !name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            {
                continue;
            }
            let Some(value) = value.trim_start().strip_prefix('=') else { continue };
            let sql = put_together(value, &known);
            let first = sql.split_whitespace().next().unwrap_or_default();
            if ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) {
                out.push((file.clone(), name.to_owned(), sql));
            }
        }
    }
    out
}

/// By name: the parameter, if there is one, and the text.
type Macros = BTreeMap<String, (Option<String>, String)>;

/// The macros of a file that have one arm and at most one parameter.
fn macros(text: &str) -> Macros {
    let mut out = Macros::new();
    for part in text.split("macro_rules! ").skip(1) {
        let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let (Some(open), Some(arrow)) = (part.find('('), part.find("=>")) else { continue };
        let parameter = part[open..arrow].split_once('$').and_then(|(_, rest)| rest.split_once(':'));
        let Some(body) = part[arrow..].find('{').map(|at| enclosed(&part[arrow + at..])) else { continue };
        out.insert(name, (parameter.map(|(name, _)| format!("${name}")), body.to_owned()));
    }
    out
}

/// The value of literals, `concat!` and macros that follow each other.
fn put_together(text: &str, known: &Macros) -> String {
    let mut sql = String::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.starts_with('"') {
            let (text, length) = literal(rest);
            sql.push_str(&text);
            rest = &rest[length..];
            continue;
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(call) = rest[name.len()..].strip_prefix('!').filter(|call| call.starts_with('(')) else {
            return sql;
        };
        let inside = enclosed(call);
        match known.get(&name) {
            _ if name == "concat" => sql.push_str(&put_together(inside, known)),
            Some((Some(parameter), body)) => {
                sql.push_str(&put_together(&body.replace(parameter.as_str(), inside), known));
            }
            Some((None, body)) => sql.push_str(&put_together(body, known)),
            None => return sql,
        }
        rest = &call[inside.len() + 2..];
    }
}

/// What stands between the bracket at the start of `text` and its partner.
fn enclosed(text: &str) -> &str {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        match rest.as_bytes()[0] {
            b'"' => {
                at += literal(rest).1;
                continue;
            }
            b'(' | b'{' | b'[' => depth += 1,
            b')' | b'}' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[1..at];
        }
        at += rest.chars().next().map_or(1, char::len_utf8);
    }
    ""
}

/// A string literal at the start of `text`: its value and its length in the source.
fn literal(text: &str) -> (String, usize) {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, at + 1),
            '\\' => match chars.next().unwrap().1 {
                '\n' => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                'n' => out.push('\n'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    panic!("a literal without an end");
}

#[tokio::test]
async fn every_statement_prepares_on_both_engines() {
    let all = statements();
    assert!(all.len() >= 60, "only {} statements were found", all.len());
    let (twins, one_text): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(file, _, sql)| TWINS.iter().any(|(f, word)| f == file && sql.contains(word)));
    assert_eq!(twins.len(), TWINS.len(), "{twins:?}");
    let mut faults = Vec::new();
    for (_, conn) in &mut both().await {
        for (file, name, sql) in &one_text {
            let text = AssertSqlSafe(sql.clone()).into_sql_str();
            let out = match conn {
                SqliteOrPg::Sqlite(conn) => conn.prepare(text).await.map(|_| ()),
                SqliteOrPg::Postgres(conn) => prepare_typed(conn, sql, &[]).await,
            };
            if let Err(error) = out {
                faults.push(format!("{file} {name}: {error}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// `$1 IS NULL OR id = $1` does not tell the type of `$1`; the driver does. Here one that fits is looked for.
async fn prepare_typed(conn: &mut PgConnection, sql: &str, types: &[&str]) -> Result<(), sqlx::Error> {
    let list = if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) };
    let text = format!("DEALLOCATE ALL; PREPARE probe {list} AS {sql}");
    let Err(error) = conn.execute(sqlx::raw_sql(AssertSqlSafe(text))).await else { return Ok(()) };
    let told = error.to_string();
    let Some(number) = told.split("could not determine data type of parameter $").nth(1) else {
        return Err(error);
    };
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    let number: usize = digits.parse().unwrap();
    let mut refusal = error;
    for fits in ["uuid", "text", "bigint"] {
        let mut types = types.to_vec();
        types.resize(types.len().max(number), "unknown");
        types[number - 1] = fits;
        match Box::pin(prepare_typed(conn, sql, &types)).await {
            Ok(()) => return Ok(()),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

#[test]
fn no_statement_is_written_where_it_is_run() {
    for (file, text) in sources("authkit/src") {
        for run in ["sqlx::query(\"", "sqlx::query_as(\"", "sqlx::query_scalar(\"", "AssertSqlSafe"] {
            assert!(!text.contains(run), "{file} writes a statement where it is run");
        }
    }
}
