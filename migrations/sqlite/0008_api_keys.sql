-- API keys. The secret is kept as a keyed hash; what a key may do is judged at use, from its scopes and its owner's roles.
-- ends_at is the expiry, or the moment of the revocation.
CREATE TABLE authkit_api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    key_id TEXT NOT NULL REFERENCES authkit_keys (kid),
    hash BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT,
    ends_at BIGINT NOT NULL
);
CREATE INDEX authkit_api_keys_user ON authkit_api_keys (user_id, id);
CREATE INDEX authkit_api_keys_ends ON authkit_api_keys (ends_at);

-- Idempotency keys. The scope is a digest of caller, route and key; the body is known by a keyed hash. Who holds the lease
-- carries the request out; effected_at is written in the transaction of its effect. The answer is sealed with the row's id
-- bound in.
CREATE TABLE authkit_idempotency (
    id BLOB NOT NULL PRIMARY KEY,
    scope BLOB NOT NULL,
    user_id BLOB REFERENCES authkit_users (id) ON DELETE CASCADE,
    key_id TEXT NOT NULL REFERENCES authkit_keys (kid),
    body_tag BLOB NOT NULL,
    lease BLOB NOT NULL,
    lease_until BIGINT NOT NULL,
    effected_at BIGINT,
    answer BLOB,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX authkit_idempotency_scope ON authkit_idempotency (scope);
CREATE INDEX authkit_idempotency_user ON authkit_idempotency (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX authkit_idempotency_expires ON authkit_idempotency (expires_at);

-- One row: who cleans up now, and what the last run did.
CREATE TABLE authkit_cleanup (
    name TEXT NOT NULL PRIMARY KEY,
    lease BLOB,
    lease_until BIGINT NOT NULL,
    started_at BIGINT,
    finished_at BIGINT,
    report TEXT
);
INSERT INTO authkit_cleanup (name, lease_until) VALUES ('cleanup', 0);
