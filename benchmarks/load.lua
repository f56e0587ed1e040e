-- What wrk sends. The command line after `--` says: method, path, body (`-` for none), what the
-- idempotency keys of this run have in common, the file of API keys, and `random` or `in_order`: how a key is chosen.
-- Every request is put together from ready parts: the generator must not be what is measured. An
-- idempotency key begins with random digits, as a UUID does: an index of them has no warm end.

local method, path, body, prefix, order
local heads = {}
local count, sent = 0, 0
local tail

function init(args)
  method, path, body, prefix, order = args[1], args[2], args[3], args[4], args[6]
  for key in io.lines(args[5]) do
    count = count + 1
    heads[count] = method .. " " .. path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port ..
      "\r\nAuthorization: Bearer " .. key .. "\r\nIdempotency-Key: "
  end
  if body == "-" then
    tail = "\r\n\r\n"
  else
    tail = "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
  end
  math.randomseed(os.time())
end

function request()
  sent = sent + 1
  local which = 1
  if count > 1 then
    if order == "random" then
      which = math.random(count)
    else
      which = (sent - 1) % count + 1
    end
  end
  return heads[which] .. string.format("%08x", math.random(0, 0x7fffffff)) .. prefix .. sent .. tail
end

-- Times are in microseconds.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers": %d, "microseconds": %d, "bad_status": %d, "broken": %d, ' ..
    '"p50": %d, "p99": %d, "p999": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
