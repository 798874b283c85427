// Any text as bai.conf: refused or understood, never a crash; what was understood survives its own bundle.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 14) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto lines = bai::parse_config_text(text, "fuzz");
  if (!lines) return 0;
  std::vector<std::string> warnings;
  bai::ConfigRules rules;
  rules.passwd = "/dev/null";
  auto config = bai::parse_config(*lines, &warnings, rules);
  if (!config) {
    if (config.error().code.empty() || config.error().message.empty()) std::abort();
    return 0;
  }
  (void)bai::describe(*config);
  auto again = bai::parse_config_bundle(config->bundle, "bundle", rules);
  if (!again || again->hash != config->hash || again->nodes.size() != config->nodes.size()) std::abort();
  return 0;
}
