-- Customers' links: one delivery of one driver, for whoever holds the token.
-- Locks: route, briefly, for a foreign key. Reversal: forward-only.
SET LOCAL lock_timeout = '2s';

CREATE TABLE customer_link (
    company_id   uuid        NOT NULL,
    link_id      uuid        NOT NULL,
    token_hash   bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    route_id     uuid        NOT NULL,
    stop_id      uuid        NOT NULL,
    driver_id    uuid,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    delivered_at timestamptz,
    revoked_at   timestamptz,
    PRIMARY KEY (company_id, link_id),
    UNIQUE (company_id, token_hash),
    CHECK (expires_at > created_at)
);
COMMENT ON TABLE customer_link IS
    'Shows a customer how far their delivery is. The token itself is never stored, only the '
    'SHA-256 of its secret. delivered_at is when the arrival was noticed. driver_id is NULL once '
    'the driver was erased: the link has ended then.';
ALTER TABLE customer_link ADD CONSTRAINT customer_link_route
    FOREIGN KEY (company_id, route_id) REFERENCES route (company_id, route_id);
CREATE INDEX customer_link_of_route ON customer_link (company_id, route_id, link_id);
CREATE INDEX customer_link_of_driver ON customer_link (company_id, driver_id)
    WHERE driver_id IS NOT NULL;

ALTER TABLE customer_link ENABLE ROW LEVEL SECURITY;
ALTER TABLE customer_link FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON customer_link TO jolda_app USING (company_id = current_company());
GRANT SELECT, INSERT ON customer_link TO jolda_app;
-- What a link leads to never changes; it only ends.
GRANT UPDATE (driver_id, delivered_at, revoked_at) ON customer_link TO jolda_app;
