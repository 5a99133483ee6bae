-- Passkeys: public keys and what is known of them, nothing secret. `credential` is the key's state as JSON; counter and
-- backup state stand beside it for guards and lists.
CREATE TABLE authkit_passkeys (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    credential_id BYTEA NOT NULL,
    credential TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    sign_count BIGINT NOT NULL,
    backup_eligible BOOLEAN NOT NULL,
    backed_up BOOLEAN NOT NULL,
    transports TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE UNIQUE INDEX authkit_passkeys_credential ON authkit_passkeys (credential_id);
CREATE INDEX authkit_passkeys_user ON authkit_passkeys (user_id);

-- Challenges that wait for their answer: each for one purpose, once, for minutes. All but those of a passwordless
-- sign-in, of which nobody is known yet, belong to a user, an epoch, and a subject: the session or the pending sign-in
-- that asked.
CREATE TABLE authkit_passkey_challenges (
    id UUID NOT NULL PRIMARY KEY,
    purpose TEXT COLLATE "C" NOT NULL CHECK (purpose IN ('register', 'login', 'second_factor', 'step_up')),
    user_id UUID REFERENCES authkit_users (id) ON DELETE CASCADE,
    epoch BIGINT,
    subject UUID,
    name TEXT COLLATE "C",
    state TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK ((purpose = 'login') = (user_id IS NULL)),
    CHECK ((user_id IS NULL) = (epoch IS NULL) AND (user_id IS NULL) = (subject IS NULL))
);
CREATE INDEX authkit_passkey_challenges_user ON authkit_passkey_challenges (user_id);
CREATE INDEX authkit_passkey_challenges_expires ON authkit_passkey_challenges (expires_at);
