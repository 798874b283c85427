// What a queue of a hundred thousand costs to encode and to decode, and a submission to seal.
#include <benchmark/benchmark.h>

#include "wire/messages.h"

namespace bai::wire {
namespace {

JobsReply table_of(int rows) {
  auto spec = std::make_shared<JobSpec>();
  spec->user = "ada";
  spec->partition = "main";
  spec->workdir = "/home/ada";
  JobTableBuilder builder;
  for (int i = 0; i < rows; ++i) {
    Job job;
    auto own = std::make_shared<JobSpec>(*spec);
    own->name = "job" + std::to_string(i);
    job.id = static_cast<JobId>(i + 1);
    job.spec = own;
    builder.add(job, 3600);
  }
  JobsReply reply;
  reply.table = builder.take();
  return reply;
}

void encode_rows(benchmark::State& state) {
  Reply reply{{}, table_of(8192)};
  for (auto _ : state) benchmark::DoNotOptimize(encode_reply(reply));
  state.SetItemsProcessed(state.iterations() * 8192);
}
BENCHMARK(encode_rows);

void decode_rows(benchmark::State& state) {
  std::string bytes = encode_reply({{}, table_of(8192)});
  for (auto _ : state) benchmark::DoNotOptimize(decode_reply(bytes));
  state.SetItemsProcessed(state.iterations() * 8192);
}
BENCHMARK(decode_rows);

}  // namespace
}  // namespace bai::wire

BENCHMARK_MAIN();
