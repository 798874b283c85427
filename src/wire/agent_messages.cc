#include "wire/agent_messages.h"

#include "base/archive.h"

namespace bai::wire {

std::string encode_agent(const AgentBody& body) { return encode(body); }
Result<AgentBody> decode_agent(std::string_view bytes) { return decode<AgentBody>(bytes); }
std::string encode_order(const OrderBody& body) { return encode(body); }
Result<OrderBody> decode_order(std::string_view bytes) { return decode<OrderBody>(bytes); }

}  // namespace bai::wire
