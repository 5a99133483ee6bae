-- Gives one request back to a bucket.
-- KEYS[1] the bucket, ARGV[1] what one request costs, in microseconds
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('DECRBY', KEYS[1], ARGV[1])
return 1
