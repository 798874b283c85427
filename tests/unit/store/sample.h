// What the store's tests write and expect, and where.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/archive.h"
#include "store/store.h"

namespace bai::store {

class TempDir {
 public:
  TempDir() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/bai-store-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline JobSpec sample_spec(JobId id) {
  JobSpec spec;
  spec.name = "job" + std::to_string(id);
  spec.user = "alice";
  spec.group = "users";
  spec.uid = 1000;
  spec.gid = 100;
  spec.account = "physics";
  spec.partition = "main";
  spec.workdir = "/home/alice";
  spec.std_out = "bai-%j.out";
  spec.request.tasks = 3;
  return spec;
}

inline std::shared_ptr<Job> sample_job(JobId id) {
  auto job = std::make_shared<Job>();
  job->id = id;
  job->priority = 100 + id;
  job->submitted = job->eligible = Time::from_seconds(1'700'000'000 + id);
  job->spec = std::make_shared<const JobSpec>(sample_spec(id));
  return job;
}

// Ended at 1'700'001'000 + id.
inline std::shared_ptr<Job> ended_job(JobId id) {
  auto job = sample_job(id);
  job->state = JobState::kCompleted;
  job->attempt = 1;
  job->started = job->submitted + 10;
  job->ended = Time::from_seconds(1'700'001'000 + id);
  auto held = std::make_shared<Allocation>();
  held->partition = "main";
  held->nodes = {{"n1", 2, 512}, {"n2", 2, 512}};
  job->allocation = held;
  job->usage = std::make_shared<const Usage>(Usage{1'500'000, 250'000, 4096});
  return job;
}

inline RequestId sample_request(std::uint64_t n) {
  RequestId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(n >> (8 * i));
  id.bytes[15] = 1;
  return id;
}

// A submission: the job, its launch and contents, its event, the answer.
inline void submit(Batch& batch, JobId id) {
  const auto script = std::make_shared<const std::string>("#!/bin/sh\necho " + std::to_string(id) + "\n");
  const auto environment = std::make_shared<const std::string>(std::string("HOME=/home/alice\0", 17));
  auto job = sample_job(id);
  job->lsn = batch.last + 1;
  LaunchRecord launch;
  launch.args = {"one", "two\nlines"};
  launch.script = hash256(*script);
  launch.environment = hash256(*environment);
  launch.credential = "MUNGE:" + std::to_string(id);
  JobEvent event;
  event.job = id;
  event.lsn = batch.last + 1;
  event.at = job->submitted;
  event.cause = "submitted";
  batch.changes.push_back(JobPut{job});
  batch.changes.push_back(LaunchPut{id, launch});
  batch.changes.push_back(ContentPut{launch.script, script});
  batch.changes.push_back(ContentPut{launch.environment, environment});
  batch.changes.push_back(EventPut{event});
  batch.changes.push_back(
      RequestPut{sample_request(id), 1000, job->submitted, "answer " + std::to_string(id)});
  batch.last += 1;
  batch.last_job_id = std::max(batch.last_job_id, id);
}

inline Batch batch_after(const Lineage& lineage) {
  Batch batch;
  batch.first = lineage.lsn + 1;
  batch.last = lineage.lsn;
  batch.last_job_id = lineage.last_job_id;
  return batch;
}

// A batch of one change.
inline Batch one(const Lineage& lineage, Change change) {
  Batch batch = batch_after(lineage);
  batch.last += 1;
  batch.changes.push_back(std::move(change));
  return batch;
}

template <class R>
::testing::AssertionResult ok(const R& result) {
  if (result.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.error().code << ": " << result.error().text();
}

}  // namespace bai::store
