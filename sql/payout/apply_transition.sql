-- The state machine. Promises: a payout changes state only along an edge of payout.transitions, and each change
-- writes, in the same transaction, the ledger entry of that edge and one event, which is also its line in the history. What was
-- asked for and said of it never changes, and a state's proof is written with the state or not at all. What was never held is not
-- released, and what is to be approved before its time is not held. The fee is held and released with the amount; of what is settled it
-- is an entry of its own, and stays booked if the amount is returned.
-- Lock: expects the merchant's.
-- Raises: PR101 the amount or the fee is out of bounds, PR201 no such edge, PR502 the writer is not a door or rewrites what is fixed,
-- PR904 a state without its proof.
CREATE OR REPLACE FUNCTION payout.apply_transition()
RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    v_ledger_kind text;
BEGIN
    IF current_user <> 'payrail_owner' THEN
        RAISE EXCEPTION 'payouts are changed by the doors only'
            USING ERRCODE = 'PR502', HINT = 'Call a function of schema payrail, such as payrail.settle_payout.';
    END IF;

    IF TG_OP = 'UPDATE' THEN
        IF (NEW.merchant_id, NEW.payout_id, NEW.amount, NEW.currency, NEW.bank_account_id, NEW.reference, NEW.metadata, NEW.created_at, NEW.created_by, NEW.scheduled_at, NEW.queue_if_low_balance, NEW.narration, NEW.retry_of, NEW.mode, NEW.mode_reason, NEW.fee)
            IS DISTINCT FROM
            (OLD.merchant_id, OLD.payout_id, OLD.amount, OLD.currency, OLD.bank_account_id, OLD.reference, OLD.metadata, OLD.created_at, OLD.created_by, OLD.scheduled_at, OLD.queue_if_low_balance, OLD.narration, OLD.retry_of, OLD.mode, OLD.mode_reason, OLD.fee)
        THEN
            RAISE EXCEPTION 'what a payout was asked to do never changes' USING ERRCODE = 'PR502';
        END IF;
    -- a fee as rail.fees has them: fixed, and up to all of the amount
    ELSIF NOT (NEW.amount <= 1000000000000000 AND NEW.fee BETWEEN 0 AND 1000000000000 + NEW.amount) THEN
        RAISE EXCEPTION 'a payout is of 1 to 10^15 minor units, and its fee of 0 to 10^12 and the amount'
            USING ERRCODE = 'PR101', DETAIL = json_build_object('field', 'amount');
    END IF;

    IF NEW.status IS DISTINCT FROM OLD.status THEN
        SELECT t.ledger_kind INTO v_ledger_kind
        FROM payout.transitions t
        WHERE t.from_status = coalesce(OLD.status, 'new') AND t.to_status = NEW.status;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the payout can not go from its status to the one asked for'
                USING ERRCODE = 'PR201', DETAIL = json_build_object(
                    'field', 'status', 'payout_id', NEW.payout_id, 'current_status', OLD.status, 'requested_status', NEW.status
                );
        END IF;
        IF (v_ledger_kind = 'hold' AND OLD.status IS NULL AND NEW.status <> 'pending' AND NEW.scheduled_at IS NOT NULL)
            OR (v_ledger_kind = 'release' AND OLD.held_at IS NULL)
        THEN
            v_ledger_kind := NULL;
        END IF;

        NEW.version := coalesce(OLD.version, 0) + 1;
        -- a new payout's time is its door's, which counts it towards the limits of that day
        NEW.updated_at := CASE TG_OP WHEN 'INSERT' THEN coalesce(NEW.created_at, clock_timestamp()) ELSE clock_timestamp() END;
        NEW.created_at := coalesce(OLD.created_at, NEW.updated_at);
        IF v_ledger_kind IS NOT NULL THEN
            INSERT INTO ledger.entries (merchant_id, currency, kind, amount, payout_id)
            VALUES (
                NEW.merchant_id, NEW.currency, v_ledger_kind,
                CASE WHEN v_ledger_kind IN ('hold', 'release') THEN NEW.amount + NEW.fee ELSE NEW.amount END, NEW.payout_id
            );
            IF v_ledger_kind = 'settle' AND NEW.fee > 0 THEN
                INSERT INTO ledger.entries (merchant_id, currency, kind, amount, payout_id)
                VALUES (NEW.merchant_id, NEW.currency, 'fee', NEW.fee, NEW.payout_id);
            END IF;
        END IF;
        INSERT INTO webhook.events (
            merchant_id, seq, payout_id, payout_version, created_at, from_status, to_status, actor, reason
        )
        SELECT
            NEW.merchant_id,
            -- without gaps, in commit order: the merchant is locked
            1 + coalesce(max(e.seq), 0),
            NEW.payout_id,
            NEW.version,
            NEW.updated_at,
            OLD.status,
            NEW.status,
            NEW.actor,
            NEW.reason
        FROM webhook.events e
        WHERE e.merchant_id = NEW.merchant_id;

        NEW.held_at := CASE v_ledger_kind WHEN 'hold' THEN NEW.updated_at ELSE OLD.held_at END;
        IF v_ledger_kind = 'release' THEN
            PERFORM payout.give_back_usage(NEW.merchant_id, NEW.currency, NEW.bank_account_id, NEW.amount, NEW.held_at);
        END IF;
    ELSIF (NEW.version, NEW.updated_at, NEW.actor, NEW.reason, NEW.utr, NEW.settled_at, NEW.failure_code, NEW.failure_reason, NEW.return_code, NEW.returned_at, NEW.held_at, NEW.approvals_required, NEW.expires_at)
        IS DISTINCT FROM
        (OLD.version, OLD.updated_at, OLD.actor, OLD.reason, OLD.utr, OLD.settled_at, OLD.failure_code, OLD.failure_reason, OLD.return_code, OLD.returned_at, OLD.held_at, OLD.approvals_required, OLD.expires_at)
    THEN
        RAISE EXCEPTION 'the proof of a state is written with the state' USING ERRCODE = 'PR502';
    END IF;

    IF NOT payout.has_its_proof(
        NEW.status, NEW.next_action_at, NEW.send_before, NEW.settled_at, NEW.utr, NEW.failure_code, NEW.returned_at, NEW.return_code,
        NEW.held_at, NEW.scheduled_at, NEW.expires_at
    ) THEN
        RAISE EXCEPTION 'the payout lacks what its status must be able to show, or shows what it may not'
            USING ERRCODE = 'PR904', DETAIL = json_build_object('field', 'status', 'payout_id', NEW.payout_id, 'status', NEW.status);
    END IF;

    -- an IF of its own: a foreign key would cost every new payout more than all this function's other checks
    IF NEW.failure_code IS NOT NULL THEN
        IF NOT EXISTS (
            SELECT
            FROM payout.failure_codes f
            WHERE f.code = NEW.failure_code AND f.by_bank = (NEW.held_at IS NOT NULL)
        ) THEN
            RAISE EXCEPTION 'only a listed final no fails a payout'
                USING ERRCODE = 'PR904', DETAIL = json_build_object('field', 'failure_code', 'payout_id', NEW.payout_id);
        END IF;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER apply_transition
BEFORE INSERT OR UPDATE ON payout.payouts
FOR EACH ROW EXECUTE FUNCTION payout.apply_transition();

ALTER TABLE payout.payouts ENABLE ALWAYS TRIGGER apply_transition;
