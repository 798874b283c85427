// bai-control write batch_script JOB [FILE]: a job's script as it was submitted.
#include <fcntl.h>

#include "base/fd.h"
#include "base/text.h"
#include "cli/control.h"
#include "cli/output.h"
#include "cli/slurm_words.h"
#include "cli/values.h"

namespace bai::cli {

int control_write(ControlCall& call) {
  const bool slurm = call.reporter.dialect().slurm;
  if (call.words.empty())
    return slurm ? call.reporter.said("too few arguments for keyword:write")
                 : call.reporter.mistyped({"bad_option", "what is to be written?", "", "batch_script JOB"});
  if (call.words[0] != "batch_script")
    return slurm ? call.reporter.said("invalid write argument:" + call.words[0])
                 : call.reporter.mistyped(
                       {"bad_option", quote(call.words[0]) + " cannot be written", "", "batch_script JOB"});
  if (call.words.size() < 2 || call.words.size() > 3)
    return slurm ? call.reporter.said("error: invalid arguments for write batch_script")
                 : call.reporter.mistyped({"bad_option", "one job is needed", "", "batch_script JOB [FILE]"});
  auto refs = job_words({call.words[1]});
  if (!refs.ok() && slurm) return call.reporter.said("job script retrieval failed: Invalid job id specified");
  if (!refs.ok()) return call.reporter.mistyped(refs.error());
  int status = 0;
  Session* session = call.session(status);
  if (!session) return status;
  auto reply = session->get<wire::ScriptReply>(wire::ScriptRequest{(*refs)[0]});
  if (!reply.ok() && slurm)
    return call.reporter.said("job script retrieval failed: " + slurm_message(reply.error()));
  if (!reply.ok()) return call.reporter.refused(reply.error());
  const std::string name =
      call.words.size() > 2 ? call.words[2] : (slurm ? "slurm-" : "bai-") + call.words[1] + ".sh";
  if (name == "-") {
    Output out;
    out.put(reply->script);
    // As scontrol does: one that ends in the middle of a line gets its end.
    if (!reply->script.ends_with('\n')) out.put("\n");
    out.flush();
    return out.failed() ? kRefused : 0;
  }
  auto file = open_fd(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  Status written = file.ok() ? write_all(file->get(), reply->script) : Status(file.error());
  if (!file.ok() && slurm)
    return call.reporter.said("failed to open file `" + name + "`: " + file.error().message);
  if (!written.ok()) return call.reporter.refused(written.error());
  Output().put("batch script for job " + call.words[1] + " written to " + name + "\n");
  return 0;
}

}  // namespace bai::cli
