// The keys of bai.conf that name the site's own programs around jobs, steps and tasks.
#include "base/text.h"
#include "model/config_keys.h"
#include "model/rlimits.h"

namespace bai {
namespace {

using Row = KeyRow<ClusterConfig>;
using Config = ClusterConfig;
namespace cv = config_value;

// A pattern of glob(7). Lines add up; "none" forgets those before.
Row patterns(ConfigKey key, std::vector<std::string> Config::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            if (iequals(value, "none")) {
              (c.*member).clear();
              return {};
            }
            auto parsed = cv::path(value);
            if (!parsed) return parsed.error();
            if ((c.*member).size() >= 64) return Error{"bad_config", "more than 64 of them"};
            (c.*member).push_back(*std::move(parsed));
            return {};
          },
          [member](const Config& c) { return join(c.*member, ","); }};
}

template <class C>
Row program(ConfigKey key, std::string C::*member) {
  return {std::move(key),
          [member](Config& c, std::string_view value) -> Status {
            auto parsed = iequals(value, "none") ? Result<std::string>(std::string()) : cv::path(value);
            if (!parsed) return parsed.error();
            c.*member = *std::move(parsed);
            return {};
          },
          [member](const Config& c) { return c.*member; }};
}

// Slurm's words; those that say how slurmd goes about it have no counterpart.
Status set_flags(Config& c, std::string_view value) {
  c.prolog_alloc = false;
  for (auto word : split_list(value)) {
    const bool alloc = iequals(word, "Alloc") || iequals(word, "Contain") || iequals(word, "X11") ||
                       iequals(word, "DeferBatch");
    if (!alloc && !iequals(word, "none") && !iequals(word, "NoHold") && !iequals(word, "Serial") &&
        !iequals(word, "ForceRequeueOnFail") && !iequals(word, "RunInJob"))
      return Error{"bad_config", quote(word) + " is no flag of it", "", "Alloc is"};
    c.prolog_alloc |= alloc;
  }
  return {};
}

}  // namespace

void add_client_hook_rows(std::vector<Row>& rows) {
  rows.push_back(program({"SrunProlog", {}, "run by bai-run before its step"}, &Config::srun_prolog));
  rows.push_back(program({"SrunEpilog", {}, "run by bai-run after its step"}, &Config::srun_epilog));
  rows.push_back(
      {{"PropagateResourceLimits", {}, "which of the user's limits jobs take along: ALL, NONE or a list"},
       [](Config& c, std::string_view value) -> Status {
         auto read = parse_rlimits(value);
         if (!read) return read.error();
         c.propagated_limits = *read;
         return {};
       },
       [](const Config& c) { return show_rlimits(c.propagated_limits); }});
  rows.push_back({{"PropagateResourceLimitsExcept", {}, "all but these"},
                  [](Config& c, std::string_view value) -> Status {
                    auto read = parse_rlimits(value);
                    if (!read) return read.error();
                    c.propagated_limits = kAllRlimits & ~*read;
                    return {};
                  },
                  [](const Config&) { return std::string(); }});
}

void add_hook_rows(std::vector<Row>& rows) {
  rows.push_back(patterns({"Prolog", {}, "run by root on each node before a job's first process there", true},
                          &Config::prolog));
  rows.push_back(patterns({"Epilog", {}, "run by root on each node after a job's last process there", true},
                          &Config::epilog));
  rows.push_back(
      patterns({"PrologCtld", {"PrologSlurmctld"}, "run beside bai-ctld before a job starts", true},
               &Config::prolog_ctld));
  rows.push_back(patterns({"EpilogCtld", {"EpilogSlurmctld"}, "run beside bai-ctld after a job's end", true},
                          &Config::epilog_ctld));
  rows.push_back(program({"TaskProlog", {}, "run by a job's user before its script and each task", true},
                         &Config::task_prolog));
  rows.push_back(program({"TaskEpilog", {}, "run by a job's user after its script and each task", true},
                         &Config::task_epilog));
  rows.push_back({{"SecurityLimits", {"UsePAM"}, "whether jobs get the limits of /etc/security", true},
                  [](Config& c, std::string_view value) -> Status {
                    auto parsed = cv::yes_no(value);
                    if (!parsed) return parsed.error();
                    c.security_limits = *parsed;
                    return {};
                  },
                  [](const Config& c) { return std::string(c.security_limits ? "1" : "0"); }});
  rows.push_back({{"PrologEpilogTimeout", {}, "seconds that one of them may take; 0: any time", true},
                  [](Config& c, std::string_view value) -> Status {
                    auto parsed = cv::seconds(value, 0, 65533, false);
                    if (!parsed) return parsed.error();
                    c.prolog_epilog_timeout = *parsed;
                    return {};
                  },
                  [](const Config& c) { return std::to_string(c.prolog_epilog_timeout); }});
  rows.push_back({{"PrologFlags", {}, "Alloc: the prolog runs on all nodes of a job before it starts"},
                  set_flags,
                  [](const Config& c) { return std::string(c.prolog_alloc ? "Alloc" : ""); }});
}

}  // namespace bai
