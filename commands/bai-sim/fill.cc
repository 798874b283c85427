// bai-sim fill.
#include "sim/fill.h"
#include "base/text.h"
#include "base/units.h"
#include "command.h"

namespace bai::sim {

int fill(const Call& call) {
  if (!call.words.empty() || !call.value("nodes") || !call.value("pods"))
    return call.mistyped("a table of nodes and one of pods are needed",
                         "bai-sim fill --nodes FILE --pods FILE");
  auto rules = chosen_rules(call);
  if (!rules.ok()) return call.refuse(rules.error());
  if (rules->placement.empty()) rules->placement = "fragmentation";
  rules->policy = SchedulingPolicy::kFcfs;
  std::int64_t seeds = 10;
  if (const auto* text = call.value("seeds")) {
    auto count = parse_int(*text, 1, 10'000);
    if (!count.ok())
      return call.refuse({"bad_option", count.error().message, "--seeds", count.error().remedy});
    seeds = *count;
  }
  auto site = site_of_table(call, *call.value("nodes"), *rules);
  if (!site.ok()) return call.refuse(site.error());
  auto pods = read_openb_pods(*call.value("pods"), call.strict());
  if (!pods.ok()) return call.refuse(pods.error());
  call.tell(pods->broken);
  if (auto can = check_fill(*site, *pods); !can.ok()) return call.refuse(can.error());
  constexpr std::uint64_t kFirstSeed = 42;
  std::uint64_t at_100 = 0, at_130 = 0, tasks = 0, dropped = 0;
  for (std::int64_t i = 0; i < seeds; ++i) {
    const auto filled = fill_once(*site, *pods, kFirstSeed + static_cast<std::uint64_t>(i));
    at_100 += filled.at_100;
    at_130 += filled.at_130;
    tasks += filled.tasks;
    dropped += filled.dropped;
  }
  auto mean = [&](std::uint64_t sum) { return static_cast<double>(sum) / static_cast<double>(seeds); };
  const double capacity = static_cast<double>(site->gpu_milli);
  const std::vector<Figure> figures = {
      {"gpus", "GPUs", Figure::kReal, capacity / 1000},
      {"gpus_at_100", "given away when as many were asked for", Figure::kReal, mean(at_100) / 1000},
      {"gpus_at_130", "given away when 130 % were asked for", Figure::kReal, mean(at_130) / 1000},
      {"allocated_at_100", "in percent, at 100 %", Figure::kReal, 100 * mean(at_100) / capacity},
      {"allocated_at_130", "in percent, at 130 %", Figure::kReal, 100 * mean(at_130) / capacity},
      {"tasks", "tasks", Figure::kReal, mean(tasks)},
      {"dropped", "of them did not fit", Figure::kReal, mean(dropped)},
      {"seconds", "real time", Figure::kDuration, call.seconds(), true},
  };
  cli::Output out;
  if (call.reporter.json()) {
    cli::JsonWriter json(out.buffer());
    json.begin_object().field("placement", rules->placement.view()).field("seeds", seeds);
    put_json(json, figures);
    json.key("percent").number(100 * mean(at_130) / capacity).end_object();
    out.put("\n");
  } else {
    out.put("Placement " + rules->placement.str() + ", mean of " + std::to_string(seeds) +
            (seeds == 1 ? " order\n" : " orders\n"));
    for (const auto& figure : figures)
      out.put(pad_right(figure.label, 44)).put(pad_left(text_of(figure), 12)).put("\n");
  }
  return finish(out);
}

}  // namespace bai::sim
