#include "cli/begin.h"

#include <unistd.h>

namespace bai::cli {

std::optional<Parsed> begin(const OptionTable& table, int argc, const char* const* argv, Reporter& reporter,
                            int& status) {
  auto parsed = OptionParser(table).parse(argc, argv);
  if (!parsed.ok()) {
    status = reporter.mistyped(parsed.error());
    return {};
  }
  if (handle_common(table, *parsed, reporter, status)) return {};
  return std::move(*parsed);
}

std::optional<Parsed> begin(const OptionTable& table, int argc, const char* const* argv,
                            const std::vector<std::string>& prefixes, Reporter& reporter, int& status) {
  auto parsed = begin(table, argc, argv, reporter, status);
  if (!parsed) return {};
  auto environment = OptionParser(table).from_environment(prefixes, environ);
  if (!environment.ok()) {
    status = reporter.mistyped(environment.error());
    return {};
  }
  parsed->add(std::move(*environment));
  return parsed;
}

}  // namespace bai::cli
