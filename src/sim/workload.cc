#include "sim/workload.h"

#include <algorithm>

#include "base/text.h"
#include "sim/openb.h"
#include "sim/swf.h"

namespace bai::sim {

Status Broken::add(const Lines& lines, const std::string& wrong, bool strict) {
  if (strict)
    return Error{"bad_trace", "this line is broken: " + wrong, lines.place(),
                 "without --strict it is left out"};
  if (++count <= kTold) first.push_back(lines.place() + ": " + wrong);
  return {};
}

Result<Workload> read_trace(const std::string& path, bool strict) {
  auto lines = Lines::open(path);
  if (!lines.ok()) return lines.error();
  std::string_view line;
  while (lines->next(line) && trim(line).empty()) {
  }
  if (!lines->status().ok()) return lines->status().error();
  auto out = is_openb_pods(line) ? read_openb_pods(*lines, line, strict) : read_swf(*lines, line, strict);
  if (!out.ok()) return out;
  std::stable_sort(out->jobs.begin(), out->jobs.end(), [](const TraceJob& a, const TraceJob& b) {
    return a.submit != b.submit ? a.submit < b.submit : a.id < b.id;
  });
  if (out->jobs.empty())
    return Error{
        "bad_trace",
        "there is no job in it" + (out->broken.count ? ": " + out->broken.first.front() : std::string()),
        path, "the Standard Workload Format, or openb's table of pods, either also compressed by gzip"};
  return out;
}

}  // namespace bai::sim
