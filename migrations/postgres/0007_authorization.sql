-- Organisations, the host's resources as far as anybody holds a role on them, and who holds which role. An organisation's id is kept as
-- text, since it is also a resource: ('org', id).
CREATE TABLE authkit_organisations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL,
    domain TEXT COLLATE "C",
    seat_limit BIGINT CHECK (seat_limit > 0),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('active', 'disabled')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Every resource has a row, which guards on its members take first. org: the organisation that it belongs to, of an organisation itself.
CREATE TABLE authkit_resources (
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    org TEXT COLLATE "C" REFERENCES authkit_organisations (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (resource_type, resource_id)
);
CREATE INDEX authkit_resources_org ON authkit_resources (org) WHERE org IS NOT NULL;
-- What an invitation to nothing in particular is bound to.
INSERT INTO authkit_resources (resource_type, resource_id, org, created_at, updated_at) VALUES ('platform', 'platform', NULL, 0, 0);

-- managed: whether admins of the organisation may act on the account itself. Not when somebody brought his own.
CREATE TABLE authkit_memberships (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES authkit_users (id) ON DELETE CASCADE,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    managed BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (resource_type, resource_id) REFERENCES authkit_resources (resource_type, resource_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX authkit_memberships_user ON authkit_memberships (user_id, resource_type, resource_id);
CREATE INDEX authkit_memberships_of_user ON authkit_memberships (user_id, id);
CREATE INDEX authkit_memberships_of_user_type ON authkit_memberships (user_id, resource_type, id);
CREATE INDEX authkit_memberships_of_resource ON authkit_memberships (resource_type, resource_id, id);
CREATE INDEX authkit_memberships_role ON authkit_memberships (resource_type, resource_id, role);

-- Who is asked to come. The secret of the link is in authkit_links, as a keyed hash. No inviter: an operator of the server.
CREATE TABLE authkit_invitations (
    id UUID NOT NULL PRIMARY KEY,
    email TEXT COLLATE "C" NOT NULL,
    email_key TEXT COLLATE "C" NOT NULL,
    resource_type TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    user_id UUID REFERENCES authkit_users (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    sent_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT COLLATE "C" CHECK (end_reason IN ('accepted', 'revoked', 'expired', 'void')),
    FOREIGN KEY (resource_type, resource_id) REFERENCES authkit_resources (resource_type, resource_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX authkit_invitations_open ON authkit_invitations (resource_type, resource_id, email_key) WHERE ended_at IS NULL;
CREATE INDEX authkit_invitations_of_resource ON authkit_invitations (resource_type, resource_id, id);
CREATE INDEX authkit_invitations_user ON authkit_invitations (user_id, id);
CREATE INDEX authkit_invitations_expires ON authkit_invitations (expires_at);
CREATE INDEX authkit_invitations_email ON authkit_invitations (email_key);

-- What somebody did to others: his purge takes his address out of those rows, too.
CREATE INDEX authkit_audit_acts ON authkit_audit (actor) WHERE action IN
    ('org.create', 'org.update', 'org.delete', 'membership.grant', 'membership.change', 'membership.revoke', 'invitation.create',
     'invitation.resend', 'invitation.revoke');
