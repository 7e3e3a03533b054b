-- A page of an index.
-- KEYS: zset, hash. ARGV: lower bound as ZRANGEBYLEX takes it, how many at most.
-- Returns {member, value, ...} with one member more than asked for when there is one.
local members = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2] + 1)
local reply = {}
if #members == 0 then return reply end
local values = redis.call('HMGET', KEYS[2], unpack(members))
for i, member in ipairs(members) do
  reply[#reply + 1] = member
  reply[#reply + 1] = values[i] or ''
end
return reply
