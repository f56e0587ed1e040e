-- For callers outside.
CREATE OR REPLACE VIEW {interface}.stores AS
    SELECT s.store_id, s.created_at, s.updated_at, s.name, s.shop_domain, s.tier, s.status
    FROM stores s;
