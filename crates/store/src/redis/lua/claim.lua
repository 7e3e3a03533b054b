-- Claims due entries.
-- KEYS: due zset, due hash, meta hash. ARGV: lease in ms, how many at most.
-- Returns {id, token, payload, ...}.
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now_ms, 'LIMIT', 0, ARGV[2])
local reply = {}
if #ids == 0 then return reply end
local token_number = math.max(tonumber(redis.call('HGET', KEYS[3], 'v')) or 0, now_us)
for _, id in ipairs(ids) do
  local entry = redis.call('HGET', KEYS[2], id)
  if entry then
    token_number = token_number + 1
    local token = string.format('%016.0f', token_number)
    local payload = string.sub(entry, 17)
    redis.call('HSET', KEYS[2], id, token .. payload)
    redis.call('ZADD', KEYS[1], now_ms + ARGV[1], id)
    reply[#reply + 1] = id
    reply[#reply + 1] = token
    reply[#reply + 1] = payload
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
redis.call('HSET', KEYS[3], 'v', string.format('%016.0f', token_number))
return reply
