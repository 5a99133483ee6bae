-- Takes one request from a bucket: GCRA, as limits/gcra.rs has it, by the server's own clock.
-- KEYS[1] the bucket: when it is full again, in microseconds
-- ARGV[1] what one request costs, ARGV[2] what all of them cost, in microseconds
-- Returns how long until it is full again; negative and one less when the request may not pass.
--
-- The number is moved on in place, which is cheap; when the key goes is set anew only when the number enters another
-- quarter of the span, for long enough that a bucket is full before its key goes.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, span = ARGV[1] + 0, ARGV[2] + 0
local quarter = span / 4
local full_at = redis.call('INCRBY', KEYS[1], ARGV[1])
local before = full_at - interval
local ahead = full_at - now

if ahead > span then
  ahead = before - now
  if ahead <= span then
    redis.call('DECRBY', KEYS[1], ARGV[1])
  else
    -- The clock was set back.
    ahead = span
    redis.call('SET', KEYS[1], now + span, 'PX', math.ceil((span + quarter) / 1000) + 1)
  end
  return -1 - ahead
end
if before < now then
  ahead = interval
  if before == 0 then
    redis.call('SET', KEYS[1], now + ahead, 'PX', math.ceil((ahead + quarter) / 1000) + 1)
    return ahead
  end
  full_at = redis.call('INCRBY', KEYS[1], now - before)
end
if math.floor(before / quarter) ~= math.floor(full_at / quarter) then
  redis.call('PEXPIRE', KEYS[1], math.ceil((ahead + quarter) / 1000) + 1)
end
return ahead
