-- Takes one request from a bucket: GCRA, as limits/gcra.rs has it, by the server's own clock.
-- KEYS[1] the bucket: when it is full again, in microseconds
-- ARGV[1] what one request costs, ARGV[2] what all of them cost, in microseconds
-- Returns how long until it is full again; negative and one less when the request may not pass.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = redis.call('GET', KEYS[1])
local forget = false
if full_at then
  full_at = tonumber(full_at)
  if not full_at then return redis.error_reply('WRONGTYPE the bucket holds no number') end
  if full_at > now + span then
    -- The clock was set back.
    full_at, forget = now + span, true
  end
end
if not full_at or full_at < now then full_at = now end
local ahead = full_at - now
local allowed = ahead + interval <= span
if allowed then ahead = ahead + interval end
if allowed or forget then
  redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000) + 1)
end
if allowed then return ahead end
return -1 - ahead
