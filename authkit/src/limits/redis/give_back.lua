-- Gives one request back to a bucket.
-- KEYS[1] the bucket, ARGV[1] what one request costs, in microseconds
local full_at = redis.call('GET', KEYS[1])
if not full_at then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ahead = tonumber(full_at) - tonumber(ARGV[1]) - now
if ahead <= 0 then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000) + 1)
return 1
