-- How long until a bucket is full again, in microseconds. Changes nothing.
-- KEYS[1] the bucket
local full_at = redis.call('GET', KEYS[1])
if not full_at then return 0 end
local time = redis.call('TIME')
return math.max(0, tonumber(full_at) - (time[1] * 1000000 + time[2]))
