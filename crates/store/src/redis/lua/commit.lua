-- One batch, all or nothing.
-- KEYS[1] the partition's meta hash; then the keys of each operation, in order.
-- ARGV[1] change channel, [2] longest log, [3] log retention in ms; then the operations:
--   P key      expect ttl value    put            I zset hash  n (member value)*n     add to index
--   D key      expect              delete         i zset hash  n member*n             remove from index
--   C key      expect              check          Q zset hash  n (id at payload)*n    add due entries
--   L stream   log entry count     append         q zset hash  id token               remove a claimed due entry
--                                                 r zset hash  n id*n                 remove due entries
-- expect: "*" anything, "-" absent, else the version. A record is its version in 16 digits, then the value; the
-- payload of a due entry is preceded by its claim token in 16 digits, 0 when unclaimed.
-- Returns {1, version, cursor, ...}, or {0} when an expectation fails.


local keys_of = { P = 1, D = 1, C = 1, I = 2, i = 2, Q = 2, q = 2, r = 2, L = 1 }
local args_of = { P = 3, D = 1, C = 1, q = 2, L = 3 }
-- Arguments of each of the n, after the n.
local each_of = { I = 2, i = 1, Q = 3, r = 1 }

local function behind(op, a)
  return a + 1 + (args_of[op] or 1 + ARGV[a + 1] * each_of[op])
end

local k, a = 2, 4
local absent = {}
while ARGV[a] do
  local op = ARGV[a]
  if op == 'P' or op == 'D' or op == 'C' then
    local expect = ARGV[a + 1]
    if expect == '-' then
      absent[#absent + 1] = KEYS[k]
    elseif expect ~= '*' and redis.call('GETRANGE', KEYS[k], 0, 15) ~= expect then
      return { 0 }
    end
  elseif op == 'q' and ARGV[a + 2] ~= '*' then
    local claimed = redis.call('HGET', KEYS[k + 1], ARGV[a + 1])
    if not claimed or string.sub(claimed, 1, 16) ~= ARGV[a + 2] then return { 0 } end
  end
  k, a = k + keys_of[op], behind(op, a)
end
if #absent > 0 and redis.call('EXISTS', unpack(absent)) > 0 then return { 0 } end

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local meta = KEYS[1]
local version_number = math.max((tonumber(redis.call('HGET', meta, 'v')) or 0) + 1, now_us)
local version = string.format('%016.0f', version_number)
redis.call('HSET', meta, 'v', version)

local reply = { 1, version }
-- What a log remembers is read and written once, however many entries it gets.
local records_changed, logs, written = false, {}, {}
k, a = 2, 4
while ARGV[a] do
  local op = ARGV[a]
  if op == 'P' then
    local value, ttl = version .. ARGV[a + 3], ARGV[a + 2]
    if ttl == '0' then
      redis.call('SET', KEYS[k], value)
    else
      redis.call('SET', KEYS[k], value, 'PX', ttl)
    end
    records_changed = true
  elseif op == 'D' then
    redis.call('DEL', KEYS[k])
    records_changed = true
  elseif op == 'I' then
    -- All of them have a value, or none has.
    local places, fields, values = {}, {}, ARGV[a + 3] ~= ''
    for n = a + 2, behind(op, a) - 1, 2 do
      places[#places + 1] = 0
      places[#places + 1] = ARGV[n]
      fields[#fields + 1] = ARGV[n]
      if values then fields[#fields + 1] = ARGV[n + 1] end
    end
    redis.call('ZADD', KEYS[k], unpack(places))
    redis.call(values and 'HSET' or 'HDEL', KEYS[k + 1], unpack(fields))
  elseif op == 'i' or op == 'r' then
    redis.call('ZREM', KEYS[k], unpack(ARGV, a + 2, behind(op, a) - 1))
    redis.call('HDEL', KEYS[k + 1], unpack(ARGV, a + 2, behind(op, a) - 1))
  elseif op == 'Q' then
    local times, entries = {}, {}
    for n = a + 2, behind(op, a) - 1, 3 do
      times[#times + 1] = ARGV[n + 1]
      times[#times + 1] = ARGV[n]
      entries[#entries + 1] = ARGV[n]
      entries[#entries + 1] = '0000000000000000' .. ARGV[n + 2]
    end
    redis.call('ZADD', KEYS[k], unpack(times))
    redis.call('HSET', KEYS[k + 1], unpack(entries))
  elseif op == 'q' then
    redis.call('ZREM', KEYS[k], ARGV[a + 1])
    redis.call('HDEL', KEYS[k + 1], ARGV[a + 1])
  elseif op == 'L' then
    local name = ARGV[a + 1]
    local log = written[name]
    if not log then
      local last = redis.call('HMGET', meta, 'n:' .. name, 't:' .. name)
      log = { key = KEYS[k], number = tonumber(last[1]) or 0, ms = math.max(tonumber(last[2]) or 0, now_ms) }
      written[name] = log
    end
    local count = tonumber(ARGV[a + 3])
    log.number = log.number + count
    local cursor = string.format('%.0f-%.0f', log.ms, log.number)
    if count == 1 then
      redis.call('XADD', log.key, 'MAXLEN', '~', ARGV[2], cursor, 'e', ARGV[a + 2])
    else
      redis.call('XADD', log.key, 'MAXLEN', '~', ARGV[2], cursor, 'e', ARGV[a + 2], 'n', count)
    end
    if log.number % 16 < count then
      redis.call('XTRIM', log.key, 'MINID', '~', string.format('%.0f', math.max(log.ms - ARGV[3], 0)))
    end
    reply[#reply + 1] = cursor
    logs[#logs + 1] = name
  end
  k, a = k + keys_of[op], behind(op, a)
end
for name, log in pairs(written) do
  redis.call('HSET', meta, 'n:' .. name, string.format('%.0f', log.number), 't:' .. name, string.format('%.0f', log.ms))
  redis.call('PEXPIRE', log.key, ARGV[3])
end
if records_changed or #logs > 0 then
  redis.call('PUBLISH', ARGV[1], table.concat(logs, '\n'))
end
return reply
