-- Mails, written in the transaction of what they tell. The payload (address, facts, secret of the link) is sealed with the row's id bound
-- in, and wiped as soon as nothing more is to be done with it. A row with a lease is being sent until due_at. The template 'none' is
-- what an unknown address costs; no foreign key and no index on user_id, so that it costs the same to the last page.
CREATE TABLE authkit_outbox (
    id UUID NOT NULL PRIMARY KEY,
    template TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'sent', 'dead', 'expired', 'dropped')),
    user_id UUID,
    key_id TEXT COLLATE "C" NOT NULL REFERENCES authkit_keys (kid),
    payload BYTEA,
    attempts BIGINT NOT NULL,
    lease UUID,
    last_error TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX authkit_outbox_due ON authkit_outbox (due_at, id) WHERE finished_at IS NULL;
CREATE INDEX authkit_outbox_finished ON authkit_outbox (finished_at) WHERE finished_at IS NOT NULL;

-- When a user was last told of a kind of event: one mail of a kind in a window.
CREATE TABLE authkit_notices (
    user_id UUID NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    kind TEXT COLLATE "C" NOT NULL,
    told_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, kind)
);
