#include "wire/messages.h"

#include "base/archive.h"

namespace bai::wire {

std::string encode_request(const Request& request) { return encode(request); }
Result<Request> decode_request(std::string_view bytes) { return as_message(decode<Request>(bytes)); }
std::string encode_reply(const Reply& reply) { return encode(reply); }
Result<Reply> decode_reply(std::string_view bytes) { return as_message(decode<Reply>(bytes)); }

bool is_changing(const RequestBody& body) {
  if (auto* submit = std::get_if<SubmitRequest>(&body)) return !submit->test_only;
  return std::holds_alternative<ActionRequest>(body) || std::holds_alternative<UpdateRequest>(body) ||
         std::holds_alternative<StepRequest>(body);
}

std::string_view request_name(const RequestBody& body) {
  static constexpr std::string_view kNames[] = {
      "ping",       "submit", "queue",  "watch",  "wait",        "history",  "accounting", "cluster",
      "config",     "diag",   "action", "update", "reconfigure", "shutdown", "log_level",  "why",
      "drain_plan", "hold",   "step",   "attach", "steps",       "use",      "script"};
  static_assert(std::size(kNames) == std::variant_size_v<RequestBody>);
  return kNames[body.index()];
}

}  // namespace bai::wire
