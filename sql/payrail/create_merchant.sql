-- Promises: a merchant of this name. With an id of the caller's, repeating it changes nothing.
-- Raises: PR106, PR206 the id is another merchant's.
CREATE OR REPLACE FUNCTION payrail.create_merchant(p_name text, p_merchant_id uuid DEFAULT NULL)
RETURNS SETOF payrail.merchants
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_merchant_id uuid := coalesce(p_merchant_id, uuidv7());
BEGIN
    IF length(p_name) BETWEEN 1 AND 200 IS NOT TRUE OR p_name ~ '[[:cntrl:]]' THEN
        RAISE EXCEPTION 'name must be 1 to 200 characters without control characters'
            USING ERRCODE = 'PR106', DETAIL = json_build_object('field', 'name');
    END IF;

    INSERT INTO merchant.merchants AS m (merchant_id, name)
    VALUES (v_merchant_id, p_name)
    ON CONFLICT (merchant_id) DO NOTHING;

    RETURN QUERY
    SELECT m.*
    FROM payrail.merchants m
    WHERE m.merchant_id = v_merchant_id AND m.name = p_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this id is another merchant''s'
            USING ERRCODE = 'PR206', DETAIL = json_build_object('field', 'merchant_id', 'merchant_id', v_merchant_id);
    END IF;
END
$$;

COMMENT ON FUNCTION payrail.create_merchant IS 'Creates a merchant. Repeating it with the same id and name changes nothing.';
