// bai-sim replay.
#include "sim/replay.h"
#include "base/text.h"
#include "command.h"
#include "sokovan/plugins.h"

namespace bai::sim {

int replay(const Call& call) {
  if (call.words.size() != 1) return call.mistyped("which recording?", "bai-sim replay FILE");
  auto done = replay_file(call.words[0], sokovan::placements_in(plugin_dirs(call)));
  if (!done.ok()) return call.refuse(done.error());
  cli::Output out;
  if (call.reporter.json()) {
    cli::JsonWriter json(out.buffer());
    json.begin_object().field("program", done->program);
    json.field("changes", static_cast<std::int64_t>(done->changes))
        .field("decisions", static_cast<std::int64_t>(done->decisions));
    json.field("starts", static_cast<std::int64_t>(done->starts))
        .field("different", static_cast<std::int64_t>(done->different));
    json.field("first_difference", done->first_difference).flag("cut_off", done->cut_off).end_object();
    out.put("\n");
  } else {
    out.put("Recorded by " + escape_control(done->program) + ": " + std::to_string(done->changes) +
            " changes, " + std::to_string(done->decisions) + " decisions, " + std::to_string(done->starts) +
            " starts\n");
    if (done->cut_off) out.put("The recording ends in the middle of a record.\n");
    out.put(done->different == 0 ? std::string("All decisions are the same.\n")
                                 : std::to_string(done->different) +
                                       " decisions differ. The first: " + done->first_difference + "\n");
  }
  const int status = finish(out);
  return status ? status : done->different ? cli::kRefused : 0;
}

}  // namespace bai::sim
