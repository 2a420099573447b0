-- Roles and what they may do to the database as a whole. Run first on every migrate, by an administrator who may
-- create roles (not by payrail_migrator, for whom they exist already). Repeating it changes nothing. Roles belong to
-- the whole server, so another database's migrate may be making the same ones at this moment: migrate tries again.
DO $$
DECLARE
    v_role text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'payrail_owner') THEN
        CREATE ROLE payrail_owner NOLOGIN;
    END IF;
    FOREACH v_role IN ARRAY ARRAY['payrail_migrator', 'payrail_api', 'payrail_worker', 'payrail_operator', 'payrail_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', v_role);
        END IF;
        EXECUTE format('ALTER ROLE %I SET timezone = ''UTC''', v_role);
        EXECUTE format('ALTER ROLE %I SET jit = off', v_role);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''2s''', v_role);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''5s''', v_role);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''5s''', v_role);
    END LOOP;
    -- each query of theirs has an index. A plan that a session made while a table was next to empty would otherwise go on reading the
    -- whole of it, however large it has become, until it is analyzed anew.
    ALTER ROLE payrail_api SET enable_seqscan = off;
    ALTER ROLE payrail_worker SET enable_seqscan = off;
    ALTER ROLE payrail_auditor SET statement_timeout = '10min';
    ALTER ROLE payrail_auditor SET idle_in_transaction_session_timeout = '10min';
    ALTER ROLE payrail_migrator SET statement_timeout = 0;
    ALTER ROLE payrail_migrator SET idle_in_transaction_session_timeout = 0;

    -- a migrator becomes the owner by SET ROLE, and is nothing otherwise
    GRANT payrail_owner TO payrail_migrator WITH INHERIT FALSE, SET TRUE;
    IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
        EXECUTE format('GRANT payrail_owner TO %I WITH INHERIT FALSE, SET TRUE', current_user);
    END IF;

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO payrail_owner', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO payrail_migrator, payrail_api, payrail_worker, payrail_operator, payrail_auditor',
        current_database()
    );
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA IF NOT EXISTS migrations AUTHORIZATION payrail_owner;
CREATE SCHEMA IF NOT EXISTS procrastinate AUTHORIZATION payrail_owner;

-- for the owner as such: with IN SCHEMA it would do nothing
SET ROLE payrail_owner;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
RESET ROLE;
