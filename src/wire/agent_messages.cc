#include "wire/agent_messages.h"

#include "base/archive.h"

namespace bai::wire {

std::string encode_agent(const AgentBody& body) { return encode(body); }
Result<AgentBody> decode_agent(std::string_view bytes) { return as_message(decode<AgentBody>(bytes)); }
std::string encode_order(const OrderBody& body) { return encode(body); }
Result<OrderBody> decode_order(std::string_view bytes) { return as_message(decode<OrderBody>(bytes)); }

}  // namespace bai::wire
