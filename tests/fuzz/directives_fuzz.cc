// Any text as a job script: its directive lines are refused or understood, never a crash.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/script.h"
#include "cli/submit_options.h"

using namespace bai::cli;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 14) return 0;
  static const Dialect dialect = Dialect::of("bai-submit");
  static const auto table = submit_table(dialect);
  static const bai::OptionParser parser(table);
  const Script script{std::string(reinterpret_cast<const char*>(data), size), "/w/job.sh", "job.sh",
                      "job.sh"};
  if (!check_script(script, 1 << 20).ok()) return 0;
  auto given = read_directives(script, parser);
  if (!given.ok() && (given.error().code.empty() || given.error().message.empty())) std::abort();
  return 0;
}
