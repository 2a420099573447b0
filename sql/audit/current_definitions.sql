-- Promises: every function, trigger, rule, view, index, constraint, bound, grant and rule in a table (kinds of entries, edges,
-- currencies, failure codes) of PayRail's schemas and its job queue, the settings of its roles, what they belong to, and who may
-- become its roles, as it is now, one row each. The search_path is pinned because the catalog spells names by it.
CREATE OR REPLACE FUNCTION audit.current_definitions()
RETURNS TABLE (object text, definition text)
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH house AS (
        SELECT
            n.oid,
            n.nspname,
            n.nspacl
        FROM pg_namespace n
        WHERE n.nspname IN ('merchant', 'ledger', 'webhook', 'payout', 'rail', 'audit', 'payrail', 'procrastinate')
    )

    SELECT
        'schema ' || h.nspname,
        coalesce(h.nspacl::text, '')
    FROM house h
    UNION ALL
    SELECT
        'function ' || p.oid::regprocedure,
        concat_ws(' ', CASE p.prokind WHEN 'f' THEN pg_get_functiondef(p.oid) END, pg_get_userbyid(p.proowner), p.proacl)
    FROM pg_proc p
    INNER JOIN house h ON p.pronamespace = h.oid
    UNION ALL
    SELECT
        'relation ' || c.oid::regclass,
        concat_ws(
            ' ', c.relkind, pg_get_userbyid(c.relowner), c.relacl, c.relrowsecurity, CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END
        )
    FROM pg_class c
    INNER JOIN house h ON c.relnamespace = h.oid
    WHERE c.relkind IN ('r', 'v')
    UNION ALL
    SELECT
        'index ' || i.indexrelid::regclass,
        concat_ws(' ', pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM pg_index i
    INNER JOIN pg_class c ON i.indrelid = c.oid
    INNER JOIN house h ON c.relnamespace = h.oid
    UNION ALL
    SELECT
        'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass,
        concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM pg_trigger t
    INNER JOIN pg_class c ON t.tgrelid = c.oid
    INNER JOIN house h ON c.relnamespace = h.oid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT
        'foreign key trigger of ' || o.conname || ' on ' || t.tgrelid::regclass || ' ' || t.tgtype,
        t.tgenabled::text
    FROM pg_trigger t
    INNER JOIN pg_constraint o ON t.tgconstraint = o.oid
    INNER JOIN pg_class c ON t.tgrelid = c.oid
    INNER JOIN house h ON c.relnamespace = h.oid
    WHERE t.tgisinternal
    UNION ALL
    SELECT
        'constraint ' || o.conname || ' on '
        || CASE o.conrelid WHEN 0 THEN o.contypid::regtype::text ELSE o.conrelid::regclass::text END,
        concat_ws(' ', pg_get_constraintdef(o.oid), o.convalidated)
    FROM pg_constraint o
    INNER JOIN house h ON o.connamespace = h.oid
    UNION ALL
    SELECT
        'column ' || a.attrelid::regclass || '.' || a.attname,
        concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attacl, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a
    INNER JOIN pg_class c ON a.attrelid = c.oid
    INNER JOIN house h ON c.relnamespace = h.oid
    LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT
        'rule ' || r.rulename || ' on ' || r.ev_class::regclass,
        concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
    FROM pg_rewrite r
    INNER JOIN pg_class c ON r.ev_class = c.oid
    INNER JOIN house h ON c.relnamespace = h.oid
    WHERE c.relkind = 'r'
    UNION ALL
    SELECT
        'role ' || r.rolname,
        concat_ws(
            ' ', r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
            (
                SELECT string_agg(m.member::regrole || ':' || m.set_option || ':' || m.inherit_option, ',' ORDER BY m.member::regrole::text)
                FROM pg_auth_members m
                WHERE m.roleid = r.oid
            ),
            (
                SELECT string_agg(m.roleid::regrole || ':' || m.set_option || ':' || m.inherit_option, ',' ORDER BY m.roleid::regrole::text)
                FROM pg_auth_members m
                WHERE m.member = r.oid
            ),
            (
                SELECT string_agg(s.setconfig::text, ',' ORDER BY s.setdatabase)
                FROM pg_db_role_setting s
                INNER JOIN pg_database d ON s.setdatabase IN (0, d.oid) AND d.datname = current_database()
                WHERE s.setrole = r.oid
            )
        )
    FROM pg_roles r
    WHERE r.rolname LIKE 'payrail\_%'
    UNION ALL
    SELECT
        'settings of everybody',
        coalesce(string_agg(s.setconfig::text, ',' ORDER BY s.setdatabase), '')
    FROM pg_db_role_setting s
    INNER JOIN pg_database d ON s.setdatabase IN (0, d.oid) AND d.datname = current_database()
    WHERE s.setrole = 0
    UNION ALL
    SELECT
        'edge ' || t.from_status || ' to ' || t.to_status,
        coalesce(t.ledger_kind, '')
    FROM payout.transitions t
    UNION ALL
    SELECT
        'kind ' || k.kind,
        concat_ws(' ', k.debit_account, k.credit_account, k.of_payout)
    FROM ledger.kinds k
    UNION ALL
    SELECT
        'currency ' || c.currency,
        c.exponent::text
    FROM ledger.currencies c
    UNION ALL
    SELECT
        'failure code ' || f.code,
        concat_ws(' ', f.fault, f.retryable, f.by_bank)
    FROM payout.failure_codes f;
END;
