-- Mailed links, as keyed hashes. One row for each purpose and subject, so that a user has at most one live link of a
-- kind: a new one takes the row over. The subject is the user's id; for an undo the link's own; for an invitation
-- the invitation's; for a decoy, which makes an unknown address cost what a known one costs, a keyed hash of it.
CREATE TABLE authkit_links (
    id BLOB NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL CHECK (purpose IN
        ('verify_email', 'reset_password', 'change_email', 'undo_email', 'invitation', 'unlock')),
    subject BLOB NOT NULL,
    user_id BLOB REFERENCES authkit_users (id) ON DELETE CASCADE,
    epoch BIGINT,
    key_id TEXT NOT NULL REFERENCES authkit_keys (kid),
    secret_hash BLOB NOT NULL,
    address TEXT,
    address_hash BLOB NOT NULL,
    session_id BLOB,
    code_hash BLOB,
    code_expires_at BIGINT,
    code_tries BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT
);
CREATE UNIQUE INDEX authkit_links_secret ON authkit_links (secret_hash);
CREATE UNIQUE INDEX authkit_links_subject ON authkit_links (purpose, subject);
CREATE INDEX authkit_links_address ON authkit_links (purpose, address_hash);
CREATE INDEX authkit_links_user ON authkit_links (user_id);
CREATE INDEX authkit_links_expires ON authkit_links (expires_at);
