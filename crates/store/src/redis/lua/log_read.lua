-- Entries of a log.
-- KEYS: stream, meta hash. ARGV: log name, cursor or "" for the oldest, how many at most.
-- An entry is what was appended (e), and how many things it tells of (n) when they are several.
-- Returns {number of the newest entry, id of the oldest entry or "", id, entry, count, id, entry, count, ...}.
local newest = redis.call('HGET', KEYS[2], 'n:' .. ARGV[1]) or '0'
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local reply = { newest, first[1] and first[1][1] or '' }
local from = '-'
if ARGV[2] ~= '' then from = '(' .. ARGV[2] end
for _, item in ipairs(redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3])) do
  reply[#reply + 1] = item[1]
  reply[#reply + 1] = item[2][2]
  reply[#reply + 1] = item[2][4] or '1'
end
return reply
