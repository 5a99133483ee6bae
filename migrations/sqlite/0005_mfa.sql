-- Second factors. What could be read back is sealed under MFA_ENCRYPTION_KEY, which is not in the store.

-- Authenticator apps (RFC 6238). One that is not confirmed counts for nothing. `last_step` is the last step whose code
-- was taken; it only grows, so that each code works once.
CREATE TABLE authkit_totp (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    algorithm TEXT NOT NULL CHECK (algorithm IN ('sha1', 'sha256', 'sha512')),
    digits BIGINT NOT NULL CHECK (digits BETWEEN 6 AND 8),
    period BIGINT NOT NULL CHECK (period > 0),
    sealed TEXT NOT NULL,
    last_step BIGINT,
    created_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX authkit_totp_user ON authkit_totp (user_id);

-- Each set of backup codes has a key of its own, so that the codes outlive a change of MFA_ENCRYPTION_KEY.
CREATE TABLE authkit_backup_sets (
    user_id BLOB NOT NULL PRIMARY KEY REFERENCES authkit_users (id) ON DELETE CASCADE,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Backup codes, as hashes under their set's key.
CREATE TABLE authkit_backup_codes (
    user_id BLOB NOT NULL REFERENCES authkit_backup_sets (user_id) ON DELETE CASCADE,
    code_hash BLOB NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, code_hash)
);

-- Sign-ins whose first factor was right and whose second one is outstanding.
CREATE TABLE authkit_mfa_pending (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    amr TEXT NOT NULL,
    device_id BLOB,
    tries BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT CHECK (end_reason IN ('used', 'credential_change', 'revoked'))
);
CREATE INDEX authkit_mfa_pending_user ON authkit_mfa_pending (user_id);
CREATE INDEX authkit_mfa_pending_expires ON authkit_mfa_pending (expires_at);
