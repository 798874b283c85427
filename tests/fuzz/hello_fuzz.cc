// A hello, a welcome and a refusal from a stranger: the input is a list of parts, a length byte before each. MUNGE is away (its
// socket does not exist), so nothing gets past the credential; what is judged before and after is ours.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wire/seal.h"

using namespace bai::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view in(reinterpret_cast<const char*>(data), size);
  Parts parts;
  while (!in.empty()) {
    const std::size_t n = std::min<std::size_t>(static_cast<std::uint8_t>(in[0]), in.size() - 1);
    parts.emplace_back(in.substr(1, n));
    in.remove_prefix(1 + n);
  }
  const DaemonIdentity self{.munge_socket = "/nonexistent/munge"};
  if (DaemonSession::accept(self, parts)) std::abort();
  if (auto refusal = read_refusal(parts)) {
    if (refusal->code.size() > 40 || refusal->message.size() > 600) std::abort();
    if (refusal->message.find('\n') != std::string::npos) std::abort();
  }
  auto receiver = Seal::receiver({});
  for (const auto& p : parts) (void)receiver.open(p);
  ClientSession fresh;
  (void)fresh.open(parts);
  return 0;
}
