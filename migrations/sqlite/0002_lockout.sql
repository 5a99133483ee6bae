-- Failed attempts, and what they lock. A row's key is a keyed hash: no text of an address or e-mail is here.
CREATE TABLE authkit_lockouts (
    row_key TEXT NOT NULL PRIMARY KEY,
    id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('email', 'ip', 'network', 'device', 'second_factor')),
    user_id BLOB,
    failures BIGINT NOT NULL,
    -- Reservations in two groups by age, so that one left behind is found although others come and go.
    pending BIGINT NOT NULL,
    pending_before BIGINT NOT NULL,
    round BIGINT NOT NULL,
    round_at BIGINT NOT NULL,
    reserved_at BIGINT NOT NULL,
    first_failure_at BIGINT,
    last_failure_at BIGINT,
    locked_at BIGINT,
    locked_until BIGINT,
    lock_count BIGINT NOT NULL,
    -- Of a network: truncated keyed tags of the e-mails that failed there, with their times.
    tags TEXT NOT NULL,
    touched_at BIGINT NOT NULL,
    -- Grows with every write.
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX authkit_lockouts_id ON authkit_lockouts (id);
CREATE INDEX authkit_lockouts_user ON authkit_lockouts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX authkit_lockouts_touched ON authkit_lockouts (touched_at);

-- Browsers and devices that signed in before. The token is here only as a keyed hash.
CREATE TABLE authkit_devices (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    key_id TEXT NOT NULL REFERENCES authkit_keys (kid),
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX authkit_devices_user ON authkit_devices (user_id, last_used_at);
CREATE INDEX authkit_devices_used ON authkit_devices (last_used_at);

-- The device from which a session was begun: its own budget of attempts counts in that session, too.
ALTER TABLE authkit_sessions ADD COLUMN device_id BLOB;
