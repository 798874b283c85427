// The agent's journal after anything that a disk may do to it: read as far as it makes sense, and what was understood is written and
// read the same again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/journal.h"
#include "step/record.h"

using namespace bai;

static std::string write(const agent::JournalContents& contents) {
  std::string out = agent::encode_lineage(contents.lineage);
  for (const auto& [key, record] : contents.attempts) out += agent::encode_attempt(record);
  return out;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  (void)agent::decode_journal(input);
  // The fuzzer cannot guess a checksum: pieces of the input, two bytes of length before each, become the bodies of records.
  std::string journal;
  while (input.size() > 2) {
    const std::size_t length = static_cast<std::uint8_t>(input[0]) | static_cast<std::uint8_t>(input[1]) << 8;
    const std::string_view body = input.substr(2, length);
    input.remove_prefix(2 + body.size());
    const std::size_t start = journal.size();
    const auto put = [&](std::uint64_t value, int bytes) {
      for (int i = 0; i < bytes; ++i) journal.push_back(static_cast<char>(value >> (8 * i)));
    };
    journal += "BAIAGNT\n";
    put(1, 4);
    put(body.size(), 4);
    journal += body;
    put(step::crc32(std::string_view(journal).substr(start)), 4);
  }
  const std::string written = write(agent::decode_journal(journal));
  const auto again = agent::decode_journal(written);
  if (again.damaged || write(again) != written) std::abort();
  return 0;
}
