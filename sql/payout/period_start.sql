-- Promises: when the period of a limit began that an instant is in: the hour, or the day where the merchant's clocks are.
CREATE OR REPLACE FUNCTION payout.period_start(p_period text, p_at timestamptz, p_time_zone text)
RETURNS timestamptz
LANGUAGE sql
STABLE
RETURN date_trunc(CASE p_period WHEN 'hour' THEN 'hour' ELSE 'day' END, p_at, p_time_zone);
