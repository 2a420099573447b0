-- Promises: whether an endpoint that asked for these types wants an event: its type by name, all of its kind (payout.*), or all (*).
-- A test goes to the endpoint that it is of, and to no other.
CREATE OR REPLACE FUNCTION webhook.wants(p_endpoint_id uuid, p_event_types text[], p_type text, p_data json)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
RETURN CASE p_type
    WHEN 'endpoint.test' THEN p_data ->> 'endpoint_id' = p_endpoint_id::text
    ELSE p_event_types && ARRAY['*', p_type, split_part(p_type, '.', 1) || '.*']
END;
