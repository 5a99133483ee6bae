-- Times are microseconds since 1970, UTC. Ids are UUID v7. Text that is compared or ordered is COLLATE "C".

CREATE TABLE authkit_meta (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Heads of feeds that other processes poll; rows are numbered after commit.
CREATE TABLE authkit_feeds (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    head BIGINT NOT NULL
);

-- Data keys, sealed under the root. The state (next, active, retiring, gone) follows from the times.
CREATE TABLE authkit_keys (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    alg TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    activates_at BIGINT NOT NULL,
    retires_at BIGINT,
    gone_at BIGINT
);
CREATE INDEX authkit_keys_purpose ON authkit_keys (purpose, activates_at);

CREATE TABLE authkit_roles (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    permissions TEXT NOT NULL,
    description TEXT NOT NULL,
    built_in BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE authkit_users (
    id UUID NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    email_verified_at BIGINT,
    status TEXT NOT NULL CHECK (status IN ('active', 'disabled', 'deleted')),
    disabled_at BIGINT,
    deleted_at BIGINT,
    profile TEXT NOT NULL,
    ver BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    last_sign_in_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX authkit_users_email_key ON authkit_users (email_key);

CREATE TABLE authkit_user_roles (
    user_id UUID NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    role TEXT COLLATE "C" NOT NULL REFERENCES authkit_roles (name),
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, role)
);
CREATE INDEX authkit_user_roles_role ON authkit_user_roles (role, user_id);

CREATE TABLE authkit_passwords (
    user_id UUID NOT NULL PRIMARY KEY REFERENCES authkit_users (id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

CREATE TABLE authkit_sessions (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL REFERENCES authkit_keys (kid),
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    absolute_expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT,
    ip TEXT,
    user_agent TEXT,
    cip TEXT,
    auth_time BIGINT NOT NULL,
    amr TEXT NOT NULL
);
CREATE INDEX authkit_sessions_live ON authkit_sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX authkit_sessions_user ON authkit_sessions (user_id);
CREATE INDEX authkit_sessions_absolute ON authkit_sessions (absolute_expires_at);

-- What makes an unexpired access token invalid. Either a session, or a user's tokens below a version.
CREATE TABLE authkit_revocations (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID,
    session_id UUID,
    min_ver BIGINT,
    created_at BIGINT NOT NULL,
    batch BIGINT
);
CREATE INDEX authkit_revocations_new ON authkit_revocations (id) WHERE batch IS NULL;
CREATE INDEX authkit_revocations_batch ON authkit_revocations (batch);
CREATE INDEX authkit_revocations_created ON authkit_revocations (created_at);
CREATE INDEX authkit_revocations_user ON authkit_revocations (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX authkit_revocations_session ON authkit_revocations (session_id) WHERE session_id IS NOT NULL;

CREATE TABLE authkit_audit (
    id UUID NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'failure')),
    actor TEXT NOT NULL,
    user_id UUID,
    session_id UUID,
    ip TEXT,
    request_id TEXT,
    reason TEXT,
    details TEXT NOT NULL
);
CREATE INDEX authkit_audit_user ON authkit_audit (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX authkit_audit_action ON authkit_audit (action, id);

INSERT INTO authkit_feeds (name, head) VALUES ('revocations', 0), ('keys', 0), ('roles', 0);

INSERT INTO authkit_roles (name, permissions, description, built_in, created_at, updated_at) VALUES
    ('super_admin', '["*"]', 'May do everything.', TRUE, 0, 0),
    ('admin', '["users:*"]', 'Manages the users of the own organisation.', TRUE, 0, 0),
    ('user', '[]', 'Manages the own account.', TRUE, 0, 0);
