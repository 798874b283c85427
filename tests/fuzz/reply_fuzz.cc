// What a command reads from the controller: refused or understood; what was understood survives its own encoding, and its job tables
// can be asked for any text.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/messages.h"

using namespace bai::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reply = decode_reply({reinterpret_cast<const char*>(data), size});
  if (!reply) {
    if (reply.error().code != "bad_message" || reply.error().message.empty()) std::abort();
    return 0;
  }
  if (const auto* jobs = std::get_if<JobsReply>(&reply->body))
    for (const auto& row : jobs->table.rows) (void)jobs->table.text(row.name);
  const std::string bytes = encode_reply(*reply);
  auto again = decode_reply(bytes);
  if (!again || encode_reply(*again) != bytes) std::abort();
  return 0;
}
